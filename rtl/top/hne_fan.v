`resetall
`timescale 1ns / 1ps
`default_nettype none

// Inputs and outputs of a group of channels, whether the fan-in of an instruction is that of its
// window, and whether its indices fit their memory. One multiplier, a product a word of the
// instruction as it is fetched; two dividers where there may be groups.
module hne_fan #(
    // Array rows: row-tiles are counted by a product with the reciprocal, a constant.
    parameter integer ROWS = 2,
    // Lines of index SRAM: what a layer needs is compared with it.
    parameter integer IDX_DEPTH = 8192,
    // 1: groups of channels. Costs two dividers.
    parameter integer GROUPS = 1
) (
    input  wire        clk_i,
    // A word of the instruction is taken: those before it are there, and what follows from those
    // two before it.
    input  wire        we_i,
    input  wire [ 3:0] slot_i,
    input  wire        conv_i,
    input  wire        mac_i,
    // Its indices come from the index memory.
    input  wire        stored_i,
    input  wire [15:0] groups_i,
    input  wire [15:0] in_c_i,
    input  wire [15:0] out_c_i,
    input  wire [15:0] window_w_i,
    input  wire [15:0] window_h_i,
    input  wire [31:0] fan_in_i,
    input  wire [31:0] index_base_i,
    // Of a conv, a group; of an fc layer, all.
    output wire [15:0] group_in_o,
    output wire [15:0] group_out_o,
    // The groups of a conv do not divide its channels; the fan-in is another one.
    output wire        uneven_o,
    output reg         wrong_fan_o,
    output reg         large_index_o
);

  `include "hne_constants.vh"
  `include "hne_program.vh"

  // Slots from a product to what may use it.
  localparam integer PRODUCT = 3;
  // The same of a division.
  localparam integer DIVISION = 8;

  // floor(n / ROWS) is n * RECIPROCAL >> SHIFT for every n of 16 bits (Granlund and Montgomery).
  localparam integer SHIFT = 16 + $clog2(ROWS);
  localparam integer RECIPROCAL = ((1 << SHIFT) + ROWS - 1) / ROWS;
  // floor((n - 1) / ROWS) + 1, of the product with n: nothing is subtracted on the way to it.
  localparam integer REST = (1 << SHIFT) - RECIPROCAL;

  // What a product is for. A wide one is the sum of two, LOW and the one after it.
  localparam [2:0] NONE = 3'd0;
  localparam [2:0] AREA = 3'd1;
  localparam [2:0] LOW = 3'd2;
  localparam [2:0] CLAIM = 3'd3;
  localparam [2:0] INPUTS = 3'd4;
  localparam [2:0] TILES = 3'd5;
  localparam [2:0] INDEX = 3'd6;

  // The slot with which each product starts, of a wide one its first. Fan-in times groups is what
  // the instruction says, window times input channels what it must be: no division is waited for.
  localparam integer AT_DIVIDE = (SLOT_GROUPS > SLOT_IN_C ? SLOT_GROUPS : SLOT_IN_C) + 1;
  localparam integer AT_AREA = (SLOT_IN_H > SLOT_OP ? SLOT_IN_H : SLOT_OP) + 2;
  localparam integer AT_CLAIM = SLOT_FAN_IN + 1;
  localparam integer AT_INPUTS = AT_AREA + PRODUCT;
  localparam integer AT_TILES = AT_DIVIDE + DIVISION;
  localparam integer AT_INDEX = AT_TILES + PRODUCT;

  generate
    if (AT_CLAIM == AT_AREA || AT_CLAIM + 1 == AT_AREA || AT_CLAIM + 1 >= AT_INPUTS
        || AT_INPUTS + 1 >= AT_TILES || AT_INDEX < AT_INPUTS + 1 + PRODUCT
        || AT_INDEX < SLOT_INDEX_BASE + 2 || AT_INDEX + 1 >= INSTRUCTION_WORDS) begin : gen_order
      hne_illegal_order_of_words stop ();
    end
  endgenerate

  reg [2:0] use_d, use1_q, use2_q;
  reg [16:0] a_d, b_d, a_q, b_q;
  reg [33:0] product_q;
  reg [31:0] low_q, area_q;
  reg [47:0] claim_q, inputs_q;
  reg [16:0] tiles_q;
  reg [31:0] index_room_q;

  wire [15:0] groups = conv_i ? groups_i : 16'd1;
  wire [49:0] wide = {product_q, 16'd0} + {18'd0, low_q};
  wire [33:0] quotient = (product_q + {2'd0, REST[31:0]}) >> SHIFT;
  wire unused_bits = &{1'b0, quotient};

  generate
    if (GROUPS != 0) begin : gen_groups
      wire start = we_i && {28'd0, slot_i} == AT_DIVIDE;
      wire [15:0] group_in, group_out;
      wire in_exact, out_exact;

      hne_divide u_in (
          .clk_i(clk_i),
          .start_i(start),
          .a_i(in_c_i),
          .b_i(groups_i),
          .quotient_o(group_in),
          .exact_o(in_exact)
      );

      hne_divide u_out (
          .clk_i(clk_i),
          .start_i(start),
          .a_i(out_c_i),
          .b_i(groups_i),
          .quotient_o(group_out),
          .exact_o(out_exact)
      );

      assign group_in_o = conv_i ? group_in : in_c_i;
      assign group_out_o = conv_i ? group_out : out_c_i;
      assign uneven_o = conv_i && (groups_i == 16'd0 || !in_exact || !out_exact);
    end else begin : gen_whole
      assign group_in_o = in_c_i;
      assign group_out_o = out_c_i;
      assign uneven_o = conv_i && groups_i != 16'd1;
    end
  endgenerate

  // Slots follow each other: whose turn is next is known a cycle early.
  reg area_next_q, claim_next_q, claim_last_q, inputs_next_q, inputs_last_q, tiles_next_q;
  reg index_next_q, index_last_q;

  always @* begin
    {a_d, b_d} = 34'd0;
    use_d = NONE;
    case (1'b1)
      area_next_q:   {use_d, a_d, b_d} = {AREA, 1'b0, window_h_i, 1'b0, window_w_i};
      claim_next_q:  {use_d, a_d, b_d} = {LOW, 1'b0, groups, 1'b0, fan_in_i[15:0]};
      claim_last_q:  {use_d, a_d, b_d} = {CLAIM, 1'b0, groups, 1'b0, fan_in_i[31:16]};
      inputs_next_q: {use_d, a_d, b_d} = {LOW, 1'b0, in_c_i, 1'b0, area_q[15:0]};
      inputs_last_q: {use_d, a_d, b_d} = {INPUTS, 1'b0, in_c_i, 1'b0, area_q[31:16]};
      tiles_next_q:  {use_d, a_d, b_d} = {TILES, 1'b0, group_out_o, RECIPROCAL[16:0]};
      // Row-tiles of a group times the fan-in of all groups.
      index_next_q:  {use_d, a_d, b_d} = {LOW, tiles_q, 1'b0, inputs_q[15:0]};
      index_last_q:  {use_d, a_d, b_d} = {INDEX, tiles_q, 1'b0, inputs_q[31:16]};
      default: ;
    endcase
  end

  always @(posedge clk_i) begin
    area_next_q   <= {28'd0, slot_i} == AT_AREA - 1;
    claim_next_q  <= {28'd0, slot_i} == AT_CLAIM - 1;
    claim_last_q  <= {28'd0, slot_i} == AT_CLAIM;
    inputs_next_q <= {28'd0, slot_i} == AT_INPUTS - 1;
    inputs_last_q <= {28'd0, slot_i} == AT_INPUTS;
    // Without an index memory there is nothing to count tiles for.
    tiles_next_q  <= stored_i && {28'd0, slot_i} == AT_TILES - 1;
    index_next_q  <= {28'd0, slot_i} == AT_INDEX - 1;
    index_last_q  <= {28'd0, slot_i} == AT_INDEX;
    a_q       <= a_d;
    b_q       <= b_d;
    use1_q    <= we_i ? use_d : NONE;
    product_q <= a_q * b_q;
    use2_q    <= use1_q;
    low_q     <= product_q[31:0];
    // Both stand still long before the last word.
    wrong_fan_o  <= mac_i && inputs_q != claim_q;
    index_room_q <= index_base_i > IDX_DEPTH[31:0] ? 32'd0 : IDX_DEPTH[31:0] - index_base_i;
    case (use2_q)
      AREA:    area_q <= product_q[31:0];
      CLAIM:   claim_q <= wide[47:0];
      INPUTS:  inputs_q <= wide[47:0];
      TILES:   tiles_q <= quotient[16:0];
      INDEX:   large_index_o <= stored_i && wide > {18'd0, index_room_q};
      default: ;
    endcase
  end

endmodule

`resetall
