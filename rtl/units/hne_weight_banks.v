`resetall
`timescale 1ns / 1ps
`default_nettype none

// Real weights: BANKS RAMs of one word a line.
module hne_weight_banks #(
    // Banks, a power of two: a memory and registers of the bus each.
    parameter integer BANKS = 2,
    // Bits of a real weight: the width of the memories.
    parameter integer WGT_W = 8,
    // Words of a bank: the depth of the memories.
    parameter integer LINES = 4096,
    // 0: words without check bits, 1: parity, 2: one flipped bit is corrected: see hne_ecc_ram.
    parameter integer ECC = 0,
    // Folder of initial words, "" for none: see hne_ram.
    parameter INIT_DIR = "",
    // Bits of a line. Follows from LINES: leave it.
    parameter integer LINE_W = (LINES > 1) ? $clog2(LINES) : 1
) (
    input  wire                    clk_i,
    input  wire [       BANKS-1:0] read_i,
    input  wire [BANKS*LINE_W-1:0] line_i,
    output wire [ BANKS*WGT_W-1:0] word_o,
    // Three cycles after a read of the expander: a word of it is wrong.
    output wire                    wrong_o,
    // Memory bus, while idle: one word of one bank, a cycle before the memory takes it.
    input  wire                    mem_we_i,
    input  wire                    mem_re_i,
    input  wire [             8:0] mem_field_i,
    input  wire [      LINE_W-1:0] mem_line_i,
    input  wire [       WGT_W-1:0] mem_wdata_i,
    input  wire [             7:0] mem_flip_i
);

  wire [BANKS-1:0] wrong;

  hne_any #(
      .ECC  (ECC),
      .COUNT(BANKS)
  ) u_any (
      .clk_i(clk_i),
      .wrong_i(wrong),
      .wrong_o(wrong_o)
  );

  genvar b;
  generate
    for (b = 0; b < BANKS; b = b + 1) begin : gen_bank
      hne_weight_bank #(
          .BANK(b),
          .WGT_W(WGT_W),
          .LINES(LINES),
          .ECC(ECC),
          .INIT_DIR(INIT_DIR)
      ) u_bank (
          .clk_i(clk_i),
          .read_i(read_i[b]),
          .line_i(line_i[b*LINE_W+:LINE_W]),
          .word_o(word_o[b*WGT_W+:WGT_W]),
          .wrong_o(wrong[b]),
          .mem_we_i(mem_we_i),
          .mem_re_i(mem_re_i),
          .mem_field_i(mem_field_i),
          .mem_line_i(mem_line_i),
          .mem_wdata_i(mem_wdata_i),
          .mem_flip_i(mem_flip_i)
      );
    end
  endgenerate

endmodule

`resetall
