`resetall
`timescale 1ns / 1ps
`default_nettype none

// The instruction that is being executed: takes its words as they are fetched, and derives line
// strides, tile counts and idle cycles. Says whether the engine can execute it: that it comes to an
// end, stays within the memories, and reads what was written. All is final two cycles after the
// last word.
module hne_instruction #(
    // Array rows: a layer with fewer outputs uses fewer.
    parameter integer ROWS = 2,
    // Pixels of a tile, a power of two: lines and tiles of a row follow by a shift.
    parameter integer COLS = 2,
    // Weight banks, a power of two: the lines of a layer's weights follow by a shift.
    parameter integer BANKS = 2,
    // 0: a hashed layer also needs lines of the index SRAM, which is checked.
    parameter integer INDEX_MODE = 0,
    // Bits of an activation: bounds and padding have as many, and a table 2^ACT_W words.
    parameter integer ACT_W = 8,
    // The largest fan-in of a convolution: a larger one is refused.
    parameter integer TILE_DEPTH = 256,
    // Real weights in all banks: a layer that needs more is refused.
    parameter integer WGT_DEPTH = 8192,
    // Lines of the index SRAM: a layer that needs more is refused.
    parameter integer IDX_DEPTH = 8192,
    // Lines of the activation buffer: a layer that reads or writes behind them is refused.
    parameter integer ACT_DEPTH = 8192,
    // Lines of scale and bias: a layer whose channels end behind them is refused.
    parameter integer CHAN_DEPTH = 512,
    // 1: layers that add two maps; they need two array rows.
    parameter integer ADD = 1,
    // 1: average and affine layers.
    parameter integer AVERAGE = 1,
    // 1: convolutions of groups; costs two dividers.
    parameter integer GROUPS = 1,
    // Tables of lut layers, which need codes of up to 8 bits; 0: no such layers.
    parameter integer LUT_TABLES = 4,
    // 1: layers that round twice, halves away from a code.
    parameter integer REQUANTIZATION = 0,
    // 1: fc layers skip the zeros of their input, and layers have floors.
    parameter integer SKIP = 0,
    // The largest fan-in that is skipped in: a layer with a larger one skips nothing.
    parameter integer SKIP_COLUMNS = 8192,
    // Bits of a line of the activation buffer: strides of lines are as wide.
    parameter integer LINE_W = 12
) (
    input  wire              clk_i,
    // A word comes: the one of this slot of the fetch.
    input  wire              we_i,
    input  wire [       3:0] slot_i,
    input  wire [      31:0] data_i,
    // An image is taken; a layer starts: what they write may be read from then on.
    input  wire              input_i,
    input  wire              layer_i,
    output reg  [       3:0] op_o,
    output reg               last_o,
    output reg  [       1:0] scheme_o,
    output reg  [       4:0] log2_hash_banks_o,
    output reg  [       3:0] stride_w_o,
    output reg  [       3:0] stride_h_o,
    output reg  [       3:0] pad_left_o,
    output reg  [       3:0] pad_top_o,
    output reg  [ ACT_W-1:0] fill_o,
    output reg  [      15:0] in_c_o,
    output reg  [      15:0] in_h_o,
    output reg  [      15:0] in_w_o,
    output reg  [      15:0] out_c_o,
    output reg  [      15:0] out_h_o,
    output reg  [      31:0] fan_in_o,
    output reg  [      31:0] real_weights_o,
    output reg  [      31:0] seed_o,
    output reg  [      31:0] weight_base_o,
    output reg  [      31:0] index_base_o,
    output reg  [      31:0] channel_base_o,
    output reg  [       7:0] prob_shift_o,
    output wire [ ACT_W-1:0] lo_o,
    output wire [ ACT_W-1:0] hi_o,
    output wire              away_o,
    output wire [ ACT_W-1:0] zero_o,
    output wire [LINE_W-1:0] in_line_o,
    output wire [LINE_W-1:0] out_line_o,
    output wire [       5:0] table_o,
    // What is special of a layer for the array: its weights are 1 and come from no bank; it adds;
    // it looks up; all its channels have the same words of scale and bias.
    output reg               ones_o,
    output reg               add_o,
    output reg               lut_o,
    output reg               shared_o,
    // It skips; lines of its input.
    output wire              list_o,
    output wire [      31:0] in_lines_o,
    // Width of its output; cycles that it takes at least.
    output wire [      15:0] out_w_o,
    output wire [      23:0] floor_o,
    // Row-tiles: outputs of each group, groups.
    output reg  [      15:0] outputs_o,
    output reg  [      15:0] groups_o,
    // Extent of a window; an fc layer is one window as large as its input.
    output reg  [      15:0] window_c_o,
    output reg  [      15:0] window_w_o,
    output reg  [      15:0] window_h_o,
    // Lines of one row of the input; to the next channel of a window, from the last one to those of
    // the next group; from one output row to the next; the line of the first window, which padding
    // puts before the map.
    output reg  [LINE_W-1:0] in_row_o,
    output reg  [LINE_W-1:0] channel_step_o,
    output reg  [LINE_W-1:0] group_step_o,
    output reg  [LINE_W-1:0] out_step_o,
    output reg  [LINE_W-1:0] first_line_o,
    // Tiles of COLS pixels in an output row and in an output channel; the latter is its lines, too.
    output reg  [      15:0] x_tiles_o,
    output reg  [LINE_W-1:0] pixel_tiles_o,
    // log2 of the cycles that one column of activations takes.
    output reg  [       3:0] log2_groups_o,
    // Array rows in use, and idle cycles that a slot needs to be no shorter than their drain.
    output reg  [       8:0] rows_o,
    output reg  [       8:0] idle_o,
    output reg               bad_shape_o,
    output wire              bad_size_o,
    output wire              bad_place_o
);

  `include "hne_constants.vh"
  `include "hne_program.vh"

  localparam integer COLS_W = $clog2(COLS);
  localparam [15:0] LAST_COL = COLS[15:0] - 16'd1;
  localparam integer BANKS_W = $clog2(BANKS);
  localparam integer BANK_LINES = WGT_DEPTH / BANKS;
  localparam [32:0] LAST_BANK = {1'b0, BANKS[31:0]} - 33'd1;
  // The largest sides of a kernel, and strides, of a convolution; of a max-pool. The fields hold no
  // more than an average may have.
  localparam [3:0] KERNEL_MAX = 4'd11;
  localparam [3:0] STRIDE_MAX = 4'd4;
  localparam [0:0] ADDS = ADD != 0 && ROWS > 1;
  localparam [0:0] LOOKS_UP = LUT_TABLES != 0 && ACT_W <= 8;

  reg [3:0] kernel_w_q, kernel_h_q, stride_w_q, stride_h_q, pad_left_q, pad_top_q;
  reg [15:0] out_w_q, fill_q, lo_q, hi_q, groups_q;
  reg [7:0] table_q;
  reg [31:0] fan_in_q, in_line_q, in2_line_q, out_line_q;
  reg [19:0] skipped_q, stepped_q, area_q;
  reg [34:0] reads_q;
  reg [15:0] in_row_q;
  // Refused for what needs no product; for what does.
  reg wrong_window_q, wrong_shape_q, wrong_q, large_q, bad_size_q;
  // What that is.
  reg side_none_q, kernel_large_q, stride_large_q, pad_large_q, padded_q, in_none_q, out_none_q;
  reg out_point_q, weights_none_q, depth_differs_q, sides_differ_q, fill_large_q, bounds_q;
  reg fan_large_q, classes_large_q, table_large_q, channel_large_q, weight_large_q;
  wire wrong_fan, uneven, large_index, large_place;
  // Lines of weights, where they end; where channels begin at the latest.
  reg [32:0] weight_lines_q, weight_end_q, channel_room_q;
  reg [15:0] channels_q;
  wire [31:0] in_plane, pixel_tiles, in_lines, out_lines;
  wire [15:0] group_in, group_out;

  wire away, wrong_zero;

  // The opcode, decoded a cycle behind its word: all that is derived waits for it. It has weights;
  // it looks at one code at a time; it has a window of its own; it may be the last one.
  reg known_q, conv_q, fc_q, pool_q, average_q, add_q, lut_q, mac_q, point_q, windowed_q, ends_q;
  wire stored = INDEX_MODE == 0 && mac_q && scheme_o != SCHEME_DENSE;
  wire mac_d = op_o == OP_CONV || op_o == OP_FC;
  wire affine_d = AVERAGE != 0 && op_o == OP_AFFINE;
  wire average_d = AVERAGE != 0 && op_o == OP_AVERAGE;
  wire add_d = ADDS && op_o == OP_ADD;
  wire lut_d = LOOKS_UP && op_o == OP_LUT;
  wire point_d = affine_d || add_d || lut_d;
  wire [3:0] word = SEQUENCER_ORDER[{slot_i, 2'b00}+:4];
  wire unused_bits = &{1'b0, skipped_q, stepped_q, in_plane, pixel_tiles, in_line_q, out_line_q,
                       fill_q, lo_q, hi_q, table_q, in2_line_q};

  assign bad_size_o = bad_size_q || large_index;
  assign lo_o = lo_q[ACT_W-1:0];
  assign hi_o = hi_q[ACT_W-1:0];
  assign in_line_o = in_line_q[LINE_W-1:0];
  assign out_line_o = out_line_q[LINE_W-1:0];
  assign away_o = away;
  assign table_o = table_q[5:0];

  // ceil(width / COLS).
  function [15:0] lines_of;
    input [15:0] width;
    lines_of = (width >> COLS_W) + {15'd0, (width & LAST_COL) != 16'd0};
  endfunction

  // By a number of four bits: no multiplier.
  function [19:0] times;
    input [3:0] factor;
    input [15:0] row;
    times = (factor[0] ? {4'd0, row} : 20'd0) + (factor[1] ? {3'd0, row, 1'd0} : 20'd0)
        + (factor[2] ? {2'd0, row, 2'd0} : 20'd0) + (factor[3] ? {1'd0, row, 3'd0} : 20'd0);
  endfunction

  function [3:0] groups_of;
    input [3:0] stride;
    begin
      groups_of = stride[0] ? 4'd0 : stride[1] ? 4'd1 : stride[2] ? 4'd2 : stride[3] ? 4'd3 : 4'd0;
      if (groups_of > COLS_W[3:0]) groups_of = COLS_W[3:0];
    end
  endfunction

  always @(posedge clk_i) begin
    if (we_i) begin
      case ({28'd0, word})
        FIELD_OP_WORD: begin
          op_o              <= data_i[FIELD_OP_LSB+:FIELD_OP_WIDTH];
          last_o            <= data_i[FIELD_LAST_LSB];
          scheme_o          <= data_i[FIELD_SCHEME_LSB+:FIELD_SCHEME_WIDTH];
          log2_hash_banks_o <= data_i[FIELD_LOG2_HASH_BANKS_LSB+:FIELD_LOG2_HASH_BANKS_WIDTH];
          kernel_w_q        <= data_i[FIELD_KERNEL_W_LSB+:FIELD_KERNEL_W_WIDTH];
          stride_w_q        <= data_i[FIELD_STRIDE_W_LSB+:FIELD_STRIDE_W_WIDTH];
          pad_left_q        <= data_i[FIELD_PAD_LEFT_LSB+:FIELD_PAD_LEFT_WIDTH];
          kernel_h_q        <= data_i[FIELD_KERNEL_H_LSB+:FIELD_KERNEL_H_WIDTH];
          stride_h_q        <= data_i[FIELD_STRIDE_H_LSB+:FIELD_STRIDE_H_WIDTH];
        end
        FIELD_IN_C_WORD: begin
          in_c_o  <= data_i[FIELD_IN_C_LSB+:FIELD_IN_C_WIDTH];
          out_c_o <= data_i[FIELD_OUT_C_LSB+:FIELD_OUT_C_WIDTH];
        end
        FIELD_IN_H_WORD: begin
          in_h_o <= data_i[FIELD_IN_H_LSB+:FIELD_IN_H_WIDTH];
          in_w_o <= data_i[FIELD_IN_W_LSB+:FIELD_IN_W_WIDTH];
        end
        FIELD_OUT_H_WORD: begin
          out_h_o <= data_i[FIELD_OUT_H_LSB+:FIELD_OUT_H_WIDTH];
          out_w_q <= data_i[FIELD_OUT_W_LSB+:FIELD_OUT_W_WIDTH];
        end
        FIELD_FAN_IN_WORD:       fan_in_q <= data_i;
        FIELD_REAL_WEIGHTS_WORD: real_weights_o <= data_i;
        FIELD_SEED_WORD:         seed_o <= data_i;
        FIELD_WEIGHT_BASE_WORD:  weight_base_o <= data_i;
        FIELD_INDEX_BASE_WORD:   index_base_o <= data_i;
        FIELD_CHANNEL_BASE_WORD: channel_base_o <= data_i;
        FIELD_PROB_SHIFT_WORD: begin
          prob_shift_o <= data_i[FIELD_PROB_SHIFT_LSB+:FIELD_PROB_SHIFT_WIDTH];
          pad_top_q    <= data_i[FIELD_PAD_TOP_LSB+:FIELD_PAD_TOP_WIDTH];
          fill_q       <= data_i[FIELD_FILL_LSB+:FIELD_FILL_WIDTH];
        end
        FIELD_LO_WORD: begin
          lo_q <= data_i[FIELD_LO_LSB+:FIELD_LO_WIDTH];
          hi_q <= data_i[FIELD_HI_LSB+:FIELD_HI_WIDTH];
        end
        FIELD_IN_LINE_WORD:      in_line_q <= data_i;
        FIELD_IN2_LINE_WORD:     in2_line_q <= data_i;
        FIELD_OUT_LINE_WORD:     out_line_q <= data_i;
        FIELD_GROUPS_WORD: begin
          groups_q <= data_i[FIELD_GROUPS_LSB+:FIELD_GROUPS_WIDTH];
          table_q  <= data_i[FIELD_TABLE_LSB+:FIELD_TABLE_WIDTH];
        end
        default: ;
      endcase
    end

    // Many units all over the chip want these: no opcode is decoded on the way there.
    stride_w_o    <= windowed_q ? stride_w_q : 4'd1;
    stride_h_o    <= windowed_q ? stride_h_q : 4'd1;
    pad_left_o    <= windowed_q ? pad_left_q : 4'd0;
    pad_top_o     <= windowed_q ? pad_top_q : 4'd0;
    // No code is below 0: what a pool reads there never wins.
    fill_o        <= pool_q ? {ACT_W{1'b0}} : fill_q[ACT_W-1:0];
    ones_o        <= average_q || point_q;
    add_o         <= add_q;
    lut_o         <= lut_q;
    shared_o      <= average_q || add_q || lut_q;
    outputs_o     <= mac_q ? group_out : add_q ? 16'd2 : 16'd1;
    groups_o      <= conv_q ? groups_q : fc_q ? 16'd1 : out_c_o;
    window_c_o    <= mac_q ? group_in : add_q ? 16'd2 : 16'd1;
    window_w_o    <= fc_q ? in_w_o : windowed_q ? {12'd0, kernel_w_q} : 16'd1;
    window_h_o    <= fc_q ? in_h_o : windowed_q ? {12'd0, kernel_h_q} : 16'd1;
    area_q        <= times(kernel_h_q, {12'd0, kernel_w_q});
    fan_in_o      <= mac_q ? fan_in_q : average_q ? {12'd0, area_q} : add_q ? 32'd2 : 32'd1;
    in_row_q      <= lines_of(in_w_o);
    x_tiles_o     <= lines_of(out_w_q);
    log2_groups_o <= groups_of(stride_w_o);
    rows_o        <= outputs_o < ROWS[15:0] ? outputs_o[8:0] : ROWS[8:0];
    reads_q       <= {3'd0, fan_in_o} << log2_groups_o;
    idle_o        <= reads_q < {26'd0, rows_o} ? rows_o - reads_q[8:0] : 9'd0;
    skipped_q     <= times(pad_top_o, in_row_q);
    stepped_q     <= times(stride_h_o, in_row_q);
    // The second channel of an add stands in the second map.
    channel_step_o <= add_q ? in2_line_q[LINE_W-1:0] - in_line_o : in_plane[LINE_W-1:0];
    group_step_o   <= add_q ? in_plane[LINE_W-1:0] - channel_step_o : in_plane[LINE_W-1:0];
  end

  // Addresses count modulo 2^LINE_W; what does not fit has been refused.
  generate
    if (LINE_W > 16) begin : gen_wide
      always @* in_row_o = {{LINE_W - 16{1'b0}}, in_row_q};
    end else begin : gen_narrow
      always @* in_row_o = in_row_q[LINE_W-1:0];
    end
    if (LINE_W > 20) begin : gen_wide_step
      always @(posedge clk_i) begin
        first_line_o <= in_line_o - {{LINE_W - 20{1'b0}}, skipped_q};
        out_step_o   <= {{LINE_W - 20{1'b0}}, stepped_q};
      end
    end else begin : gen_narrow_step
      always @(posedge clk_i) begin
        first_line_o <= in_line_o - skipped_q[LINE_W-1:0];
        out_step_o   <= stepped_q[LINE_W-1:0];
      end
    end
  endgenerate

  generate
    if (REQUANTIZATION != 0) begin : gen_twice
      reg away_q;
      reg [7:0] zero_q;

      always @(posedge clk_i) begin
        if (we_i && {28'd0, word} == FIELD_AWAY_WORD) away_q <= data_i[FIELD_AWAY_LSB];
        if (we_i && {28'd0, word} == FIELD_ZERO_WORD)
          zero_q <= data_i[FIELD_ZERO_LSB+:FIELD_ZERO_WIDTH];
      end
      assign away = away_q;
      assign zero_o = zero_q[ACT_W-1:0];
      assign wrong_zero = away_q && (zero_q >> ACT_W) != 8'd0;
    end else begin : gen_once
      reg away_q;

      // Only to be refused.
      always @(posedge clk_i) begin
        if (we_i && {28'd0, word} == FIELD_AWAY_WORD) away_q <= data_i[FIELD_AWAY_LSB];
      end
      assign away = 1'b0;
      assign zero_o = {ACT_W{1'b0}};
      assign wrong_zero = away_q;
    end
  endgenerate

  generate
    if (SKIP != 0) begin : gen_list
      reg list_q;

      reg [23:0] floor_q;

      // Only an addition has a second map.
      always @(posedge clk_i) begin
        list_q  <= fc_q && fan_in_q <= SKIP_COLUMNS[31:0];
        floor_q <= mac_q ? in2_line_q[23:0] : 24'd0;
      end
      assign list_o = list_q;
      assign floor_o = floor_q;
    end else begin : gen_no_list
      assign list_o = 1'b0;
      assign floor_o = 24'd0;
    end
  endgenerate

  assign in_lines_o = in_lines;
  assign out_w_o = out_w_q;

  always @* pixel_tiles_o = pixel_tiles[LINE_W-1:0];

  hne_sizes u_sizes (
      .clk_i(clk_i),
      .we_i(we_i),
      .slot_i(slot_i),
      .in_c_i(in_c_o),
      .in_h_i(in_h_o),
      .in_row_i(in_row_q),
      .out_c_i(out_c_o),
      .out_h_i(out_h_o),
      .x_tiles_i(x_tiles_o),
      .in_plane_o(in_plane),
      .pixel_tiles_o(pixel_tiles),
      .in_lines_o(in_lines),
      .out_lines_o(out_lines)
  );

  hne_fan #(
      .ROWS(ROWS),
      .IDX_DEPTH(IDX_DEPTH),
      .GROUPS(GROUPS)
  ) u_fan (
      .clk_i(clk_i),
      .we_i(we_i),
      .slot_i(slot_i),
      .conv_i(conv_q),
      .mac_i(mac_q),
      .stored_i(stored),
      .groups_i(groups_q),
      .in_c_i(in_c_o),
      .out_c_i(out_c_o),
      .window_w_i(window_w_o),
      .window_h_i(window_h_o),
      .fan_in_i(fan_in_q),
      .index_base_i(index_base_o),
      .group_in_o(group_in),
      .group_out_o(group_out),
      .uneven_o(uneven),
      .wrong_fan_o(wrong_fan),
      .large_index_o(large_index)
  );

  hne_places #(
      .ACT_DEPTH(ACT_DEPTH)
  ) u_places (
      .clk_i(clk_i),
      .input_i(input_i),
      .layer_i(layer_i),
      .slot_i(slot_i),
      .add_i(add_q),
      .last_i(last_o),
      .in_line_i(in_line_q),
      .in2_line_i(in2_line_q),
      .out_line_i(out_line_q),
      .in_lines_i(in_lines),
      .out_lines_i(out_lines),
      .large_o(large_place),
      .bad_place_o(bad_place_o)
  );

  always @(posedge clk_i) begin
    known_q    <= mac_d || op_o == OP_POOL || average_d || point_d || op_o == OP_END;
    conv_q     <= op_o == OP_CONV;
    fc_q       <= op_o == OP_FC;
    pool_q     <= op_o == OP_POOL;
    average_q  <= average_d;
    add_q      <= add_d;
    lut_q      <= lut_d;
    mac_q      <= mac_d;
    point_q    <= point_d;
    windowed_q <= op_o == OP_CONV || op_o == OP_POOL || average_d;
    ends_q     <= mac_d || average_d || affine_d;
  end

  // Comparisons, what they mean for this opcode, and all of it together: a register each. Words
  // come one a cycle, so only the last ones leave no time for all three.
  always @(posedge clk_i) begin
    side_none_q    <= stride_w_q == 4'd0 || stride_h_q == 4'd0
        || kernel_w_q == 4'd0 || kernel_h_q == 4'd0;
    kernel_large_q <= kernel_w_q > KERNEL_MAX || kernel_h_q > KERNEL_MAX;
    stride_large_q <= stride_w_q > STRIDE_MAX || stride_h_q > STRIDE_MAX;
    pad_large_q    <= pad_left_q >= kernel_w_q || pad_top_q >= kernel_h_q;
    padded_q       <= pad_left_q != 4'd0 || pad_top_q != 4'd0;
    wrong_window_q <= (windowed_q && (side_none_q || pad_large_q))
        || (!average_q && windowed_q && kernel_large_q)
        || (conv_q && stride_large_q) || (average_q && padded_q);
    in_none_q      <= in_c_o == 16'd0 || in_h_o == 16'd0 || in_w_o == 16'd0;
    out_none_q     <= out_c_o == 16'd0 || out_h_o == 16'd0 || out_w_q == 16'd0;
    out_point_q    <= out_h_o == 16'd1 && out_w_q == 16'd1;
    weights_none_q <= fan_in_q == 32'd0 || real_weights_o == 32'd0 || scheme_o > SCHEME_BANKED;
    depth_differs_q <= in_c_o != out_c_o;
    sides_differ_q <= in_h_o != out_h_o || in_w_o != out_w_q;
    fill_large_q   <= (fill_q >> ACT_W) != 16'd0;
    wrong_shape_q  <= !known_q || in_none_q || out_none_q
        || ((fc_q || last_o) && !out_point_q)
        || (mac_q && weights_none_q) || (!mac_q && depth_differs_q)
        || (point_q && sides_differ_q) || (last_o && !ends_q)
        || (conv_q && fill_large_q) || wrong_zero;
    // Bounds come last but one.
    bounds_q       <= lo_q > hi_q || (hi_q >> ACT_W) != 16'd0;
    wrong_q        <= wrong_shape_q || wrong_window_q || wrong_fan || uneven;
    bad_shape_o    <= wrong_q || (!pool_q && bounds_q);
    fan_large_q     <= fan_in_o > TILE_DEPTH[31:0];
    classes_large_q <= {16'd0, out_c_o} > CHAN_DEPTH[31:0];
    table_large_q   <= LOOKS_UP && {24'd0, table_q} >= LUT_TABLES[31:0];
    channels_q      <= add_q ? 16'd2 : shared_o ? 16'd1 : out_c_o;
    channel_room_q  <= {1'b0, CHAN_DEPTH[31:0]} - {17'd0, channels_q};
    channel_large_q <= channel_room_q[32] || channel_base_o > channel_room_q[31:0];
    weight_lines_q  <= ({1'b0, real_weights_o} + LAST_BANK) >> BANKS_W;
    weight_end_q    <= {1'b0, weight_base_o} + weight_lines_q;
    weight_large_q  <= weight_end_q > {1'b0, BANK_LINES[31:0]};
    large_q <= (!fc_q && !pool_q && fan_large_q) || (!pool_q && channel_large_q)
        || (last_o && classes_large_q) || (lut_q && table_large_q) || (mac_q && weight_large_q);
    // What is refused by the last words is only known then; many units wait for it.
    bad_size_q      <= large_q || large_place;
  end

endmodule

`resetall
