`default_nettype none

// hne_skip on any codes of an input map: what is listed is every code that is not 0, once, ascending, with its
// position; entries may be taken in exactly the cycles that docs/timing.md says, the last one is
// marked, in row-tile after row-tile; the array is told the code of each column that it issues.
module formal_skip #(
    parameter integer COLS = 2,
    parameter integer ACT_W = 1,
    // Of the map: rows of all channels together, codes of a row, its first line.
    parameter integer HEIGHT = 2,
    parameter integer WIDTH = 3,
    parameter integer FIRST = 1,
    parameter integer SKIP_COLUMNS = HEIGHT * WIDTH,
    parameter integer LINE_W = 3,
    parameter integer COLUMN_W = $clog2(SKIP_COLUMNS)
) (
    input wire clk,
    input wire rst,
    input wire load,
    input wire want,
    input wire issue
);

  // From the load to the first entry: SKIP_SCAN, a cycle later.
  localparam integer SCAN = 4;
  // From an issue to its code.
  localparam integer LANES = 5;

  localparam [LINE_W-1:0] ROW_LINES = (WIDTH + COLS - 1) / COLS;
  localparam [LINE_W-1:0] LINES = ROW_LINES * HEIGHT;
  localparam [COLUMN_W:0] FAN_IN = HEIGHT * WIDTH;

  // What the memory holds; what it shows if nobody reads.
  (* anyconst *) reg [(COLS*ACT_W<<LINE_W)-1:0] memory;
  (* anyseq *) reg [COLS*ACT_W-1:0] noise;

  wire read, ready, last;
  wire [LINE_W-1:0] line;
  wire [COLUMN_W-1:0] position;
  wire [ACT_W-1:0] code;
  wire [31:0] skipped;
  wire issue_last;
  reg [COLS*ACT_W-1:0] word1, word2;
  reg past = 1'b0;
  // Since the load; before it nothing is under way.
  reg loaded = 1'b0;
  wire take = want && ready && loaded;

  hne_skip #(
      .COLS(COLS),
      .ACT_W(ACT_W),
      .SKIP_COLUMNS(SKIP_COLUMNS),
      .LINE_W(LINE_W)
  ) dut (
      .clk_i(clk),
      .rst_i(rst),
      .load_i(load),
      .line_i(FIRST[LINE_W-1:0]),
      .lines_i({{32 - LINE_W{1'b0}}, LINES}),
      .row_lines_i({{16 - LINE_W{1'b0}}, ROW_LINES}),
      .in_w_i(WIDTH[15:0]),
      .fan_in_i({{31 - COLUMN_W{1'b0}}, FAN_IN}),
      .read_o(read),
      .line_o(line),
      .word_i(word2),
      .ready_o(ready),
      .last_o(last),
      .take_i(take),
      .position_o(position),
      .issue_i(issue),
      .issue_last_i(issue_last),
      .code_o(code),
      .skipped_o(skipped)
  );

  (* hierconn *) wire \dut.asking_q ;
  (* hierconn *) wire \dut.enter_q ;
  (* hierconn *) wire \dut.over_q ;
  (* hierconn *) wire [1:0] \dut.way_q ;
  (* hierconn *) wire [2:0] \dut.used_q ;
  (* hierconn *) wire [2:0] \dut.there_q ;

  // The activation buffer, read where it is asked.
  always @(posedge clk) begin
    word1 <= read ? memory[line*COLS*ACT_W+:COLS*ACT_W] : noise;
    word2 <= word1;
  end

  // Codes by position; the list of those that are not 0, and how many there are of each line.
  reg [ACT_W*FAN_IN-1:0] codes;
  reg [(COLUMN_W+1)*FAN_IN-1:0] list, list_d;
  reg [(COLUMN_W+1)*LINES-1:0] of_line, of_line_d;
  reg [COLUMN_W:0] count, count_d;
  integer p, line_of;
  always @* begin
    list_d = {(COLUMN_W + 1) * FAN_IN{1'b0}};
    of_line_d = {(COLUMN_W + 1) * LINES{1'b0}};
    count_d = {COLUMN_W + 1{1'b0}};
    for (p = 0; p < FAN_IN; p = p + 1) begin
      line_of = p / WIDTH * ROW_LINES + p % WIDTH / COLS;
      codes[p*ACT_W+:ACT_W] = memory[((FIRST+line_of)*COLS+p%WIDTH%COLS)*ACT_W+:ACT_W];
      if (codes[p*ACT_W+:ACT_W] != {ACT_W{1'b0}}) begin
        list_d[count_d*(COLUMN_W+1)+:COLUMN_W+1] = p[COLUMN_W:0];
        count_d = count_d + 1'b1;
        of_line_d[line_of*(COLUMN_W+1)+:COLUMN_W+1] =
            of_line_d[line_of*(COLUMN_W+1)+:COLUMN_W+1] + 1'b1;
      end
    end
  end
  // Worked out once, before the layer.
  always @(posedge clk) if (!past) {list, of_line, count} <= {list_d, of_line_d, count_d};
  wire [COLUMN_W:0] entries = count == 0 ? 1 : count;

  // docs/timing.md: a line takes a cycle for each of its codes that is not 0, and one if there is
  // none. Cycles since the load; the line that is looked at, how many of its codes are entered, and
  // are known in all; the scan is over, and was in the cycle before.
  reg [2:0] waited;
  reg [LINE_W-1:0] looked;
  reg [COLUMN_W:0] here, known;
  reg over, ended;
  wire [COLUMN_W:0] nonzero = of_line[looked*(COLUMN_W+1)+:COLUMN_W+1];
  wire scanning = loaded && waited == SCAN && looked != LINES;
  wire line_ends = here + 1'b1 >= nonzero;

  // What was taken of this row-tile, what was issued, and how many row-tiles ahead the index source
  // is; five cycles of codes.
  reg [COLUMN_W:0] taken, issued;
  reg [1:0] ahead;
  reg take1, last1;
  reg [COLUMN_W:0] position1;
  reg [LANES-1:0] come;
  reg [LANES*ACT_W-1:0] due;
  wire [COLUMN_W:0] place = count == 0 ? 0 : list[issued*(COLUMN_W+1)+:COLUMN_W+1];

  assign issue_last = issued + 1'b1 == entries;

  always @* begin
    if (!past) assume (rst);
    // One layer: it is loaded behind a reset; the rest of the state may be any.
    assume (load == (past && !rst && !loaded));
    if (loaded) assume (!rst);
    // A column is issued after it was taken.
    if (!loaded || (ahead == 2'd0 && issued >= taken)) assume (!issue);
    if (ahead == 2'd2) assume (!want);
  end

  always @(posedge clk) begin
    past <= 1'b1;
    if (load) begin
      loaded <= 1'b1;
      waited <= 3'd0;
      {looked, here, known, over, ended} <= 0;
      {taken, issued, ahead, take1, come} <= 0;
    end else if (loaded) begin
      if (waited != SCAN) waited <= waited + 3'd1;
      // The entry is written in this cycle, and is known in the next.
      if (scanning) begin
        here <= line_ends ? 0 : here + 1'b1;
        if (line_ends) looked <= looked + 1'b1;
        if (nonzero != 0) known <= known + 1'b1;
      end
      over <= looked == LINES && waited == SCAN;
      ended <= over;
      if (take) taken <= last ? 0 : taken + 1'b1;
      if (issue) issued <= issue_last ? 0 : issued + 1'b1;
      ahead <= ahead + {1'b0, take && last} - {1'b0, issue && issue_last};
      take1 <= take;
      come <= {come[LANES-2:0], issue};
    end
    position1 <= count == 0 ? 0 : list[taken*(COLUMN_W+1)+:COLUMN_W+1];
    last1 <= last;
    due <= {due[(LANES-1)*ACT_W-1:0], count == 0 ? {ACT_W{1'b0}} : codes[place*ACT_W+:ACT_W]};
  end

  wire complete = count == 0 ? ended : over;
  always @(posedge clk) begin
    if (loaded) begin
      if (read) assert (line >= FIRST && {1'b0, line} < FIRST + LINES);
      // Exactly when it is known whether it is the last one.
      assert (ready == (complete || taken + 1'b1 < known));
      if (ready) assert (last == (taken + 1'b1 == entries));
      if (take1) assert ({1'b0, position} == position1);
      if (come[LANES-1]) assert (code == due[(LANES-1)*ACT_W+:ACT_W]);
      // The counter hears what the row-tile does not have.
      if (issue && issue_last) assert (skipped == FAN_IN - entries);
      // When a unit is through, nothing is under way that the next layer could meet.
      if (complete && ended) begin
        assert (!read && !\dut.asking_q && \dut.used_q == 0 && \dut.there_q == 0);
        assert (\dut.way_q == 0 && !\dut.enter_q && !\dut.over_q );
      end
    end
  end

  always @(posedge clk) begin
    // A full list; an empty one; one that is taken while it is made; row-tiles ahead of the array.
    cover (loaded && take1 && last1 && count == FAN_IN && over);
    cover (loaded && count == 0 && come[LANES-1] && taken == 0 && ahead == 2'd1);
    cover (loaded && count == 3 && take1 && last1 && ahead == 2'd2);
    cover (loaded && known == 2 && take && !complete);
  end

endmodule
