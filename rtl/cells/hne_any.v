`resetall
`timescale 1ns / 1ps
`default_nettype none

// Whether any of several memories had a wrong word, a cycle later.
module hne_any #(
    // 0: no word is ever wrong, and nothing is here: see hne_ecc_ram.
    parameter integer ECC = 0,
    // Memories: an or over them.
    parameter integer COUNT = 2
) (
    input  wire             clk_i,
    input  wire [COUNT-1:0] wrong_i,
    output wire             wrong_o
);

  generate
    if (ECC != 0) begin : gen_any
      reg wrong_q;

      assign wrong_o = wrong_q;

      always @(posedge clk_i) wrong_q <= |wrong_i;
    end else begin : gen_none
      wire unused_bits = &{1'b0, clk_i, wrong_i};

      assign wrong_o = 1'b0;
    end
  endgenerate

endmodule

`resetall
