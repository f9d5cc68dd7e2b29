`resetall
`timescale 1ns / 1ps
`default_nettype none

// Where the rows of a column stand in the weight banks, and which rows are in each other's way.
// Combinational, in front of the column register of the expander. A pair of rows q < r has bit
// r·(r−1)/2 + q.
module hne_conflicts #(
    // Array rows: every pair of them is compared, ROWS · (ROWS − 1) / 2 comparators.
    parameter integer ROWS = 2,
    // Weight banks, a power of two: a word stands in bank (address mod BANKS), which is wiring.
    parameter integer BANKS = 2,
    // Bits of a layer-relative real-weight address: the width of the comparators.
    parameter integer ADDR_W = 13,
    // Bits of a line of a bank: an adder for each row.
    parameter integer LINE_W = 12,
    // Bits of a bank number. Follows from BANKS: leave it.
    parameter integer BANK_W = (BANKS > 1) ? $clog2(BANKS) : 1,
    // Pairs of rows. Follows from ROWS: leave it.
    parameter integer PAIRS = (ROWS > 1) ? ROWS * (ROWS - 1) / 2 : 1
) (
    input  wire [ROWS*ADDR_W-1:0] address_i,
    // First line of the layer.
    input  wire [     LINE_W-1:0] base_i,
    output reg  [ROWS*BANK_W-1:0] bank_o,
    output reg  [ROWS*LINE_W-1:0] line_o,
    // The pair wants the same bank; the same word.
    output reg  [      PAIRS-1:0] same_bank_o,
    output reg  [      PAIRS-1:0] same_word_o
);

  localparam integer SHIFT = $clog2(BANKS);
  localparam [31:0] BANK_MASK = BANKS - 1;

  // Zero-extended, so that one expression serves a single bank and a single line, too.
  reg [ADDR_W+31:0] wide;
  integer r, q;

  always @* begin
    same_bank_o = {PAIRS{1'b0}};
    same_word_o = {PAIRS{1'b0}};
    for (r = 0; r < ROWS; r = r + 1) begin
      wide = {32'd0, address_i[r*ADDR_W+:ADDR_W]};
      bank_o[r*BANK_W+:BANK_W] = wide[BANK_W-1:0] & BANK_MASK[BANK_W-1:0];
      wide = wide >> SHIFT;
      line_o[r*LINE_W+:LINE_W] = base_i + wide[LINE_W-1:0];
    end
    for (r = 1; r < ROWS; r = r + 1) begin
      for (q = 0; q < r; q = q + 1) begin
        same_bank_o[r*(r-1)/2+q] = bank_o[q*BANK_W+:BANK_W] == bank_o[r*BANK_W+:BANK_W];
        same_word_o[r*(r-1)/2+q] = address_i[q*ADDR_W+:ADDR_W] == address_i[r*ADDR_W+:ADDR_W];
      end
    end
  end

endmodule

`resetall
