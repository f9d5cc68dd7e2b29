`resetall
`timescale 1ns / 1ps
`default_nettype none

// Where the maps of an instruction stand: whether they lie in the memory, whether what is written
// lies apart from what is read, and whether what is read was written in this inference. What was
// written is remembered as up to RUNS runs of lines; runs that touch are one.
module hne_places #(
    // Lines of the activation buffer: every end is compared with it.
    parameter integer ACT_DEPTH = 8192,
    // Runs of lines that are remembered, 2 to 7: two comparators and two registers each.
    parameter integer RUNS = 4,
    // Bits of a line. Follows from ACT_DEPTH: leave it.
    parameter integer LINE_W = (ACT_DEPTH > 1) ? $clog2(ACT_DEPTH) : 1
) (
    input  wire        clk_i,
    // An image is taken: nothing is written but it. A layer starts: it will have written its map.
    input  wire        input_i,
    input  wire        layer_i,
    // A word of the instruction is taken; what is read, and what is written, if anything is.
    input  wire [ 3:0] slot_i,
    input  wire        add_i,
    input  wire        last_i,
    input  wire [31:0] in_line_i,
    input  wire [31:0] in2_line_i,
    input  wire [31:0] out_line_i,
    input  wire [31:0] in_lines_i,
    input  wire [31:0] out_lines_i,
    output reg         large_o,
    output wire        bad_place_o
);

  `include "hne_program.vh"

  // The last two words ask the last two questions.
  localparam [3:0] SECOND = INSTRUCTION_WORDS[3:0] - 4'd2;
  // One bit more than a line: an end may stand behind the last one.
  localparam integer END_W = LINE_W + 1;
  localparam [32:0] DEPTH = {1'b0, ACT_DEPTH[31:0]};

  reg [32:0] in_end_q, in2_end_q, out_end_q;
  reg [RUNS*END_W-1:0] start_q, end_q;
  reg [RUNS-1:0] valid_q, touch_q, below_q, above_q;
  reg known_q, known2_q, apart_q, busy_q;
  // What is asked for in this cycle: not the first source. What was in the cycle before.
  reg second_q, target_q, second_late_q, target_late_q;
  // Refused for what is known before the last question; for the answer to it.
  reg bad_q, lost_q;
  // The run that is taken up, and runs that may still have to join it.
  reg [END_W-1:0] new_start_q, new_end_q;
  reg [2:0] join_q;
  // What is asked for in this cycle.
  reg [END_W-1:0] low, high;
  integer n;

  wire [END_W-1:0] in_line = in_line_i[END_W-1:0];
  wire [END_W-1:0] in2_line = in2_line_i[END_W-1:0];
  wire [END_W-1:0] out_line = out_line_i[END_W-1:0];
  wire [END_W-1:0] in_end = in_end_q[END_W-1:0];
  wire [END_W-1:0] in2_end = in2_end_q[END_W-1:0];
  wire [END_W-1:0] out_end = out_end_q[END_W-1:0];
  wire [END_W-1:0] first_start = start_q[END_W-1:0];
  wire [END_W-1:0] first_end = end_q[END_W-1:0];
  wire joins = join_q != 3'd0 && touch_q[0];
  wire placed = join_q == 3'd0 && !valid_q[0];
  // The answer to what was asked for in the cycle before.
  wire [RUNS-1:0] hit = valid_q & below_q & above_q;

  assign bad_place_o = bad_q || lost_q;

  // A run holds what begins and ends in it, and touches what ends and begins in it.
  always @* begin
    {low, high} = {in_line, in_end};
    if (second_q) {low, high} = {in2_line, in2_end};
    if (target_q) {low, high} = {out_end, out_line};
  end

  always @(posedge clk_i) begin
    in_end_q  <= {1'b0, in_line_i} + {1'b0, in_lines_i};
    in2_end_q <= {1'b0, in2_line_i} + {1'b0, in_lines_i};
    out_end_q <= {1'b0, out_line_i} + {1'b0, out_lines_i};
    large_o   <= in_end_q > DEPTH || (add_i && in2_end_q > DEPTH) || (!last_i && out_end_q > DEPTH);
    apart_q   <= (in_line >= out_end || out_line >= in_end)
        && (!add_i || in2_line >= out_end || out_line >= in2_end);
    second_q  <= slot_i == SECOND - 4'd1;
    target_q  <= slot_i == SECOND;
    second_late_q <= second_q;
    target_late_q <= target_q;
    for (n = 0; n < RUNS; n = n + 1) begin
      below_q[n] <= start_q[n*END_W+:END_W] <= low;
      above_q[n] <= high <= end_q[n*END_W+:END_W];
    end
    if (!second_late_q && !target_late_q) known_q <= |hit;
    if (second_late_q) known2_q <= |hit;
    if (target_late_q) touch_q <= hit;
    bad_q  <= !known_q || (add_i && !known2_q) || (!last_i && !apart_q);
    lost_q <= !last_i && &valid_q && (target_late_q ? hit : touch_q) == {RUNS{1'b0}};

    // The runs pass by one after the other; those that touch the new one join it, and it takes the
    // place of one that is not there.
    if (input_i) begin
      busy_q  <= 1'b1;
      join_q  <= 3'd0;
      valid_q <= {RUNS{1'b0}};
      {new_start_q, new_end_q} <= {in_line, in_end};
    end else if (layer_i && !last_i) begin
      busy_q <= 1'b1;
      join_q <= RUNS[2:0];
      {new_start_q, new_end_q} <= {out_line, out_end};
    end else if (busy_q) begin
      if (join_q != 3'd0) join_q <= join_q - 3'd1;
      if (joins) begin
        if (first_start < new_start_q) new_start_q <= first_start;
        if (first_end > new_end_q) new_end_q <= first_end;
      end
      busy_q  <= !placed;
      touch_q <= {touch_q[0], touch_q[RUNS-1:1]};
      valid_q <= {placed || (valid_q[0] && !joins), valid_q[RUNS-1:1]};
      start_q <= {placed ? new_start_q : first_start, start_q[RUNS*END_W-1:END_W]};
      end_q   <= {placed ? new_end_q : first_end, end_q[RUNS*END_W-1:END_W]};
    end
  end

endmodule

`resetall
