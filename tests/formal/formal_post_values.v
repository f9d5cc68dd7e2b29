`default_nettype none

// hne_post with the memories of scale and bias and with hne_lut, as in hne_mac_path: what it writes
// for every row that drains. Of a row: clamp(floor((acc * m + b) / 2^s), lo, hi) with the words of
// its channel, or those of all; of an add: both products and b of the first one; of a lut layer: the
// word of its table; of the last layer: acc + b. So all that a result is made of meets in its lane,
// whatever drains before and behind it.
module formal_post_values #(
    parameter integer COLS = 2,
    parameter integer ACT_W = 2,
    parameter integer ACC_W = 4,
    parameter integer MULT_W = 2,
    parameter integer LUT_TABLES = 2
) (
    input wire clk
);

  localparam integer ROWS = 2;
  localparam integer LINE_W = 4;
  localparam integer CHAN_W = 2;
  localparam integer SHIFT_W = $clog2(ACC_W + MULT_W);
  localparam integer SCALE_W = SHIFT_W + MULT_W;
  localparam integer BIAS_W = ACC_W + MULT_W;
  localparam integer LINES = LUT_TABLES << ACT_W;
  localparam integer TABLE_LINE_W = $clog2(LINES);
  // Cycles from the row that is selected to its result.
  localparam integer STAGES = 8;

  (* anyconst *) reg apart, last, add, shared, lut;
  (* anyconst *) reg [1:0] outputs, groups, pixels;
  (* anyconst *) reg [CHAN_W-1:0] base;
  (* anyconst *) reg [ACT_W-1:0] lo, hi;
  (* anyconst *) reg [5:0] number;
  (* anyconst *) reg [(SCALE_W<<CHAN_W)-1:0] scales;
  (* anyconst *) reg [(BIAS_W<<CHAN_W)-1:0] biases;
  (* anyconst *) reg [LINES*ACT_W-1:0] tables;
  (* anyseq *) reg [ROWS*COLS*ACC_W-1:0] next_shadow;

  // The tables are written, the layer is loaded, it drains.
  reg [3:0] cycle = 4'd0;
  wire fill = cycle < LINES;
  wire load = cycle == LINES;
  wire running = cycle > LINES;

  wire write, logit_write, finish, shadow_row;
  wire [LINE_W-1:0] line;
  wire [CHAN_W-1:0] channel;
  wire [COLS*ACT_W-1:0] code, word, act;
  wire [ACC_W-1:0] logit;
  reg [ROWS*COLS*ACC_W-1:0] shadow;
  reg [SCALE_W-1:0] scale;
  reg [BIAS_W-1:0] bias;

  hne_lut #(
      .COLS(COLS),
      .ACT_W(ACT_W),
      .LUT_TABLES(LUT_TABLES)
  ) u_lut (
      .clk_i(clk),
      .table_i(number),
      .code_i(code),
      .valid_i(1'b0),
      .lut_i(1'b0),
      .word_o(word),
      .mem_we_i(fill),
      .mem_re_i(1'b0),
      .mem_line_i(cycle[TABLE_LINE_W-1:0]),
      .mem_wdata_i(tables[cycle*ACT_W+:ACT_W]),
      .mem_flip_i(8'd0),
      .mem_rdata_o()
  );

  hne_post #(
      .ROWS  (ROWS),
      .COLS  (COLS),
      .ACT_W (ACT_W),
      .ACC_W (ACC_W),
      .MULT_W(MULT_W),
      .LINE_W(LINE_W),
      .CHAN_W(CHAN_W)
  ) dut (
      .clk_i(clk),
      .rst_i(fill),
      .load_i(load),
      .last_layer_i(last),
      .add_i(add),
      .lut_i(lut),
      .shared_i(shared),
      .outputs_i({14'd0, outputs}),
      .groups_i({14'd0, groups}),
      .lo_i(lo),
      .hi_i(hi),
      .away_i(1'b0),
      .zero_i({ACT_W{1'b0}}),
      .out_line_i({LINE_W{1'b0}}),
      .pixel_tiles_i({{LINE_W - 2{1'b0}}, pixels}),
      .channel_base_i(base),
      .shadow_load_i(shadow_load),
      .shadow_row_o(shadow_row),
      .shadow_i(shadow[shadow_row*COLS*ACC_W+:COLS*ACC_W]),
      .channel_o(channel),
      .scale_i(scale),
      .bias_i(bias),
      .code_o(code),
      .word5_i(word),
      .write_o(write),
      .line_o(line),
      .act_o(act),
      .logit_write_o(logit_write),
      .logit_o(logit),
      .end_o(finish)
  );

  // The row that drains: of which group, first output of its tile, pixel.
  reg [1:0] group, start, pixel, row;
  reg active;
  wire [1:0] used = outputs - start > ROWS ? ROWS : outputs - start;
  wire row_last = row == used - 2'd1;
  wire tile_last = start + used == outputs;
  wire drained = active && row_last;
  wire all = group == groups;
  wire final = drained && pixel + 2'd1 == pixels && tile_last && group + 2'd1 == groups;
  wire shadow_load = running && !all && !final && (!active || (row_last && !apart));

  wire [3:0] channels = add ? 4'd2 : shared ? 4'd1 : outputs * groups;
  always @* begin
    assume (outputs != 2'd0 && groups != 2'd0 && pixels != 2'd0);
    assume (groups <= 2'd2 && pixels <= 2'd2 && lo <= hi);
    // The sequencer's promises, as in formal_post; words of all channels are there.
    assume (!last || (pixels == 2'd1 && !add && !lut));
    assume (!add || (outputs == 2'd2 && shared && !lut));
    assume (!shared || add || outputs == 2'd1);
    assume (base + channels <= (1 << CHAN_W) && number < LUT_TABLES);
  end

  always @(posedge clk) begin
    if (!running || load) cycle <= cycle + 4'd1;
    if (!running) {active, group, start, pixel, row} <= 9'd0;
    else begin
      active <= shadow_load || (active && !row_last);
      if (active) row <= row_last ? 2'd0 : row + 2'd1;
      if (drained) begin
        pixel <= pixel + 2'd1 == pixels ? 2'd0 : pixel + 2'd1;
        if (pixel + 2'd1 == pixels) begin
          start <= tile_last ? 2'd0 : start + used;
          if (tile_last) group <= group + 2'd1;
        end
      end
    end
    // The shadow bank stands still while it drains; the memories answer in the next cycle.
    if (shadow_load) shadow <= next_shadow;
    scale <= scales[channel*SCALE_W+:SCALE_W];
    bias  <= biases[channel*BIAS_W+:BIAS_W];
  end

  // What the row must become, in integers that are wide enough for everything.
  wire [CHAN_W-1:0] own = base + (add ? row : shared ? 2'd0 : group * outputs + start + row);
  wire signed [MULT_W-1:0] m = scales[own*SCALE_W+:MULT_W];
  wire [SHIFT_W-1:0] s = scales[own*SCALE_W+MULT_W+:SHIFT_W];
  wire signed [BIAS_W-1:0] b = biases[own*BIAS_W+:BIAS_W];
  localparam signed [11:0] LIMIT = 12'sd1 <<< (BIAS_W - 1);
  wire signed [11:0] low = {{12 - ACT_W{1'b0}}, lo};
  wire signed [11:0] high = {{12 - ACT_W{1'b0}}, hi};
  reg [COLS*ACT_W-1:0] result;
  reg [ACC_W-1:0] value;
  reg signed [11:0] first[0:COLS-1], sum[0:COLS-1], scaled[0:COLS-1];
  reg signed [ACC_W-1:0] acc[0:COLS-1];
  integer n;

  always @* begin
    for (n = 0; n < COLS; n = n + 1) begin
      acc[n] = shadow[(row[0]*COLS+n)*ACC_W+:ACC_W];
      sum[n] = last ? acc[n] + b : acc[n] * m + (add && row == 2'd1 ? first[n] : b);
      // Floor: nothing is lost by the shift of what is a multiple of 2^s.
      scaled[n] = (sum[n] - (sum[n] & ((12'sd1 <<< s) - 12'sd1))) >>> s;
      result[n*ACT_W+:ACT_W] = scaled[n] < low ? lo : scaled[n] > high ? hi : scaled[n];
      if (lut) begin
        result[n*ACT_W+:ACT_W] =
            tables[{number[TABLE_LINE_W-ACT_W-1:0], acc[n][ACT_W-1:0]}*ACT_W+:ACT_W];
      end
      // The compiler's promise: the sum fits. That of the first row of an add is none.
      if (active && !(add && row == 2'd0)) assume (sum[n] >= -LIMIT && sum[n] < LIMIT);
    end
    value = sum[0][ACC_W-1:0];
  end

  reg [STAGES-1:0] due;
  reg [STAGES*COLS*ACT_W-1:0] results;
  reg [STAGES*ACC_W-1:0] values;
  integer k;
  always @(posedge clk) begin
    due <= running ? {due[STAGES-2:0], active && (!add || row == 2'd1)} : {STAGES{1'b0}};
    results <= {results[(STAGES-1)*COLS*ACT_W-1:0], result};
    values <= {values[(STAGES-1)*ACC_W-1:0], value};
    for (k = 0; k < COLS; k = k + 1) first[k] <= sum[k];
    if (running) begin
      assert (write == (due[STAGES-1] && !last) && logit_write == (due[STAGES-1] && last));
      if (write) assert (act == results[(STAGES-1)*COLS*ACT_W+:COLS*ACT_W]);
      if (logit_write) assert (logit == values[(STAGES-1)*ACC_W+:ACC_W]);
    end
  end

  // Whole layers with different results: in lane 0 one more than before.
  reg [3:0] seen;
  wire rising = act[ACT_W-1:0] == seen[ACT_W-1:0] + 1'b1;
  always @(posedge clk) begin
    if (!running) seen <= 4'd0;
    else if (write) seen <= act;
    cover (running && finish && add && write && rising && act[ACT_W-1:0] == 2 && lo == 0 && hi == 3);
    cover (running && finish && lut && write && rising && number == 1 && tables[2*LINES-1:LINES] == 8'h1b);
    cover (running && finish && shared && !add && !lut && write && rising && groups == 2 && act == 4'b0110);
    cover (running && finish && last && logit_write && logit == 4'h8 && outputs == 3);
    cover (running && finish && !shared && !lut && write && rising && outputs == 3 && lo == 0 && hi == 3);
  end

endmodule
