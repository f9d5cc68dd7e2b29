`default_nettype none

// hne_post_lane at the width of configuration default: adder, shifter and clamp, for whatever the
// two half products are. That they make acc * m is proved at small widths (formal_post_lane).
module formal_post_wide #(
    parameter integer ACT_W = 8,
    parameter integer ACC_W = 32,
    parameter integer MULT_W = 16,
    parameter integer SHIFT_W = 6,
    parameter integer WIDE_W = ACC_W + MULT_W,
    parameter integer HALF_W = ACC_W / 2
) (
    input wire                      clk,
    input wire signed [  ACC_W-1:0] acc,
    input wire signed [ MULT_W-1:0] multiplier,
    input wire signed [ WIDE_W-1:0] bias3,
    input wire                      second3,
    input wire        [SHIFT_W-1:0] shift4,
    input wire        [  ACT_W-1:0] lo,
    input wire        [  ACT_W-1:0] hi
);

  wire [ACT_W-1:0] act;
  wire signed [ACC_W-1:0] logit;
  hne_post_lane #(
      .ACT_W  (ACT_W),
      .ACC_W  (ACC_W),
      .MULT_W (MULT_W),
      .SHIFT_W(SHIFT_W)
  ) dut (
      .clk_i(clk),
      .acc_i(acc),
      .multiplier_i(multiplier),
      .bias3_i(bias3),
      .second3_i(second3),
      .shift4_i(shift4),
      .lo_i(lo),
      .hi_i(hi),
      .mask4_i(1'b0),
      .zero_i({ACT_W{1'b0}}),
      .lut_i(1'b0),
      .word5_i({ACT_W{1'b0}}),
      .act_o(act),
      .logit_o(logit)
  );

  // The same two products as in the module; they are merged with its own and cut out.
  reg signed [ACC_W-1:0] acc_q;
  reg signed [MULT_W-1:0] multiplier_q;
  reg signed [HALF_W+MULT_W:0] low_q;
  reg signed [HALF_W+MULT_W-1:0] high_q;
  wire signed [HALF_W+MULT_W:0] low = {{MULT_W + 1{1'b0}}, acc_q[HALF_W-1:0]};
  wire signed [HALF_W+MULT_W-1:0] high = {{MULT_W{acc_q[ACC_W-1]}}, acc_q[ACC_W-1:HALF_W]};
  wire signed [HALF_W+MULT_W:0] low_m = {{HALF_W + 1{multiplier_q[MULT_W-1]}}, multiplier_q};
  wire signed [HALF_W+MULT_W-1:0] high_m = {{HALF_W{multiplier_q[MULT_W-1]}}, multiplier_q};

  // Exact from here on.
  reg signed [63:0] product, sum, summed1, summed2;
  reg [SHIFT_W-1:0] shift5, shift6;
  reg second4;
  reg [ACT_W-1:0] lo_q, hi_q;
  reg [2:0] cycle = 3'd0;
  wire signed [63:0] high_wide = high_q;
  wire signed [63:0] low_wide = low_q;
  wire signed [63:0] bias_wide = bias3;
  always @(posedge clk) begin
    acc_q   <= acc;
    multiplier_q <= multiplier;
    low_q   <= low * low_m;
    high_q  <= high * high_m;
    product <= (high_wide <<< HALF_W) + low_wide;
    sum     <= product + (second3 ? sum : bias_wide);
    {lo_q, hi_q} <= {lo, hi};
    second4 <= second3;
    {summed1, summed2} <= {sum, summed1};
    {shift5, shift6} <= {shift4, shift5};
    if (cycle != 3'd7) cycle <= cycle + 3'd1;
  end

  wire signed [63:0] scaled = summed2 >>> shift6;
  wire signed [63:0] low_bound = {{64 - ACT_W{1'b0}}, lo_q};
  wire signed [63:0] high_bound = {{64 - ACT_W{1'b0}}, hi_q};
  localparam signed [63:0] LIMIT = 64'sd1 <<< (WIDE_W - 1);
  wire [63:0] clamped = scaled < low_bound ? low_bound
      : scaled > high_bound ? high_bound : scaled;

  always @* begin
    assume (lo <= hi);
    // A second operand follows a first one.
    if (cycle < 3'd4 || second4) assume (!second3);
    // A product of ACC_W and MULT_W bits, a sum that the compiler has seen to fit.
    if (cycle >= 3'd3) assume (product >= -LIMIT && product < LIMIT);
    if (cycle >= 3'd4) assume (sum >= -LIMIT && sum < LIMIT);
    if (cycle >= 3'd6) begin
      assert (act == clamped[ACT_W-1:0]);
      assert (logit == scaled[ACC_W-1:0]);
      if (shift6 == 0) assert (logit == summed2[ACC_W-1:0]);
    end
  end

  always @(posedge clk) begin
    cover (cycle >= 3'd6 && scaled == -64'sd1 && act == 0 && lo_q == 0 && shift6 == 20);
    cover (cycle >= 3'd6 && scaled == high_bound && act == hi_q && hi_q == 77 && shift6 == 17);
    cover (cycle >= 3'd6 && scaled == high_bound + 1 && act == hi_q && shift6 == 17);
  end

endmodule
