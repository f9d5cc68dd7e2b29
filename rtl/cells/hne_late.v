`resetall
`timescale 1ns / 1ps
`default_nettype none

// A register that only memories with check bits need; without them 0, and nothing is here.
module hne_late #(
    // 0: no check bits: see hne_ecc_ram.
    parameter integer ECC = 0,
    // Bits of the register: a flip-flop each.
    parameter integer WIDTH = 8
) (
    input  wire             clk_i,
    input  wire [WIDTH-1:0] now_i,
    output wire [WIDTH-1:0] late_o
);

  generate
    if (ECC != 0) begin : gen_late
      reg [WIDTH-1:0] late_q;

      assign late_o = late_q;

      always @(posedge clk_i) late_q <= now_i;
    end else begin : gen_none
      wire unused_bits = &{1'b0, clk_i, now_i};

      assign late_o = {WIDTH{1'b0}};
    end
  endgenerate

endmodule

`resetall
