`resetall
`timescale 1ns / 1ps
`default_nettype none

// From columns of weights and activations to lines of the output map or logits: MAC control, MAC
// array, post with its scale and bias memories, and the tables of lut layers.
module hne_mac_path #(
    // Array rows: output channels computed at once, COLS cells each.
    parameter integer ROWS = 2,
    // Array columns: output pixels computed at once, ROWS cells and a lane of post each.
    parameter integer COLS = 2,
    // Bits of an activation: of multipliers and of what post clamps to.
    parameter integer ACT_W = 8,
    // Bits of a weight: of multipliers.
    parameter integer WGT_W = 8,
    // Bits of an accumulator: of cells, of post's products and of a bias.
    parameter integer ACC_W = 32,
    // Bits of a requantization multiplier: of post's products, of a scale word and of a bias.
    parameter integer MULT_W = 16,
    // Lines of the scale and bias memories.
    parameter integer CHAN_DEPTH = 512,
    // 1: layers that add two maps.
    parameter integer ADD = 1,
    // Tables of lut layers, 0 for none: a memory for each lane; codes of up to 8 bits only.
    parameter integer LUT_TABLES = 4,
    // 1: layers that round twice: see hne_post_lane.
    parameter integer REQUANTIZATION = 0,
    // 1: the columns of an fc layer may come from a list, and some of a convolution be left out.
    parameter integer SKIP = 0,
    // Logits that leave at once: see hne_post.
    parameter integer BATCH = 1,
    // Words of which ones: see hne_masks.
    parameter integer SKIP_MASKS = 4096,
    // Bits of a column's number in the tile buffer.
    parameter integer COLUMN_W = 8,
    // 0: words without check bits, 1: parity, 2: one flipped bit is corrected: see hne_ecc_ram.
    parameter integer ECC = 0,
    // Folder of initial words, "" for none: see hne_ram.
    parameter INIT_DIR = "",
    // Bits of a line of the activation buffer: of post's place in the output map.
    parameter integer LINE_W = 12,
    // Bits of a scale word {s, m}. Follows from ACC_W and MULT_W: leave it.
    parameter integer SCALE_W = $clog2(ACC_W + MULT_W) + MULT_W,
    // Bits of a bias. Follows from ACC_W and MULT_W: leave it.
    parameter integer BIAS_W = ACC_W + MULT_W
) (
    input  wire                  clk_i,
    input  wire                  rst_i,
    // The cycle before a conv or fc layer starts, and its parameters.
    input  wire                  load_i,
    input  wire                  fc_i,
    input  wire                  list_i,
    input  wire                  conv_i,
    input  wire                  last_layer_i,
    input  wire                  add_i,
    input  wire                  lut_i,
    input  wire                  shared_i,
    input  wire [           5:0] table_i,
    input  wire [          15:0] outputs_i,
    input  wire [          15:0] groups_i,
    input  wire [     ACT_W-1:0] lo_i,
    input  wire [     ACT_W-1:0] hi_i,
    input  wire                  away_i,
    input  wire [     ACT_W-1:0] zero_i,
    input  wire [           8:0] idle_i,
    input  wire [           8:0] rows_i,
    input  wire [          31:0] fan_in_i,
    input  wire [           3:0] log2_groups_i,
    input  wire [          15:0] x_tiles_i,
    input  wire [          15:0] out_w_i,
    input  wire [    LINE_W-1:0] out_line_i,
    input  wire [    LINE_W-1:0] pixel_tiles_i,
    input  wire [          31:0] channel_base_i,
    // Tile buffer: a column is written; the last one of a row-tile; the half is left.
    input  wire                  expanded_i,
    input  wire                  expanded_last_i,
    output wire                  release_o,
    // A step of the activation reader, the next one where nothing is skipped, and what it is; its
    // weights come a cycle later, lanes five. The row-tile is the last one of its group.
    output wire                  issue_o,
    output wire                  issue_next_o,
    output wire                  group_end_o,
    input  wire                  group_first_i,
    input  wire                  group_last_i,
    output wire                  group_first_o,
    output wire                  group_last_o,
    // The column; it is of a layer's first window; it was looked up, and is read for this group of
    // lanes. A column is looked up two cycles before; a window of such columns is left.
    output wire [  COLUMN_W-1:0] column_o,
    output wire                  opening_o,
    output wire                  replay_o,
    output wire [           3:0] replay_group_o,
    output wire                  look_o,
    output wire [  COLUMN_W-1:0] look_column_o,
    output wire                  wrap_o,
    input  wire                  window_first_i,
    input  wire                  window_last_i,
    output wire                  window_last_o,
    input  wire                  map_last_i,
    input  wire [ROWS*WGT_W-1:0] weight_i,
    input  wire [COLS*ACT_W-1:0] lane_i,
    // One line of the output map, or one logit of each image; the last result of the layer.
    output wire                  write_o,
    output wire [    LINE_W-1:0] line_o,
    output wire [COLS*ACT_W-1:0] act_o,
    output wire                  logit_write_o,
    output wire [BATCH*ACC_W-1:0] logit_o,
    output wire                  end_o,
    // For the counters.
    output wire                  idle_o,
    output wire                  finished_o,
    output wire                  zeros_o,
    output wire                  skip_o,
    output wire [          31:0] skipped_o,
    // A word of scale, bias or a table is wrong.
    output wire [           1:0] wrong_o,
    // Memory bus, while idle.
    input  wire                  mem_scale_we_i,
    input  wire                  mem_bias_we_i,
    input  wire                  mem_lut_we_i,
    input  wire                  mem_re_i,
    input  wire [          31:0] mem_line_i,
    input  wire [          63:0] mem_wdata_i,
    input  wire [           7:0] mem_flip_i,
    output wire [   SCALE_W-1:0] mem_scale_o,
    output wire [    BIAS_W-1:0] mem_bias_o,
    output wire [     ACT_W-1:0] mem_lut_o
);

  localparam integer CHAN_W = (CHAN_DEPTH > 1) ? $clog2(CHAN_DEPTH) : 1;
  localparam integer ROW_W = (ROWS > 1) ? $clog2(ROWS) : 1;
  localparam integer LUT = (LUT_TABLES > 0 && ACT_W <= 8) ? 1 : 0;

  wire copy, shadow_load;
  wire [ROW_W-1:0] shadow_row;
  wire [COLS*ACC_W-1:0] shadow;
  wire [CHAN_W-1:0] channel;
  wire channel_valid, code_valid, wrong_scale, wrong_bias;
  // The memories are read a cycle before their words are due.
  reg [1:0] wrong_q;
  wire [COLS*ACT_W-1:0] code, word;
  wire unused_bits = &{1'b0, channel_base_i, mem_line_i, mem_wdata_i};

  wire window_first, fc_first, fc_issue, fc_copy, fc_release, fc_idle, fc_finished, fc_group_end;
  // On an engine that skips, hne_slots has all layers but fc.
  wire control_load = load_i && (SKIP == 0 || fc_i);

  hne_mac_control #(
      .ROWS(ROWS),
      .SKIP(SKIP)
  ) u_control (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(control_load),
      .fc_i(fc_i),
      .list_i(list_i),
      .outputs_i(outputs_i),
      .groups_i(groups_i),
      .idle_i(idle_i),
      .write_i(expanded_i),
      .write_last_i(expanded_last_i),
      .window_first_i(window_first_i),
      .window_last_i(window_last_i),
      .map_last_i(map_last_i),
      .window_first_o(fc_first),
      .window_last_o(window_last_o),
      .group_end_o(fc_group_end),
      .issue_o(fc_issue),
      .issue_next_o(issue_next_o),
      .copy_o(fc_copy),
      .release_o(fc_release),
      .idle_o(fc_idle),
      .finished_o(fc_finished)
  );

  generate
    if (SKIP != 0) begin : gen_slots
      wire issue, group_first, group_last, first, group_end, slot_copy, slot_release, idle;
      wire finished;

      hne_slots #(
          .ROWS(ROWS),
          .COLS(COLS),
          .ACT_W(ACT_W),
          .SKIP_MASKS(SKIP_MASKS),
          .COLUMN_W(COLUMN_W),
          .LINE_W(LINE_W)
      ) u_slots (
          .clk_i(clk_i),
          .rst_i(rst_i),
          .load_i(load_i && !fc_i),
          .conv_i(conv_i),
          .outputs_i(outputs_i),
          .groups_i(groups_i),
          .rows_i(rows_i),
          .fan_in_i(fan_in_i),
          .log2_groups_i(log2_groups_i),
          .pixel_tiles_i(pixel_tiles_i),
          .x_tiles_i(x_tiles_i),
          .out_w_i(out_w_i),
          .write_last_i(expanded_i && expanded_last_i),
          .lane_i(lane_i),
          .look_o(look_o),
          .look_column_o(look_column_o),
          .wrap_o(wrap_o),
          .issue_o(issue),
          .replay_o(replay_o),
          .column_o(column_o),
          .group_o(replay_group_o),
          .group_first_o(group_first),
          .group_last_o(group_last),
          .window_first_o(first),
          .opening_o(opening_o),
          .group_end_o(group_end),
          .copy_o(slot_copy),
          .release_o(slot_release),
          .idle_o(idle),
          .zeros_o(zeros_o),
          .finished_o(finished),
          .skip_o(skip_o),
          .skipped_o(skipped_o)
      );

      assign window_first = fc_i ? fc_first : first;
      assign group_first_o = fc_i ? group_first_i : group_first;
      assign group_last_o = fc_i ? group_last_i : group_last;
      assign group_end_o = fc_i ? fc_group_end : group_end;
      assign issue_o = fc_issue || issue;
      assign copy = fc_copy || slot_copy;
      assign release_o = fc_release || slot_release;
      assign idle_o = fc_idle || idle;
      assign finished_o = fc_i ? fc_finished : finished;
    end else begin : gen_all
      wire unused_slots = &{
        1'b0, conv_i, rows_i, fan_in_i, log2_groups_i, x_tiles_i, out_w_i
      };

      assign window_first = fc_first;
      assign group_first_o = group_first_i;
      assign group_last_o = group_last_i;
      assign group_end_o = fc_group_end;
      assign issue_o = fc_issue;
      assign copy = fc_copy;
      assign release_o = fc_release;
      assign idle_o = fc_idle;
      assign finished_o = fc_finished;
      assign {opening_o, replay_o, look_o, wrap_o, zeros_o, skip_o} = 6'd0;
      assign {column_o, look_column_o} = {2 * COLUMN_W{1'b0}};
      assign replay_group_o = 4'd0;
      assign skipped_o = 32'd0;
    end
  endgenerate

  hne_mac_array #(
      .ROWS (ROWS),
      .COLS (COLS),
      .ACT_W(ACT_W),
      .WGT_W(WGT_W),
      .ACC_W(ACC_W)
  ) u_array (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .issue_i(issue_o && group_last_o),
      .first_i(window_first),
      .copy_i(copy),
      .weight_i(weight_i),
      .act_i(lane_i),
      .shadow_load_o(shadow_load),
      .shadow_row_i(shadow_row),
      .shadow_o(shadow)
  );

  always @(posedge clk_i) wrong_q <= {wrong_scale, wrong_bias};

  hne_watch #(
      .ECC  (ECC),
      .COUNT(2)
  ) u_watch (
      .clk_i(clk_i),
      .read_i(channel_valid),
      .wrong_i(wrong_q),
      .wrong_o(wrong_o[1])
  );

  hne_ecc_ram #(
      .WIDTH(SCALE_W),
      .DEPTH(CHAN_DEPTH),
      .ECC(ECC),
      .INIT_DIR(INIT_DIR),
      .INIT_NAME("scale")
  ) u_scale (
      .clk_i(clk_i),
      .we_i(mem_scale_we_i),
      .waddr_i(mem_line_i[CHAN_W-1:0]),
      .wdata_i(mem_wdata_i[SCALE_W-1:0]),
      .flip_i(mem_flip_i),
      .re_i(1'b1),
      .raddr_i(mem_re_i ? mem_line_i[CHAN_W-1:0] : channel),
      .rdata_o(mem_scale_o),
      .wrong_o(wrong_scale)
  );

  hne_ecc_ram #(
      .WIDTH(BIAS_W),
      .DEPTH(CHAN_DEPTH),
      .ECC(ECC),
      .INIT_DIR(INIT_DIR),
      .INIT_NAME("bias")
  ) u_bias (
      .clk_i(clk_i),
      .we_i(mem_bias_we_i),
      .waddr_i(mem_line_i[CHAN_W-1:0]),
      .wdata_i(mem_wdata_i[BIAS_W-1:0]),
      .flip_i(mem_flip_i),
      .re_i(1'b1),
      .raddr_i(mem_re_i ? mem_line_i[CHAN_W-1:0] : channel),
      .rdata_o(mem_bias_o),
      .wrong_o(wrong_bias)
  );

  generate
    if (LUT != 0) begin : gen_lut
      localparam integer TABLE_LINE_W = $clog2(LUT_TABLES << ACT_W);

      hne_lut #(
          .COLS(COLS),
          .ACT_W(ACT_W),
          .LUT_TABLES(LUT_TABLES),
          .ECC(ECC),
          .INIT_DIR(INIT_DIR)
      ) u_lut (
          .clk_i(clk_i),
          .table_i(table_i),
          .code_i(code),
          .valid_i(code_valid),
          .lut_i(lut_i),
          .word_o(word),
          .mem_we_i(mem_lut_we_i),
          .mem_re_i(mem_re_i),
          .mem_line_i(mem_line_i[TABLE_LINE_W-1:0]),
          .mem_wdata_i(mem_wdata_i[ACT_W-1:0]),
          .mem_flip_i(mem_flip_i),
          .mem_rdata_o(mem_lut_o),
          .wrong_o(wrong_o[0])
      );
    end else begin : gen_no_lut
      wire unused_lut = &{1'b0, table_i, code, code_valid, mem_lut_we_i};

      assign wrong_o[0] = 1'b0;

      assign word = {COLS * ACT_W{1'b0}};
      assign mem_lut_o = {ACT_W{1'b0}};
    end
  endgenerate

  hne_post #(
      .ROWS(ROWS),
      .COLS(COLS),
      .ACT_W(ACT_W),
      .ACC_W(ACC_W),
      .MULT_W(MULT_W),
      .ADD(ADD),
      .LUT(LUT),
      .REQUANTIZATION(REQUANTIZATION),
      .BATCH(BATCH),
      .LINE_W(LINE_W),
      .CHAN_W(CHAN_W)
  ) u_post (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(load_i),
      .last_layer_i(last_layer_i),
      .add_i(add_i),
      .lut_i(lut_i),
      .shared_i(shared_i),
      .outputs_i(outputs_i),
      .groups_i(groups_i),
      .lo_i(lo_i),
      .hi_i(hi_i),
      .away_i(away_i),
      .zero_i(zero_i),
      .out_line_i(out_line_i),
      .pixel_tiles_i(pixel_tiles_i),
      .channel_base_i(channel_base_i[CHAN_W-1:0]),
      .shadow_load_i(shadow_load),
      .shadow_row_o(shadow_row),
      .shadow_i(shadow),
      .channel_o(channel),
      .channel_valid_o(channel_valid),
      .scale_i(mem_scale_o),
      .bias_i(mem_bias_o),
      .code_o(code),
      .code_valid_o(code_valid),
      .word5_i(word),
      .write_o(write_o),
      .line_o(line_o),
      .act_o(act_o),
      .logit_write_o(logit_write_o),
      .logit_o(logit_o),
      .end_o(end_o)
  );

endmodule

`resetall
