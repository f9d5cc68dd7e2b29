`resetall
`timescale 1ns / 1ps
`default_nettype none

// One bank of real weights, with its own register of the memory bus: banks stand all over the chip.
module hne_weight_bank #(
    // Its number: the field of the memory bus that it listens to.
    parameter integer BANK = 0,
    // Bits of a real weight: the width of the memory.
    parameter integer WGT_W = 8,
    // Words: the depth of the memory.
    parameter integer LINES = 4096,
    // 0: words without check bits, 1: parity, 2: one flipped bit is corrected: see hne_ecc_ram.
    parameter integer ECC = 0,
    // Folder of initial words, "" for none: see hne_ram.
    parameter INIT_DIR = "",
    // Bits of a line. Follows from LINES: leave it.
    parameter integer LINE_W = (LINES > 1) ? $clog2(LINES) : 1
) (
    input  wire              clk_i,
    input  wire              read_i,
    input  wire [LINE_W-1:0] line_i,
    output wire [ WGT_W-1:0] word_o,
    // Two cycles after a read of the expander: its word is wrong.
    output wire              wrong_o,
    // Memory bus, while idle: a cycle before the memory takes it.
    input  wire              mem_we_i,
    input  wire              mem_re_i,
    input  wire [       8:0] mem_field_i,
    input  wire [LINE_W-1:0] mem_line_i,
    input  wire [ WGT_W-1:0] mem_wdata_i,
    input  wire [       7:0] mem_flip_i
);

  // Indices with a flipped bit may ask for a line that there is not: the answer is 0. Nothing to do
  // where every address has a line.
  localparam [0:0] HOLES = LINES > 1 && (LINES & (LINES - 1)) != 0;

  wire [WGT_W-1:0] word;
  reg we_q, re_q;
  reg [LINE_W-1:0] line_q;
  reg [ WGT_W-1:0] wdata_q;
  wire [7:0] flip;
  wire wrong_word, wrong;

  always @(posedge clk_i) begin
    we_q    <= mem_we_i && mem_field_i == BANK[8:0];
    re_q    <= mem_re_i;
    line_q  <= mem_line_i;
    wdata_q <= mem_wdata_i;
  end

  hne_late #(
      .ECC(ECC)
  ) u_flip (
      .clk_i(clk_i),
      .now_i(mem_flip_i),
      .late_o(flip)
  );

  hne_watch #(
      .ECC(ECC)
  ) u_watch (
      .clk_i(clk_i),
      .read_i(read_i),
      .wrong_i(wrong),
      .wrong_o(wrong_o)
  );

  hne_ecc_ram #(
      .WIDTH(WGT_W),
      .DEPTH(LINES),
      .ECC(ECC),
      .INIT_DIR(INIT_DIR),
      .INIT_NAME("weights"),
      .INIT_FIELD(BANK)
  ) u_ram (
      .clk_i(clk_i),
      .we_i(we_q),
      .waddr_i(line_q),
      .wdata_i(wdata_q),
      .flip_i(flip),
      .re_i(read_i || re_q),
      .raddr_i(re_q ? line_q : line_i),
      .rdata_o(word),
      .wrong_o(wrong_word)
  );

  generate
    if (HOLES) begin : gen_holes
      reg hole_q;

      always @(posedge clk_i) begin
        if (read_i || re_q) hole_q <= (re_q ? line_q : line_i) >= LINES[LINE_W-1:0];
      end
      assign word_o = hole_q ? {WGT_W{1'b0}} : word;
      assign wrong  = wrong_word && !hole_q;
    end else begin : gen_no_holes
      assign word_o = word;
      assign wrong  = wrong_word;
    end
  endgenerate

endmodule

`resetall
