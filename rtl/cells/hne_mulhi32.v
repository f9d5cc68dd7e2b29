`resetall
`timescale 1ns / 1ps
`default_nettype none

// High 32 bits of a 32 x 32 product, as four 16 x 16 products: operands, products and the sum of
// the middle ones are registered; the last sum is combinational and registered by whoever uses it.
module hne_mulhi32 (
    input  wire        clk_i,
    input  wire        en_i,
    input  wire [31:0] a_i,
    input  wire [31:0] b_i,
    output wire [31:0] high_o
);

  reg [31:0] a_q, b_q;
  reg [31:0] ll_q, lh_q, hl_q, hh_q, high_q;
  reg [17:0] middle_q;

  wire [33:0] middle = {2'd0, lh_q} + {2'd0, hl_q} + {18'd0, ll_q[31:16]};
  // Only the carry of the lowest quarter counts, and it is in middle.
  wire unused_low = &{1'b0, ll_q[15:0], middle[15:0]};

  assign high_o = high_q + {14'd0, middle_q};

  always @(posedge clk_i) begin
    if (en_i) begin
      a_q  <= a_i;
      b_q  <= b_i;
      ll_q <= {16'd0, a_q[15:0]} * {16'd0, b_q[15:0]};
      lh_q <= {16'd0, a_q[15:0]} * {16'd0, b_q[31:16]};
      hl_q <= {16'd0, a_q[31:16]} * {16'd0, b_q[15:0]};
      hh_q <= {16'd0, a_q[31:16]} * {16'd0, b_q[31:16]};
      middle_q <= middle[33:16];
      high_q   <= hh_q;
    end
  end

endmodule

`resetall
