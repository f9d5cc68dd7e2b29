`resetall
`timescale 1ns / 1ps
`default_nettype none

// One of several words, by its number: a tree of choices between two, a bit of the number at each
// level. (A part selected by a product would be a multiplier and a shifter.) No registers.
module hne_choice #(
    // Words, a power of two. One passes as it is.
    parameter integer COUNT = 2,
    // Bits of a word: of each choice.
    parameter integer WIDTH = 8
) (
    input  wire [            7:0] number_i,
    input  wire [COUNT*WIDTH-1:0] words_i,
    output wire [      WIDTH-1:0] word_o
);

  localparam integer LEVELS = $clog2(COUNT);

  reg [COUNT*WIDTH-1:0] tree;
  integer level, place;

  wire unused_number = &{1'b0, number_i, tree};

  assign word_o = tree[WIDTH-1:0];

  always @* begin
    tree = words_i;
    for (level = 0; level < LEVELS; level = level + 1) begin
      for (place = 0; place < (COUNT >> (level + 1)); place = place + 1) begin
        tree[place*WIDTH+:WIDTH] = number_i[level]
            ? tree[(2*place+1)*WIDTH+:WIDTH] : tree[2*place*WIDTH+:WIDTH];
      end
    end
  end

endmodule

`resetall
