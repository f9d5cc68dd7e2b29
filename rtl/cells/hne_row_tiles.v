`resetall
`timescale 1ns / 1ps
`default_nettype none

// Which row-tile of a layer comes next: counts the outputs of a group down to the last tile, which
// has the rest, then the groups. Whoever takes row-tiles in turn has one. What a layer starts with
// is worked out beforehand, so one tile a cycle may be taken.
module hne_row_tiles #(
    // Array rows: outputs of a tile, a constant of two subtractions.
    parameter integer ROWS = 2
) (
    input  wire        clk_i,
    // The cycle before a layer starts. Outputs of a group and groups stand still before it.
    input  wire        load_i,
    input  wire [15:0] outputs_i,
    input  wire [15:0] groups_i,
    // This tile is through.
    input  wire        next_i,
    // Last row of this tile, of the one behind it.
    output wire [ 7:0] end_o,
    output wire [ 7:0] next_end_o,
    // This tile is the last one of its group, of the layer.
    output wire        group_last_o,
    output wire        last_o
);

  localparam [15:0] ROWS16 = ROWS[15:0];

  // Of this tile, the one behind it, the first one of a group: its last row, whether it ends the
  // group; outputs of the group behind the latter two.
  reg [7:0] end_q, next_end_q, first_end_q;
  reg [15:0] next_beyond_q, first_beyond_q;
  reg group_last_q, next_last_q, first_last_q;
  reg [15:0] left_q;
  reg final_q, single_q;

  // Of a group with this many outputs left: the last row of its next tile, and what is behind.
  function [7:0] end_of;
    input [15:0] outputs;
    end_of = outputs > ROWS16 ? ROWS16[7:0] - 8'd1 : outputs[7:0] - 8'd1;
  endfunction

  function [15:0] behind;
    input [15:0] outputs;
    behind = outputs > ROWS16 ? outputs - ROWS16 : 16'd0;
  endfunction

  // The tile that is found in this cycle, two behind the one that is through: what it follows.
  wire before_last = load_i ? first_last_q : next_last_q;
  wire [15:0] rest = load_i ? first_beyond_q : next_beyond_q;

  assign end_o = end_q;
  assign next_end_o = next_end_q;
  assign group_last_o = group_last_q;
  assign last_o = group_last_q && final_q;

  always @(posedge clk_i) begin
    first_end_q    <= end_of(outputs_i);
    first_beyond_q <= behind(outputs_i);
    first_last_q   <= outputs_i <= ROWS16;
    single_q       <= groups_i == 16'd1;
    if (load_i) begin
      end_q        <= first_end_q;
      group_last_q <= first_last_q;
      left_q       <= groups_i;
      final_q      <= single_q;
    end else if (next_i) begin
      end_q        <= next_end_q;
      group_last_q <= next_last_q;
      if (group_last_q) begin
        left_q  <= left_q - 16'd1;
        final_q <= left_q == 16'd2;
      end
    end
    if (load_i || next_i) begin
      next_end_q    <= before_last ? first_end_q : end_of(rest);
      next_beyond_q <= before_last ? first_beyond_q : behind(rest);
      next_last_q   <= before_last ? first_last_q : rest <= ROWS16;
    end
  end

endmodule

`resetall
