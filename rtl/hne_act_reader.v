`resetall
`timescale 1ns / 1ps
`default_nettype none

// Walks the input feature map: output channel (pool) or row-tile, output row, x-tile, then within
// the window channel, ky, kx, and the groups of a strided column. An fc layer is one window as
// large as its input. Everything is counted up by additions; one step in each cycle with step_i.
module hne_act_reader #(
    parameter integer COLS = 2,
    // Bits of a line of the activation buffer.
    parameter integer LINE_W = 12
) (
    input  wire                    clk_i,
    // The cycle before a layer starts.
    input  wire                    load_i,
    input  wire                    pool_i,
    input  wire [             3:0] stride_i,
    input  wire [             3:0] padding_i,
    input  wire [            15:0] in_c_i,
    input  wire [            15:0] in_h_i,
    input  wire [            15:0] out_h_i,
    input  wire [            15:0] window_w_i,
    input  wire [            15:0] window_h_i,
    input  wire [            15:0] x_tiles_i,
    input  wire [             3:0] log2_groups_i,
    input  wire [      LINE_W-1:0] in_row_i,
    input  wire [      LINE_W-1:0] in_plane_i,
    input  wire [      LINE_W-1:0] out_step_i,
    input  wire [      LINE_W-1:0] first_line_i,
    input  wire                    step_i,
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

  reg [3:0] group_q;
  reg [15:0] kx_q, ky_q, c_q, x_tile_q, oy_q;
  reg signed [17:0] x_q, x_first_q, y_q, y_first_q;
  reg [LINE_W-1:0] row_q, channel_q, output_q, map_q;
  reg window_first_q;
  // Ends of the loops: they stand still long before the layer starts.
  reg [15:0] kx_end_q, ky_end_q, c_end_q, x_end_q, oy_end_q;

  wire signed [17:0] pad = {14'd0, padding_i};
  wire signed [17:0] stride = {14'd0, stride_i};
  wire signed [17:0] tile_step = COLS18 * stride;
  wire signed [17:0] height = {2'd0, in_h_i};

  wire group_last = group_q == (4'd1 << log2_groups_i) - 4'd1;
  wire kx_last = kx_q == kx_end_q;
  wire ky_last = ky_q == ky_end_q;
  wire c_last = c_q == c_end_q;
  wire x_last = x_tile_q == x_end_q;
  wire y_last = oy_q == oy_end_q;
  // Wraps, innermost first.
  wire column = step_i && group_last;
  wire row = column && kx_last;
  wire plane = row && ky_last;
  wire window = plane && c_last;
  wire line = window && x_last;
  wire map = line && y_last;

  wire signed [17:0] y_next = y_first_q + stride;
  wire signed [17:0] x_next = x_first_q + tile_step;
  wire [LINE_W-1:0] channel_next = channel_q + in_plane_i;
  wire [LINE_W-1:0] output_next = output_q + out_step_i;
  wire [LINE_W-1:0] map_next = pool_i ? map_q + in_plane_i : map_q;

  assign x_o = x_q;
  assign row_valid_o = y_q >= 18'sd0 && y_q < height;
  assign line_o = row_q;
  assign group_o = group_q;
  assign group_first_o = group_q == 4'd0;
  assign group_last_o = group_last;
  assign window_first_o = window_first_q;
  assign window_last_o = kx_last && ky_last && c_last && group_last;
  assign map_last_o = x_last && y_last;

  always @(posedge clk_i) begin
    kx_end_q <= window_w_i - 16'd1;
    ky_end_q <= window_h_i - 16'd1;
    c_end_q  <= pool_i ? 16'd0 : in_c_i - 16'd1;
    x_end_q  <= x_tiles_i - 16'd1;
    oy_end_q <= out_h_i - 16'd1;
    if (load_i) begin
      group_q <= 4'd0;
      {kx_q, ky_q, c_q, x_tile_q, oy_q} <= 80'd0;
      {x_q, x_first_q, y_q, y_first_q} <= {4{-pad}};
      {row_q, channel_q, output_q, map_q} <= {4{first_line_i}};
      window_first_q <= 1'b1;
    end else begin
      if (step_i) group_q <= group_last ? 4'd0 : group_q + 4'd1;
      if (column) begin
        window_first_q <= window;
        kx_q <= kx_q + 16'd1;
        x_q  <= x_q + 18'sd1;
      end
      if (row) begin
        kx_q  <= 16'd0;
        x_q   <= x_first_q;
        ky_q  <= ky_q + 16'd1;
        y_q   <= y_q + 18'sd1;
        row_q <= row_q + in_row_i;
      end
      if (plane) begin
        ky_q      <= 16'd0;
        y_q       <= y_first_q;
        c_q       <= c_q + 16'd1;
        channel_q <= channel_next;
        row_q     <= channel_next;
      end
      if (window) begin
        c_q       <= 16'd0;
        x_tile_q  <= x_tile_q + 16'd1;
        x_first_q <= x_next;
        x_q       <= x_next;
        channel_q <= output_q;
        row_q     <= output_q;
      end
      if (line) begin
        x_tile_q <= 16'd0;
        {x_q, x_first_q} <= {2{-pad}};
        oy_q <= oy_q + 16'd1;
        {y_q, y_first_q} <= {2{y_next}};
        {row_q, channel_q, output_q} <= {3{output_next}};
      end
      if (map) begin
        oy_q <= 16'd0;
        {y_q, y_first_q} <= {2{-pad}};
        {row_q, channel_q, output_q, map_q} <= {4{map_next}};
      end
    end
  end

endmodule

`resetall
