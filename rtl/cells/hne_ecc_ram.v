`resetall
`timescale 1ns / 1ps
`default_nettype none

// hne_ram whose words may be stored with check bits: they are found in front of the write port and
// looked at behind the read port, both in the cycle of the port, so that no word comes later. What
// nobody wrote since the RAM woke up with zeros is a word with its check bits.
module hne_ecc_ram #(
    // Bits of a word, 1 to 64, without check bits.
    parameter integer WIDTH = 8,
    // Words of the memory: see hne_ram.
    parameter integer DEPTH = 16,
    // 0: no check bits, hne_ram and nothing else; 1: parity; 2: one flipped bit is corrected, two
    // are found. Costs 1, or 4 to 8, more bits a word, and the logic of two hne_code.
    parameter integer ECC = 0,
    // Initial words: see hne_ram. Their check bits stand above them.
    parameter INIT_DIR = "",
    // Name of this memory's file: see hne_ram.
    parameter INIT_NAME = "",
    // Digits behind that name: see hne_ram.
    parameter integer INIT_FIELD = -1,
    // Bits of an address. Follows from DEPTH: leave it.
    parameter integer ADDR_W = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input  wire              clk_i,
    input  wire              we_i,
    input  wire [ADDR_W-1:0] waddr_i,
    input  wire [ WIDTH-1:0] wdata_i,
    // Check bits that are written wrong; for tests.
    input  wire [       7:0] flip_i,
    input  wire              re_i,
    input  wire [ADDR_W-1:0] raddr_i,
    output wire [ WIDTH-1:0] rdata_o,
    // With the word: it is not the one that was written.
    output wire              wrong_o
);

  generate
    if (ECC == 0) begin : gen_plain
      wire unused_flip = &{1'b0, flip_i};

      assign wrong_o = 1'b0;

      hne_ram #(
          .WIDTH(WIDTH),
          .DEPTH(DEPTH),
          .INIT_DIR(INIT_DIR),
          .INIT_NAME(INIT_NAME),
          .INIT_FIELD(INIT_FIELD)
      ) u_ram (
          .clk_i(clk_i),
          .we_i(we_i),
          .waddr_i(waddr_i),
          .wdata_i(wdata_i),
          .re_i(re_i),
          .raddr_i(raddr_i),
          .rdata_o(rdata_o)
      );
    end else begin : gen_code
      localparam integer CHECK_W = (ECC == 1) ? 1 : (WIDTH <= 4) ? 4 : (WIDTH <= 11) ? 5
          : (WIDTH <= 26) ? 6 : (WIDTH <= 57) ? 7 : 8;

      wire [CHECK_W-1:0] check, stored_check, found_check;
      wire [WIDTH-1:0] stored, written;
      wire written_wrong;
      wire unused_code = &{1'b0, flip_i, written, written_wrong, found_check};

      hne_code #(
          .WIDTH(WIDTH),
          .ECC  (ECC)
      ) u_write (
          .data_i (wdata_i),
          .check_i({CHECK_W{1'b0}}),
          .check_o(check),
          .data_o (written),
          .wrong_o(written_wrong)
      );

      hne_ram #(
          .WIDTH(CHECK_W + WIDTH),
          .DEPTH(DEPTH),
          .INIT_DIR(INIT_DIR),
          .INIT_NAME(INIT_NAME),
          .INIT_FIELD(INIT_FIELD)
      ) u_ram (
          .clk_i(clk_i),
          .we_i(we_i),
          .waddr_i(waddr_i),
          .wdata_i({check ^ flip_i[CHECK_W-1:0], wdata_i}),
          .re_i(re_i),
          .raddr_i(raddr_i),
          .rdata_o({stored_check, stored})
      );

      hne_code #(
          .WIDTH(WIDTH),
          .ECC  (ECC)
      ) u_read (
          .data_i (stored),
          .check_i(stored_check),
          .check_o(found_check),
          .data_o (rdata_o),
          .wrong_o(wrong_o)
      );
    end
  endgenerate

endmodule

`resetall
