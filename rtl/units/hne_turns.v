`resetall
`timescale 1ns / 1ps
`default_nettype none

// In which cycle of its column each row is served: its turn. Rows that want the same word have
// the same turn, that of the lowest of them; words of one bank take turns in the order of their
// lowest rows. No row waits for what another one was granted, so the turns are found by a pipeline
// in front of the column register of the expander: COMPARE, FIRST, COUNT, and TURN, combinational.
module hne_turns #(
    // Array rows: every pair of them is compared and the answers are kept for two stages, so cells
    // and registers grow with ROWS².
    parameter integer ROWS = 2,
    // Weight banks, a power of two: more of them, fewer turns; here only the bits of a bank count.
    parameter integer BANKS = 2,
    // Bits of a layer-relative real-weight address: comparators of all pairs.
    parameter integer ADDR_W = 13,
    // Bits of a line of a bank, which each row carries through all stages.
    parameter integer LINE_W = 12,
    // Bits of a bank number. Follows from BANKS: leave it.
    parameter integer BANK_W = (BANKS > 1) ? $clog2(BANKS) : 1,
    // Bits of a turn. Follows from ROWS: leave it.
    parameter integer TURN_W = (ROWS > 1) ? $clog2(ROWS) : 1,
    // Turns beyond the first. Follows from ROWS: leave it.
    parameter integer MORE_W = (ROWS > 1) ? ROWS - 1 : 1
) (
    input  wire                   clk_i,
    input  wire                   rst_i,
    // The cycle before a conv or fc layer starts, and what it needs.
    input  wire                   load_i,
    input  wire [           15:0] outputs_i,
    input  wire [           15:0] groups_i,
    input  wire [     LINE_W-1:0] base_i,
    // The whole pipeline moves.
    input  wire                   en_i,
    // Index source.
    input  wire                   valid_i,
    input  wire                   last_i,
    input  wire [ROWS*ADDR_W-1:0] address_i,
    input  wire [       ROWS-1:0] negative_i,
    // STAGES columns later, the same with bank and line in place of the address; which rows belong
    // to the layer; their turns; whether turn 1, 2, … exists.
    output wire                   valid_o,
    output wire                   last_o,
    output wire [       ROWS-1:0] negative_o,
    output wire [ROWS*BANK_W-1:0] bank_o,
    output wire [ROWS*LINE_W-1:0] line_o,
    output wire [       ROWS-1:0] used_o,
    output reg  [ROWS*TURN_W-1:0] turn_o,
    output reg  [     MORE_W-1:0] more_o
);

  `include "hne_constants.vh"

  // Registers of this pipeline; the column register of the expander ends TURN.
  localparam integer STAGES = EXPANDER_TURNS - 1;
  localparam integer PAIRS = (ROWS > 1) ? ROWS * (ROWS - 1) / 2 : 1;

  // What only passes: last, negative, bank, line, used.
  localparam integer PASS_W = 1 + ROWS * (2 + BANK_W + LINE_W);

  wire [7:0] row_end, next_end;
  wire group_end, layer_end;
  reg [STAGES-1:0] valid_q;
  reg [PASS_W-1:0] compare_q, found_q, count_q;
  reg [PAIRS-1:0] same_bank1_q, same_bank2_q, same_word1_q, same_word2_q, twin_q;
  reg [ROWS-1:0] first2_q, first3_q;
  reg [ROWS*TURN_W-1:0] before_q;
  // There is a turn 1: known a stage early, since the expander waits for it.
  reg more_q;

  wire [ROWS*BANK_W-1:0] bank;
  wire [ROWS*LINE_W-1:0] line;
  wire [PAIRS-1:0] same_bank, same_word;
  wire [ROWS-1:0] used, used1;
  // A single row has no pairs.
  wire unused_tiles = &{1'b0, row_end, next_end, group_end, layer_end};
  wire unused_pairs = &{1'b0, same_bank1_q, same_bank2_q, same_word1_q, same_word2_q, twin_q};

  assign valid_o = valid_q[STAGES-1];
  assign {last_o, negative_o, bank_o, line_o, used_o} = count_q;
  assign used1 = compare_q[ROWS-1:0];

  hne_conflicts #(
      .ROWS  (ROWS),
      .BANKS (BANKS),
      .ADDR_W(ADDR_W),
      .LINE_W(LINE_W)
  ) u_conflicts (
      .address_i(address_i),
      .base_i(base_i),
      .bank_o(bank),
      .line_o(line),
      .same_bank_o(same_bank),
      .same_word_o(same_word)
  );

  hne_row_tiles #(
      .ROWS(ROWS)
  ) u_tiles (
      .clk_i(clk_i),
      .load_i(load_i),
      .outputs_i(outputs_i),
      .groups_i(groups_i),
      .next_i(en_i && valid_i && last_i),
      .end_o(row_end),
      .next_end_o(next_end),
      .group_last_o(group_end),
      .last_o(layer_end)
  );

  // Rows beyond the tile request nothing.
  genvar n;
  generate
    for (n = 0; n < ROWS; n = n + 1) begin : gen_row
      if (n == 0) begin : gen_first
        assign used[n] = 1'b1;
      end else begin : gen_other
        assign used[n] = row_end >= n[7:0];
      end
    end
  endgenerate

  // Of the registers of COMPARE and FIRST: the first rows of their words; how many of those stand
  // below in the same bank; rows that share the word of a first one.
  reg [ROWS-1:0] first_d;
  reg [ROWS*TURN_W-1:0] before_d;
  reg [PAIRS-1:0] twin_d;
  // Pairs of first rows of one bank: two words that it must read.
  reg [PAIRS-1:0] clash_d;
  integer r, q;

  always @* begin
    first_d  = used1;
    before_d = {ROWS * TURN_W{1'b0}};
    twin_d   = {PAIRS{1'b0}};
    clash_d  = {PAIRS{1'b0}};
    for (r = 1; r < ROWS; r = r + 1) begin
      for (q = 0; q < r; q = q + 1) begin
        if (used1[q] && same_word1_q[r*(r-1)/2+q]) first_d[r] = 1'b0;
        if (first2_q[q] && same_bank2_q[r*(r-1)/2+q]) begin
          before_d[r*TURN_W+:TURN_W] = before_d[r*TURN_W+:TURN_W] + {{TURN_W - 1{1'b0}}, 1'b1};
        end
        clash_d[r*(r-1)/2+q] = first2_q[q] && first2_q[r] && same_bank2_q[r*(r-1)/2+q];
        twin_d[r*(r-1)/2+q] = first2_q[q] && same_word2_q[r*(r-1)/2+q];
      end
    end
  end

  // TURN: a first row waits for those before it, the others go with the first one of their word.
  always @* begin
    more_o = {MORE_W{1'b0}};
    for (r = 0; r < ROWS; r = r + 1) begin
      turn_o[r*TURN_W+:TURN_W] = first3_q[r] ? before_q[r*TURN_W+:TURN_W] : {TURN_W{1'b0}};
      for (q = 0; q < r; q = q + 1) begin
        if (twin_q[r*(r-1)/2+q]) begin
          turn_o[r*TURN_W+:TURN_W] = turn_o[r*TURN_W+:TURN_W] | before_q[q*TURN_W+:TURN_W];
        end
        if (first3_q[r] && before_q[r*TURN_W+:TURN_W] == q[TURN_W-1:0] + {{TURN_W - 1{1'b0}}, 1'b1})
        begin
          more_o[q] = 1'b1;
        end
      end
    end
    more_o[0] = more_q;
  end

  always @(posedge clk_i) begin
    if (rst_i || load_i) valid_q <= {STAGES{1'b0}};
    else if (en_i) valid_q <= {valid_q[STAGES-2:0], valid_i};
    if (en_i) begin
      compare_q    <= {last_i, negative_i, bank, line, used};
      same_bank1_q <= same_bank;
      same_word1_q <= same_word;
      found_q      <= compare_q;
      same_bank2_q <= same_bank1_q;
      same_word2_q <= same_word1_q;
      first2_q     <= first_d;
      count_q      <= found_q;
      first3_q     <= first2_q;
      before_q     <= before_d;
      twin_q       <= twin_d;
      more_q       <= |clash_d;
    end
  end

endmodule

`resetall
