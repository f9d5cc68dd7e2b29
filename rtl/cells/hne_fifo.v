`resetall
`timescale 1ns / 1ps
`default_nettype none

// FIFO with a registered output: a word that enters an empty one can leave two cycles later. Holds
// DEPTH words and one at the output. Whether it is full or empty is known a cycle early: what waits
// for it stands far away.
module hne_fifo #(
    // Bits of a word: a register at the output, DEPTH of them in the memory.
    parameter integer WIDTH = 8,
    // Words, a power of two from 2 on; few enough for registers or distributed RAM.
    parameter integer DEPTH = 16,
    // Bits of an address. Follows from DEPTH: leave it.
    parameter integer ADDR_W = $clog2(DEPTH)
) (
    input  wire             clk_i,
    input  wire             rst_i,
    input  wire             valid_i,
    output wire             ready_o,
    input  wire [WIDTH-1:0] data_i,
    output wire             valid_o,
    input  wire             ready_i,
    output wire [WIDTH-1:0] data_o
);

  generate
    if (DEPTH < 2 || (DEPTH & (DEPTH - 1)) != 0) begin : gen_depth
      hne_illegal_DEPTH_must_be_a_power_of_two_from_2_on stop ();
    end
  endgenerate

  localparam [ADDR_W:0] ONE = 1;
  // Words of one that is full behind the next push.
  localparam [ADDR_W:0] ALMOST = DEPTH[ADDR_W:0] - ONE;

  reg [WIDTH-1:0] mem[0:DEPTH-1];
  // One bit more than an address: full and empty differ in it.
  reg [ADDR_W:0] write_q, read_q;
  reg full_q, empty_q, valid_q;
  reg [WIDTH-1:0] data_q;

  wire [ADDR_W:0] words = write_q - read_q;
  wire push = valid_i && !full_q;
  wire pop = !empty_q && (!valid_q || ready_i);

  assign ready_o = !full_q;
  assign valid_o = valid_q;
  assign data_o = data_q;

  always @(posedge clk_i) begin
    if (rst_i) begin
      write_q <= {ADDR_W + 1{1'b0}};
      read_q  <= {ADDR_W + 1{1'b0}};
      full_q  <= 1'b0;
      empty_q <= 1'b1;
      valid_q <= 1'b0;
    end else begin
      if (pop) full_q <= 1'b0;
      else if (push && words == ALMOST) full_q <= 1'b1;
      if (push) empty_q <= 1'b0;
      else if (pop && words == ONE) empty_q <= 1'b1;
      if (push) write_q <= write_q + ONE;
      if (pop) read_q <= read_q + ONE;
      if (pop) valid_q <= 1'b1;
      else if (ready_i) valid_q <= 1'b0;
    end
    if (push) mem[write_q[ADDR_W-1:0]] <= data_i;
    if (pop) data_q <= mem[read_q[ADDR_W-1:0]];
  end

endmodule

`resetall
