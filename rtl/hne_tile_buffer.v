`resetall
`timescale 1ns / 1ps
`default_nettype none

// Tile buffer: expanded columns of weights, two halves. A convolution fills one half with a
// row-tile while the array reads the other; an fc layer passes columns through, one in each half.
module hne_tile_buffer #(
    parameter integer ROWS = 2,
    parameter integer WGT_W = 8,
    // Columns of a half: the largest fan-in of a convolution.
    parameter integer TILE_DEPTH = 256
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
    output wire [ROWS*WGT_W-1:0] weight_o
);

  localparam integer ADDR_W = $clog2(2 * TILE_DEPTH);
  localparam [ADDR_W-1:0] HALF = TILE_DEPTH[ADDR_W-1:0];
  localparam [ADDR_W-1:0] ONE = 1;

  reg fc_q, write_half_q, read_half_q;
  reg [ADDR_W-1:0] write_q, read_q;

  wire write_swap = fc_q ? write_i : write_i && write_last_i;
  wire read_swap = fc_q ? read_i : release_i;

  always @(posedge clk_i) begin
    if (load_i) begin
      fc_q         <= fc_i;
      write_half_q <= 1'b0;
      read_half_q  <= 1'b0;
      write_q      <= {ADDR_W{1'b0}};
      read_q       <= {ADDR_W{1'b0}};
    end else begin
      if (write_swap) begin
        write_half_q <= !write_half_q;
        write_q      <= write_half_q ? {ADDR_W{1'b0}} : HALF;
      end else if (write_i) begin
        write_q <= write_q + ONE;
      end
      if (read_swap) begin
        read_half_q <= !read_half_q;
        read_q      <= read_half_q ? {ADDR_W{1'b0}} : HALF;
      end else if (read_i) begin
        read_q <= !read_last_i ? read_q + ONE : read_half_q ? HALF : {ADDR_W{1'b0}};
      end
    end
  end

  hne_ram #(
      .WIDTH(ROWS * WGT_W),
      .DEPTH(2 * TILE_DEPTH)
  ) u_ram (
      .clk_i(clk_i),
      .we_i(write_i),
      .waddr_i(write_q),
      .wdata_i(weight_i),
      .re_i(read_i),
      .raddr_i(read_q),
      .rdata_o(weight_o)
  );

endmodule

`resetall
