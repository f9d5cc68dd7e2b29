`default_nettype none

// hne_act_reader and hne_act_lanes: what stands outside of the maps that a layer reads never reaches
// a lane, whatever the window, its padding and the groups, steps back to back or a cycle apart. The
// memory holds 1 outside of them and 0 inside, and padding is 0.
module formal_reader #(
    parameter integer COLS = 2,
    parameter integer LINE_W = 5
) (
    input wire clk
);

  localparam integer LANES = 5;

  (* anyconst *) reg add, apart;
  (* anyconst *) reg [1:0] window_c, height, width, kernel_h, kernel_w, stride_h, stride_w;
  (* anyconst *) reg [1:0] pad_top, pad_left, out_h, out_w, groups, maps;
  (* anyconst *) reg [LINE_W-1:0] in_line, in2_line;
  // What is worked out from the shape, which stands still long before, takes a cycle.
  reg [2:0] cycle = 3'd2;
  wire load = cycle == 3'd3;
  wire running = cycle == 3'd4;

  wire [LINE_W-1:0] row = (width + COLS - 1) / COLS;
  wire [LINE_W-1:0] plane = row * height;
  wire [LINE_W-1:0] second = in2_line - in_line;
  wire [LINE_W-1:0] own = add ? 1 : window_c;
  wire [LINE_W-1:0] lines = own * groups * plane;
  wire parts = stride_w == 2'd2;

  wire signed [17:0] x;
  wire row_valid, group_first, group_last, window_first, window_last, map_last, read;
  wire [LINE_W-1:0] line;
  wire [3:0] group;
  wire [COLS*LINE_W-1:0] bank_line;
  wire [COLS-1:0] lane;
  reg [1:0] map;
  reg [1:0] set;
  wire group_end = map == maps - 2'd1;
  wire finished = set == groups;
  reg waits;
  wire step = running && !finished && !waits;

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
      .in_h_i({14'd0, height}),
      .out_h_i({14'd0, out_h}),
      .window_c_i({14'd0, window_c}),
      .window_w_i({14'd0, kernel_w}),
      .window_h_i({14'd0, kernel_h}),
      .x_tiles_i((out_w + COLS - 1) / COLS),
      .log2_groups_i({3'd0, parts}),
      .in_row_i(row),
      .channel_step_i(add ? second : plane),
      .group_step_i(add ? plane - second : plane),
      .out_step_i(row * stride_h),
      .first_line_i(in_line - row * pad_top),
      .group_end_i(group_end),
      .step_i(step),
      .wrap_i(1'b0),
      .x_o(x),
      .row_valid_o(row_valid),
      .line_o(line),
      .group_o(group),
      .group_first_o(group_first),
      .group_last_o(group_last),
      .window_first_o(window_first),
      .window_last_o(window_last),
      .map_last_o(map_last)
  );

  // Two cycles behind the read: 1 outside of the maps.
  reg [COLS-1:0] word1, word2;
  integer b;
  reg [LINE_W-1:0] at, at2;
  always @(posedge clk) begin
    word2 <= word1;
    for (b = 0; b < COLS; b = b + 1) begin
      at = bank_line[b*LINE_W+:LINE_W] - in_line;
      at2 = bank_line[b*LINE_W+:LINE_W] - in2_line;
      if (read) word1[b] <= at >= lines && (!add || at2 >= lines);
    end
  end

  hne_act_lanes #(
      .COLS  (COLS),
      .ACT_W (1),
      .LINE_W(LINE_W)
  ) lanes (
      .clk_i(clk),
      .step_i(step),
      .fc_i(1'b0),
      .image_i(8'd0),
      .x_i(x),
      .in_w_i({14'd0, width}),
      .row_valid_i(row_valid),
      .line_i(line),
      .stride_i({2'd0, stride_w}),
      .fill_i(1'b0),
      .group_i(group),
      .log2_groups_i({3'd0, parts}),
      .read_o(read),
      .bank_place_o(bank_line),
      .bank_word_i(word2),
      .lane_o(lane)
  );

  always @* begin
    assume (window_c != 0 && window_c != 3 && height != 0 && width != 0 && out_h != 0 && out_w != 0);
    assume (kernel_h != 0 && kernel_w != 0 && kernel_h != 3 && kernel_w != 3);
    assume (stride_h != 0 && stride_w != 0 && stride_h != 3 && stride_w != 3);
    assume (pad_top < kernel_h && pad_left < kernel_w && out_h != 3 && out_w != 3);
    assume (height != 3 && (groups == 1 || window_c == 1 || add));
    assume (groups != 0 && groups != 3 && maps != 0 && maps != 3);
    // Two maps are read in turn, pixel by pixel.
    if (add) assume (window_c == 2 && kernel_h == 1 && kernel_w == 1 && maps == 1);
    // The sequencer's promise: maps lie in the memory.
    assume (in_line + lines <= 16 && in2_line + lines <= 16);
  end

  // Steps that end a column: all lanes of it are there LANES cycles later.
  reg [LANES-1:0] there;
  always @(posedge clk) begin
    if (cycle != 3'd4) cycle <= cycle + 3'd1;
    waits <= step && apart;
    if (!running) {map, set, there} <= {LANES + 4{1'b0}};
    else begin
      there <= {there[LANES-2:0], step && group_last};
      if (step && window_last && map_last) begin
        map <= group_end ? 2'd0 : map + 2'd1;
        if (group_end) set <= set + 2'd1;
      end
      if (there[LANES-1]) assert (lane == {COLS{1'b0}});
    end
  end

  reg [4:0] columns;
  always @(posedge clk) begin
    columns <= running ? columns + {4'd0, there[LANES-1]} : 5'd0;
    // Whole layers: groups with two row-tiles each; two maps; padding on all sides; a stride.
    cover (finished && there == 0 && running && groups == 2 && maps == 2 && plane == 2);
    cover (finished && there == 0 && running && add && groups == 2 && plane == 2 && second != 4);
    cover (finished && there == 0 && running && pad_top == 1 && pad_left == 1 && columns == 8);
    cover (finished && there == 0 && running && stride_w == 2 && stride_h == 2 && out_h == 2 && width == 3);
  end

endmodule
