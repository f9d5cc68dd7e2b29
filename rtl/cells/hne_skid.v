`resetall
`timescale 1ns / 1ps
`default_nettype none

// Skid buffer: cuts a valid/ready channel so that nothing on one side depends on the other side in
// the same cycle. A word a cycle; what comes while the receiver stops for the first time goes into
// the spare register.
module hne_skid #(
    // Bits of a word: two registers each, the output and the spare.
    parameter integer WIDTH = 8
) (
    input  wire             clk_i,
    input  wire             rst_i,
    input  wire             valid_i,
    output wire             ready_o,
    input  wire [WIDTH-1:0] data_i,
    output wire             valid_o,
    input  wire             ready_i,
    output wire [WIDTH-1:0] data_o
);

  reg valid_q, spare_valid_q;
  reg [WIDTH-1:0] data_q, spare_q;

  wire move = !valid_q || ready_i;

  assign ready_o = !spare_valid_q;
  assign valid_o = valid_q;
  assign data_o = data_q;

  always @(posedge clk_i) begin
    if (rst_i) begin
      valid_q       <= 1'b0;
      spare_valid_q <= 1'b0;
    end else if (move) begin
      valid_q       <= valid_i || spare_valid_q;
      spare_valid_q <= 1'b0;
    end else if (valid_i) begin
      spare_valid_q <= 1'b1;
    end
    if (move) data_q <= spare_valid_q ? spare_q : data_i;
    if (!spare_valid_q) spare_q <= data_i;
  end

endmodule

`resetall
