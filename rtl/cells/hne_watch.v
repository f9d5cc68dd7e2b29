`resetall
`timescale 1ns / 1ps
`default_nettype none

// Whether a word that the engine itself has read is wrong: a read of the memory bus stops nobody.
module hne_watch #(
    // 0: no word is ever wrong, and nothing is here: see hne_ecc_ram.
    parameter integer ECC = 0,
    // Memories that are read together: an or over them.
    parameter integer COUNT = 1
) (
    input  wire             clk_i,
    // The engine reads; in the next cycle, whether the words are wrong; in the one after, the
    // answer.
    input  wire             read_i,
    input  wire [COUNT-1:0] wrong_i,
    output wire             wrong_o
);

  generate
    if (ECC != 0) begin : gen_watch
      reg read_q, wrong_q;

      assign wrong_o = wrong_q;

      always @(posedge clk_i) begin
        read_q  <= read_i;
        wrong_q <= read_q && wrong_i != {COUNT{1'b0}};
      end
    end else begin : gen_blind
      wire unused_bits = &{1'b0, clk_i, read_i, wrong_i};

      assign wrong_o = 1'b0;
    end
  endgenerate

endmodule

`resetall
