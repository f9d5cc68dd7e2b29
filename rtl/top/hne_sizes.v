`resetall
`timescale 1ns / 1ps
`default_nettype none

// Products of an instruction's sizes, and what follows from them: whether its maps and its indices
// fit the memories, and whether its fan-in is that of its window. One multiplier, a product a word
// of the instruction as it is fetched; the last one is final three cycles after its word.
module hne_sizes #(
    // Array rows: row-tiles are counted by a product with the reciprocal, a constant.
    parameter integer ROWS = 2,
    // Lines of index SRAM: what a layer needs is compared with it.
    parameter integer IDX_DEPTH = 8192,
    // Lines of a feature map: input and output are compared with it.
    parameter integer ACT_DEPTH = 4096
) (
    input  wire        clk_i,
    // A word of the instruction is taken: those before it are there, and what follows from those
    // two before it.
    input  wire        we_i,
    input  wire [ 3:0] word_i,
    input  wire        mac_i,
    // Its indices come from the index memory.
    input  wire        stored_i,
    input  wire [15:0] in_c_i,
    input  wire [15:0] in_h_i,
    input  wire [15:0] in_row_i,
    input  wire [15:0] window_w_i,
    input  wire [15:0] window_h_i,
    input  wire [15:0] out_c_i,
    input  wire [15:0] out_h_i,
    input  wire [15:0] x_tiles_i,
    input  wire [31:0] fan_in_i,
    input  wire [31:0] index_base_i,
    // Lines of a channel of the input and of the output.
    output reg  [31:0] in_plane_o,
    output reg  [31:0] pixel_tiles_o,
    output reg         wrong_fan_o,
    output wire        large_o
);

  `include "hne_program.vh"

  // floor(n / ROWS) is n * RECIPROCAL >> SHIFT for every n of 16 bits (Granlund and Montgomery).
  localparam integer SHIFT = 16 + $clog2(ROWS);
  localparam integer RECIPROCAL = ((1 << SHIFT) + ROWS - 1) / ROWS;

  // What a product is for. A wide one is the sum of two, LOW and the one after it.
  localparam [3:0] NONE = 4'd0;
  localparam [3:0] TILES = 4'd1;
  localparam [3:0] PLANE = 4'd2;
  localparam [3:0] AREA = 4'd3;
  localparam [3:0] PIXELS = 4'd4;
  localparam [3:0] LOW = 4'd5;
  localparam [3:0] INDEX = 4'd6;
  localparam [3:0] INPUT = 4'd7;
  localparam [3:0] FAN_IN = 4'd8;
  localparam [3:0] OUTPUT = 4'd9;

  // The word with which each product starts, of a wide one its first: one a word, when its factors
  // are there.
  localparam integer AT_TILES = FIELD_OUT_C_WORD + 1;
  localparam integer AT_PLANE = FIELD_IN_W_WORD + 2;
  localparam integer AT_AREA = AT_PLANE + 1;
  localparam integer AT_PIXELS = AT_AREA + 1;
  localparam integer AT_INDEX = AT_PIXELS + 1;
  localparam integer AT_INPUT = AT_INDEX + 2;
  localparam integer AT_FAN_IN = AT_INPUT + 2;
  localparam integer AT_OUTPUT = AT_FAN_IN + 2;
  // From the word of a product to the one that may use it.
  localparam integer PRODUCT = 3;

  generate
    if (AT_PIXELS < FIELD_OUT_W_WORD + 2 || AT_INDEX < FIELD_FAN_IN_WORD + 1
        || AT_INDEX + PRODUCT < FIELD_INDEX_BASE_WORD + 2 || AT_INDEX < AT_TILES + PRODUCT
        || AT_OUTPUT + 1 >= INSTRUCTION_WORDS) begin : gen_order
      hne_illegal_order_of_words stop ();
    end
  endgenerate

  reg [3:0] use_d, use1_q, use2_q;
  reg [16:0] a_d, b_d, a_q, b_q;
  reg [33:0] product_q;
  reg [31:0] low_q, area_q;
  reg [16:0] tiles_q;
  reg [31:0] index_room_q;
  reg large_index_q, large_in_q, large_out_q;

  wire [15:0] last_channel = out_c_i - 16'd1;
  wire [49:0] wide = {product_q, 16'd0} + {18'd0, low_q};
  wire [33:0] quotient = product_q >> SHIFT;
  wire unused_bits = &{1'b0, quotient};

  assign large_o = large_index_q || large_in_q || large_out_q;

  always @* begin
    {a_d, b_d} = 34'd0;
    use_d = NONE;
    case ({28'd0, word_i})
      AT_TILES: {use_d, a_d, b_d} = {TILES, 1'b0, last_channel, RECIPROCAL[16:0]};
      AT_PLANE: {use_d, a_d, b_d} = {PLANE, 1'b0, in_h_i, 1'b0, in_row_i};
      AT_AREA: {use_d, a_d, b_d} = {AREA, 1'b0, window_h_i, 1'b0, window_w_i};
      AT_PIXELS: {use_d, a_d, b_d} = {PIXELS, 1'b0, out_h_i, 1'b0, x_tiles_i};
      AT_INDEX: {use_d, a_d, b_d} = {LOW, tiles_q, 1'b0, fan_in_i[15:0]};
      AT_INDEX + 1: {use_d, a_d, b_d} = {INDEX, tiles_q, 1'b0, fan_in_i[31:16]};
      AT_INPUT: {use_d, a_d, b_d} = {LOW, 1'b0, in_c_i, 1'b0, in_plane_o[15:0]};
      AT_INPUT + 1: {use_d, a_d, b_d} = {INPUT, 1'b0, in_c_i, 1'b0, in_plane_o[31:16]};
      AT_FAN_IN: {use_d, a_d, b_d} = {LOW, 1'b0, in_c_i, 1'b0, area_q[15:0]};
      AT_FAN_IN + 1: {use_d, a_d, b_d} = {FAN_IN, 1'b0, in_c_i, 1'b0, area_q[31:16]};
      AT_OUTPUT: {use_d, a_d, b_d} = {LOW, 1'b0, out_c_i, 1'b0, pixel_tiles_o[15:0]};
      AT_OUTPUT + 1: {use_d, a_d, b_d} = {OUTPUT, 1'b0, out_c_i, 1'b0, pixel_tiles_o[31:16]};
      default: ;
    endcase
  end

  always @(posedge clk_i) begin
    a_q       <= a_d;
    b_q       <= b_d;
    use1_q    <= we_i ? use_d : NONE;
    product_q <= a_q * b_q;
    use2_q    <= use1_q;
    low_q     <= product_q[31:0];
    index_room_q <= index_base_i > IDX_DEPTH[31:0] ? 32'd0 : IDX_DEPTH[31:0] - index_base_i;
    case (use2_q)
      TILES:   tiles_q <= quotient[16:0] + 17'd1;
      PLANE:   in_plane_o <= product_q[31:0];
      AREA:    area_q <= product_q[31:0];
      PIXELS:  pixel_tiles_o <= product_q[31:0];
      INDEX:   large_index_q <= stored_i && wide > {18'd0, index_room_q};
      INPUT:   large_in_q <= wide > {18'd0, ACT_DEPTH[31:0]};
      FAN_IN:  wrong_fan_o <= mac_i && wide != {18'd0, fan_in_i};
      OUTPUT:  large_out_q <= wide > {18'd0, ACT_DEPTH[31:0]};
      default: ;
    endcase
  end

endmodule

`resetall
