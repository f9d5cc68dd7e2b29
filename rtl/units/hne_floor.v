`resetall
`timescale 1ns / 1ps
`default_nettype none

// Padding of a layer's time on an engine that skips: one that is ready before its floor waits for
// it, so that its cycles tell less of the image, or nothing. A layer without a floor, or above it,
// ends as it would.
module hne_floor (
    input  wire        clk_i,
    input  wire        rst_i,
    // Cycles of a layer, those of its instruction among them; they pause between two.
    input  wire        counting_i,
    input  wire [23:0] floor_i,
    // The last result is written; the layer ends, in the same cycle or later.
    input  wire        end_i,
    output wire        end_o
);

  reg [23:0] cycles_q;
  reg reached_q, ended_q;

  assign end_o = reached_q && (end_i || ended_q);

  always @(posedge clk_i) begin
    // Whether the cycle behind this one may be the last. No floor lies beyond the counter.
    reached_q <= {1'b0, cycles_q} + 25'd2 >= {1'b0, floor_i};
    if (rst_i || end_o || !counting_i) cycles_q <= 24'd0;
    else if (cycles_q != 24'hFFFFFF) cycles_q <= cycles_q + 24'd1;
    if (rst_i || end_o) ended_q <= 1'b0;
    else if (end_i) ended_q <= 1'b1;
  end

endmodule

`resetall
