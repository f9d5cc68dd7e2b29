`resetall
`timescale 1ns / 1ps
`default_nettype none

// Quotient and remainder of 16 bits, two bits a cycle: eight cycles after the start they stand
// still until the next one. By zero they mean nothing. The divisor is subtracted once, twice and
// three times beside each other, so that a cycle is as long as one subtraction.
module hne_divide (
    input  wire        clk_i,
    input  wire        start_i,
    input  wire [15:0] a_i,
    // Stands still from the start to the end.
    input  wire [15:0] b_i,
    output wire [15:0] quotient_o,
    output wire        exact_o
);

  localparam [2:0] LAST = 3'd7;

  // Bits of a that have not been used yet stand above those of the quotient.
  reg [15:0] rest_q, bits_q;
  reg [17:0] triple_q;
  reg [ 2:0] step_q;
  reg active_q;

  assign quotient_o = bits_q;
  assign exact_o = rest_q == 16'd0;

  // The first two bits go into few divisors: no subtraction has to wait for the triple.
  wire [ 1:0] top = a_i[15:14];
  reg  [ 1:0] first_digit;
  reg  [ 1:0] first_rest;

  always @* begin
    {first_digit, first_rest} = {2'd0, top};
    if (b_i[15:2] == 14'd0)
      case (b_i[1:0])
        2'd1: {first_digit, first_rest} = {top, 2'd0};
        2'd2: {first_digit, first_rest} = {1'b0, top[1], 1'b0, top[0]};
        2'd3: if (top == 2'd3) {first_digit, first_rest} = {2'd1, 2'd0};
        default: ;
      endcase
  end

  // Below four times the divisor.
  wire [18:0] value = {1'b0, rest_q, bits_q[15:14]};
  wire [18:0] less_one = value - {3'd0, b_i};
  wire [18:0] less_two = value - {2'd0, b_i, 1'b0};
  wire [18:0] less_three = value - {1'b0, triple_q};
  // A remainder has 16 bits.
  wire unused_bits = &{1'b0, less_one[17:16], less_two[17:16], less_three[17:16]};
  reg [1:0] digit;
  reg [15:0] rest;

  always @* begin
    if (!less_three[18]) {digit, rest} = {2'd3, less_three[15:0]};
    else if (!less_two[18]) {digit, rest} = {2'd2, less_two[15:0]};
    else if (!less_one[18]) {digit, rest} = {2'd1, less_one[15:0]};
    else {digit, rest} = {2'd0, value[15:0]};
  end

  always @(posedge clk_i) begin
    active_q <= start_i || (active_q && step_q != LAST);
    step_q   <= start_i ? 3'd1 : step_q + 3'd1;
    triple_q <= {2'd0, b_i} + {1'b0, b_i, 1'b0};
    if (start_i) begin
      rest_q <= {14'd0, first_rest};
      bits_q <= {a_i[13:0], first_digit};
    end else if (active_q) begin
      rest_q <= rest;
      bits_q <= {bits_q[13:0], digit};
    end
  end

endmodule

`resetall
