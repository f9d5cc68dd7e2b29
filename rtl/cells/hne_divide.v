`resetall
`timescale 1ns / 1ps
`default_nettype none

// Quotient and remainder of 16 bits, two bits a cycle: eight cycles after the start they stand
// still until the next one. By zero they mean nothing.
module hne_divide (
    input  wire        clk_i,
    input  wire        start_i,
    input  wire [15:0] a_i,
    // Stands still until the end.
    input  wire [15:0] b_i,
    output wire [15:0] quotient_o,
    output wire        exact_o
);

  localparam [2:0] LAST = 3'd7;

  // Bits of a that have not been used yet stand above those of the quotient.
  reg [15:0] rest_q, bits_q;
  reg [2:0] step_q;
  reg active_q;
  reg [16:0] rest;
  reg [15:0] bits;
  integer n;

  assign quotient_o = bits_q;
  assign exact_o = rest_q == 16'd0;

  always @* begin
    rest = {1'b0, start_i ? 16'd0 : rest_q};
    bits = start_i ? a_i : bits_q;
    for (n = 0; n < 2; n = n + 1) begin
      rest = {rest[15:0], bits[15]};
      bits = {bits[14:0], rest >= {1'b0, b_i}};
      if (bits[0]) rest = rest - {1'b0, b_i};
    end
  end

  always @(posedge clk_i) begin
    active_q <= start_i || (active_q && step_q != LAST);
    step_q   <= start_i ? 3'd1 : step_q + 3'd1;
    if (start_i || active_q) begin
      rest_q <= rest[15:0];
      bits_q <= bits;
    end
  end

endmodule

`resetall
