`resetall
`timescale 1ns / 1ps
`default_nettype none

// Argmax: compares each logit in the cycle that writes it; the first maximum wins. Also numbers the
// classes.
module hne_argmax #(
    // Bits of a logit: a comparator, and the register of the largest one.
    parameter integer ACC_W = 32,
    // Bits of a class number: its counter and its register.
    parameter integer CLASS_W = 9
) (
    input  wire                    clk_i,
    // Before the first logit.
    input  wire                    clear_i,
    input  wire                    logit_write_i,
    input  wire signed [ACC_W-1:0] logit_i,
    // Number of the logit that is written; after the last one, the number of classes.
    output wire [     CLASS_W-1:0] class_o,
    output wire [     CLASS_W-1:0] argmax_o,
    // The largest logit so far.
    output wire [       ACC_W-1:0] best_o
);

  reg signed [ACC_W-1:0] best_q;
  reg [CLASS_W-1:0] class_q, argmax_q;

  assign class_o = class_q;
  assign argmax_o = argmax_q;
  assign best_o = best_q;

  always @(posedge clk_i) begin
    if (clear_i) begin
      class_q <= {CLASS_W{1'b0}};
    end else if (logit_write_i) begin
      class_q <= class_q + {{CLASS_W - 1{1'b0}}, 1'b1};
      if (class_q == {CLASS_W{1'b0}} || logit_i > best_q) begin
        best_q   <= logit_i;
        argmax_q <= class_q;
      end
    end
  end

endmodule

`resetall
