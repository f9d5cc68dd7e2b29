`resetall
`timescale 1ns / 1ps
`default_nettype none

// One array row: COLS multiply-accumulate cells that share a weight, and their shadow registers.
// BROADCAST, MULTIPLY, ACCUMULATE, SHADOW.
// Every row has its own copy of the activations, beside its multipliers: synthesis must not merge
// the copies (hwsim/fpga/place_route.py keeps the hierarchy here).
module hne_mac_row #(
    // Cells of the row: a multiplier, an adder and five registers each.
    parameter integer COLS = 2,
    // Bits of an activation: one factor.
    parameter integer ACT_W = 8,
    // Bits of a weight, its sign among them: the other factor.
    parameter integer WGT_W = 8,
    // Bits of a sum and of its shadow: the adder.
    parameter integer ACC_W = 32
) (
    input  wire                   clk_i,
    // Operands, on their way to all rows.
    input  wire signed [WGT_W-1:0] weight_i,
    input  wire [ COLS*ACT_W-1:0] act_i,
    // Products: they are added, or loaded if they are the first of a pixel tile.
    input  wire                   add_i,
    input  wire                   first_i,
    // Sums: they are copied to the shadow registers.
    input  wire                   copy_i,
    output wire [ COLS*ACC_W-1:0] shadow_o
);

  localparam integer PRODUCT_W = ACT_W + WGT_W;

  genvar n;
  generate
    for (n = 0; n < COLS; n = n + 1) begin : gen_cell
      // |weight| < 2^(WGT_W-1), so ACT_W + WGT_W signed bits hold the product.
      reg [WGT_W-1:0] weight_q;
      reg [ACT_W-1:0] act_q;
      reg signed [PRODUCT_W-1:0] product_q;
      reg signed [ACC_W-1:0] sum_q, shadow_q;
      wire signed [PRODUCT_W-1:0] weight = {{ACT_W{weight_q[WGT_W-1]}}, weight_q};
      wire signed [PRODUCT_W-1:0] act = {{WGT_W{1'b0}}, act_q};
      wire signed [ACC_W-1:0] product = {{ACC_W - PRODUCT_W{product_q[PRODUCT_W-1]}}, product_q};

      assign shadow_o[n*ACC_W+:ACC_W] = shadow_q;

      always @(posedge clk_i) begin
        weight_q  <= weight_i;
        act_q     <= act_i[n*ACT_W+:ACT_W];
        product_q <= weight * act;
        if (add_i) sum_q <= first_i ? product : sum_q + product;
        if (copy_i) shadow_q <= sum_q;
      end
    end
  endgenerate

endmodule

`resetall
