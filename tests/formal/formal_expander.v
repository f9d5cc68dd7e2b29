`default_nettype none

// hne_expander with its arbiter and hne_turns in front of it, between an index source that offers anything, weight banks of any
// content and an array that takes its time: every column comes out once, in order, each row with
// the word of its address and its sign; or with 1, or the identity, and no bank is read.
module formal_expander #(
    parameter integer ROWS = 3,
    parameter integer BANKS = 2,
    parameter integer WGT_W = 2,
    parameter integer ADDR_W = 3,
    parameter integer LINES = (1 << ADDR_W) / BANKS,
    parameter integer LINE_W = $clog2(LINES),
    parameter integer BANK_W = $clog2(BANKS),
    parameter integer TURN_W = $clog2(ROWS)
) (
    input wire                   clk,
    input wire                   rst,
    input wire                   load,
    input wire                   valid,
    input wire                   last,
    input wire [ROWS*ADDR_W-1:0] address,
    input wire [       ROWS-1:0] negative,
    input wire                   free
);

  // The layer, and its words in all banks: word a stands at a * WGT_W, from line base on.
  (* anyconst *) reg fc;
  (* anyconst *) reg ones, add;
  (* anyconst *) reg [3:0] n_out;
  (* anyconst *) reg [1:0] groups;
  (* anyconst *) reg [1:0] rows;
  (* anyconst *) reg [(WGT_W<<ADDR_W)-1:0] words;
  (* anyconst *) reg [LINE_W-1:0] base;
  (* anyseq *) reg [BANKS*WGT_W-1:0] noise;

  wire move, write, write_last, conflict, waits, hold;
  wire [BANKS-1:0] read;
  wire [BANKS*LINE_W-1:0] line;
  wire [ROWS*WGT_W-1:0] weight;
  reg [BANKS*WGT_W-1:0] word;

  wire turn_valid, turn_last;
  wire [ROWS-1:0] turn_negative, turn_used;
  wire [ROWS*BANK_W-1:0] turn_bank;
  wire [ROWS*LINE_W-1:0] turn_line;
  wire [ROWS*TURN_W-1:0] turn;
  wire [ROWS-2:0] more;

  hne_turns #(
      .ROWS  (ROWS),
      .BANKS (BANKS),
      .ADDR_W(ADDR_W),
      .LINE_W(LINE_W)
  ) turns (
      .clk_i(clk),
      .rst_i(rst),
      .load_i(load),
      .outputs_i({12'd0, n_out}),
      .groups_i({14'd0, groups}),
      .base_i(base),
      .en_i(move),
      .valid_i(valid),
      .last_i(last),
      .address_i(address),
      .negative_i(negative),
      .valid_o(turn_valid),
      .last_o(turn_last),
      .negative_o(turn_negative),
      .bank_o(turn_bank),
      .line_o(turn_line),
      .used_o(turn_used),
      .turn_o(turn),
      .more_o(more)
  );

  hne_expander #(
      .ROWS (ROWS),
      .BANKS(BANKS),
      .WGT_W(WGT_W),
      .LINES(LINES)
  ) dut (
      .clk_i(clk),
      .rst_i(rst),
      .load_i(load),
      .fc_i(fc),
      .ones_i(ones),
      .add_i(add),
      .rows_i({7'd0, rows}),
      .move_o(move),
      .valid_i(turn_valid),
      .last_i(turn_last),
      .negative_i(turn_negative),
      .bank_i(turn_bank),
      .line_i(turn_line),
      .used_i(turn_used),
      .turn_i(turn),
      .more_i(more),
      .release_i(free),
      .read_o(read),
      .line_o(line),
      .word_i(word),
      .write_o(write),
      .write_last_o(write_last),
      .weight_o(weight),
      .conflict_o(conflict),
      .wait_o(waits),
      .hold_o(hold)
  );

  // Weight banks: a bank that is not read shows anything.
  integer b;
  reg [LINE_W-1:0] offset;
  always @(posedge clk) begin
    for (b = 0; b < BANKS; b = b + 1) begin
      offset = line[b*LINE_W+:LINE_W] - base;
      word[b*WGT_W+:WGT_W] <= read[b] ? words[(offset*BANKS+b)*WGT_W+:WGT_W]
                                      : noise[b*WGT_W+:WGT_W];
    end
  end

  // The columns in hne_turns, the one in the expander, and what is to come out in four cycles.
  reg past = 1'b0;
  reg loaded;
  reg [2:0] ahead, ahead_last;
  reg [3*ROWS*ADDR_W-1:0] ahead_address;
  reg [3*ROWS-1:0] ahead_negative;
  reg valid_q, last_q;
  reg [ROWS*ADDR_W-1:0] address_q;
  reg [ROWS-1:0] negative_q;
  reg [ROWS*WGT_W-1:0] weight1, weight2, weight3, weight4, weight0;
  reg [ROWS-1:0] used1, used2, used3, used4, used0;
  reg [3:0] come, come_last;
  // Outputs of the group that are not expanded yet, and groups; that the index source has not
  // offered yet.
  reg [3:0] left, offer;
  reg [1:0] left_groups, offer_groups;
  reg [2:0] halves;
  reg [3:0] age, held;
  reg ones_past = 1'b0;
  always @(posedge clk) ones_past <= past && ones;

  wire done = valid_q && move;
  wire group_done = done && last_q && left <= ROWS;
  wire [1:0] groups_next = left_groups - {1'b0, group_done};
  wire [3:0] left_next = group_done ? (groups_next == 2'd0 ? 4'd0 : n_out)
      : done && last_q ? left - ROWS : left;

  integer r;
  always @* begin
    for (r = 0; r < ROWS; r = r + 1) begin
      used0[r] = r < left;
      weight0[r*WGT_W+:WGT_W] = words[address_q[r*ADDR_W+:ADDR_W]*WGT_W+:WGT_W];
      if (negative_q[r]) weight0[r*WGT_W+:WGT_W] = -weight0[r*WGT_W+:WGT_W];
      if (ones) weight0[r*WGT_W+:WGT_W] = !add || last_q == (r != 0);
    end
  end

  // Words that the busiest bank must read for the column: rows that are the first of their address.
  integer p, q, n;
  reg first;
  reg [3:0] distinct, busiest;
  always @* begin
    busiest = 4'd0;
    for (n = 0; n < BANKS; n = n + 1) begin
      distinct = 4'd0;
      for (p = 0; p < ROWS; p = p + 1) begin
        first = used0[p] && address_q[p*ADDR_W+:ADDR_W] % BANKS == n;
        for (q = 0; q < p; q = q + 1)
          if (address_q[q*ADDR_W+:ADDR_W] == address_q[p*ADDR_W+:ADDR_W]) first = 1'b0;
        if (first) distinct = distinct + 4'd1;
      end
      if (distinct > busiest) busiest = distinct;
    end
  end

  always @* begin
    if (!past) assume (rst && !load);
    // One layer: it is loaded once, behind the reset, before its columns; the index source ends with
    // its row-tiles.
    if (past) assume (!rst && (load || loaded));
    if (loaded) assume (!load);
    if (!loaded) assume (!valid);
    if (offer == 4'd0) assume (!valid);
    assume (n_out != 4'd0 && n_out <= 3 * ROWS && rows != 2'd0 && groups != 2'd0);
    assume (!add || ones);
    // Weights of one are those of one row, of an add of two, and their addresses differ.
    if (ones) assume (n_out == (add ? 4'd2 : 4'd1) && address[0] != address[ADDR_W]);
    if (halves == 3'd0) assume (!free);
  end

  always @(posedge clk) begin
    past <= 1'b1;
    if (rst) {loaded, ahead, valid_q, come, halves, age, held} <= 20'd0;
    else begin
      if (load) loaded <= 1'b1;
      if (move) {valid_q, ahead} <= {ahead, valid && loaded};
      come <= {come[2:0], done};
      halves <= halves + {2'd0, done && last_q && !fc} - {2'd0, free};
      age <= move ? 4'd0 : age + {3'd0, conflict};
      held <= hold ? held + 4'd1 : 4'd0;
    end
    if (load) {left, left_groups} <= {n_out, groups};
    else {left, left_groups} <= {left_next, groups_next};
    if (load) {offer, offer_groups} <= {n_out, groups};
    else if (move && valid && last) begin
      offer <= offer > ROWS ? offer - ROWS : offer_groups == 2'd1 ? 4'd0 : n_out;
      if (offer <= ROWS) offer_groups <= offer_groups - 2'd1;
    end
    if (move) begin
      {last_q, ahead_last} <= {ahead_last, last};
      {address_q, ahead_address} <= {ahead_address, address};
      {negative_q, ahead_negative} <= {ahead_negative, negative};
    end
    come_last <= {come_last[2:0], last_q};
    {weight1, weight2, weight3, weight4} <= {weight0, weight1, weight2, weight3};
    {used1, used2, used3, used4} <= {used0, used1, used2, used3};
  end

  integer i;
  always @(posedge clk) begin
    if (past && loaded) begin
      // None lost, none invented, none out of order.
      assert (write == come[3]);
      if (write) begin
        assert (write_last == come_last[3]);
        for (i = 0; i < ROWS; i = i + 1)
          if (used4[i]) assert (weight[i*WGT_W+:WGT_W] == weight4[i*WGT_W+:WGT_W]);
      end
      // A column is in exactly one of four states, and leaves.
      if (valid_q) assert ({2'd0, move} + {2'd0, conflict} + {2'd0, waits} + {2'd0, hold} == 3'd1);
      else assert (move && !conflict && !waits && !hold);
      // It takes a cycle for each word of the busiest bank, never more than it has rows.
      if (valid_q && !waits) assert (conflict == (age + 4'd1 < busiest));
      assert (age < ROWS);
      assert (!hold || held + 4'd1 < rows);
      // At most two halves of the tile buffer are full, and a column waits for no other reason.
      assert (halves <= 3'd2);
      assert (waits == (valid_q && !fc && halves == 3'd2));
      if (hold) assert (fc && last_q);
      if (ones && ones_past) assert (read == {BANKS{1'b0}});
    end
  end

  always @(posedge clk) begin
    // The worst column; three row-tiles of one column, with a wait; a hold.
    cover (past && write && age == 0 && used4 == {ROWS{1'b1}} && left == 4'd0 && fc);
    cover (past && valid_q && age == ROWS - 1 && move);
    cover (past && waits && free && come[3]);
    cover (past && write && add && write_last && weight[2*WGT_W-1:0] == 4 && groups == 2'd2);
    cover (past && write && groups == 2'd2 && n_out == 4'd4 && left_groups == 2'd0);
    cover (past && held == 4'd1 && hold && rows == 2'd3);
    cover (past && write && used4 == 1 && weight4[WGT_W-1:0] == 1);
  end

endmodule
