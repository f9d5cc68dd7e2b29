`resetall
`timescale 1ns / 1ps
`default_nettype none

// Low 32 bits of a product with a constant, as three 16 x 16 products: operand and products
// have registers of their own, so that they may stand beside the multiplier; the sum is
// combinational and registered by whoever uses it.
module hne_mul32 #(
    // The other factor.
    parameter [31:0] FACTOR = 32'd1
) (
    input  wire        clk_i,
    input  wire        en_i,
    input  wire [31:0] a_i,
    output wire [31:0] product_o
);

  reg [31:0] a_q, low_q;
  reg [15:0] cross0_q, cross1_q;

  assign product_o = low_q + {cross0_q + cross1_q, 16'd0};

  always @(posedge clk_i) begin
    if (en_i) begin
      a_q      <= a_i;
      low_q    <= {16'd0, a_q[15:0]} * {16'd0, FACTOR[15:0]};
      cross0_q <= a_q[15:0] * FACTOR[31:16];
      cross1_q <= a_q[31:16] * FACTOR[15:0];
    end
  end

endmodule

`resetall
