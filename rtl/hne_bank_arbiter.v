`resetall
`timescale 1ns / 1ps
`default_nettype none

// One cycle of the bank conflict: each bank takes the lowest pending row that wants it and reads
// that row's word; every pending row that wants the same word is granted with it. Combinational.
module hne_bank_arbiter #(
    parameter integer ROWS = 2,
    // Weight banks, a power of two: a word stands in bank (address mod BANKS).
    parameter integer BANKS = 2,
    parameter integer ADDR_W = 13,
    // Bits of a line of a bank.
    parameter integer LINE_W = 12,
    parameter integer BANK_W = (BANKS > 1) ? $clog2(BANKS) : 1
) (
    input  wire [        ROWS-1:0] request_i,
    input  wire [ ROWS*ADDR_W-1:0] address_i,
    output reg  [        ROWS-1:0] grant_o,
    // The bank that each row wants.
    output reg  [ ROWS*BANK_W-1:0] bank_o,
    output reg  [       BANKS-1:0] read_o,
    // Layer-relative line that each bank reads.
    output reg  [BANKS*LINE_W-1:0] line_o
);

  localparam integer SHIFT = $clog2(BANKS);
  localparam [31:0] BANK_MASK = BANKS - 1;

  // Zero-extended, so that one expression serves a single bank and a single line, too.
  reg [ADDR_W+31:0] wide;
  reg [LINE_W-1:0] row_line[0:ROWS-1];
  reg [BANK_W-1:0] row_bank[0:ROWS-1];
  reg [ADDR_W-1:0] row_address[0:ROWS-1];
  reg [ROWS-1:0] lead;
  integer r, q, b;

  always @* begin
    for (r = 0; r < ROWS; r = r + 1) begin
      row_address[r] = address_i[r*ADDR_W+:ADDR_W];
      wide = {32'd0, row_address[r]};
      row_bank[r] = wide[BANK_W-1:0] & BANK_MASK[BANK_W-1:0];
      wide = wide >> SHIFT;
      row_line[r] = wide[LINE_W-1:0];
      bank_o[r*BANK_W+:BANK_W] = row_bank[r];
    end
    lead = request_i;
    grant_o = {ROWS{1'b0}};
    for (r = 0; r < ROWS; r = r + 1) begin
      for (q = 0; q < r; q = q + 1) begin
        if (request_i[q] && row_bank[q] == row_bank[r]) lead[r] = 1'b0;
      end
      for (q = 0; q <= r; q = q + 1) begin
        if (lead[q] && request_i[r] && row_address[q] == row_address[r]) grant_o[r] = 1'b1;
      end
    end
    // At most one row leads on a bank, so its line is an or of lines.
    read_o = {BANKS{1'b0}};
    line_o = {BANKS * LINE_W{1'b0}};
    for (b = 0; b < BANKS; b = b + 1) begin
      for (r = 0; r < ROWS; r = r + 1) begin
        if (lead[r] && row_bank[r] == b[BANK_W-1:0]) begin
          read_o[b] = 1'b1;
          line_o[b*LINE_W+:LINE_W] = line_o[b*LINE_W+:LINE_W] | row_line[r];
        end
      end
    end
  end

endmodule

`resetall
