`resetall
`timescale 1ns / 1ps
`default_nettype none

// One cycle of a column: the rows whose turn it is are granted, and each bank reads the word that
// those of them want that want this bank. Combinational.
module hne_bank_arbiter #(
    // Array rows: every bank looks at each of them, so cells grow with ROWS · BANKS.
    parameter integer ROWS = 2,
    // Weight banks, a power of two: each costs an or over the lines of all rows.
    parameter integer BANKS = 2,
    // Bits of a line of a bank: of every row's and every bank's address.
    parameter integer LINE_W = 12,
    // Bits of a bank number. Follows from BANKS: leave it.
    parameter integer BANK_W = (BANKS > 1) ? $clog2(BANKS) : 1
) (
    // A column is served: the rows whose turn it is.
    input  wire                    serve_i,
    input  wire [        ROWS-1:0] turn_i,
    // Of each row: see hne_turns.
    input  wire [ ROWS*BANK_W-1:0] bank_i,
    input  wire [ ROWS*LINE_W-1:0] line_i,
    output reg  [        ROWS-1:0] grant_o,
    // What each bank reads.
    output reg  [       BANKS-1:0] read_o,
    output reg  [BANKS*LINE_W-1:0] line_o
);

  integer r, b;

  always @* begin
    for (r = 0; r < ROWS; r = r + 1) grant_o[r] = serve_i && turn_i[r];
    // Rows of one bank and turn want one word, so its line is an or of lines. Where nothing is
    // read, it does not matter which line that is, so it need not wait for serve_i.
    read_o = {BANKS{1'b0}};
    line_o = {BANKS * LINE_W{1'b0}};
    for (b = 0; b < BANKS; b = b + 1) begin
      for (r = 0; r < ROWS; r = r + 1) begin
        if (turn_i[r] && bank_i[r*BANK_W+:BANK_W] == b[BANK_W-1:0]) begin
          read_o[b] = serve_i;
          line_o[b*LINE_W+:LINE_W] = line_o[b*LINE_W+:LINE_W] | line_i[r*LINE_W+:LINE_W];
        end
      end
    end
  end

endmodule

`resetall
