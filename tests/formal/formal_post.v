`default_nettype none

// hne_post: where it writes. Every line of the output map once, no other line, the last one marked;
// a logit for each output; scale and bias of the right channel for every row, whatever the row-tiles,
// the groups and the pixels, with drains back to back or a cycle apart.
module formal_post #(
    parameter integer ROWS = 2,
    parameter integer LINE_W = 5,
    parameter integer CHAN_W = 4
) (
    input wire clk
);

  (* anyconst *) reg apart;

  (* anyconst *) reg last, add, shared;
  (* anyconst *) reg [1:0] outputs, groups, pixels;
  (* anyconst *) reg [LINE_W-1:0] first;
  (* anyconst *) reg [CHAN_W-1:0] base;
  reg [1:0] cycle = 2'd0;
  wire load = cycle == 2'd1;
  wire running = cycle == 2'd2;

  wire write, logit_write, finish;
  wire [LINE_W-1:0] line;
  wire [CHAN_W-1:0] channel;
  wire shadow_row;
  (* anyseq *) reg [1:0] shadow;
  (* anyseq *) reg [3:0] scale, bias;
  wire act, word;
  wire [1:0] logit;

  hne_post #(
      .ROWS  (ROWS),
      .COLS  (1),
      .ACT_W (1),
      .ACC_W (2),
      .MULT_W(2),
      .LINE_W(LINE_W),
      .CHAN_W(CHAN_W)
  ) dut (
      .clk_i(clk),
      .rst_i(cycle == 2'd0),
      .load_i(load),
      .last_layer_i(last),
      .add_i(add),
      .lut_i(1'b0),
      .shared_i(shared),
      .outputs_i({14'd0, outputs}),
      .groups_i({14'd0, groups}),
      .lo_i(1'b0),
      .hi_i(1'b1),
      .away_i(1'b0),
      .zero_i(1'b0),
      .out_line_i(first),
      .pixel_tiles_i({{LINE_W - 2{1'b0}}, pixels}),
      .channel_base_i(base),
      .shadow_load_i(shadow_load),
      .shadow_row_o(shadow_row),
      .shadow_i(shadow),
      .channel_o(channel),
      .scale_i(scale),
      .bias_i(bias),
      .code_o(word),
      .word5_i(1'b0),
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
  // Channels are a cycle early.
  reg [CHAN_W-1:0] read;
  wire [1:0] used = outputs - start > ROWS ? ROWS : outputs - start;
  wire row_last = row == used - 2'd1;
  wire tile_last = start + used == outputs;
  wire drained = active && row_last;
  wire all = group == groups;

  always @* begin
    assume (outputs != 2'd0 && groups != 2'd0 && pixels != 2'd0 && groups <= 2'd2 && pixels <= 2'd2);
    // The sequencer's promises: logits are one line a channel, an add has two rows, and only layers
    // of one or two rows share their words.
    assume (!last || (pixels == 2'd1 && !add));
    assume (!add || (outputs == 2'd2 && shared));
    assume (!shared || add || outputs == 2'd1);
  end

  // A slot is no shorter than a drain, and there are as many as tiles and pixels.
  wire final = drained && pixel + 2'd1 == pixels && tile_last && group + 2'd1 == groups;
  wire shadow_load = running && !all && !final && (!active || (row_last && !apart));

  always @(posedge clk) begin
    read <= channel;
    if (cycle != 2'd2) cycle <= cycle + 2'd1;
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
  end

  // By then the longest layer has drained.
  reg [4:0] age;
  wire late = age == 5'd30;

  // Lines of the map that are written; more than there are is wrong, too.
  wire [LINE_W-1:0] count = add ? groups * pixels : outputs * groups * pixels;
  reg [15:0] done;
  reg ended;
  wire [LINE_W-1:0] place = line - first;
  wire [15:0] whole = (16'd1 << count) - 16'd1;
  reg [LINE_W-1:0] logits;

  always @(posedge clk) begin
    if (!running) {done, ended, logits, age} <= {LINE_W + 22{1'b0}};
    else begin
      if (!late) age <= age + 5'd1;
      if (late) assert (ended);
      done <= done | ({15'd0, write} << place);
      if (logit_write) logits <= logits + 1'b1;
      if (finish) ended <= 1'b1;
      assert (!(write && logit_write) && (!write || !last) && (!logit_write || last));
      if (write || logit_write) assert (!ended);
      if (write) assert (place < count && !done[place[3:0]]);
      if (write) assert (finish == ((done | 16'd1 << place) == whole));
      if (logit_write) assert (finish == (logits + 1'b1 == count));
      if (finish) assert (write || logit_write);
      if (active) begin
        assert (shadow_row == row[0]);
        if (add) assert (read == base + row);
        else if (shared) assert (read == base);
        else assert (read == base + group * outputs + start + row);
      end
    end
  end

  always @(posedge clk) begin
    cover (running && finish && outputs == 2'd3 && groups == 2'd2 && pixels == 2'd1);
    cover (running && finish && add && groups == 2'd2 && pixels == 2'd2);
    cover (running && finish && last && outputs == 2'd3 && groups == 2'd2);
    cover (running && finish && shared && !add && groups == 2'd2 && pixels == 2'd2);
  end

endmodule
