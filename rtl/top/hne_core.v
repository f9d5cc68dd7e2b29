`resetall
`timescale 1ns / 1ps
`default_nettype none

// The engine without a bus: program, memories and units. docs/timing.md draws the pipeline.
module hne_core #(
    // Output channels computed at once: each row costs COLS cells, an index field and a port of the
    // expander.
    parameter integer ROWS = 2,
    // Neighbouring output pixels computed at once, a power of two.
    parameter integer COLS = 2,
    // Weight banks, a power of two >= ROWS: more banks, fewer conflicts.
    parameter integer BANKS = 2,
    // Bits of an activation, a real weight, an accumulator and a requantization multiplier.
    parameter integer ACT_W = 8,
    parameter integer WGT_W = 8,
    parameter integer ACC_W = 32,
    parameter integer MULT_W = 16,
    // 0: indices from SRAM, 1: computed by hash units.
    parameter integer INDEX_MODE = 0,
    // Columns of half the tile buffer: the largest fan-in of a convolution.
    parameter integer TILE_DEPTH = 256,
    // Real weights in all banks; lines of index SRAM, of each feature map, of scale and bias; and
    // instructions.
    parameter integer WGT_DEPTH = 8192,
    parameter integer IDX_DEPTH = 8192,
    parameter integer ACT_DEPTH = 4096,
    parameter integer CHAN_DEPTH = 512,
    parameter integer PROG_DEPTH = 32,
    // 1: with the probability unit.
    parameter integer SOFTMAX = 1,
    // Bits of a beat of the output stream.
    parameter integer OUT_W = (ACC_W > 32) ? 64 : 32,
    parameter integer CHAN_W = (CHAN_DEPTH > 1) ? $clog2(CHAN_DEPTH) : 1
) (
    input  wire              clk_i,
    input  wire              rst_i,
    // Level: images are taken one after the other while it is high.
    input  wire              start_i,
    output wire              idle_o,
    // Pulses: an image is through; or was refused, for this cause.
    output wire              done_o,
    output wire              error_o,
    output wire [       2:0] cause_o,
    output wire              layer_end_o,
    output wire [CHAN_W-1:0] argmax_o,
    // Logits of the last image; more than CHAN_W bits would hold counts as 0.
    output wire [CHAN_W-1:0] classes_o,
    output wire [     383:0] count_o,
    // Memory bus, heard while idle. Space 0 weights, 1 index, 2 scale, 3 bias, 4 program, 5
    // probabilities, which are only read; a field of a line. A word that is read stands in
    // mem_rdata_o four cycles later.
    input  wire              mem_we_i,
    input  wire              mem_re_i,
    input  wire [       2:0] mem_space_i,
    input  wire [       8:0] mem_field_i,
    input  wire [      31:0] mem_line_i,
    input  wire [      63:0] mem_wdata_i,
    output reg  [      63:0] mem_rdata_o,
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
  localparam integer PROG_W = $clog2(16 * PROG_DEPTH);
  localparam integer SHIFT_W = $clog2(ACC_W + MULT_W);
  localparam integer SCALE_W = SHIFT_W + MULT_W;
  localparam integer BIAS_W = ACC_W + MULT_W;

  localparam [2:0] SPACE_WEIGHTS = 3'd0;
  localparam [2:0] SPACE_INDEX = 3'd1;
  localparam [2:0] SPACE_SCALE = 3'd2;
  localparam [2:0] SPACE_BIAS = 3'd3;
  localparam [2:0] SPACE_PROGRAM = 3'd4;
  localparam [2:0] SPACE_PROBABILITY = 3'd5;

  // An illegal parameter set stops elaboration: there is no module of such a name.
  generate
    if (ROWS < 1 || ROWS > 256) begin : gen_rows
      hne_illegal_ROWS_must_be_1_to_256 stop ();
    end
    if (COLS < 1 || COLS > 256 || (COLS & (COLS - 1)) != 0) begin : gen_cols
      hne_illegal_COLS_must_be_a_power_of_two_up_to_256 stop ();
    end
    if (BANKS < ROWS || (BANKS & (BANKS - 1)) != 0) begin : gen_banks
      hne_illegal_BANKS_must_be_a_power_of_two_from_ROWS_on stop ();
    end
    if (WGT_DEPTH < BANKS || (WGT_DEPTH % BANKS) != 0) begin : gen_weights
      hne_illegal_WGT_DEPTH_must_be_a_multiple_of_BANKS stop ();
    end
    if (ACT_W < 4 || ACT_W > 16 || WGT_W < 4 || WGT_W > 16) begin : gen_widths
      hne_illegal_ACT_W_and_WGT_W_must_be_4_to_16 stop ();
    end
    if (MULT_W < 8 || MULT_W > 16) begin : gen_mult
      hne_illegal_MULT_W_must_be_8_to_16 stop ();
    end
    if (ACC_W != 32 && ACC_W != 48) begin : gen_acc
      hne_illegal_ACC_W_must_be_32_or_48 stop ();
    end
    if (INDEX_MODE != 0 && INDEX_MODE != 1) begin : gen_mode
      hne_illegal_INDEX_MODE_must_be_0_or_1 stop ();
    end
    if (SOFTMAX != 0 && SOFTMAX != 1) begin : gen_softmax
      hne_illegal_SOFTMAX_must_be_0_or_1 stop ();
    end
    if (PROG_DEPTH < 2) begin : gen_program
      hne_illegal_PROG_DEPTH_must_hold_a_layer_and_the_end stop ();
    end
  endgenerate

  // Sequencer and instruction.
  wire idle, load, load_mac, load_pool, run, layer_end, counting, instruction;
  wire fetch, word_we, input_load, input_done, input_error, output_send, output_done;
  wire [PROG_W-1:0] fetch_address;
  wire [3:0] word;
  wire [3:0] op, stride, padding, log2_groups;
  wire last_layer, bad_shape, bad_size;
  wire [1:0] scheme;
  wire [4:0] log2_hash_banks;
  wire [15:0] in_c, in_h, in_w, out_c, out_h, window_w, window_h, x_tiles;
  wire [31:0] fan_in, real_weights, seed, weight_base, index_base, channel_base, program_word;
  wire [7:0] prob_shift;
  wire [LINE_W-1:0] in_row, in_plane, out_step, first_line, pixel_tiles;
  wire [8:0] rows, idle_cycles;

  wire pool = op == OP_POOL;
  wire fc = op == OP_FC;

  // Units.
  wire expanded, expanded_last, conflict, waiting, held;
  wire [ROWS*WGT_W-1:0] weight;
  wire issue, release_half, slot_idle, finished, pool_step;
  wire group_first, group_last, window_first, window_last, map_last;
  wire [COLS*ACT_W-1:0] lane, post_act, pool_act;
  wire post_write, logit_write, post_end, pool_write, pool_end;
  wire [LINE_W-1:0] post_line, pool_line;
  wire [ACC_W-1:0] logit;
  wire softmax;

  // What a layer writes. A simulation may record it: these signals are kept for it.
  wire map_write  /* verilator public_flat_rd */ = post_write || pool_write;
  wire [LINE_W-1:0] map_line  /* verilator public_flat_rd */ = pool ? pool_line : post_line;
  wire [COLS*ACT_W-1:0] map_act  /* verilator public_flat_rd */ = pool ? pool_act : post_act;

  // Memory bus: a register for all, then one in front of each memory or group of them. What is on
  // its way is waited for before an image is taken.
  reg [4:0] mem1_we_q;
  reg mem1_re_q, mem2_re_q, mem2_program_q, mem2_scale_q, mem2_bias_q;
  reg [2:0] mem1_space_q, mem2_space_q, mem3_space_q, mem_answer_q;
  reg [8:0] mem1_field_q;
  reg [31:0] mem1_line_q, mem2_line_q;
  reg [63:0] mem1_wdata_q, mem2_wdata_q;
  wire mem_busy = mem1_we_q != 5'd0 || mem1_re_q || mem2_re_q || mem2_program_q || mem2_scale_q
      || mem2_bias_q;
  reg [SCALE_W-1:0] mem_scale_q;
  reg [BIAS_W-1:0] mem_bias_q;
  reg [16:0] mem_probability_q;
  reg [31:0] mem_program_q;
  wire [WGT_W-1:0] mem_weight;
  wire [ADDR_W:0] mem_index;
  wire [SCALE_W-1:0] mem_scale;
  wire [BIAS_W-1:0] mem_bias;
  wire [16:0] mem_probability;

  integer space;

  assign idle_o = idle;
  assign in_expect_o = input_load;
  assign layer_end_o = layer_end;
  assign layer_end = post_end || pool_end;

  always @(posedge clk_i) begin
    for (space = 0; space < 5; space = space + 1) begin
      mem1_we_q[space] <= mem_we_i && idle && mem_space_i == space[2:0];
    end
    mem1_re_q         <= mem_re_i && idle;
    mem1_space_q      <= mem_space_i;
    mem1_field_q      <= mem_field_i;
    mem1_line_q       <= mem_line_i;
    mem1_wdata_q      <= mem_wdata_i;
    mem2_re_q         <= mem1_re_q;
    mem2_program_q    <= mem1_we_q[SPACE_PROGRAM];
    mem2_scale_q      <= mem1_we_q[SPACE_SCALE];
    mem2_bias_q       <= mem1_we_q[SPACE_BIAS];
    mem2_space_q      <= mem1_space_q;
    mem2_line_q       <= mem1_line_q;
    mem2_wdata_q      <= mem1_wdata_q;
    mem3_space_q      <= mem2_space_q;
    mem_answer_q      <= mem3_space_q;
    mem_scale_q       <= mem_scale;
    mem_bias_q        <= mem_bias;
    mem_probability_q <= mem_probability;
    mem_program_q     <= program_word;
  end

  // Of words that are registered behind their memories; weights and indices are where they stand.
  always @* begin
    case (mem_answer_q)
      SPACE_WEIGHTS:     mem_rdata_o = {{64 - WGT_W{1'b0}}, mem_weight};
      SPACE_INDEX:       mem_rdata_o = {{63 - ADDR_W{1'b0}}, mem_index};
      SPACE_SCALE:       mem_rdata_o = {{64 - SCALE_W{1'b0}}, mem_scale_q};
      SPACE_BIAS:        mem_rdata_o = bias_wide[63:0];
      SPACE_PROBABILITY: mem_rdata_o = {47'd0, mem_probability_q};
      default:           mem_rdata_o = {32'd0, mem_program_q};
    endcase
  end
  wire [BIAS_W+63:0] bias_wide = {64'd0, mem_bias_q};
  wire unused_bias = &{1'b0, bias_wide};

  hne_ram #(
      .WIDTH(32),
      .DEPTH(16 * PROG_DEPTH)
  ) u_program (
      .clk_i(clk_i),
      .we_i(mem2_program_q),
      .waddr_i(mem2_line_q[PROG_W-1:0]),
      .wdata_i(mem2_wdata_q[31:0]),
      .re_i(fetch || mem2_re_q),
      .raddr_i(mem2_re_q ? mem2_line_q[PROG_W-1:0] : fetch_address),
      .rdata_o(program_word)
  );

  hne_sequencer #(
      .PROG_DEPTH(PROG_DEPTH)
  ) u_sequencer (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .start_i(start_i && !mem_busy),
      .idle_o(idle),
      .done_o(done_o),
      .error_o(error_o),
      .cause_o(cause_o),
      .fetch_o(fetch),
      .address_o(fetch_address),
      .word_we_o(word_we),
      .word_o(word),
      .op_i(op),
      .last_i(last_layer),
      .bad_shape_i(bad_shape),
      .bad_size_i(bad_size),
      .input_load_o(input_load),
      .input_done_i(input_done),
      .input_error_i(input_error),
      .output_o(output_send),
      .output_done_i(output_done),
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
      .TILE_DEPTH(TILE_DEPTH),
      .WGT_DEPTH(WGT_DEPTH),
      .IDX_DEPTH(IDX_DEPTH),
      .ACT_DEPTH(ACT_DEPTH),
      .CHAN_DEPTH(CHAN_DEPTH),
      .LINE_W(LINE_W)
  ) u_instruction (
      .clk_i(clk_i),
      .we_i(word_we),
      .word_i(word),
      .data_i(mem_program_q),
      .op_o(op),
      .last_o(last_layer),
      .scheme_o(scheme),
      .log2_hash_banks_o(log2_hash_banks),
      .stride_o(stride),
      .padding_o(padding),
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
      .window_w_o(window_w),
      .window_h_o(window_h),
      .in_row_o(in_row),
      .in_plane_o(in_plane),
      .out_step_o(out_step),
      .first_line_o(first_line),
      .x_tiles_o(x_tiles),
      .pixel_tiles_o(pixel_tiles),
      .log2_groups_o(log2_groups),
      .rows_o(rows),
      .idle_o(idle_cycles),
      .bad_shape_o(bad_shape),
      .bad_size_o(bad_size)
  );

  hne_weight_path #(
      .ROWS(ROWS),
      .BANKS(BANKS),
      .WGT_W(WGT_W),
      .INDEX_MODE(INDEX_MODE),
      .TILE_DEPTH(TILE_DEPTH),
      .WGT_DEPTH(WGT_DEPTH),
      .IDX_DEPTH(IDX_DEPTH)
  ) u_weights (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(load_mac),
      .fc_i(fc),
      .scheme_i(scheme),
      .log2_hash_banks_i(log2_hash_banks),
      .n_out_i(out_c),
      .rows_i(rows),
      .fan_in_i(fan_in),
      .real_weights_i(real_weights),
      .seed_i(seed),
      .weight_base_i(weight_base),
      .index_base_i(index_base),
      .write_o(expanded),
      .write_last_o(expanded_last),
      .read_i(issue && group_last),
      .read_last_i(window_last),
      .release_i(release_half),
      .weight_o(weight),
      .conflict_o(conflict),
      .wait_o(waiting),
      .hold_o(held),
      .mem_weights_we_i(mem1_we_q[SPACE_WEIGHTS]),
      .mem_index_we_i(mem1_we_q[SPACE_INDEX]),
      .mem_re_i(mem1_re_q),
      .mem_field_i(mem1_field_q),
      .mem_line_i(mem1_line_q),
      .mem_wdata_i(mem1_wdata_q),
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
      .LINE_W(LINE_W)
  ) u_mac (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(load_mac),
      .fc_i(fc),
      .last_layer_i(last_layer),
      .n_out_i(out_c),
      .rows_i(rows),
      .idle_i(idle_cycles),
      .pixel_tiles_i(pixel_tiles),
      .channel_base_i(channel_base),
      .expanded_i(expanded),
      .expanded_last_i(expanded_last),
      .release_o(release_half),
      .issue_o(issue),
      .group_last_i(group_last),
      .window_first_i(window_first),
      .window_last_i(window_last),
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
      .mem_scale_we_i(mem2_scale_q),
      .mem_bias_we_i(mem2_bias_q),
      .mem_re_i(mem2_re_q),
      .mem_line_i(mem2_line_q),
      .mem_wdata_i(mem2_wdata_q),
      .mem_scale_o(mem_scale),
      .mem_bias_o(mem_bias)
  );

  hne_act_path #(
      .COLS(COLS),
      .ACT_W(ACT_W),
      .ACT_DEPTH(ACT_DEPTH)
  ) u_act (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(load),
      .pool_i(pool),
      .fc_i(fc),
      .stride_i(stride),
      .padding_i(padding),
      .in_c_i(in_c),
      .in_h_i(in_h),
      .in_w_i(in_w),
      .out_h_i(out_h),
      .window_w_i(window_w),
      .window_h_i(window_h),
      .x_tiles_i(x_tiles),
      .log2_groups_i(log2_groups),
      .in_row_i(in_row),
      .in_plane_i(in_plane),
      .out_step_i(out_step),
      .first_line_i(first_line),
      .run_i(run),
      .layer_end_i(layer_end),
      .step_i(issue || pool_step),
      .group_first_o(group_first),
      .group_last_o(group_last),
      .window_first_o(window_first),
      .window_last_o(window_last),
      .map_last_o(map_last),
      .lane_o(lane),
      .write_i(map_write),
      .line_i(map_line),
      .act_i(map_act),
      .input_load_i(input_load),
      .input_done_o(input_done),
      .input_error_o(input_error),
      .in_valid_i(in_valid_i),
      .in_ready_o(in_ready_o),
      .in_data_i(in_data_i),
      .in_last_i(in_last_i)
  );

  hne_pool #(
      .COLS  (COLS),
      .ACT_W (ACT_W),
      .LINE_W(LINE_W)
  ) u_pool (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(load_pool),
      .channels_i(out_c),
      .step_o(pool_step),
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
      .SOFTMAX(SOFTMAX)
  ) u_logits (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .clear_i(input_load),
      .write_i(logit_write),
      .last_i(post_end),
      .logit_i(logit),
      .prob_shift_i(prob_shift),
      .argmax_o(argmax_o),
      .classes_o(classes_o),
      .send_i(output_send),
      .done_o(output_done),
      .valid_o(out_valid_o),
      .ready_i(out_ready_i),
      .data_o(out_data_o),
      .last_o(out_last_o),
      .softmax_o(softmax),
      .mem_re_i(mem2_re_q),
      .mem_line_i(mem2_line_q),
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
      .group_first_i(group_first),
      .idle_i(slot_idle),
      .hold_i(held),
      .finished_i(finished),
      .conflict_i(conflict),
      .wait_i(waiting),
      .in_wait_i(in_ready_o && !in_valid_i),
      .out_wait_i(out_valid_o && !out_ready_i),
      .softmax_i(softmax),
      .count_o(count_o)
  );

endmodule

`resetall
