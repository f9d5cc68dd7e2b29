`resetall
`timescale 1ns / 1ps
`default_nettype none

// Where a column stands in a window, looked up: how far its row and its line are from those of the
// window's first column. The reader walks every column of a layer's first window and leaves this
// behind, so that later any of them may be the next.
module hne_replay #(
    // Columns of a window: places that are kept.
    parameter integer TILE_DEPTH = 256,
    // Bits of a line of the activation buffer: of a place, and an adder.
    parameter integer LINE_W = 12,
    // Bits of a column's number. Follows from TILE_DEPTH: leave it.
    parameter integer COLUMN_W = (TILE_DEPTH > 1) ? $clog2(TILE_DEPTH) : 1
) (
    input  wire                clk_i,
    // The reader takes a column of the first window.
    input  wire                write_i,
    input  wire [COLUMN_W-1:0] write_column_i,
    input  wire signed [ 17:0] x_i,
    input  wire signed [ 17:0] y_i,
    input  wire [  LINE_W-1:0] line_i,
    // Where the window begins that is read, or was.
    input  wire signed [ 17:0] x_first_i,
    input  wire signed [ 17:0] y_first_i,
    input  wire [  LINE_W-1:0] line_first_i,
    input  wire [        15:0] in_h_i,
    // A column is looked up; two cycles later it stands here.
    input  wire                look_i,
    input  wire [COLUMN_W-1:0] look_column_i,
    output wire signed [ 17:0] x_o,
    output wire                row_valid_o,
    output wire [  LINE_W-1:0] line_o
);

  // Kernels have at most 11 rows and columns; strides of what has no kernel do not come here.
  wire [17:0] right = x_i - x_first_i;
  wire [17:0] down = y_i - y_first_i;
  wire [LINE_W-1:0] behind = line_i - line_first_i;
  wire [3:0] right_found, down_found;
  wire [LINE_W-1:0] behind_found;
  wire unused_bits = &{1'b0, right, down};

  reg signed [17:0] x_q, y_q;
  reg [LINE_W-1:0] line_q;

  assign x_o = x_q;
  assign line_o = line_q;
  assign row_valid_o = y_q >= 18'sd0 && y_q < {2'd0, in_h_i};

  always @(posedge clk_i) begin
    x_q    <= x_first_i + {14'd0, right_found};
    y_q    <= y_first_i + {14'd0, down_found};
    line_q <= line_first_i + behind_found;
  end

  hne_ram #(
      .WIDTH(LINE_W + 8),
      .DEPTH(TILE_DEPTH)
  ) u_ram (
      .clk_i(clk_i),
      .we_i(write_i),
      .waddr_i(write_column_i),
      .wdata_i({behind, down[3:0], right[3:0]}),
      .re_i(look_i),
      .raddr_i(look_column_i),
      .rdata_o({behind_found, down_found, right_found})
  );

endmodule

`resetall
