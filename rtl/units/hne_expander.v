`resetall
`timescale 1ns / 1ps
`default_nettype none

// Expander (twin: hwsim/units/expander.py): turns a column of addresses into a column of weights.
// Column-synchronous: a column stays until each of its rows has been served, at a cost of one cycle
// per distinct address that the busiest bank must read. ROUTE, READ, SIGN, WRITE: EXPANDER_FILL
// cycles later the column is in the tile buffer.
module hne_expander #(
    // Array rows: each has a place in the column register and a choice among the banks.
    parameter integer ROWS = 2,
    // Weight banks, a power of two >= ROWS: more of them, fewer cycles a column; each is one more
    // word to choose from in every row.
    parameter integer BANKS = 2,
    // Bits of a real weight: of every choice among the banks.
    parameter integer WGT_W = 8,
    // 1: layers whose weights are 1 (or 0) read no bank. Costs a choice in the first two rows.
    parameter integer ONES = 1,
    // Words of a weight bank: only the bits of its address count here.
    parameter integer LINES = 4096,
    // Bits of a line. Follows from LINES: leave it.
    parameter integer LINE_W = (LINES > 1) ? $clog2(LINES) : 1,
    // Bits of a bank number. Follows from BANKS: leave it.
    parameter integer BANK_W = (BANKS > 1) ? $clog2(BANKS) : 1,
    // Bits of a turn. Follows from ROWS: leave it.
    parameter integer TURN_W = (ROWS > 1) ? $clog2(ROWS) : 1,
    // Turns beyond the first. Follows from ROWS: leave it.
    parameter integer MORE_W = (ROWS > 1) ? ROWS - 1 : 1
) (
    input  wire                    clk_i,
    input  wire                    rst_i,
    // The cycle before a conv or fc layer starts.
    input  wire                    load_i,
    input  wire                    fc_i,
    // The weights are 1; of an add they are the identity: its first column counts for row 0, its
    // last one for row 1.
    input  wire                    ones_i,
    input  wire                    add_i,
    // Array rows in use: the cycles of a drain.
    input  wire [             8:0] rows_i,
    // hne_turns: what it offers is taken in every cycle with move_o.
    output wire                    move_o,
    input  wire                    valid_i,
    input  wire                    last_i,
    input  wire [        ROWS-1:0] negative_i,
    input  wire [ ROWS*BANK_W-1:0] bank_i,
    input  wire [ ROWS*LINE_W-1:0] line_i,
    input  wire [        ROWS-1:0] used_i,
    input  wire [ ROWS*TURN_W-1:0] turn_i,
    input  wire [      MORE_W-1:0] more_i,
    // The array leaves a half of the tile buffer.
    input  wire                    release_i,
    // Weight banks.
    output wire [       BANKS-1:0] read_o,
    output wire [BANKS*LINE_W-1:0] line_o,
    input  wire [ BANKS*WGT_W-1:0] word_i,
    // Tile buffer.
    output wire                    write_o,
    output wire                    write_last_o,
    output wire [  ROWS*WGT_W-1:0] weight_o,
    // For the counters: rows are left over for a further cycle; a column waits for half a tile
    // buffer; the last column of an fc row-tile waits for the shadow bank.
    output wire                    conflict_o,
    output wire                    wait_o,
    output wire                    hold_o
);

  `include "hne_constants.vh"

  // The column register, and the turn that is being served.
  reg valid_q, last_q, fc_q;
  reg [ROWS-1:0] negative_q, used_q;
  reg [ROWS*BANK_W-1:0] bank_q;
  reg [ROWS*LINE_W-1:0] line_q;
  reg [ROWS*TURN_W-1:0] turn_q;
  // The turn behind the one that is being served; the rows whose turn that one is, known a cycle
  // early.
  reg [TURN_W-1:0] behind_q;
  reg [ROWS-1:0] mine_q;
  reg [MORE_W-1:0] more_q;
  reg [1:0] open_q;
  reg [8:0] drain_q;
  // More than one row is left of the drain; a row-tile has more than one, more than two.
  reg drains_q, many_rows_q, three_rows_q;
  // The whole pipeline in front of the column register waits for this bit, so it is known before
  // the cycle begins.
  reg move_q;
  reg [EXPANDER_FILL-1:0] finish_q, finish_last_q;

  integer n;
  wire [ROWS-1:0] grant;
  wire [BANKS-1:0] read;
  wire [BANKS*LINE_W-1:0] bank_line;

  wire blocked = valid_q && !fc_q && open_q == 2'd2;
  wire serve = valid_q && !blocked;
  wire more = more_q[0];
  wire held = serve && !more && fc_q && last_q && drain_q != 9'd0;
  wire done = valid_q && move_q;
  wire finish = done && last_q;

  // What the registers will hold in the next cycle, and whether the column will be finished then.
  wire valid_d = !load_i && (move_q ? valid_i : valid_q);
  wire last_d = move_q ? last_i : last_q;
  wire [MORE_W-1:0] more_d = move_q ? more_i : more_waits;
  wire [1:0] open_d = open_q + {1'b0, finish && !fc_q} - {1'b0, release_i};
  // Worked out for both cases and chosen last: this column is done, or it waits.
  wire ends = valid_q && last_q;
  wire [1:0] open_waits = open_q - {1'b0, release_i};
  wire [1:0] open_moves = open_q + {1'b0, ends && !fc_q} - {1'b0, release_i};
  wire drains_moves = ends ? many_rows_q : drains_q;
  wire stay_moves = more_i[0] || (fc_q ? last_i && drains_moves : open_moves == 2'd2);
  wire [MORE_W-1:0] more_waits = more_q >> serve;
  wire stay_waits = more_waits[0] || (fc_q ? last_q && drains_q : open_waits == 2'd2);

  assign move_o = move_q;
  assign conflict_o = serve && more;
  assign wait_o = blocked;
  assign hold_o = held;
  assign write_o = finish_q[EXPANDER_FILL-1];
  assign write_last_o = finish_last_q[EXPANDER_FILL-1];

  hne_bank_arbiter #(
      .ROWS  (ROWS),
      .BANKS (BANKS),
      .LINE_W(LINE_W)
  ) u_arbiter (
      .serve_i(serve),
      .turn_i(mine_q),
      .bank_i(bank_q),
      .line_i(line_q),
      .grant_o(grant),
      .read_o(read),
      .line_o(bank_line)
  );

  always @(posedge clk_i) begin
    if (rst_i) begin
      valid_q  <= 1'b0;
      move_q   <= 1'b1;
      finish_q <= {EXPANDER_FILL{1'b0}};
    end else begin
      valid_q  <= valid_d;
      move_q   <= load_i || (move_q ? !valid_i || !stay_moves : !valid_q || !stay_waits);
      finish_q <= {finish_q[EXPANDER_FILL-2:0], done};
    end
    finish_last_q <= {finish_last_q[EXPANDER_FILL-2:0], last_q};
    last_q <= last_d;
    more_q <= more_d;
    if (move_q) begin
      negative_q <= negative_i;
      bank_q     <= bank_i;
      line_q     <= line_i;
      used_q     <= used_i;
      turn_q     <= turn_i;
      behind_q   <= {{TURN_W - 1{1'b0}}, 1'b1};
    end else if (conflict_o) begin
      behind_q   <= behind_q + {{TURN_W - 1{1'b0}}, 1'b1};
    end
    for (n = 0; n < ROWS; n = n + 1) begin
      if (move_q) mine_q[n] <= used_i[n] && turn_i[n*TURN_W+:TURN_W] == {TURN_W{1'b0}};
      else if (conflict_o) mine_q[n] <= used_q[n] && turn_q[n*TURN_W+:TURN_W] == behind_q;
    end
    many_rows_q  <= rows_i > 9'd1;
    three_rows_q <= rows_i > 9'd2;
    if (load_i) begin
      fc_q     <= fc_i;
      open_q   <= 2'd0;
      drain_q  <= rows_i - 9'd1;
      drains_q <= three_rows_q;
    end else begin
      open_q <= open_d;
      if (finish) drain_q <= rows_i - 9'd1;
      else if (drain_q != 9'd0) drain_q <= drain_q - 9'd1;
      drains_q <= finish ? three_rows_q : drain_q > 9'd2;
    end
  end

  // ROUTE: the reads are on their way to the banks. READ: the banks answer; their words are
  // registered. SIGN: each row that was granted takes its word, negated or not, or what stands for
  // it.
  reg [BANKS-1:0] read_q;
  reg [BANKS*LINE_W-1:0] bank_line_q;
  reg [BANKS*WGT_W-1:0] word_q;

  assign read_o = read_q;
  assign line_o = bank_line_q;

  always @(posedge clk_i) begin
    read_q      <= (ONES != 0 && ones_i) ? {BANKS{1'b0}} : read;
    bank_line_q <= bank_line;
    word_q      <= word_i;
  end

  genvar r;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : gen_row
      reg [2:0] grant_q, sign_q;
      reg [3*BANK_W-1:0] banks_q;
      reg [WGT_W-1:0] weight_q;
      wire [BANK_W-1:0] bank = banks_q[2*BANK_W+:BANK_W];
      wire [WGT_W-1:0] word = word_q[bank*WGT_W+:WGT_W];
      // Negated if it is, without a carry: a bit flips if one below it is 1.
      reg [WGT_W-1:0] weight;
      reg below;
      integer b;

      always @* begin
        below = 1'b0;
        for (b = 0; b < WGT_W; b = b + 1) begin
          weight[b] = word[b] ^ (sign_q[2] && below);
          below = below || word[b];
        end
      end

      wire counts = !add_i || finish_last_q[2] == (r != 0);
      wire unused_counts = &{1'b0, counts};

      assign weight_o[r*WGT_W+:WGT_W] = weight_q;

      always @(posedge clk_i) begin
        grant_q <= {grant_q[1:0], grant[r]};
        sign_q  <= {sign_q[1:0], negative_q[r]};
        banks_q <= {banks_q[2*BANK_W-1:0], bank_q[r*BANK_W+:BANK_W]};
        if (grant_q[2]) begin
          weight_q <= (ONES != 0 && ones_i && r < 2) ? {{WGT_W - 1{1'b0}}, counts} : weight;
        end
      end
    end
  endgenerate

endmodule

`resetall
