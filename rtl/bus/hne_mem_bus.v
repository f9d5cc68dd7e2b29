`resetall
`timescale 1ns / 1ps
`default_nettype none

// Memory bus: brings an access to its memory and the word that it read back. Heard while the engine
// is idle. A register for all, then one in front of each memory or group of them, so that no path
// crosses the chip in one cycle; words are registered behind their memories. A word that is read
// stands in rdata_o MEMORY_READ cycles later.
module hne_mem_bus #(
    // Bits of a real weight, zero-extended to the 64 of the bus.
    parameter integer WGT_W = 8,
    // Bits of the address of a real weight; a word of index memory has one more, its sign.
    parameter integer ADDR_W = 13,
    // Bits of a scale word {s, m}, at most 64: each is a register here.
    parameter integer SCALE_W = 22,
    // Bits of a bias, at most 64: each is a register here.
    parameter integer BIAS_W = 48,
    // Bits of a word of a table, at most 64: each is a register here.
    parameter integer LUT_W = 8,
    // 0: no check bits are written wrong: see hne_ecc_ram.
    parameter integer ECC = 0
) (
    input  wire               clk_i,
    input  wire               idle_i,
    // Accesses: a space of hne_constants.vh, a field of a line.
    input  wire               we_i,
    input  wire               re_i,
    input  wire [        2:0] space_i,
    input  wire [        8:0] field_i,
    input  wire [       31:0] line_i,
    input  wire [       63:0] wdata_i,
    // Check bits that are written wrong; for tests.
    input  wire [        7:0] flip_i,
    output reg  [       63:0] rdata_o,
    // An access is on its way: it is waited for before an image is taken.
    output wire               busy_o,
    // Weights and indices, which have further registers of their own: a cycle after the access.
    output wire               weights_we_o,
    output wire               index_we_o,
    output wire               early_re_o,
    output wire [        8:0] early_field_o,
    output wire [       31:0] early_line_o,
    output wire [       63:0] early_wdata_o,
    output wire [        7:0] early_flip_o,
    // The other memories: two cycles after it.
    output wire               program_we_o,
    output wire               scale_we_o,
    output wire               bias_we_o,
    output wire               lut_we_o,
    output wire               re_o,
    output wire [        8:0] field_o,
    output wire [       31:0] line_o,
    output wire [       63:0] wdata_o,
    output wire [        7:0] flip_o,
    // Words: of weights, indices and the program they are registered already.
    input  wire [  WGT_W-1:0] weight_i,
    input  wire [   ADDR_W:0] index_i,
    input  wire [       31:0] program_i,
    input  wire [SCALE_W-1:0] scale_i,
    input  wire [ BIAS_W-1:0] bias_i,
    input  wire [  LUT_W-1:0] lut_i,
    input  wire [       16:0] probability_i
);

  `include "hne_constants.vh"

  reg weights_we1_q, index_we1_q, scale_we1_q, bias_we1_q, lut_we1_q, program_we1_q;
  reg re1_q, re2_q, program_we2_q, scale_we2_q, bias_we2_q, lut_we2_q;
  reg [2:0] space1_q, space2_q, space3_q, space4_q;
  reg [8:0] field1_q, field2_q;
  reg [31:0] line1_q, line2_q;
  reg [63:0] wdata1_q, wdata2_q;
  wire [7:0] flip1;
  reg [SCALE_W-1:0] scale_q;
  reg [BIAS_W-1:0] bias_q;
  reg [LUT_W-1:0] lut_q;
  reg [16:0] probability_q;

  wire write = we_i && idle_i;
  wire [BIAS_W+63:0] bias_wide = {64'd0, bias_q};
  wire unused_bias = &{1'b0, bias_wide};

  assign busy_o = weights_we1_q || index_we1_q || scale_we1_q || bias_we1_q || program_we1_q
      || lut_we1_q || re1_q || re2_q || program_we2_q || scale_we2_q || bias_we2_q || lut_we2_q;
  assign weights_we_o = weights_we1_q;
  assign index_we_o = index_we1_q;
  assign early_re_o = re1_q;
  assign early_field_o = field1_q;
  assign early_line_o = line1_q;
  assign early_wdata_o = wdata1_q;
  assign early_flip_o = flip1;
  assign program_we_o = program_we2_q;
  assign scale_we_o = scale_we2_q;
  assign bias_we_o = bias_we2_q;
  assign lut_we_o = lut_we2_q;
  assign re_o = re2_q;
  assign field_o = field2_q;
  assign line_o = line2_q;
  assign wdata_o = wdata2_q;

  hne_late #(
      .ECC(ECC)
  ) u_early_flip (
      .clk_i(clk_i),
      .now_i(flip_i),
      .late_o(flip1)
  );

  hne_late #(
      .ECC(ECC)
  ) u_flip (
      .clk_i(clk_i),
      .now_i(flip1),
      .late_o(flip_o)
  );

  always @(posedge clk_i) begin
    weights_we1_q <= write && space_i == SPACE_WEIGHTS;
    index_we1_q   <= write && space_i == SPACE_INDEX;
    scale_we1_q   <= write && space_i == SPACE_SCALE;
    bias_we1_q    <= write && space_i == SPACE_BIAS;
    lut_we1_q     <= write && space_i == SPACE_LUT;
    program_we1_q <= write && space_i == SPACE_PROGRAM;
    re1_q         <= re_i && idle_i;
    space1_q      <= space_i;
    field1_q      <= field_i;
    line1_q       <= line_i;
    wdata1_q      <= wdata_i;
    re2_q         <= re1_q;
    program_we2_q <= program_we1_q;
    scale_we2_q   <= scale_we1_q;
    bias_we2_q    <= bias_we1_q;
    lut_we2_q     <= lut_we1_q;
    space2_q      <= space1_q;
    field2_q      <= field1_q;
    line2_q       <= line1_q;
    wdata2_q      <= wdata1_q;
    space3_q      <= space2_q;
    space4_q      <= space3_q;
    scale_q       <= scale_i;
    bias_q        <= bias_i;
    lut_q         <= lut_i;
    probability_q <= probability_i;
  end

  always @* begin
    case (space4_q)
      SPACE_WEIGHTS:       rdata_o = {{64 - WGT_W{1'b0}}, weight_i};
      SPACE_INDEX:         rdata_o = {{63 - ADDR_W{1'b0}}, index_i};
      SPACE_SCALE:         rdata_o = {{64 - SCALE_W{1'b0}}, scale_q};
      SPACE_BIAS:          rdata_o = bias_wide[63:0];
      SPACE_LUT:           rdata_o = {{64 - LUT_W{1'b0}}, lut_q};
      SPACE_PROBABILITIES: rdata_o = {47'd0, probability_q};
      default:             rdata_o = {32'd0, program_i};
    endcase
  end

endmodule

`resetall
