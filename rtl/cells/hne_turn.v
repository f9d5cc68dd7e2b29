`resetall
`timescale 1ns / 1ps
`default_nettype none

// Turns a line: the word of lane l comes out at place (l + turn) mod LANES. No registers.
module hne_turn #(
    // Words of a line, a power of two.
    parameter integer LANES = 2,
    // Bits of a word: of the choices, one a bit for each bit of the turn.
    parameter integer WIDTH = 8,
    // Turns that occur, a power of two up to LANES: 0 … TURNS - 1. With 1 a line passes as it is.
    parameter integer TURNS = 2
) (
    input  wire [            7:0] turn_i,
    input  wire [LANES*WIDTH-1:0] line_i,
    output reg  [LANES*WIDTH-1:0] line_o
);

  localparam integer LEVELS = $clog2(TURNS);

  wire unused_turn = &{1'b0, turn_i};
  integer level;

  // A level turns by a power of two of places.
  always @* begin
    line_o = line_i;
    for (level = 0; level < LEVELS; level = level + 1) begin
      if (turn_i[level]) begin
        line_o = (line_o << (WIDTH << level)) | (line_o >> ((LANES * WIDTH) - (WIDTH << level)));
      end
    end
  end

endmodule

`resetall
