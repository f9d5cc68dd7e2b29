`default_nettype none

// hne_slots with its hne_masks, lanes of any codes, halves of the tile buffer filled at any time:
// every slot issues the columns that it must, in order, once for each group of lanes, and no other,
// in exactly the cycles that docs/timing.md says; a half is left with its last column. The shape is
// that of the parameters.
module formal_slots #(
    parameter integer ROWS = 2,
    parameter integer COLS = 2,
    parameter integer SKIP_MASKS = 4,
    // SLOTS_WINDOW as hne_constants.vh has it in this proof.
    parameter integer WINDOW = 2,
    // The layer: a convolution, columns of a window, lane groups of a column as a power of two,
    // pixels of a row, rows, outputs of a group, groups.
    parameter integer CONV = 1,
    parameter integer FAN_IN = 3,
    parameter integer LOG2_GROUPS = 0,
    parameter integer OUT_W = 3,
    parameter integer OUT_H = 1,
    parameter integer OUTPUTS = 4,
    parameter integer GROUPS = 1,
    parameter integer COLUMN_W = 3,
    parameter integer LINE_W = 3
) (
    input wire            clk,
    input wire            write_last,
    input wire [COLS-1:0] lane
);

  localparam integer SELECT = 3;
  localparam integer GAP = 12;
  localparam integer LANES = 5;
  localparam integer X_TILES = (OUT_W + COLS - 1) / COLS;
  localparam integer TILES = X_TILES * OUT_H;
  localparam integer ROW_TILES = (OUTPUTS + ROWS - 1) / ROWS;
  localparam integer EACH = 1 << LOG2_GROUPS;
  localparam integer MOST = OUTPUTS < ROWS ? OUTPUTS : ROWS;
  localparam integer WORDS = (FAN_IN + WINDOW - 1) / WINDOW;
  localparam [0:0] FITS = WORDS * TILES <= SKIP_MASKS;
  localparam [0:0] FINDS = CONV != 0 && ROW_TILES > 1;
  localparam integer LAST_LANES = (OUT_W - 1) % COLS + 1;

  reg [1:0] age = 2'd0;
  wire rst = age == 2'd0;
  wire load = age == 2'd1;
  wire running = age == 2'd2;

  wire look, wrap, issue, replay, group_first, group_last, window_first, opening, group_end;
  wire copy, free, idle, zeros, finished, skip;
  wire [COLUMN_W-1:0] look_column, column;
  wire [3:0] group;
  wire [31:0] skipped;

  hne_slots #(
      .ROWS(ROWS),
      .COLS(COLS),
      .ACT_W(1),
      .SKIP_MASKS(SKIP_MASKS),
      .COLUMN_W(COLUMN_W),
      .LINE_W(LINE_W)
  ) dut (
      .clk_i(clk),
      .rst_i(rst),
      .load_i(load),
      .conv_i(CONV != 0),
      .outputs_i(OUTPUTS[15:0]),
      .groups_i(GROUPS[15:0]),
      .rows_i(MOST[8:0]),
      .fan_in_i(FAN_IN),
      .log2_groups_i(LOG2_GROUPS[3:0]),
      .pixel_tiles_i(TILES[LINE_W-1:0]),
      .x_tiles_i(X_TILES[15:0]),
      .out_w_i(OUT_W[15:0]),
      .write_last_i(write_last),
      .lane_i(lane),
      .look_o(look),
      .look_column_o(look_column),
      .wrap_o(wrap),
      .issue_o(issue),
      .replay_o(replay),
      .column_o(column),
      .group_o(group),
      .group_first_o(group_first),
      .group_last_o(group_last),
      .window_first_o(window_first),
      .opening_o(opening),
      .group_end_o(group_end),
      .copy_o(copy),
      .release_o(free),
      .idle_o(idle),
      .zeros_o(zeros),
      .finished_o(finished),
      .skip_o(skip),
      .skipped_o(skipped)
  );

  // The slot: group, row-tile of it, pixel tile, column that comes next, group of lanes; columns
  // that were issued; cycles; it has begun; the layer's first; the last one is through.
  reg [2:0] set, tile, pixel, done;
  reg [COLUMN_W:0] next;
  reg [1:0] of;
  reg [5:0] cycles;
  reg inside, opens, over;
  // Halves that are full, when they are seen here, and that are not left; row-tiles to be filled;
  // cycles until the first row-tile is found out.
  reg [SELECT-1:0] come;
  reg [1:0] full, halves;
  reg [3:0] to_fill;
  reg [3:0] gap;
  wire replays = FINDS && FITS && tile != 3'd0;
  wire tile_end = tile == ROW_TILES - 1;
  wire pixel_end = pixel == TILES - 1;

  // Which columns of each pixel tile are not 0 in the lanes that count, seen five cycles behind.
  reg [TILES*FAN_IN-1:0] nonzero;
  reg [LANES-1:0] seen;
  reg [LANES*3-1:0] seen_pixel;
  reg [LANES*COLUMN_W-1:0] seen_column;
  wire [2:0] pixel5 = seen_pixel[LANES*3-1-:3];
  wire [COLUMN_W-1:0] column5 = seen_column[LANES*COLUMN_W-1-:COLUMN_W];
  wire [COLS-1:0] counts = pixel5 % X_TILES == X_TILES - 1 ? (1 << LAST_LANES) - 1 : {COLS{1'b1}};

  // Of this slot: its columns, the next one, whether there is one behind, and its cycles.
  wire [FAN_IN-1:0] mine = nonzero[pixel*FAN_IN+:FAN_IN];
  reg [FAN_IN-1:0] keeps;
  reg [COLUMN_W:0] wanted;
  reg there, behind;
  reg [5:0] length, of_word;
  integer j;
  always @* begin
    keeps = mine;
    if (mine == {FAN_IN{1'b0}}) keeps[FAN_IN-1] = 1'b1;
    if (!replays) keeps = {FAN_IN{1'b1}};
    {there, behind} = 2'b00;
    wanted = {COLUMN_W + 1{1'b0}};
    {length, of_word} = 12'd0;
    for (j = 0; j < FAN_IN; j = j + 1) begin
      if (keeps[j] && j >= next) begin
        if (!there) wanted = j[COLUMN_W:0];
        else behind = 1'b1;
        there = 1'b1;
      end
      if (keeps[j]) of_word = of_word + EACH;
      if (j % WINDOW == WINDOW - 1 || j == FAN_IN - 1) begin
        length = length + (of_word == 6'd0 ? 6'd1 : of_word);
        of_word = 6'd0;
      end
    end
    if (length < MOST) length = MOST;
  end

  wire begins = !over && full != 2'd0 && gap == 4'd0;
  wire ends = of == EACH - 1;

  // A cycle and two behind what is told early.
  reg look1, look2, wrap1, wrap_end1, skip1, skip2;
  reg [COLUMN_W-1:0] look_column1, look_column2;
  reg [31:0] skipped1, skipped2;

  always @* begin
    if (!running || to_fill == 4'd0 || halves == 2'd2) assume (!write_last);
  end

  always @(posedge clk) begin
    if (age != 2'd2) age <= age + 2'd1;
    seen_pixel <= {seen_pixel[(LANES-1)*3-1:0], pixel};
    seen_column <= {seen_column[(LANES-1)*COLUMN_W-1:0], column};
    {look2, look_column2, look1, look_column1} <= {look1, look_column1, look, look_column};
    {wrap1, wrap_end1} <= {wrap, group_end};
    {skip2, skipped2, skip1, skipped1} <= {skip1, skipped1, skip, skipped};
    if (!running) begin
      {set, tile, pixel, done, next, of, cycles, inside, over} <= 0;
      {come, full, halves, gap, seen, look1, look2, wrap1, skip1, skip2} <= 0;
      opens <= 1'b1;
      to_fill <= ROW_TILES * GROUPS;
    end else begin
      seen <= {seen[LANES-2:0], issue && group_last && tile == 3'd0};
      if (seen[LANES-1]) nonzero[pixel5*FAN_IN+column5] <= |(lane & counts);
      come <= {come[SELECT-2:0], write_last};
      full <= full + {1'b0, come[SELECT-1]} - {1'b0, free};
      halves <= halves + {1'b0, write_last} - {1'b0, free};
      to_fill <= to_fill - {3'd0, write_last};
      if (gap != 4'd0) gap <= gap - 4'd1;
      if (issue) begin
        of <= ends ? 2'd0 : of + 2'd1;
        if (ends) {next, done} <= {wanted + 1'b1, done + 3'd1};
      end
      if (inside || begins) {inside, cycles} <= {1'b1, cycles + 6'd1};
      if (copy) begin
        {next, done, cycles, of} <= 0;
        opens <= 1'b0;
        // Pixel tiles are back to back.
        inside <= !pixel_end;
        pixel <= pixel_end ? 3'd0 : pixel + 3'd1;
      end
      if (free) begin
        tile <= tile_end ? 3'd0 : tile + 3'd1;
        if (tile_end) set <= set + 3'd1;
        if (tile_end && set == GROUPS - 1) over <= 1'b1;
        if (FINDS && tile == 3'd0) gap <= GAP;
      end
    end
  end

  always @(posedge clk) begin
    if (running) begin
      // A slot begins as soon as it may, and has no other cycles than these.
      assert ({1'b0, issue} + {1'b0, zeros} + {1'b0, idle} == (inside || begins));
      if (issue) begin
        assert (there && {1'b0, column} == wanted && group == of);
        assert (group_first == (of == 0) && group_last == ends);
        assert (replay == replays);
        assert (window_first == (done == 3'd0));
        assert (opening == opens);
        if (!replays) assert (group_end == tile_end);
      end
      if (zeros) assert (replays && of == 2'd0);
      // It is as long as it must be, a drain at least, and leaves no column.
      assert (copy == ((inside || begins) && cycles + 6'd1 == length));
      if (copy) assert (!there || (issue && ends && !behind));
      if (idle) assert (!there);
      // The half is left with the last column of the last pixel tile.
      assert (free == (copy && pixel_end));
      assert (finished == over);
      // A column is looked up two cycles before, a replayed window left a cycle before.
      assert (issue == look2);
      if (issue) assert (column == look_column2);
      assert (wrap1 == (copy && replays));
      if (wrap1) assert (wrap_end1 == tile_end);
      assert (skip2 == (copy && replays));
      if (skip2) assert (skipped2 + done + (issue && ends) == FAN_IN);
    end
  end

  // The last row-tile is through, all columns zeros, all but the first, none.
  reg [5:0] blank, replayed;
  always @(posedge clk) begin
    blank <= running ? blank + zeros : 6'd0;
    replayed <= running ? replayed + (issue && replay) : 6'd0;
    cover (running && over && nonzero == 0);
    cover (running && over && nonzero == 1);
    cover (running && over && nonzero == {TILES * FAN_IN{1'b1}});
    if (FINDS && FITS) cover (running && over && replayed > GROUPS * TILES * EACH);
    if (FINDS && FITS && WORDS > 1) cover (running && over && blank != 6'd0);
  end

endmodule
