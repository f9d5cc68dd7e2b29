`resetall
`timescale 1ns / 1ps
`default_nettype none

// Post-processing (twin: hwsim/units/post.py): COLS lanes that requantize one array row per cycle,
// drained from the shadow bank while the next pixel tile accumulates. READ, BROADCAST,
// MULTIPLY 2, ADD, SHIFT, CLAMP, WRITE.
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
    input  wire [               15:0] n_out_i,
    // Array rows in use.
    input  wire [                8:0] rows_i,
    input  wire [         LINE_W-1:0] pixel_tiles_i,
    input  wire [         CHAN_W-1:0] channel_base_i,
    // The shadow bank is being written.
    input  wire                       shadow_load_i,
    output wire [          ROW_W-1:0] shadow_row_o,
    input  wire [     COLS*ACC_W-1:0] shadow_i,
    // Scale and bias memories: read in the cycle that selects the row.
    output wire [         CHAN_W-1:0] channel_o,
    input  wire [ SHIFT_W+MULT_W-1:0] scale_i,
    input  wire [   ACC_W+MULT_W-1:0] bias_i,
    // One line of the output map, or one logit.
    output wire                       write_o,
    output wire [         LINE_W-1:0] line_o,
    output wire [     COLS*ACT_W-1:0] act_o,
    output wire                       logit_write_o,
    output wire [          ACC_W-1:0] logit_o,
    // The last result of the layer is being written.
    output wire                       end_o
);

  `include "hne_constants.vh"

  localparam integer BIAS_W = ACC_W + MULT_W;
  localparam [15:0] ROWS16 = ROWS[15:0];
  localparam [LINE_W-1:0] ONE = 1;
  localparam signed [MULT_W-1:0] UNIT = 1;

  // Cycles from the selection of a row to its result.
  localparam integer STAGES = POST_FILL;
  // From the answer of the memories to the sum with b, and to the shift by s.
  localparam integer BIAS = POST_BROADCAST + POST_MULTIPLY + POST_ADD;
  localparam integer SHIFT = BIAS + POST_SHIFT;

  reg active_q, last_layer_q;
  reg [ROW_W-1:0] row_q, row_end_q;
  // Outputs behind this row-tile, and the last row of the next one, known long before it comes.
  reg [15:0] beyond_q;
  reg [ROW_W-1:0] next_end_q;
  reg [LINE_W-1:0] pixel_q, pixel_end_q, tile_line_q, line_q;
  reg [CHAN_W-1:0] tile_channel_q, channel_q;
  reg [STAGES-1:0] valid_q, end_q;
  reg [STAGES*LINE_W-1:0] lines_q;
  reg [COLS*ACC_W-1:0] acc1_q, acc2_q;
  reg signed [MULT_W-1:0] multiplier_q;
  reg [BIAS*BIAS_W-1:0] bias_q;
  reg [SHIFT*SHIFT_W-1:0] shift_q;

  wire row_last = row_q == row_end_q;
  wire pixel_last = pixel_q == pixel_end_q;
  wire tile_last = beyond_q == 16'd0;
  wire [LINE_W-1:0] pixel_next = pixel_q + ONE;
  wire [CHAN_W-1:0] channel_next = channel_q + {{CHAN_W - 1{1'b0}}, 1'b1};
  wire [15:0] beyond = beyond_q > ROWS16 ? beyond_q - ROWS16 : 16'd0;
  wire [15:0] next_rows = beyond_q > ROWS16 ? ROWS16 : beyond_q;
  wire [15:0] next_end = next_rows - 16'd1;
  wire [8:0] first_end = rows_i - 9'd1;
  wire [COLS*ACC_W-1:0] logits;
  wire unused_bits = &{1'b0, logits, next_end, first_end};

  assign shadow_row_o = row_q;
  assign channel_o = channel_q;
  assign write_o = valid_q[STAGES-1] && !last_layer_q;
  assign logit_write_o = valid_q[STAGES-1] && last_layer_q;
  assign logit_o = logits[ACC_W-1:0];
  assign line_o = lines_q[(STAGES-1)*LINE_W+:LINE_W];
  assign end_o = valid_q[STAGES-1] && end_q[STAGES-1];

  always @(posedge clk_i) begin
    if (rst_i) begin
      active_q <= 1'b0;
      valid_q  <= {STAGES{1'b0}};
    end else begin
      if (shadow_load_i) active_q <= 1'b1;
      else if (row_last) active_q <= 1'b0;
      valid_q <= {valid_q[STAGES-2:0], active_q};
    end
    if (load_i) begin
      last_layer_q   <= last_layer_i;
      row_q          <= {ROW_W{1'b0}};
      row_end_q      <= first_end[ROW_W-1:0];
      beyond_q       <= n_out_i > ROWS16 ? n_out_i - ROWS16 : 16'd0;
      pixel_q        <= {LINE_W{1'b0}};
      tile_line_q    <= {LINE_W{1'b0}};
      line_q         <= {LINE_W{1'b0}};
      tile_channel_q <= channel_base_i;
      channel_q      <= channel_base_i;
      pixel_end_q    <= pixel_tiles_i - ONE;
    end else if (active_q) begin
      // A channel of the output map has as many lines as there are pixel tiles.
      line_q    <= line_q + pixel_tiles_i;
      channel_q <= row_last && !pixel_last ? tile_channel_q : channel_next;
      row_q  <= row_q + {{ROW_W - 1{1'b0}}, 1'b1};
      if (row_last) begin
        row_q   <= {ROW_W{1'b0}};
        pixel_q <= pixel_next;
        line_q  <= tile_line_q + pixel_next;
        if (pixel_last) begin
          row_end_q      <= next_end_q;
          beyond_q       <= beyond;
          pixel_q        <= {LINE_W{1'b0}};
          tile_line_q    <= line_q + ONE;
          line_q         <= line_q + ONE;
          tile_channel_q <= channel_next;
        end
      end
    end
    next_end_q <= next_end[ROW_W-1:0];
    end_q   <= {end_q[STAGES-2:0], row_last && pixel_last && tile_last};
    lines_q <= {lines_q[(STAGES-1)*LINE_W-1:0], line_q};
    acc1_q  <= shadow_i;
    // READ: the memories have answered.
    acc2_q  <= acc1_q;
    multiplier_q <= last_layer_q ? UNIT : scale_i[MULT_W-1:0];
    bias_q  <= {bias_q[(BIAS-1)*BIAS_W-1:0], bias_i};
    shift_q <= {shift_q[(SHIFT-1)*SHIFT_W-1:0],
                last_layer_q ? {SHIFT_W{1'b0}} : scale_i[MULT_W+:SHIFT_W]};
  end

  genvar n;
  generate
    for (n = 0; n < COLS; n = n + 1) begin : gen_lane
      hne_post_lane #(
          .ACT_W  (ACT_W),
          .ACC_W  (ACC_W),
          .MULT_W (MULT_W),
          .SHIFT_W(SHIFT_W)
      ) u_lane (
          .clk_i(clk_i),
          .acc_i(acc2_q[n*ACC_W+:ACC_W]),
          .multiplier_i(multiplier_q),
          .bias3_i(bias_q[(BIAS-1)*BIAS_W+:BIAS_W]),
          .shift4_i(shift_q[(SHIFT-1)*SHIFT_W+:SHIFT_W]),
          .act_o(act_o[n*ACT_W+:ACT_W]),
          .logit_o(logits[n*ACC_W+:ACC_W])
      );
    end
  endgenerate

endmodule

`resetall
