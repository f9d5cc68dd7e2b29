`resetall
`timescale 1ns / 1ps
`default_nettype none

// Post-processing (twin: hwsim/units/post.py): COLS lanes that requantize one array row per cycle,
// drained from the shadow bank while the next pixel tile accumulates. READ, BROADCAST,
// MULTIPLY 2, ADD, SHIFT, CLAMP, WRITE. The two rows of an add become one line: the first one
// drains ahead of it and writes nothing.
module hne_post #(
    // Array rows to drain, one a cycle: only counters know.
    parameter integer ROWS = 2,
    // Lanes: each costs the multipliers of a lane.
    parameter integer COLS = 2,
    // Bits of a result: what a lane clamps to.
    parameter integer ACT_W = 8,
    // Bits of an accumulator: of the products, and of two registers for each lane.
    parameter integer ACC_W = 32,
    // Bits of a requantization multiplier: of the products.
    parameter integer MULT_W = 16,
    // 1: layers that add two maps: see hne_post_lane.
    parameter integer ADD = 1,
    // 1: words of a table: see hne_post_lane.
    parameter integer LUT = 1,
    // 1: layers that round twice: see hne_post_lane. Costs the mask that all lanes share.
    parameter integer REQUANTIZATION = 0,
    // Logits that leave at once, of the first lanes: those of the images of a batch.
    parameter integer BATCH = 1,
    // Bits of s. Follows from ACC_W and MULT_W: leave it.
    parameter integer SHIFT_W = $clog2(ACC_W + MULT_W),
    // Bits of a line of the activation buffer: a place of the output map travels through all
    // stages.
    parameter integer LINE_W = 12,
    // Bits of a line of the scale and bias memories: the counters of channels.
    parameter integer CHAN_W = 9,
    // Bits of a row number. Follows from ROWS: leave it.
    parameter integer ROW_W = (ROWS > 1) ? $clog2(ROWS) : 1
) (
    input  wire                       clk_i,
    input  wire                       rst_i,
    // The cycle before a conv or fc layer starts.
    input  wire                       load_i,
    input  wire                       last_layer_i,
    input  wire                       add_i,
    input  wire                       lut_i,
    // All channels have the same words of scale and bias; those of an add take turns.
    input  wire                       shared_i,
    input  wire [               15:0] outputs_i,
    input  wire [               15:0] groups_i,
    input  wire [          ACT_W-1:0] lo_i,
    input  wire [          ACT_W-1:0] hi_i,
    // The layer rounds twice, halves away from this code.
    input  wire                       away_i,
    input  wire [          ACT_W-1:0] zero_i,
    input  wire [         LINE_W-1:0] out_line_i,
    input  wire [         LINE_W-1:0] pixel_tiles_i,
    input  wire [         CHAN_W-1:0] channel_base_i,
    // The shadow bank is being written.
    input  wire                       shadow_load_i,
    output wire [          ROW_W-1:0] shadow_row_o,
    input  wire [     COLS*ACC_W-1:0] shadow_i,
    // Scale and bias memories: the channel of the next cycle, so that they have answered in the one
    // that selects its row.
    output wire [         CHAN_W-1:0] channel_o,
    output wire                       channel_valid_o,
    input  wire [ SHIFT_W+MULT_W-1:0] scale_i,
    input  wire [   ACC_W+MULT_W-1:0] bias_i,
    // Tables: a code of each lane, and the words when they are due.
    output wire [     COLS*ACT_W-1:0] code_o,
    output wire                       code_valid_o,
    input  wire [     COLS*ACT_W-1:0] word5_i,
    // One line of the output map, or one logit of each image.
    output wire                       write_o,
    output wire [         LINE_W-1:0] line_o,
    output wire [     COLS*ACT_W-1:0] act_o,
    output wire                       logit_write_o,
    output wire [    BATCH*ACC_W-1:0] logit_o,
    // The last result of the layer is being written.
    output wire                       end_o
);

  `include "hne_constants.vh"

  localparam integer BIAS_W = ACC_W + MULT_W;
  localparam [LINE_W-1:0] ONE = 1;
  localparam signed [MULT_W-1:0] UNIT = 1;
  // Bits of a sum from 2^31 to the half of the largest shift.
  localparam integer MASK_W = (REQUANTIZATION != 0) ? BIAS_W - 32 : 1;

  // Cycles from the selection of a row to its result.
  localparam integer STAGES = POST_FILL;
  // From the answer of the memories to the sum with b, and to the shift by s.
  localparam integer BIAS = POST_BROADCAST + POST_MULTIPLY + POST_ADD;
  localparam integer SHIFT = BIAS + POST_SHIFT;

  reg active_q, last_layer_q, add_q, shared_q;
  reg [ROW_W-1:0] row_q;
  reg [LINE_W-1:0] pixel_q, pixel_before_q, tile_line_q, line_q;
  reg pixel_last_q, pixel_single_q;
  reg [CHAN_W-1:0] tile_channel_q, channel_q, channel_next_q;
  reg [STAGES-1:0] valid_q, end_q;
  reg [BIAS:0] second_q;
  reg [STAGES*LINE_W-1:0] lines_q;
  reg [COLS*ACC_W-1:0] acc1_q, acc2_q;
  // What the memories answered, beside them.
  reg [SHIFT_W+MULT_W-1:0] scale1_q;
  reg [BIAS_W-1:0] bias1_q;
  reg signed [MULT_W-1:0] multiplier_q;
  reg [BIAS*BIAS_W-1:0] bias_q;
  reg [SHIFT*SHIFT_W-1:0] shift_q;

  wire [MASK_W-1:0] mask4;
  wire [7:0] row_end, next_end;
  wire group_end, tile_last;
  // Known a cycle early: the number of the row goes to all accumulators.
  reg row_last_q;
  wire row_last = row_last_q;
  // And this, from the tile before the last one: it lets all row-tiles move.
  wire pixel_last = pixel_last_q;
  wire [LINE_W-1:0] pixel_next = pixel_q + ONE;
  wire [ROW_W-1:0] row_next = row_q + {{ROW_W - 1{1'b0}}, 1'b1};
  wire [CHAN_W-1:0] channel_d = load_i ? channel_base_i : !active_q ? channel_q
      : row_last && (shared_q || !pixel_last) ? tile_channel_q : channel_next_q;
  wire [COLS*ACC_W-1:0] logits;
  wire unused_bits = &{1'b0, logits, row_end, next_end, group_end, away_i, zero_i};

  assign shadow_row_o = row_q;
  assign channel_o = channel_d;
  assign channel_valid_o = active_q;
  assign code_valid_o = valid_q[1];
  assign write_o = valid_q[STAGES-1] && !last_layer_q;
  assign logit_write_o = valid_q[STAGES-1] && last_layer_q;
  assign logit_o = logits[BATCH*ACC_W-1:0];
  assign line_o = lines_q[(STAGES-1)*LINE_W+:LINE_W];
  assign end_o = valid_q[STAGES-1] && end_q[STAGES-1];

  always @(posedge clk_i) begin
    if (rst_i) begin
      active_q <= 1'b0;
      valid_q  <= {STAGES{1'b0}};
    end else begin
      if (shadow_load_i) active_q <= 1'b1;
      else if (row_last) active_q <= 1'b0;
      valid_q <= {valid_q[STAGES-2:0], active_q && (!add_q || row_last)};
    end
    if (load_i) begin
      last_layer_q   <= last_layer_i;
      add_q          <= ADD != 0 && add_i;
      shared_q       <= shared_i;
      row_q          <= {ROW_W{1'b0}};
      pixel_q        <= {LINE_W{1'b0}};
      tile_line_q    <= out_line_i;
      line_q         <= out_line_i;
      tile_channel_q <= channel_base_i;
      pixel_before_q <= pixel_tiles_i - ONE - ONE;
      pixel_single_q <= pixel_tiles_i == ONE;
      pixel_last_q   <= pixel_tiles_i == ONE;
    end else if (active_q) begin
      // A channel of the output map has as many lines as there are pixel tiles.
      if (!add_q) line_q <= line_q + pixel_tiles_i;
      row_q  <= row_next;
      if (row_last) begin
        row_q   <= {ROW_W{1'b0}};
        pixel_q <= pixel_next;
        line_q  <= tile_line_q + pixel_next;
        pixel_last_q <= pixel_last ? pixel_single_q : pixel_q == pixel_before_q;
        if (pixel_last) begin
          pixel_q        <= {LINE_W{1'b0}};
          tile_line_q    <= line_q + ONE;
          line_q         <= line_q + ONE;
          if (!shared_q) tile_channel_q <= channel_next_q;
        end
      end
    end
    channel_q <= channel_d;
    channel_next_q <= channel_d + {{CHAN_W - 1{1'b0}}, 1'b1};
    if (!active_q) row_last_q <= row_q == row_end[ROW_W-1:0];
    else if (!row_last) row_last_q <= row_next == row_end[ROW_W-1:0];
    else row_last_q <= (pixel_last ? next_end : row_end) == 8'd0;
    second_q <= {second_q[BIAS-1:0], add_q && row_last};
    end_q   <= {end_q[STAGES-2:0], row_last && pixel_last && tile_last};
    lines_q <= {lines_q[(STAGES-1)*LINE_W-1:0], line_q};
    acc1_q  <= shadow_i;
    scale1_q <= scale_i;
    bias1_q <= bias_i;
    // READ: what they answered is here.
    acc2_q  <= acc1_q;
    multiplier_q <= last_layer_q ? UNIT : scale1_q[MULT_W-1:0];
    bias_q  <= {bias_q[(BIAS-1)*BIAS_W-1:0], bias1_q};
    shift_q <= {shift_q[(SHIFT-1)*SHIFT_W-1:0],
                last_layer_q ? {SHIFT_W{1'b0}} : scale1_q[MULT_W+:SHIFT_W]};
  end

  hne_row_tiles #(
      .ROWS(ROWS)
  ) u_tiles (
      .clk_i(clk_i),
      .load_i(load_i),
      .outputs_i(outputs_i),
      .groups_i(groups_i),
      .next_i(active_q && row_last && pixel_last),
      .end_o(row_end),
      .next_end_o(next_end),
      .group_last_o(group_end),
      .last_o(tile_last)
  );

  genvar n;
  generate
    if (REQUANTIZATION != 0) begin : gen_mask
      // Of s of a multiplier from half of the largest on, a cycle before the shift: bits 31 ...
      // s - 1, those that a half leaves 0.
      wire [SHIFT_W-1:0] shift3 = shift_q[(SHIFT-2)*SHIFT_W+:SHIFT_W];
      reg [MASK_W-1:0] mask_q;
      reg [SHIFT-2:0] large_q;

      always @(posedge clk_i)
        large_q <= {large_q[SHIFT-3:0], !scale1_q[MULT_W-1] && scale1_q[MULT_W-2]};

      for (n = 0; n < MASK_W; n = n + 1) begin : gen_bit
        localparam integer ABOVE = 31 + n;

        always @(posedge clk_i)
          mask_q[n] <= away_i && large_q[SHIFT-2] && shift3 > ABOVE[SHIFT_W-1:0];
      end
      assign mask4 = mask_q;
    end else begin : gen_no_mask
      assign mask4 = 1'b0;
    end
    for (n = 0; n < COLS; n = n + 1) begin : gen_lane
      assign code_o[n*ACT_W+:ACT_W] = acc2_q[n*ACC_W+:ACT_W];

      hne_post_lane #(
          .ACT_W  (ACT_W),
          .ACC_W  (ACC_W),
          .MULT_W (MULT_W),
          .SHIFT_W(SHIFT_W),
          .ADD    (ADD),
          .LUT    (LUT),
          .REQUANTIZATION(REQUANTIZATION)
      ) u_lane (
          .clk_i(clk_i),
          .acc_i(acc2_q[n*ACC_W+:ACC_W]),
          .multiplier_i(multiplier_q),
          .bias3_i(bias_q[(BIAS-1)*BIAS_W+:BIAS_W]),
          .second3_i(second_q[BIAS]),
          .shift4_i(shift_q[(SHIFT-1)*SHIFT_W+:SHIFT_W]),
          .lo_i(lo_i),
          .hi_i(hi_i),
          .mask4_i(mask4),
          .zero_i(zero_i),
          .lut_i(lut_i),
          .word5_i(word5_i[n*ACT_W+:ACT_W]),
          .act_o(act_o[n*ACT_W+:ACT_W]),
          .logit_o(logits[n*ACC_W+:ACC_W])
      );
    end
  endgenerate

endmodule

`resetall
