`default_nettype none

// hne_masks: what it finds out of the columns that it sees, it shows in the replays: each column
// that is not 0, and the last one of a pixel tile of zeros, and no other, word by word and again
// from the first. One bit of one word is followed, any of them; the others are let go of one by one.
module formal_masks #(
    parameter integer SKIP_MASKS = 3,
    parameter integer WINDOW = 2
) (
    input wire clk,
    input wire clear,
    input wire seen,
    input wire nonzero,
    input wire first,
    // The array takes a cycle of a column, of its last group of lanes.
    input wire take,
    input wire group_last
);

  localparam integer BIT_W = $clog2(WINDOW);

  // Columns of a pixel tile.
  (* anyconst *) reg [2:0] fan_in;
  (* anyconst *) reg [2:0] word;
  (* anyconst *) reg [BIT_W-1:0] lane;

  // Seen since the clear: words, the place in the word, the column of the pixel tile; whether one of
  // it was not 0; of the one that is followed, whether it is to be shown.
  reg past = 1'b0;
  reg [2:0] words, column;
  reg [BIT_W-1:0] at;
  reg any, kept, met;
  // Behind the first read: the second; replaying, this word, what of it was let go of.
  reg second, replaying;
  reg [2:0] now;
  reg [WINDOW-1:0] gone;
  reg [1:0] rounds;

  (* hierconn *) wire \dut.u_ram.we_i ;
  (* hierconn *) wire \dut.u_ram.re_i ;
  (* hierconn *) wire [$clog2(SKIP_MASKS)-1:0] \dut.u_ram.waddr_i ;
  (* hierconn *) wire [$clog2(SKIP_MASKS)-1:0] \dut.u_ram.raddr_i ;

  wire last = column == fan_in - 3'd1;
  wire over;
  wire [WINDOW-1:0] left;
  wire zeros = left == {WINDOW{1'b0}};
  wire single = (left & (left - 1'b1)) == {WINDOW{1'b0}};
  wire taken = take && replaying;
  wire through = taken && (zeros || (group_last && single));
  wire issue = taken && !zeros && group_last;

  hne_masks #(
      .SKIP_MASKS(SKIP_MASKS),
      .WINDOW(WINDOW)
  ) dut (
      .clk_i(clk),
      .clear_i(clear),
      .seen_i(seen),
      .nonzero_i(nonzero),
      .last_i(last),
      .over_o(over),
      .first_i(first),
      .second_i(second),
      .left_o(left),
      .issue_i(issue),
      .through_i(through)
  );

  always @* begin
    assume (fan_in != 3'd0 && fan_in <= 3'd5);
    if (!past) assume (clear);
    // hne_slots: all is seen, then the first words are read, from the next cycle on; nothing is
    // replayed of what did not fit.
    if (clear) assume (!seen && !first && !take);
    if (second || replaying) assume (!seen && !first);
    if (first) assume (!seen && words != 3'd0 && column == 3'd0);
    if (over) assume (!first);
    // The first row-tile of a group is found out within so many words.
    assume (words <= SKIP_MASKS + 2);
  end

  integer b;
  always @(posedge clk) begin
    past <= 1'b1;
    if (clear) begin
      {words, column, any, met, second, replaying, rounds} <= 13'd0;
      at <= {BIT_W{1'b0}};
      // What is not there is not shown.
      kept <= 1'b0;
    end else begin
      if (seen) begin
        column <= last ? 3'd0 : column + 3'd1;
        any <= !last && (any || nonzero);
        at <= last ? {BIT_W{1'b0}} : at + 1'b1;
        if (last || at == WINDOW - 1) words <= words + 3'd1;
        if (words == word && at == lane) begin
          met <= 1'b1;
          kept <= nonzero || (last && !any);
        end
      end
      second <= first;
      if (second) begin
        replaying <= 1'b1;
        now <= 3'd0;
        gone <= {WINDOW{1'b0}};
      end
      if (issue) gone <= gone | (left & ~(left - 1'b1));
      if (through) begin
        gone <= {WINDOW{1'b0}};
        now <= now + 3'd1 == words ? 3'd0 : now + 3'd1;
        if (now + 3'd1 == words && rounds != 2'd3) rounds <= rounds + 2'd1;
      end
    end
  end

  always @(posedge clk) begin
    if (past && !clear) begin
      // Whether it fits, from the cycle behind the last column on.
      assert (over == (words > SKIP_MASKS));
      // Never past the end; what is read was written before.
      if (\dut.u_ram.we_i ) assert (\dut.u_ram.waddr_i < SKIP_MASKS);
      if (\dut.u_ram.re_i ) assert (\dut.u_ram.raddr_i < words && !seen);
      if (replaying && now == word) begin
        assert (left[lane] == (kept && !gone[lane]));
      end
    end
  end

  always @(posedge clk) begin
    // A full memory, replayed twice; one word; a pixel tile of zeros; too many words; a clear behind
    // it all.
    cover (past && replaying && words == SKIP_MASKS && rounds == 2'd2 && fan_in == 3'd5);
    cover (past && replaying && words == 3'd1 && rounds == 2'd2 && met && kept);
    cover (past && replaying && zeros && now == 3'd1 && taken && word == 3'd2 && fan_in == 3'd5);
    cover (past && over && words == SKIP_MASKS + 1);
    cover (past && clear && replaying && rounds == 2'd1 && words == 3'd2);
  end

endmodule
