`default_nettype none

// hne_act_reader and hne_replay: the first row-tile of a group walks its windows, the others look up
// the columns that they want, any of them; both read where the column stands, and a window that was
// looked up leaves the reader where walking it would have. Lines of rows, channels and groups, the
// padding, the strides and the height of the map are any, the loops those of the parameters.
module formal_replay #(
    parameter integer WINDOW_C = 2,
    parameter integer WINDOW_H = 2,
    parameter integer WINDOW_W = 1,
    parameter integer X_TILES = 2,
    parameter integer OUT_H = 2,
    // Row-tiles of a group.
    parameter integer MAPS = 2,
    parameter integer LOG2_GROUPS = 0,
    parameter integer COLS = 2,
    parameter integer LINE_W = 4
) (
    input wire clk,
    // The column is looked up; else it is left out.
    input wire wanted
);

  localparam integer COLUMNS = WINDOW_C * WINDOW_H * WINDOW_W;
  localparam integer EACH = 1 << LOG2_GROUPS;
  localparam integer COLUMN_W = 3;
  // Cycles between the first row-tile of a group and the second, at least SLOTS_SELECT.
  localparam integer GAP = 4;

  (* anyconst *) reg [1:0] stride_w, stride_h, pad_left, pad_top;
  (* anyconst *) reg [2:0] height;
  (* anyconst *) reg [LINE_W-1:0] in_row, channel_step, group_step, out_step, first_line;

  reg [1:0] age = 2'd0;
  wire load = age == 2'd2;
  wire running = age == 2'd3;

  // What is chosen: of this group and row-tile, output row and x-tile the column and lane group.
  reg [1:0] set, map, oy, xt, of;
  reg [COLUMN_W-1:0] column;
  reg [2:0] gap;
  wire replay = map != 2'd0;
  wire choose = running && gap == 3'd0 && set != 2'd2;
  wire column_ends = of == EACH - 1;
  wire slot_ends = column_ends && column == COLUMNS - 1;
  wire row_ends = slot_ends && xt == X_TILES - 1;
  wire map_ends = row_ends && oy == OUT_H - 1;
  wire set_ends = map_ends && map == MAPS - 1;

  // Where that stands.
  wire [3:0] c = column / (WINDOW_H * WINDOW_W);
  wire [3:0] ky = column / WINDOW_W % WINDOW_H;
  wire [3:0] kx = column % WINDOW_W;
  wire signed [17:0] x_at = xt * COLS * stride_w + kx - pad_left;
  wire signed [17:0] y_at = oy * stride_h + ky - pad_top;
  wire inside = y_at >= 18'sd0 && y_at < height;
  wire [LINE_W-1:0] base = first_line + set * (channel_step * (WINDOW_C - 1) + group_step);
  wire [LINE_W-1:0] line_at = base + oy * out_step + c * channel_step + ky * in_row;

  // Three stages to the issue, as in hne_slots.
  reg look, replay1, ends1, set_end1, opens1, inside1;
  reg valid2, replay2, ends2, set_end2, opens2, inside2;
  reg issue, replay3, set_end3, opens3, inside3;
  reg [COLUMN_W-1:0] column1, column2, column3;
  reg [1:0] of1, of2, of3;
  reg signed [17:0] x1, x2, x3;
  reg [LINE_W-1:0] line1, line2, line3;
  wire wrap = replay2 && ends2;
  wire step = issue && !replay3;

  wire signed [17:0] x_first, y_first, y, walked_x, found_x;
  wire walked_valid, found_valid;
  wire [LINE_W-1:0] line_first, walked_line, found_line;
  wire [3:0] group;

  hne_act_reader #(
      .COLS  (COLS),
      .LINE_W(LINE_W)
  ) reader (
      .clk_i(clk),
      .load_i(load),
      .stride_w_i({2'd0, stride_w}),
      .stride_h_i({2'd0, stride_h}),
      .pad_left_i({2'd0, pad_left}),
      .pad_top_i({2'd0, pad_top}),
      .in_h_i({13'd0, height}),
      .out_h_i(OUT_H[15:0]),
      .window_c_i(WINDOW_C[15:0]),
      .window_w_i(WINDOW_W[15:0]),
      .window_h_i(WINDOW_H[15:0]),
      .x_tiles_i(X_TILES[15:0]),
      .log2_groups_i(LOG2_GROUPS[3:0]),
      .in_row_i(in_row),
      .channel_step_i(channel_step),
      .group_step_i(group_step),
      .out_step_i(out_step),
      .first_line_i(first_line),
      .group_end_i(wrap ? set_end2 : set_end3),
      .step_i(step),
      .wrap_i(wrap),
      .x_first_o(x_first),
      .y_first_o(y_first),
      .y_o(y),
      .line_first_o(line_first),
      .x_o(walked_x),
      .row_valid_o(walked_valid),
      .line_o(walked_line),
      .group_o(group)
  );

  hne_replay #(
      .TILE_DEPTH(8),
      .LINE_W(LINE_W)
  ) found (
      .clk_i(clk),
      .write_i(step && opens3),
      .write_column_i(column3),
      .x_i(walked_x),
      .y_i(y),
      .line_i(walked_line),
      .x_first_i(x_first),
      .y_first_i(y_first),
      .line_first_i(line_first),
      .in_h_i({13'd0, height}),
      .look_i(look),
      .look_column_i(column1),
      .x_o(found_x),
      .row_valid_o(found_valid),
      .line_o(found_line)
  );

  always @* assume (stride_w != 2'd0 && stride_h != 2'd0);

  always @(posedge clk) begin
    if (!running) begin
      age <= age + 2'd1;
      {set, map, oy, xt, of, column, gap} <= 0;
      {look, valid2, issue, replay1, replay2, replay3} <= 0;
    end else begin
      if (gap != 3'd0) gap <= gap - 3'd1;
      if (choose) begin
        of <= column_ends ? 2'd0 : of + 2'd1;
        if (column_ends) column <= slot_ends ? 0 : column + 1'b1;
        if (slot_ends) xt <= row_ends ? 2'd0 : xt + 2'd1;
        if (row_ends) oy <= map_ends ? 2'd0 : oy + 2'd1;
        if (map_ends) map <= set_ends ? 2'd0 : map + 2'd1;
        if (set_ends) set <= set + 2'd1;
        if (map_ends && !replay) gap <= GAP;
      end
      {look, replay1} <= {choose && (wanted || !replay), choose && replay};
      {valid2, replay2} <= {look, replay1};
      {issue, replay3} <= {valid2, replay2};
    end
    {ends1, set_end1, opens1} <= {slot_ends, map == MAPS - 1, {set, map, oy, xt} == 8'd0};
    {ends2, set_end2, opens2} <= {ends1, set_end1, opens1};
    {set_end3, opens3} <= {set_end2, opens2};
    {column1, of1, x1, inside1, line1} <= {column, of, x_at, inside, line_at};
    {column2, of2, x2, inside2, line2} <= {column1, of1, x1, inside1, line1};
    {column3, of3, x3, inside3, line3} <= {column2, of2, x2, inside2, line2};
  end

  always @(posedge clk) begin
    if (running && issue && replay3) begin
      assert (found_x == x3 && found_valid == inside3 && found_line == line3);
    end
    if (running && step) begin
      assert (walked_x == x3 && walked_valid == inside3 && walked_line == line3);
      assert (group == of3);
    end
  end

  // Whole layers, in the second group what was looked up, and where nothing was at first.
  reg some;
  always @(posedge clk) begin
    some <= running && (some || (issue && replay3));
    cover (running && set == 2'd2 && issue && replay3 && in_row == 1 && channel_step == 3);
    cover (running && set == 2'd2 && !look && !valid2 && !issue && !some);
    cover (running && set == 2'd1 && issue && replay3 && !inside3 && pad_top == 1);
  end

endmodule
