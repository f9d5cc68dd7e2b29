`default_nettype none

// hne_post_lane against clamp(floor((acc * m + b) / 2^s), lo, hi), written with exact integers that
// are wide enough for everything, and against its low bits before the clamp for the logits, which
// are acc * m + b, as s is 0 there. The second operand of an add takes the sum before it for b. A lut
// layer takes the word that is there when it clamps.
module formal_post_lane #(
    parameter integer ACT_W = 3,
    parameter integer ACC_W = 6,
    parameter integer MULT_W = 4,
    parameter integer SHIFT_W = 4,
    parameter integer WIDE_W = ACC_W + MULT_W
) (
    input wire                     clk,
    input wire signed [ ACC_W-1:0] acc,
    input wire signed [MULT_W-1:0] multiplier,
    input wire signed [WIDE_W-1:0] bias,
    input wire                     second,
    input wire        [SHIFT_W-1:0] shift,
    input wire        [  ACT_W-1:0] word
);

  // Operands enter together here; b is due three cycles later and s four.
  reg signed [ACC_W-1:0] acc1, acc2, acc3, acc4, acc5, acc6;
  reg signed [MULT_W-1:0] multiplier1, multiplier2, multiplier3, multiplier4, multiplier5,
      multiplier6;
  reg signed [WIDE_W-1:0] bias1, bias2, bias3, bias4, bias5, bias6;
  reg [SHIFT_W-1:0] shift1, shift2, shift3, shift4, shift5, shift6;
  reg second1, second2, second3, second4, second5, second6;
  reg signed [31:0] before;
  reg [ACT_W-1:0] word1;
  (* anyconst *) reg [ACT_W-1:0] lo, hi;
  (* anyconst *) reg lut;
  reg [3:0] cycle = 4'd0;
  always @(posedge clk) begin
    {acc1, acc2, acc3, acc4, acc5, acc6} <= {acc, acc1, acc2, acc3, acc4, acc5};
    {multiplier1, multiplier2} <= {multiplier, multiplier1};
    {multiplier3, multiplier4, multiplier5, multiplier6} <=
        {multiplier2, multiplier3, multiplier4, multiplier5};
    {bias1, bias2, bias3, bias4, bias5, bias6} <= {bias, bias1, bias2, bias3, bias4, bias5};
    {shift1, shift2, shift3, shift4, shift5, shift6} <= {shift, shift1, shift2, shift3, shift4, shift5};
    {second1, second2, second3, second4, second5, second6} <=
        {second, second1, second2, second3, second4, second5};
    before <= sum;
    word1  <= word;
    if (cycle != 4'd15) cycle <= cycle + 4'd1;
  end

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
      .lut_i(lut),
      .word5_i(word),
      .act_o(act),
      .logit_o(logit)
  );

  wire signed [31:0] product = acc6 * multiplier6;
  wire signed [31:0] sum = product + (second6 ? before : bias6);
  // Floor, by division: what >>> does to a negative number is the module's business.
  wire signed [31:0] power = 32'sd1 <<< shift6;
  wire signed [31:0] remainder = sum & (power - 32'sd1);
  wire signed [31:0] scaled = (sum - remainder) >>> shift6;
  wire signed [31:0] low = {{32 - ACT_W{1'b0}}, lo};
  wire signed [31:0] high = {{32 - ACT_W{1'b0}}, hi};
  wire [31:0] clamped = scaled < low ? low : scaled > high ? high : scaled;

  always @* begin
    // What the compiler promises (hwsim/compiler/compiler.py): the sum fits, s is below its width.
    assume (sum < (32'sd1 <<< (WIDE_W - 1)) && sum >= -(32'sd1 <<< (WIDE_W - 1)));
    assume (shift6 < WIDE_W);
    assume (lo <= hi);
    // A second operand follows a first one.
    if (second1) assume (!second2);
    if (cycle >= 4'd7) begin
      assert (act == (lut ? word1 : clamped[ACT_W-1:0]));
      assert (logit == scaled[ACC_W-1:0]);
      if (shift6 == 0) assert (logit == sum[ACC_W-1:0]);
    end
  end

  always @(posedge clk) begin
    cover (cycle >= 4'd7 && !lut && scaled == -32'sd1 && act == 2 && shift6 == 2);
    cover (cycle >= 4'd7 && !lut && scaled == high && act == hi && hi == 5 && lo == 3 && shift6 == 3);
    cover (cycle >= 4'd7 && !lut && scaled == high + 1 && act == hi && shift6 == 1);
    cover (cycle >= 4'd7 && !lut && acc6 < 0 && multiplier6 < 0 && scaled == 32'sd2);
    cover (cycle >= 4'd7 && !lut && second6 && before < -20 && product > 30 && act == 2);
    cover (cycle >= 4'd7 && lut && act == 5 && clamped == 2);
    cover (cycle >= 4'd7 && !lut && scaled == 32'sd1 && shift6 == WIDE_W - 2);
    cover (cycle >= 4'd7 && !lut && sum == -32'sd9 && shift6 == 0 && logit == -9);
  end

endmodule
