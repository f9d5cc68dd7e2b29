`resetall
`timescale 1ns / 1ps
`default_nettype none

// Image in: one activation a beat in the order channel, row, column; last with the final beat. A
// packet that ends early or late is refused: a short one ends there, a long one is swallowed up to
// its last beat.
module hne_stream_in #(
    // Lanes of a line, a power of two: beats are dealt to them in turn. Costs a write enable each.
    parameter integer COLS = 2,
    // Bits of an activation, those of a beat.
    parameter integer ACT_W = 8,
    // Bits of a line of the activation buffer: a counter as wide.
    parameter integer LINE_W = 12
) (
    input  wire                  clk_i,
    input  wire                  rst_i,
    // An image of this shape is expected from the next cycle on; it stands from this line on.
    input  wire                  load_i,
    input  wire [          15:0] channels_i,
    input  wire [          15:0] height_i,
    input  wire [          15:0] width_i,
    input  wire [    LINE_W-1:0] line_i,
    input  wire                  valid_i,
    output wire                  ready_o,
    input  wire [     ACT_W-1:0] data_i,
    input  wire                  last_i,
    output wire [      COLS-1:0] write_o,
    output wire [    LINE_W-1:0] line_o,
    output wire [COLS*ACT_W-1:0] act_o,
    // The final beat is accepted; the packet is too short or too long.
    output wire                  done_o,
    output wire                  error_o
);

  localparam integer LANE_W = (COLS > 1) ? $clog2(COLS) : 1;
  localparam integer TOP_LANE = COLS - 1;

  reg active_q, discard_q;
  reg [15:0] x_q, y_q, channel_q;
  // This is the last pixel of a row, row of a channel, channel, known a beat early; the last but
  // one; there is but one.
  reg x_last_q, y_last_q, channel_last_q;
  reg [15:0] x_before_q, y_before_q, channel_before_q;
  reg x_one_q, y_one_q;
  reg [LANE_W-1:0] lane_q;
  reg [LINE_W-1:0] line_q;

  wire accept = active_q && !discard_q && valid_i;
  wire x_last = x_last_q;
  wire y_last = y_last_q;
  wire final = x_last && y_last && channel_last_q;
  wire lane_last = lane_q == TOP_LANE[LANE_W-1:0];

  assign ready_o = active_q || discard_q;
  assign line_o = line_q;
  assign act_o = {COLS{data_i}};
  assign done_o = accept && final && last_i;
  assign error_o = accept && (final != last_i);

  always @(posedge clk_i) begin
    if (rst_i) begin
      active_q  <= 1'b0;
      discard_q <= 1'b0;
    end else begin
      if (load_i) active_q <= 1'b1;
      else if (accept && (final || last_i)) active_q <= 1'b0;
      // Long: the rest of it is swallowed.
      if (valid_i) discard_q <= !last_i && (discard_q || (active_q && final));
    end
    // The shape stands still from the load on.
    x_before_q       <= width_i - 16'd2;
    y_before_q       <= height_i - 16'd2;
    channel_before_q <= channels_i - 16'd2;
    x_one_q          <= width_i == 16'd1;
    y_one_q          <= height_i == 16'd1;
    if (load_i) begin
      {x_q, y_q, channel_q} <= 48'd0;
      lane_q <= {LANE_W{1'b0}};
      line_q <= line_i;
      x_last_q       <= width_i == 16'd1;
      y_last_q       <= height_i == 16'd1;
      channel_last_q <= channels_i == 16'd1;
    end else if (accept) begin
      x_q    <= x_last ? 16'd0 : x_q + 16'd1;
      x_last_q <= x_last ? x_one_q : x_q == x_before_q;
      lane_q <= (x_last || lane_last) ? {LANE_W{1'b0}} : lane_q + {{LANE_W - 1{1'b0}}, 1'b1};
      if (x_last || lane_last) line_q <= line_q + {{LINE_W - 1{1'b0}}, 1'b1};
      if (x_last) begin
        y_q      <= y_last ? 16'd0 : y_q + 16'd1;
        y_last_q <= y_last ? y_one_q : y_q == y_before_q;
      end
      if (x_last && y_last) begin
        channel_q      <= channel_q + 16'd1;
        channel_last_q <= channel_q == channel_before_q;
      end
    end
  end

  genvar n;
  generate
    for (n = 0; n < COLS; n = n + 1) begin : gen_lane
      assign write_o[n] = accept && lane_q == n[LANE_W-1:0];
    end
  endgenerate

endmodule

`resetall
