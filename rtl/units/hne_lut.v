`resetall
`timescale 1ns / 1ps
`default_nettype none

// Tables (twin: hwsim/units/lut.py): any function of a code. Each lane reads a copy of its own;
// they are written together. ADDRESS, READ 2, and WAIT for what post does meanwhile: the word
// stands there when the lane clamps.
module hne_lut #(
    // Lanes: a copy of the tables each.
    parameter integer COLS = 2,
    // Bits of a code, at most 8: a table has 2^ACT_W words of ACT_W bits.
    parameter integer ACT_W = 8,
    // Tables in each copy, 1 to 64.
    parameter integer LUT_TABLES = 4,
    // 0: words without check bits, 1: parity, 2: one flipped bit is corrected: see hne_ecc_ram.
    parameter integer ECC = 0,
    // Folder of initial words, "" for none: see hne_ram.
    parameter INIT_DIR = "",
    // Bits of a line. Follows from ACT_W and LUT_TABLES: leave it.
    parameter integer LINE_W = $clog2(LUT_TABLES << ACT_W)
) (
    input  wire                  clk_i,
    // Its number stands still while a layer runs.
    input  wire [           5:0] table_i,
    input  wire [COLS*ACT_W-1:0] code_i,
    // The codes are those of a row; of a layer that looks them up.
    input  wire                  valid_i,
    input  wire                  lut_i,
    output wire [COLS*ACT_W-1:0] word_o,
    // Memory bus, while idle.
    input  wire                  mem_we_i,
    input  wire                  mem_re_i,
    input  wire [    LINE_W-1:0] mem_line_i,
    input  wire [     ACT_W-1:0] mem_wdata_i,
    input  wire [           7:0] mem_flip_i,
    output wire [     ACT_W-1:0] mem_rdata_o,
    // A word of a table is wrong.
    output wire                  wrong_o
);

  `include "hne_constants.vh"

  // The output register of the memory, and the wait.
  localparam integer STAGES = LUT_WAIT + 1;

  wire [COLS*ACT_W-1:0] word;
  wire [COLS-1:0] wrong;
  wire watch;
  wire [ACT_W+5:0] base = {table_i, {ACT_W{1'b0}}};
  wire unused_base = &{1'b0, base};

  // All copies hold the same.
  assign mem_rdata_o = word[ACT_W-1:0];

  hne_watch #(
      .ECC  (ECC),
      .COUNT(COLS)
  ) u_watch (
      .clk_i(clk_i),
      .read_i(watch),
      .wrong_i(wrong),
      .wrong_o(wrong_o)
  );

  genvar n;
  generate
    if (ECC != 0) begin : gen_watch
      // With the address.
      reg watch_q;

      assign watch = watch_q;

      always @(posedge clk_i) watch_q <= valid_i && lut_i;
    end else begin : gen_blind
      wire unused_bits = &{1'b0, valid_i, lut_i};

      assign watch = 1'b0;
    end
    for (n = 0; n < COLS; n = n + 1) begin : gen_lane
      reg [ACT_W-1:0] code_q;
      reg [STAGES*ACT_W-1:0] words_q;
      wire [LINE_W-1:0] line;

      assign word_o[n*ACT_W+:ACT_W] = words_q[(STAGES-1)*ACT_W+:ACT_W];
      if (LUT_TABLES > 1) begin : gen_many
        assign line = {base[LINE_W-1:ACT_W], code_q};
      end else begin : gen_one
        assign line = code_q;
      end

      always @(posedge clk_i) begin
        code_q  <= code_i[n*ACT_W+:ACT_W];
        words_q <= {words_q[(STAGES-1)*ACT_W-1:0], word[n*ACT_W+:ACT_W]};
      end

      hne_ecc_ram #(
          .WIDTH(ACT_W),
          .DEPTH(LUT_TABLES << ACT_W),
          .ECC(ECC),
          .INIT_DIR(INIT_DIR),
          .INIT_NAME("lut")
      ) u_ram (
          .clk_i(clk_i),
          .we_i(mem_we_i),
          .waddr_i(mem_line_i),
          .wdata_i(mem_wdata_i),
          .flip_i(mem_flip_i),
          .re_i(1'b1),
          .raddr_i(mem_re_i ? mem_line_i : line),
          .rdata_o(word[n*ACT_W+:ACT_W]),
          .wrong_o(wrong[n])
      );
    end
  endgenerate

endmodule

`resetall
