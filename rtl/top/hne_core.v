`resetall
`timescale 1ns / 1ps
`default_nettype none

// The engine without a bus: program, memories and units. docs/timing.md draws the pipeline.
module hne_core #(
    // Output channels computed at once: each row costs COLS cells, an index field and a port of the
    // expander.
    parameter integer ROWS = 2,
    // Neighbouring output pixels computed at once, a power of two: each costs ROWS cells, a lane of
    // post and pool and a bank of the feature maps. An fc layer uses one.
    parameter integer COLS = 2,
    // Weight banks, a power of two >= ROWS: more banks, fewer conflicts, more and smaller memories.
    parameter integer BANKS = 2,
    // Bits of an activation, 4 to 16: of every map, lane and multiplier.
    parameter integer ACT_W = 8,
    // Bits of a real weight, 4 to 16: of weight banks, tile buffer and multipliers.
    parameter integer WGT_W = 8,
    // Bits of an accumulator, 32 or 48: two registers and an adder in each cell; 48 where wide
    // words sum up to more.
    parameter integer ACC_W = 32,
    // Bits of a requantization multiplier, 8 to 31, at most 64 with ACC_W: precision of a scale; a
    // DSP of post takes 18.
    parameter integer MULT_W = 16,
    // 0: indices from SRAM, a memory of IDX_DEPTH lines; 1: computed by ROWS + 1 hash units, no
    // memory, 16 cycles more for a layer and an i-round for each row-tile.
    parameter integer INDEX_MODE = 0,
    // Columns of half the tile buffer: the largest fan-in of a convolution. Costs 2 · ROWS · WGT_W
    // bits of memory each.
    parameter integer TILE_DEPTH = 256,
    // Real weights in all banks, a multiple of BANKS: WGT_W bits of memory each, and the width of
    // an index.
    parameter integer WGT_DEPTH = 8192,
    // Lines of index SRAM, one for each row-tile and position of the fan-in: ROWS indices each.
    // Unused with INDEX_MODE 1.
    parameter integer IDX_DEPTH = 8192,
    // Lines of all feature maps together, COLS activations a line.
    parameter integer ACT_DEPTH = 8192,
    // Output channels of all layers together: a scale word and a bias each; also the most classes.
    parameter integer CHAN_DEPTH = 512,
    // Instructions, the end among them: 16 words of memory each.
    parameter integer PROG_DEPTH = 32,
    // 1: with the probability unit, a 16-bit softmax of the logits: a divider, a table and
    // CHAN_DEPTH words. 0: logits and argmax only.
    parameter integer SOFTMAX = 1,
    // 1: with layers that add two maps; they need ROWS >= 2. Costs a choice in each lane of post.
    parameter integer ADD = 1,
    // 1: with average and affine layers, whose weights are 1.
    parameter integer AVERAGE = 1,
    // 1: with convolutions of groups of channels. Costs two dividers.
    parameter integer GROUPS = 1,
    // Tables of lut layers, 0 to 64, for codes of up to 8 bits: COLS copies of 2^ACT_W words each.
    // 0: no such layers.
    parameter integer LUT_TABLES = 4,
    // 1: post also rounds as TFLite's reference kernels do, twice, halves away from the code of 0,
    // for codes of up to 8 bits, ACC_W 32 and MULT_W 32. Costs a mask, and a choice in each lane
    // of post.
    parameter integer REQUANTIZATION = 0,
    // 0: memories without check bits; 1: with a parity bit for each word, a flipped bit stops the
    // image with an error; 2: with 4 to 8 check bits, one is corrected, two stop it. Costs the
    // bits, and logic before and behind each memory; no cycles.
    parameter integer ECC = 0,
    // 1: fc layers skip the zeros of their input, convolutions columns of zeros: cycles depend on
    // the image. Costs a list of SKIP_COLUMNS positions and codes, SKIP_MASKS words of 16 bits, the
    // places of TILE_DEPTH columns, a product, and some cycles a layer. 0: they do not.
    parameter integer SKIP = 0,
    // The largest fan-in of an fc layer that skips: entries of the list. Unused with SKIP 0.
    parameter integer SKIP_COLUMNS = 8192,
    // Words that say which columns of a convolution's pixel tiles are zeros, 16 columns each; one
    // that needs more does not skip. Unused with SKIP 0.
    parameter integer SKIP_MASKS = 4096,
    // Images that go through the program together, a power of two up to COLS: of an fc layer each
    // expanded column serves all. Costs BATCH times the memory of the maps, of logits and
    // probabilities, BATCH comparators, and the turning of what is written. Needs SKIP 0.
    parameter integer BATCH = 1,
    // Folder of the files that `hwsim rom export --format mem` writes: the memories wake up with
    // them, and nothing need be loaded. "" for none: they are loaded over the bus. Costs no logic.
    parameter INIT_DIR = "",
    // Bits of a beat of the output stream: a logit, sign-extended to whole words. Follows from
    // ACC_W: leave it.
    parameter integer OUT_W = (ACC_W > 32) ? 64 : 32,
    // Bits of a channel or class. Follows from CHAN_DEPTH: leave it.
    parameter integer CHAN_W = (CHAN_DEPTH > 1) ? $clog2(CHAN_DEPTH) : 1
) (
    input  wire              clk_i,
    input  wire              rst_i,
    // Level: while it is high, one batch after the other is taken, of so many images: 1 … BATCH.
    input  wire              start_i,
    input  wire [       8:0] images_i,
    output wire              idle_o,
    // Pulses: an image or batch is through; or was refused, for this cause.
    output wire              done_o,
    output wire              error_o,
    output wire [       2:0] cause_o,
    output wire              layer_end_o,
    // Of each image of the last batch.
    output wire [BATCH*CHAN_W-1:0] argmax_o,
    // Logits of one of its images; more than CHAN_W bits would hold counts as 0.
    output wire [CHAN_W-1:0] classes_o,
    output wire [     415:0] count_o,
    // Memory bus: see hne_mem_bus.
    input  wire              mem_we_i,
    input  wire              mem_re_i,
    input  wire [       2:0] mem_space_i,
    input  wire [       8:0] mem_field_i,
    input  wire [      31:0] mem_line_i,
    input  wire [      63:0] mem_wdata_i,
    input  wire [       7:0] mem_flip_i,
    output wire [      63:0] mem_rdata_o,
    // Image in, logits out. Pulse: a packet is expected.
    output wire              in_expect_o,
    input  wire              in_valid_i,
    output wire              in_ready_o,
    input  wire [ ACT_W-1:0] in_data_i,
    input  wire              in_last_i,
    output wire              out_valid_o,
    input  wire              out_ready_i,
    output wire [ OUT_W-1:0] out_data_o,
    output wire              out_last_o
);

  `include "hne_program.vh"

  localparam integer ADDR_W = (WGT_DEPTH > 1) ? $clog2(WGT_DEPTH) : 1;
  localparam integer LINE_W = (ACT_DEPTH > 1) ? $clog2(ACT_DEPTH) : 1;
  localparam integer PROG_W = $clog2(INSTRUCTION_WORDS * PROG_DEPTH);
  localparam integer SHIFT_W = $clog2(ACC_W + MULT_W);
  localparam integer SCALE_W = SHIFT_W + MULT_W;
  localparam integer BIAS_W = ACC_W + MULT_W;
  localparam integer COLUMN_W = (SKIP_COLUMNS > 1) ? $clog2(SKIP_COLUMNS) : 1;
  // Layers whose weights are 1.
  localparam integer ONES = (ADD != 0 || AVERAGE != 0 || LUT_TABLES != 0) ? 1 : 0;

  `include "hne_legal.vh"

  // Sequencer and instruction.
  wire idle, load, load_mac, load_pool, run, layer_end, counting, instruction;
  wire fetch, word_we, input_load, input_done, input_error, output_send, output_done;
  wire input_expect, output_next, load_first, image_last;
  wire [8:0] images;
  wire [PROG_W-1:0] fetch_address;
  wire [3:0] slot;
  wire [3:0] op, stride_w, stride_h, pad_left, pad_top, log2_groups;
  wire last_layer, bad_shape, bad_size, bad_place, ones, add, lut, shared, away;
  wire [1:0] scheme;
  wire [4:0] log2_hash_banks;
  wire [15:0] in_c, in_h, in_w, out_c, out_h, window_c, window_w, window_h, x_tiles;
  wire [15:0] outputs, groups;
  wire [31:0] fan_in, real_weights, seed, weight_base, index_base, channel_base, program_word;
  wire [7:0] prob_shift;
  wire [LINE_W-1:0] in_row, channel_step, group_step, out_step, first_line, pixel_tiles;
  wire [LINE_W-1:0] in_line, out_line;
  wire [ACT_W-1:0] fill, lo, hi, zero;
  wire [5:0] table_number;
  wire [8:0] rows, idle_cycles;

  // Decoded a cycle behind the opcode, long before a layer starts: both go far.
  reg pool_q, fc_q;
  wire pool = pool_q;
  wire fc = fc_q;

  // Units.
  wire expanded, expanded_last, conflict, waiting, held;
  wire [ROWS*WGT_W-1:0] weight;
  wire issue, issue_next, release_half, slot_idle, finished, pool_step, pool_step_next, step;
  wire group_first, group_last, window_first, window_last, map_last, group_end;
  wire [COLS*ACT_W-1:0] lane, post_act, pool_act;
  wire post_write, logit_write, post_end, pool_write, pool_end;
  wire [LINE_W-1:0] post_line, pool_line;
  wire [BATCH*ACC_W-1:0] logit;
  wire softmax;

  // Columns of a convolution that skips.
  localparam integer TILE_W = (TILE_DEPTH > 1) ? $clog2(TILE_DEPTH) : 1;
  wire mac_group_first, mac_group_last, opening, replay, look, wrap, zeros, slot_skip;
  wire [TILE_W-1:0] column, look_column;
  wire [3:0] replay_group;
  wire [15:0] out_w;
  wire [31:0] slot_skipped;
  wire [23:0] floor_cycles;

  // The list of an fc layer that skips.
  wire list, list_ready, list_last, list_take, list_read, window_ends;
  wire [COLUMN_W-1:0] list_column;
  wire [LINE_W-1:0] list_line;
  wire [COLS*ACT_W-1:0] list_word;
  wire [ACT_W-1:0] list_code;
  wire [31:0] in_lines, skipped;

  // What a layer writes. A simulation may record it: these signals are kept for it.
  wire map_write  /* verilator public_flat_rd */ = post_write || pool_write;
  wire [LINE_W-1:0] map_line  /* verilator public_flat_rd */ = pool ? pool_line : post_line;
  wire [COLS*ACT_W-1:0] map_act  /* verilator public_flat_rd */ = pool ? pool_act : post_act;
  // Of a batch: the image; all of them, a lane each.
  wire [7:0] map_image  /* verilator public_flat_rd */;
  wire map_all  /* verilator public_flat_rd */ = fc && BATCH > 1;

  // Memory bus, a cycle and two cycles behind its ports; the words that the memories answer. Those
  // of the program are registered behind their memory.
  wire mem_busy, mem_weights_we, mem_index_we, mem1_re;
  wire mem_program_we, mem_scale_we, mem_bias_we, mem_lut_we, mem2_re;
  wire [8:0] mem1_field, mem2_field;
  wire [31:0] mem1_line, mem2_line;
  wire [63:0] mem1_wdata, mem2_wdata;
  wire [7:0] mem1_flip, mem2_flip;
  wire wrong_program, wrong_instruction;
  wire [1:0] wrong_weights, wrong_post;
  wire [WGT_W-1:0] mem_weight;
  wire [ADDR_W:0] mem_index;
  wire [SCALE_W-1:0] mem_scale;
  wire [BIAS_W-1:0] mem_bias;
  wire [ACT_W-1:0] mem_lut;
  wire [16:0] mem_probability;
  reg [31:0] program_q;

  assign idle_o = idle;
  // A layer of a batch is through when it is so for all images.
  wire whole = fc || image_last;
  wire unused_batch = &{1'b0, mem2_field, map_all};

  assign in_expect_o = input_expect;
  assign layer_end_o = layer_end && whole;

  always @(posedge clk_i) begin
    program_q <= program_word;
    pool_q    <= op == OP_POOL;
    fc_q      <= op == OP_FC;
  end

  hne_mem_bus #(
      .WGT_W  (WGT_W),
      .ADDR_W (ADDR_W),
      .SCALE_W(SCALE_W),
      .BIAS_W (BIAS_W),
      .LUT_W  (ACT_W),
      .ECC    (ECC)
  ) u_mem_bus (
      .clk_i(clk_i),
      .idle_i(idle),
      .we_i(mem_we_i),
      .re_i(mem_re_i),
      .space_i(mem_space_i),
      .field_i(mem_field_i),
      .line_i(mem_line_i),
      .wdata_i(mem_wdata_i),
      .flip_i(mem_flip_i),
      .rdata_o(mem_rdata_o),
      .busy_o(mem_busy),
      .weights_we_o(mem_weights_we),
      .index_we_o(mem_index_we),
      .early_re_o(mem1_re),
      .early_field_o(mem1_field),
      .early_line_o(mem1_line),
      .early_wdata_o(mem1_wdata),
      .early_flip_o(mem1_flip),
      .program_we_o(mem_program_we),
      .scale_we_o(mem_scale_we),
      .bias_we_o(mem_bias_we),
      .lut_we_o(mem_lut_we),
      .re_o(mem2_re),
      .field_o(mem2_field),
      .line_o(mem2_line),
      .wdata_o(mem2_wdata),
      .flip_o(mem2_flip),
      .weight_i(mem_weight),
      .index_i(mem_index),
      .program_i(program_q),
      .scale_i(mem_scale),
      .bias_i(mem_bias),
      .lut_i(mem_lut),
      .probability_i(mem_probability)
  );

  hne_watch #(
      .ECC(ECC)
  ) u_watch (
      .clk_i(clk_i),
      .read_i(fetch),
      .wrong_i(wrong_program),
      .wrong_o(wrong_instruction)
  );

  hne_ecc_ram #(
      .WIDTH(32),
      .DEPTH(INSTRUCTION_WORDS * PROG_DEPTH),
      .ECC(ECC),
      .INIT_DIR(INIT_DIR),
      .INIT_NAME("program")
  ) u_program (
      .clk_i(clk_i),
      .we_i(mem_program_we),
      .waddr_i(mem2_line[PROG_W-1:0]),
      .wdata_i(mem2_wdata[31:0]),
      .flip_i(mem2_flip),
      .re_i(fetch || mem2_re),
      .raddr_i(mem2_re ? mem2_line[PROG_W-1:0] : fetch_address),
      .rdata_o(program_word),
      .wrong_o(wrong_program)
  );

  hne_sequencer #(
      .PROG_DEPTH(PROG_DEPTH),
      .ECC(ECC),
      .BATCH(BATCH)
  ) u_sequencer (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .start_i(start_i && !mem_busy),
      .idle_o(idle),
      .images_i(images_i),
      .images_o(images),
      .image_o(map_image),
      .image_last_o(image_last),
      .done_o(done_o),
      .error_o(error_o),
      .cause_o(cause_o),
      .fetch_o(fetch),
      .address_o(fetch_address),
      .word_we_o(word_we),
      .slot_o(slot),
      .op_i(op),
      .last_i(last_layer),
      .bad_shape_i(bad_shape),
      .bad_size_i(bad_size),
      .bad_place_i(bad_place),
      .wrong_instruction_i(wrong_instruction),
      .wrong_word_i({wrong_weights, wrong_post}),
      .input_load_o(input_load),
      .input_expect_o(input_expect),
      .input_done_i(input_done),
      .input_error_i(input_error),
      .output_o(output_send),
      .output_next_o(output_next),
      .output_done_i(output_done),
      .load_first_o(load_first),
      .load_o(load),
      .load_mac_o(load_mac),
      .load_pool_o(load_pool),
      .run_o(run),
      .layer_end_i(layer_end),
      .counting_o(counting),
      .instruction_o(instruction)
  );

  hne_instruction #(
      .ROWS(ROWS),
      .COLS(COLS),
      .BANKS(BANKS),
      .INDEX_MODE(INDEX_MODE),
      .ACT_W(ACT_W),
      .TILE_DEPTH(TILE_DEPTH),
      .WGT_DEPTH(WGT_DEPTH),
      .IDX_DEPTH(IDX_DEPTH),
      .ACT_DEPTH(ACT_DEPTH),
      .CHAN_DEPTH(CHAN_DEPTH),
      .ADD(ADD),
      .AVERAGE(AVERAGE),
      .GROUPS(GROUPS),
      .LUT_TABLES(LUT_TABLES),
      .REQUANTIZATION(REQUANTIZATION),
      .SKIP(SKIP),
      .SKIP_COLUMNS(SKIP_COLUMNS),
      .LINE_W(LINE_W)
  ) u_instruction (
      .clk_i(clk_i),
      .we_i(word_we),
      .slot_i(slot),
      .data_i(program_q),
      .input_i(input_load),
      .layer_i(load_first),
      .op_o(op),
      .last_o(last_layer),
      .scheme_o(scheme),
      .log2_hash_banks_o(log2_hash_banks),
      .stride_w_o(stride_w),
      .stride_h_o(stride_h),
      .pad_left_o(pad_left),
      .pad_top_o(pad_top),
      .fill_o(fill),
      .in_c_o(in_c),
      .in_h_o(in_h),
      .in_w_o(in_w),
      .out_c_o(out_c),
      .out_h_o(out_h),
      .fan_in_o(fan_in),
      .real_weights_o(real_weights),
      .seed_o(seed),
      .weight_base_o(weight_base),
      .index_base_o(index_base),
      .channel_base_o(channel_base),
      .prob_shift_o(prob_shift),
      .lo_o(lo),
      .hi_o(hi),
      .away_o(away),
      .zero_o(zero),
      .in_line_o(in_line),
      .out_line_o(out_line),
      .table_o(table_number),
      .ones_o(ones),
      .add_o(add),
      .lut_o(lut),
      .shared_o(shared),
      .list_o(list),
      .in_lines_o(in_lines),
      .out_w_o(out_w),
      .floor_o(floor_cycles),
      .outputs_o(outputs),
      .groups_o(groups),
      .window_c_o(window_c),
      .window_w_o(window_w),
      .window_h_o(window_h),
      .in_row_o(in_row),
      .channel_step_o(channel_step),
      .group_step_o(group_step),
      .out_step_o(out_step),
      .first_line_o(first_line),
      .x_tiles_o(x_tiles),
      .pixel_tiles_o(pixel_tiles),
      .log2_groups_o(log2_groups),
      .rows_o(rows),
      .idle_o(idle_cycles),
      .bad_shape_o(bad_shape),
      .bad_size_o(bad_size),
      .bad_place_o(bad_place)
  );

  hne_weight_path #(
      .ROWS(ROWS),
      .BANKS(BANKS),
      .WGT_W(WGT_W),
      .INDEX_MODE(INDEX_MODE),
      .TILE_DEPTH(TILE_DEPTH),
      .ONES(ONES),
      .WGT_DEPTH(WGT_DEPTH),
      .IDX_DEPTH(IDX_DEPTH),
      .SKIP(SKIP),
      .COLUMN_W(COLUMN_W),
      .TILE_W(TILE_W),
      .ECC(ECC),
      .INIT_DIR(INIT_DIR)
  ) u_weights (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(load_mac),
      .fc_i(fc),
      .ones_i(ones),
      .add_i(add),
      .scheme_i(scheme),
      .log2_hash_banks_i(log2_hash_banks),
      .n_out_i(out_c),
      .outputs_i(outputs),
      .groups_i(groups),
      .rows_i(rows),
      .fan_in_i(fan_in),
      .real_weights_i(real_weights),
      .seed_i(seed),
      .weight_base_i(weight_base),
      .index_base_i(index_base),
      .list_i(list),
      .list_ready_i(list_ready),
      .list_last_i(list_last),
      .list_take_o(list_take),
      .list_column_i(list_column),
      .write_o(expanded),
      .write_last_o(expanded_last),
      .read_i(issue && mac_group_last),
      .read_last_i(window_ends),
      .release_i(release_half),
      .column_i(column),
      .weight_o(weight),
      .conflict_o(conflict),
      .wait_o(waiting),
      .hold_o(held),
      .wrong_o(wrong_weights),
      .mem_weights_we_i(mem_weights_we),
      .mem_index_we_i(mem_index_we),
      .mem_re_i(mem1_re),
      .mem_field_i(mem1_field),
      .mem_line_i(mem1_line),
      .mem_wdata_i(mem1_wdata),
      .mem_flip_i(mem1_flip),
      .mem_weight_o(mem_weight),
      .mem_index_o(mem_index)
  );

  hne_mac_path #(
      .ROWS(ROWS),
      .COLS(COLS),
      .ACT_W(ACT_W),
      .WGT_W(WGT_W),
      .ACC_W(ACC_W),
      .MULT_W(MULT_W),
      .CHAN_DEPTH(CHAN_DEPTH),
      .ADD(ADD),
      .LUT_TABLES(LUT_TABLES),
      .REQUANTIZATION(REQUANTIZATION),
      .SKIP(SKIP),
      .BATCH(BATCH),
      .SKIP_MASKS(SKIP_MASKS),
      .COLUMN_W(TILE_W),
      .ECC(ECC),
      .INIT_DIR(INIT_DIR),
      .LINE_W(LINE_W)
  ) u_mac (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(load_mac),
      .fc_i(fc),
      .list_i(list),
      .conv_i(op == OP_CONV),
      .last_layer_i(last_layer),
      .add_i(add),
      .lut_i(lut),
      .shared_i(shared),
      .table_i(table_number),
      .outputs_i(outputs),
      .groups_i(groups),
      .lo_i(lo),
      .hi_i(hi),
      .away_i(away),
      .zero_i(zero),
      .idle_i(idle_cycles),
      .rows_i(rows),
      .fan_in_i(fan_in),
      .log2_groups_i(log2_groups),
      .x_tiles_i(x_tiles),
      .out_w_i(out_w),
      .out_line_i(out_line),
      .pixel_tiles_i(pixel_tiles),
      .channel_base_i(channel_base),
      .expanded_i(expanded),
      .expanded_last_i(expanded_last),
      .release_o(release_half),
      .issue_o(issue),
      .issue_next_o(issue_next),
      .group_end_o(group_end),
      .group_first_i(group_first),
      .group_last_i(group_last),
      .group_first_o(mac_group_first),
      .group_last_o(mac_group_last),
      .column_o(column),
      .opening_o(opening),
      .replay_o(replay),
      .replay_group_o(replay_group),
      .look_o(look),
      .look_column_o(look_column),
      .wrap_o(wrap),
      .window_first_i(window_first),
      .window_last_i(window_last),
      .window_last_o(window_ends),
      .map_last_i(map_last),
      .weight_i(weight),
      .lane_i(lane),
      .write_o(post_write),
      .line_o(post_line),
      .act_o(post_act),
      .logit_write_o(logit_write),
      .logit_o(logit),
      .end_o(post_end),
      .idle_o(slot_idle),
      .finished_o(finished),
      .zeros_o(zeros),
      .skip_o(slot_skip),
      .skipped_o(slot_skipped),
      .wrong_o(wrong_post),
      .mem_scale_we_i(mem_scale_we),
      .mem_bias_we_i(mem_bias_we),
      .mem_lut_we_i(mem_lut_we),
      .mem_re_i(mem2_re),
      .mem_line_i(mem2_line),
      .mem_wdata_i(mem2_wdata),
      .mem_flip_i(mem2_flip),
      .mem_scale_o(mem_scale),
      .mem_bias_o(mem_bias),
      .mem_lut_o(mem_lut)
  );

  hne_act_path #(
      .COLS(COLS),
      .ACT_W(ACT_W),
      .ACT_DEPTH(ACT_DEPTH),
      .SKIP(SKIP),
      .TILE_DEPTH(TILE_DEPTH),
      .BATCH(BATCH)
  ) u_act (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(load),
      .fc_i(fc),
      .images_i(images),
      .image_i(map_image),
      .stride_w_i(stride_w),
      .stride_h_i(stride_h),
      .pad_left_i(pad_left),
      .pad_top_i(pad_top),
      .fill_i(fill),
      .in_c_i(in_c),
      .in_h_i(in_h),
      .in_w_i(in_w),
      .out_h_i(out_h),
      .window_c_i(window_c),
      .window_w_i(window_w),
      .window_h_i(window_h),
      .x_tiles_i(x_tiles),
      .log2_groups_i(log2_groups),
      .in_row_i(in_row),
      .channel_step_i(channel_step),
      .group_step_i(group_step),
      .out_step_i(out_step),
      .first_line_i(first_line),
      .run_i(run),
      .step_i(step),
      .wrap_i(wrap),
      .opening_i(opening),
      .column_i(column),
      .look_i(look),
      .look_column_i(look_column),
      .replay_i(replay),
      .replay_group_i(replay_group),
      .group_end_i(pool || group_end),
      .group_first_o(group_first),
      .group_last_o(group_last),
      .window_first_o(window_first),
      .window_last_o(window_last),
      .map_last_o(map_last),
      .lane_o(lane),
      .list_i(list),
      .list_read_i(list_read),
      .list_line_i(list_line),
      .list_word_o(list_word),
      .list_code_i(list_code),
      .write_i(map_write),
      .line_i(map_line),
      .act_i(map_act),
      .input_load_i(input_expect),
      .input_line_i(in_line),
      .input_done_o(input_done),
      .input_error_o(input_error),
      .in_valid_i(in_valid_i),
      .in_ready_o(in_ready_o),
      .in_data_i(in_data_i),
      .in_last_i(in_last_i)
  );

  // Lanes and reader of the feature maps move with a step: a register, where it is known early.
  generate
    if (SKIP != 0) begin : gen_step
      wire unused_next = &{1'b0, issue_next, pool_step_next};

      assign step = (issue && !list) || pool_step;
    end else begin : gen_early_step
      reg step_q;
      wire unused_step = &{1'b0, pool_step};

      assign step = step_q;

      always @(posedge clk_i) step_q <= issue_next || pool_step_next;
    end
  endgenerate

  generate
    if (SKIP != 0) begin : gen_skip
      hne_skip #(
          .COLS(COLS),
          .ACT_W(ACT_W),
          .SKIP_COLUMNS(SKIP_COLUMNS),
          .LINE_W(LINE_W)
      ) u_skip (
          .clk_i(clk_i),
          .rst_i(rst_i),
          .load_i(load_mac && list),
          .line_i(in_line),
          .lines_i(in_lines),
          .row_lines_i(in_row_lines),
          .in_w_i(in_w),
          .fan_in_i(fan_in),
          .read_o(list_read),
          .line_o(list_line),
          .word_i(list_word),
          .ready_o(list_ready),
          .last_o(list_last),
          .take_i(list_take),
          .position_o(list_column),
          .issue_i(issue && list),
          .issue_last_i(window_ends),
          .code_o(list_code),
          .skipped_o(skipped)
      );

      hne_floor u_floor (
          .clk_i(clk_i),
          .rst_i(rst_i),
          .counting_i(instruction || run),
          .floor_i(floor_cycles),
          .end_i(post_end || pool_end),
          .end_o(layer_end)
      );

      wire [LINE_W+15:0] in_row_wide = {16'd0, in_row};
      wire [15:0] in_row_lines = in_row_wide[15:0];
      wire unused_row = &{1'b0, in_row_wide};
    end else begin : gen_all
      wire unused_list = &{1'b0, list_take, list_word, in_lines, window_ends, floor_cycles};

      assign layer_end = post_end || pool_end;

      assign {list_ready, list_last, list_read} = 3'b000;
      assign list_column = {COLUMN_W{1'b0}};
      assign list_line = {LINE_W{1'b0}};
      assign list_code = {ACT_W{1'b0}};
      assign skipped = 32'd0;
    end
  endgenerate

  hne_pool #(
      .COLS  (COLS),
      .ACT_W (ACT_W),
      .LINE_W(LINE_W)
  ) u_pool (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(load_pool),
      .channels_i(out_c),
      .out_line_i(out_line),
      .step_o(pool_step),
      .step_next_o(pool_step_next),
      .group_last_i(group_last),
      .window_first_i(window_first),
      .window_last_i(window_last),
      .map_last_i(map_last),
      .act_i(lane),
      .write_o(pool_write),
      .line_o(pool_line),
      .act_o(pool_act),
      .end_o(pool_end)
  );

  hne_logit_path #(
      .ACC_W(ACC_W),
      .CHAN_DEPTH(CHAN_DEPTH),
      .SOFTMAX(SOFTMAX),
      .BATCH(BATCH)
  ) u_logits (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .clear_i(input_load),
      .write_i(logit_write),
      .fc_i(fc),
      .images_i(images),
      .image_i(map_image),
      .last_i(post_end && whole),
      .logit_i(logit),
      .prob_shift_i(prob_shift),
      .argmax_o(argmax_o),
      .classes_o(classes_o),
      .send_i(output_send),
      .next_i(output_next),
      .done_o(output_done),
      .valid_o(out_valid_o),
      .ready_i(out_ready_i),
      .data_o(out_data_o),
      .last_o(out_last_o),
      .softmax_o(softmax),
      .mem_re_i(mem2_re),
      .mem_line_i(mem2_line),
      .mem_image_i(mem2_field[7:0]),
      .mem_rdata_o(mem_probability)
  );

  hne_counters u_counters (
      .clk_i(clk_i),
      .clear_i(input_load),
      .counting_i(counting),
      .instruction_i(instruction),
      .run_i(run),
      .pool_i(pool),
      .issue_i(issue),
      .group_first_i(mac_group_first),
      .zeros_i(zeros),
      .idle_i(slot_idle),
      .hold_i(held),
      .finished_i(finished),
      .conflict_i(conflict),
      .wait_i(waiting),
      .in_wait_i(in_ready_o && !in_valid_i),
      .out_wait_i(out_valid_o && !out_ready_i),
      .softmax_i(softmax),
      .skip_i(slot_skip || (issue && list && window_ends)),
      .skipped_i(list ? skipped : slot_skipped),
      .count_o(count_o)
  );

endmodule

`resetall
