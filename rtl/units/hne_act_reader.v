`resetall
`timescale 1ns / 1ps
`default_nettype none

// Walks the input feature map: output channel (pool) or row-tile, output row, x-tile, then within
// the window channel, ky, kx, and the groups of a strided column. An fc layer is one window as
// large as its input; the two channels of an add stand in two maps. Row-tiles of one group of
// channels walk the same channels, the next one those behind. Positions are counted up by
// additions, loops down to their last pass, which is flagged beforehand; one step in each cycle
// with step_i.
module hne_act_reader #(
    // Pixels of a tile: how far the next one is. A constant factor here.
    parameter integer COLS = 2,
    // Bits of a line of the activation buffer: five registers of places are as wide.
    parameter integer LINE_W = 12
) (
    input  wire                    clk_i,
    // The cycle before a layer starts.
    input  wire                    load_i,
    input  wire [             3:0] stride_w_i,
    input  wire [             3:0] stride_h_i,
    input  wire [             3:0] pad_left_i,
    input  wire [             3:0] pad_top_i,
    input  wire [            15:0] in_h_i,
    input  wire [            15:0] out_h_i,
    input  wire [            15:0] window_c_i,
    input  wire [            15:0] window_w_i,
    input  wire [            15:0] window_h_i,
    input  wire [            15:0] x_tiles_i,
    input  wire [             3:0] log2_groups_i,
    input  wire [      LINE_W-1:0] in_row_i,
    // Lines to the next channel of a window; from its last one to where the next group begins.
    input  wire [      LINE_W-1:0] channel_step_i,
    input  wire [      LINE_W-1:0] group_step_i,
    input  wire [      LINE_W-1:0] out_step_i,
    input  wire [      LINE_W-1:0] first_line_i,
    // The map that ends is the last one of its group.
    input  wire                    group_end_i,
    input  wire                    step_i,
    // A window is left whose columns were looked up: there was no step.
    input  wire                    wrap_i,
    // Where the window begins.
    output wire signed [     17:0] x_first_o,
    output wire signed [     17:0] y_first_o,
    output wire signed [     17:0] y_o,
    output wire [      LINE_W-1:0] line_first_o,
    // Where lane 0 reads, and which group of lanes.
    output wire signed [     17:0] x_o,
    output wire                    row_valid_o,
    output wire [      LINE_W-1:0] line_o,
    output wire [             3:0] group_o,
    // This step is: the first group of a column, the last one; of the first column of a window, of
    // the last one; in the last window of a map.
    output wire                    group_first_o,
    output wire                    group_last_o,
    output wire                    window_first_o,
    output wire                    window_last_o,
    output wire                    map_last_o
);

  localparam signed [17:0] COLS18 = COLS[17:0];

  reg [3:0] group_q, group_end_q;
  // Passes left of each loop; the last one.
  reg [15:0] kx_q, ky_q, c_q, x_tile_q, oy_q;
  reg group_last_q, kx_last_q, ky_last_q, c_last_q, x_last_q, y_last_q;
  // All four inner ones: the array waits for it, and so does all that leaves a window.
  reg window_last_q;
  reg signed [17:0] x_q, x_first_q, y_q, y_first_q;
  reg [LINE_W-1:0] row_q, channel_q, output_q, map_q;
  // The first output row of a map, in which each window ends where the next group begins.
  reg top_q;
  reg [LINE_W-1:0] behind_q;
  reg group_first_q, window_first_q;
  // Passes of a loop but one, and is there but one; they stand still long before the layer starts.
  reg [15:0] kx_end_q, ky_end_q, c_end_q, x_end_q, oy_end_q;
  wire kx_one = kx_end_q == 16'd0;
  wire ky_one = ky_end_q == 16'd0;
  wire c_one = c_end_q == 16'd0;
  wire x_one = x_end_q == 16'd0;
  wire y_one = oy_end_q == 16'd0;
  wire group_one = group_end_q == 4'd0;

  wire signed [17:0] left = -{14'd0, pad_left_i};
  wire signed [17:0] top = -{14'd0, pad_top_i};
  wire signed [17:0] tile_step = COLS18 * {14'd0, stride_w_i};
  wire signed [17:0] height = {2'd0, in_h_i};

  // What wraps with this step, innermost first. Whether there is one comes late: it enables, so
  // nothing below asks for it but `moves`. Where it moves without a step, a window is left.
  wire moves = step_i || wrap_i;
  wire walks = !wrap_i || step_i;
  wire column = walks && group_last_q;
  wire row = column && kx_last_q;
  wire plane = row && ky_last_q;
  wire window = wrap_i || (walks && window_last_q);
  wire line = window && x_last_q;
  wire map = line && y_last_q;

  // The same of the step behind this one.
  wire group_last_d = group_last_q ? group_one : group_q + 4'd1 == group_end_q;
  wire kx_last_d = !column ? kx_last_q : kx_last_q ? kx_one : kx_q == 16'd1;
  wire ky_last_d = !row ? ky_last_q : ky_last_q ? ky_one : ky_q == 16'd1;
  wire c_last_d = !plane ? c_last_q : c_last_q ? c_one : c_q == 16'd1;

  wire signed [17:0] y_next = y_first_q + {14'd0, stride_h_i};
  wire signed [17:0] x_next = x_first_q + tile_step;
  wire [LINE_W-1:0] channel_next = channel_q + (c_last_q ? group_step_i : channel_step_i);
  wire [LINE_W-1:0] output_next = output_q + out_step_i;
  // Of a window whose columns were looked up, an earlier row-tile has left it.
  wire [LINE_W-1:0] behind = top_q && !wrap_i ? channel_next : behind_q;
  wire [LINE_W-1:0] map_next = group_end_i ? behind : map_q;

  assign x_first_o = x_first_q;
  assign y_first_o = y_first_q;
  assign y_o = y_q;
  assign line_first_o = output_q;
  assign x_o = x_q;
  assign row_valid_o = y_q >= 18'sd0 && y_q < height;
  assign line_o = row_q;
  assign group_o = group_q;
  assign group_first_o = group_first_q;
  assign group_last_o = group_last_q;
  assign window_first_o = window_first_q;
  assign window_last_o = window_last_q;
  assign map_last_o = x_last_q && y_last_q;

  always @(posedge clk_i) begin
    group_end_q <= (4'd1 << log2_groups_i) - 4'd1;
    kx_end_q <= window_w_i - 16'd1;
    ky_end_q <= window_h_i - 16'd1;
    c_end_q  <= window_c_i - 16'd1;
    x_end_q  <= x_tiles_i - 16'd1;
    oy_end_q <= out_h_i - 16'd1;
    if (load_i) begin
      group_q <= 4'd0;
      {group_first_q, window_first_q} <= 2'b11;
      {kx_q, ky_q, c_q, x_tile_q, oy_q} <= {kx_end_q, ky_end_q, c_end_q, x_end_q, oy_end_q};
      {group_last_q, kx_last_q, ky_last_q} <= {group_one, kx_one, ky_one};
      {c_last_q, x_last_q, y_last_q} <= {c_one, x_one, y_one};
      window_last_q <= group_one && kx_one && ky_one && c_one;
      {x_q, x_first_q, y_q, y_first_q} <= {left, left, top, top};
      {row_q, channel_q, output_q, map_q} <= {4{first_line_i}};
      top_q <= 1'b1;
    end else if (moves) begin
      if (walks) begin
        group_first_q <= group_last_q;
        group_q       <= group_last_q ? 4'd0 : group_q + 4'd1;
        group_last_q  <= group_last_d;
        kx_last_q     <= kx_last_d;
        ky_last_q     <= ky_last_d;
        c_last_q      <= c_last_d;
        window_last_q <= group_last_d && kx_last_d && ky_last_d && c_last_d;
      end
      if (column) begin
        window_first_q <= window;
        kx_q      <= kx_q - 16'd1;
        x_q       <= x_q + 18'sd1;
      end
      if (row) begin
        kx_q      <= kx_end_q;
        x_q       <= x_first_q;
        ky_q      <= ky_q - 16'd1;
        y_q       <= y_q + 18'sd1;
        row_q     <= row_q + in_row_i;
      end
      if (plane) begin
        ky_q      <= ky_end_q;
        y_q       <= y_first_q;
        c_q       <= c_q - 16'd1;
        channel_q <= channel_next;
        row_q     <= channel_next;
      end
      if (window) begin
        c_q       <= c_end_q;
        x_tile_q  <= x_tile_q - 16'd1;
        x_last_q  <= x_tile_q == 16'd1;
        x_first_q <= x_next;
        x_q       <= x_next;
        channel_q <= output_q;
        row_q     <= output_q;
        if (top_q && !wrap_i) behind_q <= channel_next;
      end
      if (line) begin
        x_tile_q <= x_end_q;
        x_last_q <= x_one;
        {x_q, x_first_q} <= {2{left}};
        oy_q     <= oy_q - 16'd1;
        y_last_q <= oy_q == 16'd1;
        {y_q, y_first_q} <= {2{y_next}};
        {row_q, channel_q, output_q} <= {3{output_next}};
        top_q    <= 1'b0;
      end
      if (map) begin
        oy_q     <= oy_end_q;
        y_last_q <= y_one;
        {y_q, y_first_q} <= {2{top}};
        {row_q, channel_q, output_q, map_q} <= {4{map_next}};
        top_q    <= 1'b1;
      end
    end
  end

endmodule

`resetall
