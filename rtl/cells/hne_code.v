`resetall
`timescale 1ns / 1ps
`default_nettype none

// Check bits of a word (twin: hwsim/numbers/ecc.py), and what is made of a word that was stored
// with its check bits: parity finds an odd number of flipped bits; Hsiao's code corrects one and
// finds two. Combinational: a tree of exclusive ors over about half of the bits, and to correct a
// comparator of the syndrome for each bit.
module hne_code #(
    // Bits of a word, 1 to 64.
    parameter integer WIDTH = 8,
    // 1: parity; 2: one flipped bit is corrected, two are found.
    parameter integer ECC = 2,
    // Check bits. Follows from ECC and WIDTH: leave it.
    parameter integer CHECK_W = (ECC == 1) ? 1 : (WIDTH <= 4) ? 4 : (WIDTH <= 11) ? 5
        : (WIDTH <= 26) ? 6 : (WIDTH <= 57) ? 7 : 8
) (
    input  wire [  WIDTH-1:0] data_i,
    input  wire [CHECK_W-1:0] check_i,
    // Check bits that belong to the word.
    output reg  [CHECK_W-1:0] check_o,
    // The word without the flipped bit; or it is wrong, and comes as it is.
    output reg  [  WIDTH-1:0] data_o,
    output reg                wrong_o
);

  `include "hne_constants.vh"

  reg [CHECK_W-1:0] syndrome, column;
  reg known;
  integer n;

  always @* begin
    check_o = {CHECK_W{1'b0}};
    for (n = 0; n < WIDTH; n = n + 1) begin
      column  = (ECC == 1) ? {CHECK_W{1'b1}} : ECC_COLUMNS[n*8+:CHECK_W];
      check_o = check_o ^ (column & {CHECK_W{data_i[n]}});
    end
    syndrome = check_o ^ check_i;
    // A flipped check bit leaves a single one.
    known  = ECC != 1 && (syndrome & (syndrome - {{CHECK_W - 1{1'b0}}, 1'b1})) == {CHECK_W{1'b0}};
    data_o = data_i;
    for (n = 0; n < WIDTH; n = n + 1) begin
      if (ECC != 1 && syndrome == ECC_COLUMNS[n*8+:CHECK_W]) begin
        data_o[n] = !data_i[n];
        known     = 1'b1;
      end
    end
    wrong_o = syndrome != {CHECK_W{1'b0}} && !known;
  end

endmodule

`resetall
