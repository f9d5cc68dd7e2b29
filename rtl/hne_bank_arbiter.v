`resetall
`timescale 1ns / 1ps
`default_nettype none

// One cycle of the bank conflict: each bank takes the lowest pending row that wants it and reads
// that row's word; every pending row that wants the same word is granted with it. Combinational.
module hne_bank_arbiter #(
    parameter integer ROWS = 2,
    parameter integer BANKS = 2,
    // Bits of a line of a bank.
    parameter integer LINE_W = 12,
    parameter integer BANK_W = (BANKS > 1) ? $clog2(BANKS) : 1,
    parameter integer PAIRS = (ROWS > 1) ? ROWS * (ROWS - 1) / 2 : 1
) (
    input  wire [        ROWS-1:0] request_i,
    // Of each row, and of each pair of rows: see hne_conflicts.
    input  wire [ ROWS*BANK_W-1:0] bank_i,
    input  wire [ ROWS*LINE_W-1:0] line_i,
    input  wire [       PAIRS-1:0] same_bank_i,
    input  wire [       PAIRS-1:0] same_word_i,
    output reg  [        ROWS-1:0] grant_o,
    // What each bank reads.
    output reg  [       BANKS-1:0] read_o,
    output reg  [BANKS*LINE_W-1:0] line_o
);

  reg [ROWS-1:0] lead;
  integer r, q, b;
  // A single row has no pairs.
  wire unused_pairs = &{1'b0, same_bank_i, same_word_i};

  always @* begin
    lead = request_i;
    for (r = 1; r < ROWS; r = r + 1) begin
      for (q = 0; q < r; q = q + 1) begin
        if (request_i[q] && same_bank_i[r*(r-1)/2+q]) lead[r] = 1'b0;
      end
    end
    grant_o = lead;
    for (r = 1; r < ROWS; r = r + 1) begin
      for (q = 0; q < r; q = q + 1) begin
        if (lead[q] && request_i[r] && same_word_i[r*(r-1)/2+q]) grant_o[r] = 1'b1;
      end
    end
    // At most one row leads on a bank, so its line is an or of lines.
    read_o = {BANKS{1'b0}};
    line_o = {BANKS * LINE_W{1'b0}};
    for (b = 0; b < BANKS; b = b + 1) begin
      for (r = 0; r < ROWS; r = r + 1) begin
        if (lead[r] && bank_i[r*BANK_W+:BANK_W] == b[BANK_W-1:0]) begin
          read_o[b] = 1'b1;
          line_o[b*LINE_W+:LINE_W] = line_o[b*LINE_W+:LINE_W] | line_i[r*LINE_W+:LINE_W];
        end
      end
    end
  end

endmodule

`resetall
