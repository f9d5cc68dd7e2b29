`resetall
`timescale 1ns / 1ps
`default_nettype none

// Tile buffer: expanded columns of weights, two halves. A convolution fills one half with a
// row-tile while the array reads the other; an fc layer passes columns through, one in each half.
// The half is the top bit of an address: a block RAM of 2^n lines needs no choice behind it.
module hne_tile_buffer #(
    // Array rows: weights of a column, so the width of the memory.
    parameter integer ROWS = 2,
    // Bits of a weight: the width of the memory.
    parameter integer WGT_W = 8,
    // Columns of a half: the largest fan-in of a convolution. The memory holds two halves, each
    // rounded up to a power of two.
    parameter integer TILE_DEPTH = 256,
    // 1: columns of a convolution may be left out, so each is read by its number.
    parameter integer SKIP = 0,
    // Bits of a column's number. Follows from TILE_DEPTH: leave it.
    parameter integer COLUMN_W = (TILE_DEPTH > 1) ? $clog2(TILE_DEPTH) : 1
) (
    input  wire                  clk_i,
    // The cycle before a conv or fc layer starts.
    input  wire                  load_i,
    input  wire                  fc_i,
    input  wire                  write_i,
    input  wire                  write_last_i,
    input  wire [ROWS*WGT_W-1:0] weight_i,
    // The next column; last_i: the first column comes next, of the other half if release_i.
    input  wire                  read_i,
    input  wire                  read_last_i,
    input  wire                  release_i,
    input  wire [  COLUMN_W-1:0] column_i,
    output wire [ROWS*WGT_W-1:0] weight_o
);

  localparam [COLUMN_W-1:0] ONE = 1;

  reg fc_q, write_half_q, read_half_q;
  reg [COLUMN_W-1:0] write_q, read_q;

  wire [COLUMN_W-1:0] read_column = SKIP != 0 && !fc_q ? column_i : read_q;
  wire unused_column = &{1'b0, column_i};

  wire write_swap = fc_q ? write_i : write_i && write_last_i;
  wire read_swap = fc_q ? read_i : release_i;

  always @(posedge clk_i) begin
    if (load_i) begin
      fc_q         <= fc_i;
      write_half_q <= 1'b0;
      read_half_q  <= 1'b0;
      write_q      <= {COLUMN_W{1'b0}};
      read_q       <= {COLUMN_W{1'b0}};
    end else begin
      if (write_swap) write_half_q <= !write_half_q;
      if (write_i) write_q <= write_swap ? {COLUMN_W{1'b0}} : write_q + ONE;
      if (read_swap) read_half_q <= !read_half_q;
      if (read_i || release_i) begin
        read_q <= (fc_q || read_last_i || release_i) ? {COLUMN_W{1'b0}} : read_q + ONE;
      end
    end
  end

  hne_ram #(
      .WIDTH(ROWS * WGT_W),
      .DEPTH(2 << COLUMN_W)
  ) u_ram (
      .clk_i(clk_i),
      .we_i(write_i),
      .waddr_i({write_half_q, write_q}),
      .wdata_i(weight_i),
      .re_i(read_i),
      .raddr_i({read_half_q, read_column}),
      .rdata_o(weight_o)
  );

endmodule

`resetall
