`default_nettype none

// hne_turn and hne_act_lanes: of a batch, each lane reads its own pixel of its own image, wherever
// the images stand turned. One pixel of one image is followed: the memory holds 1 where it was
// written and 0 elsewhere, and padding is 0.
module formal_pages #(
    parameter integer COLS = 4,
    parameter integer BATCH = 4,
    parameter integer LINE_W = 2
) (
    input wire                     clk,
    // A step may come in any cycle, for any place.
    input wire                     step,
    input wire signed [       4:0] x,
    input wire                     row_valid,
    input wire        [LINE_W-1:0] line,
    input wire        [       1:0] group
);

  localparam integer LANES = 5;
  localparam integer COLS_W = $clog2(COLS);
  localparam integer PAGE_W = $clog2(BATCH);
  localparam integer PLACE_W = LINE_W + PAGE_W;

  // The layer: it reads one image, or a pixel of all.
  (* anyconst *) reg fc;
  (* anyconst *) reg [7:0] image;
  (* anyconst *) reg [2:0] stride;
  (* anyconst *) reg [4:0] width;
  // The pixel that is followed.
  (* anyconst *) reg [7:0] its_image;
  (* anyconst *) reg [LINE_W-1:0] its_line;
  (* anyconst *) reg [COLS_W-1:0] its_lane;

  wire [3:0] log2_groups = fc ? 4'd0 : stride == 3'd4 ? 4'd2 : stride == 3'd2 ? 4'd1 : 4'd0;
  wire signed [17:0] wide = {{13{x[4]}}, x};
  wire [COLS*PLACE_W-1:0] bank_place;
  wire [COLS-1:0] lane, bank;
  wire read;
  reg [COLS-1:0] word1, word2;

  hne_turn #(
      .LANES(COLS),
      .WIDTH(1),
      .TURNS(BATCH)
  ) turn (
      .turn_i(its_image),
      .line_i({{COLS - 1{1'b0}}, 1'b1} << its_lane),
      .line_o(bank)
  );

  hne_act_lanes #(
      .COLS(COLS),
      .ACT_W(1),
      .LINE_W(LINE_W),
      .BATCH(BATCH)
  ) lanes (
      .clk_i(clk),
      .step_i(step),
      .fc_i(fc),
      .image_i(image),
      .x_i(wide),
      .in_w_i({11'd0, width}),
      .row_valid_i(row_valid),
      .line_i(line),
      .stride_i({1'b0, stride}),
      .fill_i(1'b0),
      .group_i({2'd0, group}),
      .log2_groups_i(log2_groups),
      .read_o(read),
      .bank_place_o(bank_place),
      .bank_word_i(word2),
      .lane_o(lane)
  );

  integer b;
  always @(posedge clk) begin
    word2 <= word1;
    for (b = 0; b < COLS; b = b + 1) begin
      if (read) begin
        word1[b] <= bank[b]
            && bank_place[b*PLACE_W+:PLACE_W] == {its_line, its_image[PAGE_W-1:0]};
      end
    end
  end

  // What follows from the layer takes two cycles.
  reg [1:0] cycle = 2'd0;
  always @(posedge clk) if (cycle != 2'd3) cycle <= cycle + 2'd1;

  always @* begin
    assume (image < BATCH && its_image < BATCH);
    assume (stride != 3'd0 && stride <= 3'd4 && width <= 5'd12);
    assume (!step || cycle == 2'd3);
    assume (x >= -5'sd4);
    assume (group < (2'd1 << log2_groups[0]) || log2_groups == 4'd2);
  end

  // What each lane must hold, LANES cycles after a step that takes it.
  reg [LANES*COLS-1:0] due;
  reg [LANES*COLS-1:0] taken = {LANES * COLS{1'b0}};
  reg [COLS-1:0] due_d, taken_d;
  integer n, m;
  reg signed [17:0] pixel;
  always @* begin
    for (n = 0; n < COLS; n = n + 1) begin
      pixel = fc ? wide : wide + n * $signed({1'b0, stride});
      taken_d[n] = step && ((n << log2_groups) >> COLS_W) == group;
      due_d[n] = row_valid && pixel >= 18'sd0 && pixel < $signed({1'b0, width})
          && (!fc || n < BATCH) && its_image == (fc ? n : image)
          && its_lane == pixel[COLS_W-1:0] && its_line == line + pixel[COLS_W+:LINE_W];
    end
  end

  always @(posedge clk) begin
    due   <= {due[(LANES-1)*COLS-1:0], due_d};
    taken <= cycle == 2'd3 ? {taken[(LANES-1)*COLS-1:0], taken_d} : {LANES * COLS{1'b0}};
    for (m = 0; m < COLS; m = m + 1) begin
      if (taken[(LANES-1)*COLS+m]) assert (lane[m] == due[(LANES-1)*COLS+m]);
    end
    // It is found: by a lane of an fc layer in another bank than its own pixel's, behind a line's
    // end, in the second group of a stride.
    cover (fc && its_image != 0 && taken[(LANES-1)*COLS+:COLS] == {COLS{1'b1}} && lane != 0);
    cover (!fc && image != 0 && stride == 3'd3 && lane[COLS-1] && taken[LANES*COLS-1]);
    cover (!fc && image != 0 && stride == 3'd2 && lane[COLS-1] && taken[LANES*COLS-1]);
  end

endmodule
