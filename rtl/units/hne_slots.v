`resetall
`timescale 1ns / 1ps
`default_nettype none

// When the array of an engine that skips takes a column, and which one, of all layers but fc (twin:
// hwsim/units/slots.py): pixel tiles of a row-tile back to back, each in a slot that is no shorter
// than a drain. Of a convolution the first row-tile of a group issues every column and remembers
// which were 0 in all lanes; the others issue the rest. A window of columns that all are 0 takes a
// cycle. What is chosen here is issued SLOTS_SELECT cycles later.
module hne_slots #(
    // Array rows: outputs of a row-tile. A constant.
    parameter integer ROWS = 2,
    // Array columns, a power of two: lanes that are looked at.
    parameter integer COLS = 2,
    // Bits of an activation: a lane is compared with 0.
    parameter integer ACT_W = 8,
    // Lines of the memory of what was 0: see hne_masks.
    parameter integer SKIP_MASKS = 4096,
    // Bits of a column's number in the tile buffer.
    parameter integer COLUMN_W = 8,
    // Bits of a line of the activation buffer, and of a number of pixel tiles.
    parameter integer LINE_W = 12
) (
    input  wire                  clk_i,
    input  wire                  rst_i,
    // The cycle before a layer starts that is no fc, and its parameters. conv: it may skip.
    input  wire                  load_i,
    input  wire                  conv_i,
    input  wire [          15:0] outputs_i,
    input  wire [          15:0] groups_i,
    input  wire [           8:0] rows_i,
    input  wire [          31:0] fan_in_i,
    input  wire [           3:0] log2_groups_i,
    input  wire [    LINE_W-1:0] pixel_tiles_i,
    input  wire [          15:0] x_tiles_i,
    input  wire [          15:0] out_w_i,
    // Tile buffer: the last column of a row-tile is written.
    input  wire                  write_last_i,
    // Lanes, five cycles after the issue.
    input  wire [COLS*ACT_W-1:0] lane_i,
    // A column is looked up; a cycle later, a window that was replayed is left.
    output wire                  look_o,
    output wire [  COLUMN_W-1:0] look_column_o,
    output wire                  wrap_o,
    // The issue: its column, group of lanes, whether it stands where the reader does or was looked
    // up; first, last group of it; first column of a window; of the first window of a layer.
    output wire                  issue_o,
    output wire                  replay_o,
    output wire [  COLUMN_W-1:0] column_o,
    output wire [           3:0] group_o,
    output wire                  group_first_o,
    output wire                  group_last_o,
    output wire                  window_first_o,
    output wire                  opening_o,
    // The row-tile is the last one of its group: of the issue, or of the window that is left.
    output wire                  group_end_o,
    // Marker behind the last cycle of a slot; the half is left.
    output wire                  copy_o,
    output wire                  release_o,
    // For the counters: idle cycles of a slot; a window of zeros; all columns are issued; a slot
    // has ended that left out so many.
    output wire                  idle_o,
    output wire                  zeros_o,
    output wire                  finished_o,
    output wire                  skip_o,
    output wire [          31:0] skipped_o
);

  `include "hne_constants.vh"

  localparam integer WINDOW = SLOTS_WINDOW;
  localparam integer WINDOW_W = $clog2(WINDOW);
  localparam [15:0] LAST_COL = COLS[15:0] - 16'd1;
  localparam [4:0] GAP = SLOTS_GAP[4:0];
  // From the issue to what a lane holds.
  localparam integer LANES = ACT_BUFFER_FILL + 1;

  reg active_q, idle_q, first_tile_q, opening_q;
  reg [1:0] full_q;
  reg [4:0] gap_q;
  reg gap_over_q;

  wire [7:0] row_end, next_end;
  wire group_last_tile, layer_last;
  wire over;
  wire records = conv_i && first_tile_q && !group_last_tile;
  wire replay = conv_i && !first_tile_q && !over;
  wire take = active_q && full_q != 2'd0 && !idle_q && gap_over_q;

  // Dense: the column that comes next. Replay: the lowest that is left of a window.
  reg [COLUMN_W-1:0] column_q, last_column_q, words_q, last_word_q, issued_q;
  reg [3:0] group_q, last_group_q;
  reg window_first_q;
  wire [WINDOW-1:0] left;
  reg [WINDOW_W-1:0] lane;
  integer l;

  wire group_last = group_q == last_group_q;
  wire zeros = left == {WINDOW{1'b0}};
  wire single = (left & (left - {{WINDOW - 1{1'b0}}, 1'b1})) == {WINDOW{1'b0}};
  wire valid = take && !(replay && zeros);
  wire word_ends = zeros || (group_last && single);
  wire word_last = words_q == last_word_q;
  wire ends = replay ? word_ends && word_last : group_last && column_q == last_column_q;
  wire [COLUMN_W+WINDOW_W-1:0] looked = {words_q, lane};
  wire [COLUMN_W-1:0] column = replay ? looked[COLUMN_W-1:0] : column_q;
  wire unused_bits = &{1'b0, row_end, next_end, looked, less_wide};

  always @* begin
    lane = {WINDOW_W{1'b0}};
    for (l = WINDOW - 1; l >= 0; l = l - 1) begin
      if (left[l]) lane = l[WINDOW_W-1:0];
    end
  end

  // The slot: cycles left of a drain; pixel tiles left of the map, of this row.
  reg [8:0] room_q;
  reg [LINE_W-1:0] tiles_q;
  reg [15:0] x_q;
  wire roomy = room_q == 9'd0;
  wire slot_last = roomy && (idle_q || (take && ends));
  wire tile_last = slot_last && tiles_q == {{LINE_W - 1{1'b0}}, 1'b1};
  wire x_last = x_q == 16'd1;
  wire [31:0] less = fan_in_i - 32'd1;
  wire [COLUMN_W+31:0] less_wide = {{COLUMN_W{1'b0}}, less};
  wire [COLUMN_W-1:0] one = {{COLUMN_W - 1{1'b0}}, 1'b1};

  hne_row_tiles #(
      .ROWS(ROWS)
  ) u_tiles (
      .clk_i(clk_i),
      .load_i(load_i),
      .outputs_i(outputs_i),
      .groups_i(groups_i),
      .next_i(tile_last),
      .end_o(row_end),
      .next_end_o(next_end),
      .group_last_o(group_last_tile),
      .last_o(layer_last)
  );

  always @(posedge clk_i) begin
    last_column_q <= less_wide[COLUMN_W-1:0];
    last_word_q   <= less_wide[COLUMN_W-1:0] >> WINDOW_W;
    last_group_q  <= (4'd1 << log2_groups_i) - 4'd1;
    if (rst_i) begin
      active_q <= 1'b0;
      idle_q   <= 1'b0;
    end else if (load_i) begin
      active_q <= 1'b1;
      idle_q   <= 1'b0;
    end else begin
      if (tile_last && layer_last) active_q <= 1'b0;
      if (idle_q) idle_q <= !roomy;
      else idle_q <= take && ends && !roomy;
    end
    if (load_i) begin
      full_q       <= 2'd0;
      first_tile_q <= 1'b1;
      opening_q    <= 1'b1;
      gap_q        <= 5'd0;
      gap_over_q   <= 1'b1;
    end else begin
      full_q <= full_q + {1'b0, write_last_i} - {1'b0, tile_last};
      if (slot_last) opening_q <= 1'b0;
      if (gap_q != 5'd0) gap_q <= gap_q - 5'd1;
      if (gap_q == 5'd1) gap_over_q <= 1'b1;
      if (tile_last) begin
        first_tile_q <= group_last_tile;
        if (records) begin
          gap_q      <= GAP;
          gap_over_q <= 1'b0;
        end
      end
    end
    if (load_i || slot_last) begin
      column_q       <= {COLUMN_W{1'b0}};
      words_q        <= {COLUMN_W{1'b0}};
      issued_q       <= {COLUMN_W{1'b0}};
      group_q        <= 4'd0;
      window_first_q <= 1'b1;
      room_q         <= rows_i - 9'd1;
    end else begin
      if ((take || idle_q) && !roomy) room_q <= room_q - 9'd1;
      if (valid) group_q <= group_last ? 4'd0 : group_q + 4'd1;
      if (valid && group_last) begin
        column_q       <= column_q + one;
        issued_q       <= issued_q + one;
        window_first_q <= 1'b0;
      end
      if (take && word_ends) words_q <= words_q + one;
    end
    if (load_i || tile_last) begin
      tiles_q <= pixel_tiles_i;
      x_q     <= x_tiles_i;
    end else if (slot_last) begin
      tiles_q <= tiles_q - {{LINE_W - 1{1'b0}}, 1'b1};
      x_q     <= x_last ? x_tiles_i : x_q - 16'd1;
    end
  end

  // What goes with a choice to its issue.
  localparam integer GOES_W = COLUMN_W + 4 + 15;
  wire [GOES_W-1:0] chosen = {
    column,
    group_q,
    valid,
    replay,
    group_q == 4'd0,
    group_last,
    window_first_q,
    opening_q,
    group_last_tile,
    slot_last,
    tile_last,
    idle_q,
    take && replay && zeros,
    !active_q,
    records,
    x_last,
    ends
  };
  reg [SLOTS_SELECT*GOES_W-1:0] goes_q;
  wire [GOES_W-1:0] looks = goes_q[0+:GOES_W];
  wire [GOES_W-1:0] places = goes_q[GOES_W+:GOES_W];
  wire [GOES_W-1:0] issues = goes_q[(SLOTS_SELECT-1)*GOES_W+:GOES_W];
  wire unused_goes = &{1'b0, looks, places};
  wire record_now, x_last_now, ends_now, finished, valid_now, group_end_now;

  // Nothing that counts may be left of another layer.
  localparam [GOES_W-1:0] FLAGS = {{COLUMN_W + 4{1'b1}}, 15'b011111100000111};

  always @(posedge clk_i) begin
    goes_q <= {goes_q[(SLOTS_SELECT-1)*GOES_W-1:0], chosen};
    if (rst_i || load_i) begin
      goes_q <= {goes_q[(SLOTS_SELECT-1)*GOES_W-1:0], chosen & FLAGS} & {SLOTS_SELECT{FLAGS}};
    end
  end

  assign look_o = looks[14];
  assign look_column_o = looks[GOES_W-1-:COLUMN_W];
  assign wrap_o = places[7] && places[13];
  assign {column_o, group_o} = issues[GOES_W-1:15];
  assign {valid_now, replay_o, group_first_o, group_last_o, window_first_o, opening_o,
          group_end_now, copy_o, release_o, idle_o, zeros_o, finished, record_now, x_last_now,
          ends_now} = issues[14:0];
  assign issue_o = valid_now;
  assign finished_o = finished;
  assign group_end_o = wrap_o ? places[8] : group_end_now;

  // A slot that was replayed.
  reg skip_q;
  reg [31:0] skipped_q;

  assign skip_o = skip_q;
  assign skipped_o = skipped_q;

  wire [COLUMN_W:0] count = {1'b0, issued_q} + {{COLUMN_W{1'b0}}, valid && group_last};

  always @(posedge clk_i) begin
    skip_q    <= slot_last && replay && !rst_i;
    skipped_q <= fan_in_i - {{31 - COLUMN_W{1'b0}}, count};
  end

  // Columns that were issued, and whether one of the lanes that count holds more than 0.
  reg [LANES-1:0] record_q, row_end_q, ends_q;
  reg seen_q, nonzero_q, last_q;
  reg [COLS-1:0] last_lanes_q;
  reg [COLS-1:0] some;
  wire [15:0] last_lane = (out_w_i - 16'd1) & LAST_COL;

  always @* begin
    for (l = 0; l < COLS; l = l + 1) begin
      some[l] = lane_i[l*ACT_W+:ACT_W] != {ACT_W{1'b0}}
          && (!row_end_q[LANES-1] || last_lanes_q[l]);
    end
  end

  always @(posedge clk_i) begin
    for (l = 0; l < COLS; l = l + 1) last_lanes_q[l] <= l[15:0] <= last_lane;
    record_q  <= {record_q[LANES-2:0], valid_now && record_now && group_last_o};
    row_end_q <= {row_end_q[LANES-2:0], x_last_now};
    ends_q    <= {ends_q[LANES-2:0], ends_now};
    seen_q    <= record_q[LANES-1];
    nonzero_q <= |some;
    last_q    <= ends_q[LANES-1];
    if (rst_i || load_i) begin
      record_q <= {LANES{1'b0}};
      seen_q   <= 1'b0;
    end
  end

  hne_masks #(
      .SKIP_MASKS(SKIP_MASKS),
      .WINDOW(WINDOW)
  ) u_masks (
      .clk_i(clk_i),
      .clear_i(load_i || (tile_last && group_last_tile)),
      .seen_i(seen_q),
      .nonzero_i(nonzero_q),
      .last_i(last_q),
      .over_o(over),
      .first_i(gap_q == 5'd3),
      .second_i(gap_q == 5'd2),
      .left_o(left),
      .issue_i(take && replay && !zeros && group_last),
      .through_i(take && replay && word_ends)
  );

endmodule

`resetall
