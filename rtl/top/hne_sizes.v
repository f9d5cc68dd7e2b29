`resetall
`timescale 1ns / 1ps
`default_nettype none

// How many lines the maps of an instruction take. One multiplier, a product a word of the
// instruction as it is fetched; a sum of two stands three cycles after its second word.
module hne_sizes (
    input  wire        clk_i,
    // A word of the instruction is taken: those before it are there, and what follows from those
    // two before it.
    input  wire        we_i,
    input  wire [ 3:0] slot_i,
    input  wire [15:0] in_c_i,
    input  wire [15:0] in_h_i,
    input  wire [15:0] in_row_i,
    input  wire [15:0] out_c_i,
    input  wire [15:0] out_h_i,
    input  wire [15:0] x_tiles_i,
    // Lines of a channel of the input and of the output.
    output reg  [31:0] in_plane_o,
    output reg  [31:0] pixel_tiles_o,
    // Lines of all channels; more than 32 bits hold count as all ones.
    output reg  [31:0] in_lines_o,
    output reg  [31:0] out_lines_o
);

  `include "hne_constants.vh"
  `include "hne_program.vh"

  // Slots from a product to what may use it.
  localparam integer PRODUCT = 3;

  // What a product is for. A wide one is the sum of two, LOW and the one after it.
  localparam [2:0] NONE = 3'd0;
  localparam [2:0] PLANE = 3'd1;
  localparam [2:0] PIXELS = 3'd2;
  localparam [2:0] LOW = 3'd3;
  localparam [2:0] INPUT = 3'd4;
  localparam [2:0] OUTPUT = 3'd5;

  // The slot with which each product starts, of a wide one its first: one a slot, when its factors
  // are there.
  localparam integer AT_PLANE = SLOT_IN_H + 2;
  localparam integer AT_PIXELS = SLOT_OUT_H + 2;
  localparam integer AT_INPUT = AT_PLANE + PRODUCT;
  localparam integer AT_OUTPUT = AT_INPUT + 2;

  generate
    if (AT_OUTPUT < AT_PIXELS + PRODUCT || AT_PLANE == AT_PIXELS) begin : gen_order
      hne_illegal_order_of_words stop ();
    end
  endgenerate

  reg [2:0] use_d, use1_q, use2_q;
  reg [15:0] a_d, b_d, a_q, b_q;
  reg [31:0] product_q, low_q;

  // 16 bits of the sum are those of the first product; more than 32 come of a carry, or stand in
  // the second one.
  wire [16:0] middle = {1'b0, product_q[15:0]} + {1'b0, low_q[31:16]};
  wire more = middle[16] || product_q[31:16] != 16'd0;
  wire [31:0] lines = more ? 32'hFFFFFFFF : {middle[15:0], low_q[15:0]};

  // Slots follow each other: whose turn is next is known a cycle early.
  reg plane_next_q, pixels_next_q, input_next_q, input_last_q, output_next_q, output_last_q;

  always @* begin
    {a_d, b_d} = 32'd0;
    use_d = NONE;
    case (1'b1)
      plane_next_q:  {use_d, a_d, b_d} = {PLANE, in_h_i, in_row_i};
      pixels_next_q: {use_d, a_d, b_d} = {PIXELS, out_h_i, x_tiles_i};
      input_next_q:  {use_d, a_d, b_d} = {LOW, in_c_i, in_plane_o[15:0]};
      input_last_q:  {use_d, a_d, b_d} = {INPUT, in_c_i, in_plane_o[31:16]};
      output_next_q: {use_d, a_d, b_d} = {LOW, out_c_i, pixel_tiles_o[15:0]};
      output_last_q: {use_d, a_d, b_d} = {OUTPUT, out_c_i, pixel_tiles_o[31:16]};
      default: ;
    endcase
  end

  always @(posedge clk_i) begin
    plane_next_q  <= {28'd0, slot_i} == AT_PLANE - 1;
    pixels_next_q <= {28'd0, slot_i} == AT_PIXELS - 1;
    input_next_q  <= {28'd0, slot_i} == AT_INPUT - 1;
    input_last_q  <= {28'd0, slot_i} == AT_INPUT;
    output_next_q <= {28'd0, slot_i} == AT_OUTPUT - 1;
    output_last_q <= {28'd0, slot_i} == AT_OUTPUT;
    a_q       <= a_d;
    b_q       <= b_d;
    use1_q    <= we_i ? use_d : NONE;
    product_q <= a_q * b_q;
    use2_q    <= use1_q;
    low_q     <= product_q;
    case (use2_q)
      PLANE:   in_plane_o <= product_q;
      PIXELS:  pixel_tiles_o <= product_q;
      INPUT:   in_lines_o <= lines;
      OUTPUT:  out_lines_o <= lines;
      default: ;
    endcase
  end

endmodule

`resetall
