`resetall
`timescale 1ns / 1ps
`default_nettype none

// Activation buffer (twin: hwsim/units/act_buffer.py): one memory for all feature maps, COLS banks
// of one activation a line; of a batch, each image has lines of its own, its page. A layer reads
// some lines and writes others in the same cycle. A word that is read stands in word_o two cycles
// later: block RAM is slow to answer, so its words are registered before anything is made of them.
// A word that is written is in its memory two cycles later.
module hne_act_buffer #(
    // Banks, a power of two: one for each activation of a line, a memory each.
    parameter integer COLS = 2,
    // Bits of an activation: the width of the memories.
    parameter integer ACT_W = 8,
    // Lines of COLS activations of all maps together: the depth of the memories.
    parameter integer ACT_DEPTH = 8192,
    // Images of a batch, a power of two: pages, each as deep as the memory without.
    parameter integer BATCH = 1,
    // Bits of a line. Follows from ACT_DEPTH: leave it.
    parameter integer LINE_W = (ACT_DEPTH > 1) ? $clog2(ACT_DEPTH) : 1,
    // Bits of a place, a line of a page: {line, page}. Follows from both: leave it.
    parameter integer PLACE_W = LINE_W + $clog2(BATCH)
) (
    input  wire                   clk_i,
    input  wire                   read_i,
    input  wire [COLS*PLACE_W-1:0] read_place_i,
    output wire [ COLS*ACT_W-1:0] word_o,
    input  wire [       COLS-1:0] write_i,
    input  wire [COLS*PLACE_W-1:0] write_place_i,
    input  wire [ COLS*ACT_W-1:0] write_word_i
);

  genvar n;
  generate
    for (n = 0; n < COLS; n = n + 1) begin : gen_bank
      hne_act_bank #(
          .ACT_W(ACT_W),
          .DEPTH(ACT_DEPTH * BATCH),
          .LINE_W(PLACE_W)
      ) u_bank (
          .clk_i(clk_i),
          .read_i(read_i),
          .read_line_i(read_place_i[n*PLACE_W+:PLACE_W]),
          .word_o(word_o[n*ACT_W+:ACT_W]),
          .write_i(write_i[n]),
          .write_line_i(write_place_i[n*PLACE_W+:PLACE_W]),
          .write_word_i(write_word_i[n*ACT_W+:ACT_W])
      );
    end
  endgenerate

endmodule

`resetall
