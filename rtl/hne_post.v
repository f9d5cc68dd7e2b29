`resetall
`timescale 1ns / 1ps
`default_nettype none

// Post-processing (twin: hwsim/units/post.py): COLS lanes that requantize one array row per cycle,
// drained from the shadow bank while the next pixel tile accumulates. MULTIPLY 2, ADD, SHIFT,
// WRITE.
module hne_post #(
    parameter integer ROWS = 2,
    parameter integer COLS = 2,
    parameter integer ACT_W = 8,
    parameter integer ACC_W = 32,
    parameter integer MULT_W = 16,
    parameter integer SHIFT_W = $clog2(ACC_W + MULT_W),
    // Bits of a line of the activation buffer, and of one of the scale and bias memories.
    parameter integer LINE_W = 12,
    parameter integer CHAN_W = 9,
    parameter integer ROW_W = (ROWS > 1) ? $clog2(ROWS) : 1
) (
    input  wire                       clk_i,
    input  wire                       rst_i,
    // The cycle before a conv or fc layer starts.
    input  wire                       load_i,
    input  wire                       last_layer_i,
    input  wire [               15:0] n_out_i,
    input  wire [         LINE_W-1:0] pixel_tiles_i,
    input  wire [         CHAN_W-1:0] channel_base_i,
    // The shadow bank is being written.
    input  wire                       shadow_load_i,
    output wire [          ROW_W-1:0] shadow_row_o,
    input  wire [     COLS*ACC_W-1:0] shadow_i,
    // Scale and bias memories: they answer in the cycle that selects the row.
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

  localparam [15:0] ROWS16 = ROWS[15:0];
  localparam [LINE_W-1:0] ONE = 1;
  localparam signed [MULT_W-1:0] UNIT = 1;

  reg active_q, last_layer_q;
  reg [ROW_W-1:0] row_q;
  reg [15:0] left_q;
  reg [LINE_W-1:0] pixel_q, pixel_end_q, tile_line_q, line_q;
  reg [CHAN_W-1:0] tile_channel_q, channel_q;
  reg [4:0] valid_q, end_q;
  reg [LINE_W-1:0] line1_q, line2_q, line3_q, line4_q, line5_q;
  reg [COLS*ACC_W-1:0] acc_q;
  reg [ACC_W+MULT_W-1:0] bias1_q, bias2_q, bias3_q;
  reg [SHIFT_W-1:0] shift1_q, shift2_q, shift3_q, shift4_q;

  wire [15:0] rows = left_q < ROWS16 ? left_q : ROWS16;
  wire row_last = {{16 - ROW_W{1'b0}}, row_q} == rows - 16'd1;
  wire pixel_last = pixel_q == pixel_end_q;
  wire tile_last = left_q <= ROWS16;
  wire [LINE_W-1:0] pixel_next = pixel_q + ONE;
  wire [CHAN_W-1:0] channel_next = channel_q + {{CHAN_W - 1{1'b0}}, 1'b1};
  reg signed [MULT_W-1:0] multiplier_q;
  wire [COLS*ACC_W-1:0] logits;
  wire unused_logits = &{1'b0, logits};

  assign shadow_row_o = row_q;
  assign channel_o = channel_d;
  assign write_o = valid_q[4] && !last_layer_q;
  assign logit_write_o = valid_q[4] && last_layer_q;
  assign logit_o = logits[ACC_W-1:0];
  assign line_o = line5_q;
  assign end_o = valid_q[4] && end_q[4];

  // The memories are read with the channel of the next cycle.
  reg [CHAN_W-1:0] channel_d;

  always @* begin
    channel_d = channel_q;
    if (load_i) channel_d = channel_base_i;
    else if (active_q) channel_d = row_last && !pixel_last ? tile_channel_q : channel_next;
  end

  always @(posedge clk_i) begin
    if (rst_i) begin
      active_q <= 1'b0;
      valid_q  <= 5'd0;
    end else begin
      if (shadow_load_i) active_q <= 1'b1;
      else if (row_last) active_q <= 1'b0;
      valid_q <= {valid_q[3:0], active_q};
    end
    if (load_i) begin
      last_layer_q   <= last_layer_i;
      row_q          <= {ROW_W{1'b0}};
      left_q         <= n_out_i;
      pixel_q        <= {LINE_W{1'b0}};
      tile_line_q    <= {LINE_W{1'b0}};
      line_q         <= {LINE_W{1'b0}};
      tile_channel_q <= channel_base_i;
      pixel_end_q    <= pixel_tiles_i - ONE;
    end else if (active_q) begin
      // A channel of the output map has as many lines as there are pixel tiles.
      line_q <= line_q + pixel_tiles_i;
      row_q  <= row_q + {{ROW_W - 1{1'b0}}, 1'b1};
      if (row_last) begin
        row_q   <= {ROW_W{1'b0}};
        pixel_q <= pixel_next;
        line_q  <= tile_line_q + pixel_next;
        if (pixel_last) begin
          left_q         <= left_q - ROWS16;
          pixel_q        <= {LINE_W{1'b0}};
          tile_line_q    <= line_q + ONE;
          line_q         <= line_q + ONE;
          tile_channel_q <= channel_next;
        end
      end
    end
    channel_q <= channel_d;
    end_q    <= {end_q[3:0], row_last && pixel_last && tile_last};
    line1_q  <= line_q;
    line2_q  <= line1_q;
    line3_q  <= line2_q;
    line4_q  <= line3_q;
    line5_q  <= line4_q;
    acc_q    <= shadow_i;
    multiplier_q <= last_layer_q ? UNIT : scale_i[MULT_W-1:0];
    bias1_q  <= bias_i;
    bias2_q  <= bias1_q;
    bias3_q  <= bias2_q;
    shift1_q <= last_layer_q ? {SHIFT_W{1'b0}} : scale_i[MULT_W+:SHIFT_W];
    shift2_q <= shift1_q;
    shift3_q <= shift2_q;
    shift4_q <= shift3_q;
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
          .acc_i(acc_q[n*ACC_W+:ACC_W]),
          .multiplier_i(multiplier_q),
          .bias2_i(bias3_q),
          .shift3_i(shift4_q),
          .act_o(act_o[n*ACT_W+:ACT_W]),
          .logit_o(logits[n*ACC_W+:ACC_W])
      );
    end
  endgenerate

endmodule

`resetall
