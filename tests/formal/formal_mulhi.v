`default_nettype none

// hne_mulhi32 at its full width: for every b other than 0 the result is below b, so that a hash
// scaled by K is an address of K words; and it is the upper half of the schoolbook sum.
//
// A solver does not multiply 32 x 32 bits. What it must know of the four 16 x 16 products is one
// line, x * y <= (2^16 - 1) * y; formal_product proves that line, here it is assumed.
module formal_mulhi (
    input wire        clk,
    input wire        en,
    input wire [31:0] a,
    input wire [31:0] b
);

  wire [31:0] high;
  hne_mulhi32 dut (
      .clk_i (clk),
      .en_i  (en),
      .a_i   (a),
      .b_i   (b),
      .high_o(high)
  );

  // What is due: that of the operands three enabled cycles before.
  reg [1:0] first = 2'd0;
  reg valid = 1'b0;
  reg [31:0] a1_q, b1_q, a_q, b_q, a2_q, b2_q, ll_q, lh_q, hl_q, hh_q;
  reg [63:0] sum_q;
  wire [63:0] sum = {hh_q, 32'd0} + {16'd0, lh_q, 16'd0} + {16'd0, hl_q, 16'd0} + {32'd0, ll_q};
  always @(posedge clk) begin
    if (en) begin
      {valid, first} <= {first, 1'b1};
      // One by one: only a register that is like one of the module is merged with it.
      a1_q <= a;
      b1_q <= b;
      {a2_q, a_q} <= {a_q, a1_q};
      {b2_q, b_q} <= {b_q, b1_q};
      sum_q <= sum;
      ll_q <= {16'd0, a1_q[15:0]} * {16'd0, b1_q[15:0]};
      lh_q <= {16'd0, a1_q[15:0]} * {16'd0, b1_q[31:16]};
      hl_q <= {16'd0, a1_q[31:16]} * {16'd0, b1_q[15:0]};
      hh_q <= {16'd0, a1_q[31:16]} * {16'd0, b1_q[31:16]};
    end
  end

  always @* begin
    assume (ll_q <= {b_q[15:0], 16'd0} - {16'd0, b_q[15:0]});
    assume (lh_q <= {b_q[31:16], 16'd0} - {16'd0, b_q[31:16]});
    assume (hl_q <= {b_q[15:0], 16'd0} - {16'd0, b_q[15:0]});
    assume (hh_q <= {b_q[31:16], 16'd0} - {16'd0, b_q[31:16]});
    if (valid) begin
      assert (high == sum_q[63:32]);
      if (b2_q != 32'd0) assert (high < b2_q);
    end
  end

  // The bound is met, and not only at 0.
  always @(posedge clk) begin
    cover (valid && b2_q == 32'd8192 && high == 32'd8191);
    cover (valid && b2_q == 32'd1 && high == 32'd0 && &a2_q);
  end

endmodule
