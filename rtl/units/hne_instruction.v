`resetall
`timescale 1ns / 1ps
`default_nettype none

// The instruction that is being executed: takes its words as they are fetched, and derives line
// strides, tile counts and idle cycles. Says whether the engine can execute it: that it comes to an
// end, and stays within the memories. All is final two cycles after the last word.
module hne_instruction #(
    // Array rows: a layer with fewer outputs uses fewer.
    parameter integer ROWS = 2,
    // Pixels of a tile, a power of two: lines and tiles of a row follow by a shift.
    parameter integer COLS = 2,
    // Weight banks, a power of two: the lines of a layer's weights follow by a shift.
    parameter integer BANKS = 2,
    // 0: a hashed layer also needs lines of the index SRAM, which is checked.
    parameter integer INDEX_MODE = 0,
    // The largest fan-in of a convolution: a larger one is refused.
    parameter integer TILE_DEPTH = 256,
    // Real weights in all banks: a layer that needs more is refused.
    parameter integer WGT_DEPTH = 8192,
    // Lines of the index SRAM: a layer that needs more is refused.
    parameter integer IDX_DEPTH = 8192,
    // Lines of a feature map: a layer whose input or output has more is refused.
    parameter integer ACT_DEPTH = 4096,
    // Lines of scale and bias: a layer whose channels end behind them is refused.
    parameter integer CHAN_DEPTH = 512,
    // Bits of a line of the activation buffer: strides of lines are as wide.
    parameter integer LINE_W = 12
) (
    input  wire              clk_i,
    input  wire              we_i,
    input  wire [       3:0] word_i,
    input  wire [      31:0] data_i,
    output reg  [       3:0] op_o,
    output reg               last_o,
    output reg  [       1:0] scheme_o,
    output reg  [       4:0] log2_hash_banks_o,
    output reg  [       3:0] stride_o,
    output reg  [       3:0] padding_o,
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
    // Kernel extent; an fc layer is one window as large as its input.
    output reg  [      15:0] window_w_o,
    output reg  [      15:0] window_h_o,
    // Lines of one row and one channel of the input; lines from one output row to the next; the
    // line of the first window, which padding puts before line 0.
    output reg  [LINE_W-1:0] in_row_o,
    output reg  [LINE_W-1:0] in_plane_o,
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
    output wire              bad_shape_o,
    output wire              bad_size_o
);

  `include "hne_program.vh"

  localparam integer COLS_W = $clog2(COLS);
  localparam [15:0] LAST_COL = COLS[15:0] - 16'd1;
  localparam integer BANKS_W = $clog2(BANKS);
  localparam integer BANK_LINES = WGT_DEPTH / BANKS;
  localparam [32:0] LAST_BANK = {1'b0, BANKS[31:0]} - 33'd1;
  reg [3:0] kernel_q;
  reg [15:0] out_w_q;
  reg [19:0] skipped_q, stepped_q;
  reg [34:0] reads_q;
  reg [15:0] in_row_q;
  // Refused for what needs no product; for what does.
  reg wrong_shape_q, large_q;
  wire wrong_fan, too_large;
  // Lines of weights, and where the weights and the channels of the layer end.
  reg [32:0] weight_lines_q, weight_end_q, channel_end_q;
  wire [31:0] in_plane, pixel_tiles;

  wire mac = op_o == OP_CONV || op_o == OP_FC;
  wire fc = op_o == OP_FC;
  wire stored = INDEX_MODE == 0 && mac && scheme_o != SCHEME_DENSE;
  wire unused_bits = &{1'b0, skipped_q, stepped_q, in_plane, pixel_tiles};

  assign bad_shape_o = wrong_shape_q || wrong_fan;
  assign bad_size_o = large_q || too_large;

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
      case ({28'd0, word_i})
        FIELD_OP_WORD: begin
          op_o              <= data_i[FIELD_OP_LSB+:FIELD_OP_WIDTH];
          last_o            <= data_i[FIELD_LAST_LSB];
          scheme_o          <= data_i[FIELD_SCHEME_LSB+:FIELD_SCHEME_WIDTH];
          log2_hash_banks_o <= data_i[FIELD_LOG2_HASH_BANKS_LSB+:FIELD_LOG2_HASH_BANKS_WIDTH];
          kernel_q          <= data_i[FIELD_KERNEL_LSB+:FIELD_KERNEL_WIDTH];
          stride_o          <= data_i[FIELD_STRIDE_LSB+:FIELD_STRIDE_WIDTH];
          padding_o         <= data_i[FIELD_PADDING_LSB+:FIELD_PADDING_WIDTH];
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
        FIELD_FAN_IN_WORD:       fan_in_o <= data_i;
        FIELD_REAL_WEIGHTS_WORD: real_weights_o <= data_i;
        FIELD_SEED_WORD:         seed_o <= data_i;
        FIELD_WEIGHT_BASE_WORD:  weight_base_o <= data_i;
        FIELD_INDEX_BASE_WORD:   index_base_o <= data_i;
        FIELD_CHANNEL_BASE_WORD: channel_base_o <= data_i;
        FIELD_PROB_SHIFT_WORD:
          prob_shift_o <= data_i[FIELD_PROB_SHIFT_LSB+:FIELD_PROB_SHIFT_WIDTH];
        default: ;
      endcase
    end

    window_w_o    <= fc ? in_w_o : {12'd0, kernel_q};
    window_h_o    <= fc ? in_h_o : {12'd0, kernel_q};
    in_row_q      <= lines_of(in_w_o);
    x_tiles_o     <= lines_of(out_w_q);
    log2_groups_o <= fc ? 4'd0 : groups_of(stride_o);
    rows_o        <= out_c_o < ROWS[15:0] ? out_c_o[8:0] : ROWS[8:0];
    reads_q       <= {3'd0, fan_in_o} << log2_groups_o;
    idle_o        <= reads_q < {26'd0, rows_o} ? rows_o - reads_q[8:0] : 9'd0;
    skipped_q     <= times(padding_o, in_row_q);
    stepped_q     <= times(stride_o, in_row_q);
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
        first_line_o <= {LINE_W{1'b0}} - {{LINE_W - 20{1'b0}}, skipped_q};
        out_step_o   <= {{LINE_W - 20{1'b0}}, stepped_q};
      end
    end else begin : gen_narrow_step
      always @(posedge clk_i) begin
        first_line_o <= {LINE_W{1'b0}} - skipped_q[LINE_W-1:0];
        out_step_o   <= stepped_q[LINE_W-1:0];
      end
    end
  endgenerate

  always @* begin
    in_plane_o    = in_plane[LINE_W-1:0];
    pixel_tiles_o = pixel_tiles[LINE_W-1:0];
  end

  hne_sizes #(
      .ROWS(ROWS),
      .IDX_DEPTH(IDX_DEPTH),
      .ACT_DEPTH(ACT_DEPTH)
  ) u_sizes (
      .clk_i(clk_i),
      .we_i(we_i),
      .word_i(word_i),
      .mac_i(mac),
      .stored_i(stored),
      .in_c_i(in_c_o),
      .in_h_i(in_h_o),
      .in_row_i(in_row_q),
      .window_w_i(window_w_o),
      .window_h_i(window_h_o),
      .out_c_i(out_c_o),
      .out_h_i(out_h_o),
      .x_tiles_i(x_tiles_o),
      .fan_in_i(fan_in_o),
      .index_base_i(index_base_o),
      .in_plane_o(in_plane),
      .pixel_tiles_o(pixel_tiles),
      .wrong_fan_o(wrong_fan),
      .large_o(too_large)
  );

  always @(posedge clk_i) begin
    wrong_shape_q <= op_o > OP_POOL || in_c_o == 16'd0 || in_h_o == 16'd0 || in_w_o == 16'd0
        || out_c_o == 16'd0 || out_h_o == 16'd0 || out_w_q == 16'd0
        || (fc ? out_h_o != 16'd1 || out_w_q != 16'd1 : stride_o == 4'd0 || kernel_q == 4'd0)
        || (mac && (fan_in_o == 32'd0 || real_weights_o == 32'd0 || scheme_o > SCHEME_BANKED))
        || (op_o == OP_POOL && in_c_o != out_c_o) || (last_o && !fc);
    large_q <= (op_o == OP_CONV && fan_in_o > TILE_DEPTH[31:0])
        || (mac && (channel_end_q > {1'b0, CHAN_DEPTH[31:0]}
                    || weight_end_q > {1'b0, BANK_LINES[31:0]}));
    channel_end_q  <= {1'b0, channel_base_o} + {17'd0, out_c_o};
    weight_lines_q <= ({1'b0, real_weights_o} + LAST_BANK) >> BANKS_W;
    weight_end_q   <= {1'b0, weight_base_o} + weight_lines_q;
  end

endmodule

`resetall
