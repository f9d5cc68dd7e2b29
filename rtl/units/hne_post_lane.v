`resetall
`timescale 1ns / 1ps
`default_nettype none

// One lane of post: clamp((acc · m + b) >> s, lo, hi), and for the logits acc + b. The second
// product of an add is added to the first one, in place of b. A lut layer takes the word of its
// table. Where a layer rounds twice, a half below the code of 0 goes down: bits 31 ... s - 1 of the
// sum, which mask4_i selects, are then 0.
// BROADCAST, MULTIPLY 2 (partial products, sum), ADD, SHIFT, CLAMP: a new operand every cycle.
// Every lane has its own copy of the multiplier: synthesis must not merge the copies
// (hwsim/fpga/place_route.py keeps the hierarchy here).
module hne_post_lane #(
    // Bits of a result: above it the clamp looks at every bit.
    parameter integer ACT_W = 8,
    // Bits of an accumulator: its two halves are multiplied apart, so that each product fits a DSP
    // at 32 bits.
    parameter integer ACC_W = 32,
    // Bits of the multiplier: the other factor of both products.
    parameter integer MULT_W = 16,
    // Bits of s: a level of the shifter each.
    parameter integer SHIFT_W = 6,
    // 1: sums of two products. Costs a choice in front of the widest adder.
    parameter integer ADD = 1,
    // 1: words of a table. Costs a choice at the end.
    parameter integer LUT = 1,
    // 1: layers that round twice. Costs a look at bits of the sum, and a choice at the end.
    parameter integer REQUANTIZATION = 0,
    // Bits of a product with its bias. Follows from ACC_W and MULT_W: leave it.
    parameter integer WIDE_W = ACC_W + MULT_W,
    // Bits of the mask. Follows from REQUANTIZATION, ACC_W and MULT_W: leave it.
    parameter integer MASK_W = (REQUANTIZATION != 0) ? WIDE_W - 32 : 1
) (
    input  wire                     clk_i,
    // Operands; s, b, and whether it is a second product, are shared by all lanes and come when
    // they are due. Bounds stand still while a layer runs.
    input  wire signed [ ACC_W-1:0] acc_i,
    input  wire signed [MULT_W-1:0] multiplier_i,
    input  wire signed [WIDE_W-1:0] bias3_i,
    input  wire                     second3_i,
    input  wire        [SHIFT_W-1:0] shift4_i,
    input  wire        [ ACT_W-1:0] lo_i,
    input  wire        [ ACT_W-1:0] hi_i,
    input  wire        [MASK_W-1:0] mask4_i,
    input  wire        [ ACT_W-1:0] zero_i,
    input  wire                     lut_i,
    input  wire        [ ACT_W-1:0] word5_i,
    output wire        [ ACT_W-1:0] act_o,
    output wire signed [ ACC_W-1:0] logit_o
);

  // The lower half is multiplied without, the upper half with its sign.
  localparam integer HALF_W = ACC_W / 2;

  reg signed [ACC_W-1:0] acc_q;
  reg signed [MULT_W-1:0] multiplier_q;
  reg signed [HALF_W+MULT_W:0] low_q;
  reg signed [HALF_W+MULT_W-1:0] high_q;
  reg signed [WIDE_W-1:0] product_q, sum_q;
  reg signed [WIDE_W-1:0] shifted_q;
  reg [ACT_W-1:0] act_q;
  reg signed [ACC_W-1:0] logit_q;

  wire signed [HALF_W+MULT_W:0] low = {{MULT_W + 1{1'b0}}, acc_q[HALF_W-1:0]};
  wire signed [HALF_W+MULT_W-1:0] high = {{MULT_W{acc_q[ACC_W-1]}}, acc_q[ACC_W-1:HALF_W]};
  wire signed [HALF_W+MULT_W:0] low_m = {{HALF_W + 1{multiplier_q[MULT_W-1]}}, multiplier_q};
  wire signed [HALF_W+MULT_W-1:0] high_m = {{HALF_W{multiplier_q[MULT_W-1]}}, multiplier_q};
  wire signed [WIDE_W-1:0] low_wide = {{HALF_W - 1{low_q[HALF_W+MULT_W]}}, low_q};
  wire negative = shifted_q[WIDE_W-1];
  wire above = |shifted_q[WIDE_W-2:ACT_W] || shifted_q[ACT_W-1:0] > hi_i;
  wire below = negative || (!above && shifted_q[ACT_W-1:0] < lo_i);
  wire second = ADD != 0 && second3_i;
  wire lut = LUT != 0 && lut_i;
  // One less, never below lo; a shift above hi stays above, or is hi.
  wire half, down;
  wire [ACT_W-1:0] code = down ? shifted_q[ACT_W-1:0] - {{ACT_W - 1{1'b0}}, 1'b1}
                        : shifted_q[ACT_W-1:0];
  wire unused_choices = &{1'b0, second3_i, lut_i, word5_i, mask4_i, zero_i};

  generate
    if (REQUANTIZATION != 0) begin : gen_half
      reg half_q;

      always @(posedge clk_i) half_q <= mask4_i[0] && (sum_q[WIDE_W-2:31] & mask4_i) == 0;
      assign half = half_q;
      assign down = half && shifted_q[ACT_W-1:0] <= zero_i && shifted_q[ACT_W-1:0] != lo_i;
    end else begin : gen_no_half
      assign half = 1'b0;
      assign down = half;
    end
  endgenerate

  assign act_o = act_q;
  assign logit_o = logit_q;

  always @(posedge clk_i) begin
    acc_q     <= acc_i;
    multiplier_q <= multiplier_i;
    low_q     <= low * low_m;
    high_q    <= high * high_m;
    product_q <= {high_q, {HALF_W{1'b0}}} + low_wide;
    sum_q     <= product_q + (second ? sum_q : bias3_i);
    shifted_q <= sum_q >>> shift4_i;
    act_q     <= lut ? word5_i : below ? lo_i : above ? hi_i : code;
    logit_q   <= shifted_q[ACC_W-1:0];
  end

endmodule

`resetall
