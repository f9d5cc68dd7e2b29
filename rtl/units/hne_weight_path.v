`resetall
`timescale 1ns / 1ps
`default_nettype none

// From the program's virtual weights to columns of the tile buffer: index source, turns, expander,
// weight banks, tile buffer.
module hne_weight_path #(
    // Array rows: weights of a column; index source, turns and expander grow with it, turns with
    // its square.
    parameter integer ROWS = 2,
    // Weight banks, a power of two >= ROWS: more of them, fewer conflicts; a memory and a word to
    // choose from each.
    parameter integer BANKS = 2,
    // Bits of a real weight: of banks and tile buffer.
    parameter integer WGT_W = 8,
    // 0: indices from the index SRAM; 1: from hash units.
    parameter integer INDEX_MODE = 0,
    // Columns of half the tile buffer: the largest fan-in of a convolution.
    parameter integer TILE_DEPTH = 256,
    // 1: layers whose weights are 1, from no bank.
    parameter integer ONES = 1,
    // Real weights in all banks: their memories.
    parameter integer WGT_DEPTH = 8192,
    // Lines of the index SRAM; unused with INDEX_MODE 1.
    parameter integer IDX_DEPTH = 8192,
    // 1: an fc layer takes its columns from a list: see hne_skip.
    parameter integer SKIP = 0,
    // Bits of a column's number in the list.
    parameter integer COLUMN_W = 13,
    // Bits of a column's number in the tile buffer.
    parameter integer TILE_W = 8,
    // 0: words without check bits, 1: parity, 2: one flipped bit is corrected: see hne_ecc_ram.
    parameter integer ECC = 0,
    // Folder of initial words, "" for none: see hne_ram.
    parameter INIT_DIR = "",
    // Bits of a layer-relative real-weight address. Follows from WGT_DEPTH: leave it.
    parameter integer ADDR_W = (WGT_DEPTH > 1) ? $clog2(WGT_DEPTH) : 1
) (
    input  wire                  clk_i,
    input  wire                  rst_i,
    // The cycle before a conv or fc layer starts, and its parameters.
    input  wire                  load_i,
    input  wire                  fc_i,
    input  wire                  ones_i,
    input  wire                  add_i,
    input  wire [           1:0] scheme_i,
    input  wire [           4:0] log2_hash_banks_i,
    input  wire [          15:0] n_out_i,
    input  wire [          15:0] outputs_i,
    input  wire [          15:0] groups_i,
    input  wire [           8:0] rows_i,
    input  wire [          31:0] fan_in_i,
    input  wire [          31:0] real_weights_i,
    input  wire [          31:0] seed_i,
    input  wire [          31:0] weight_base_i,
    input  wire [          31:0] index_base_i,
    // The list: see hne_index.
    input  wire                  list_i,
    input  wire                  list_ready_i,
    input  wire                  list_last_i,
    output wire                  list_take_o,
    input  wire [  COLUMN_W-1:0] list_column_i,
    // MAC control.
    output wire                  write_o,
    output wire                  write_last_o,
    input  wire                  read_i,
    input  wire                  read_last_i,
    input  wire                  release_i,
    input  wire [    TILE_W-1:0] column_i,
    output wire [ROWS*WGT_W-1:0] weight_o,
    // For the counters.
    output wire                  conflict_o,
    output wire                  wait_o,
    output wire                  hold_o,
    // A word of the weights, or of the indices, is wrong.
    output wire [           1:0] wrong_o,
    // Memory bus, while idle: registered in front of the memories.
    input  wire                  mem_weights_we_i,
    input  wire                  mem_index_we_i,
    input  wire                  mem_re_i,
    input  wire [           8:0] mem_field_i,
    input  wire [          31:0] mem_line_i,
    input  wire [          63:0] mem_wdata_i,
    input  wire [           7:0] mem_flip_i,
    output reg  [     WGT_W-1:0] mem_weight_o,
    output wire [      ADDR_W:0] mem_index_o
);

  localparam integer BANK_LINES = WGT_DEPTH / BANKS;
  localparam integer BANK_LINE_W = (BANK_LINES > 1) ? $clog2(BANK_LINES) : 1;
  localparam integer IDX_LINE_W = (IDX_DEPTH > 1) ? $clog2(IDX_DEPTH) : 1;

  localparam integer BANK_W = (BANKS > 1) ? $clog2(BANKS) : 1;
  localparam integer TURN_W = (ROWS > 1) ? $clog2(ROWS) : 1;
  localparam integer MORE_W = (ROWS > 1) ? ROWS - 1 : 1;

  wire move, valid, last, turn_valid, turn_last;
  wire [ROWS*ADDR_W-1:0] address;
  wire [ROWS-1:0] negative, turn_negative, used;
  wire [ROWS*BANK_W-1:0] row_bank;
  wire [ROWS*BANK_LINE_W-1:0] row_line;
  wire [ROWS*TURN_W-1:0] turn;
  wire [MORE_W-1:0] more;
  wire [BANKS-1:0] read;
  wire [BANKS*BANK_LINE_W-1:0] line;
  wire [BANKS*WGT_W-1:0] bank_word;
  wire [ROWS*WGT_W-1:0] weight;
  wire unused_bits = &{1'b0, weight_base_i, mem_line_i, mem_wdata_i};
  reg mem_index_we_q, mem_re_q;
  reg [8:0] mem_field_q, mem_read_q, mem_answer_q;
  reg [IDX_LINE_W-1:0] mem_line_q;
  reg [ADDR_W:0] mem_wdata_q;
  wire [7:0] mem_flip;
  reg [BANKS*WGT_W-1:0] mem_word_q;
  integer n;

  always @(posedge clk_i) begin
    mem_index_we_q <= mem_index_we_i;
    mem_re_q       <= mem_re_i;
    mem_line_q     <= mem_line_i[IDX_LINE_W-1:0];
    mem_wdata_q    <= mem_wdata_i[ADDR_W:0];
    mem_field_q    <= mem_field_i;
    mem_read_q     <= mem_field_q;
    mem_answer_q   <= mem_read_q;
    mem_word_q     <= bank_word;
  end

  hne_late #(
      .ECC(ECC)
  ) u_flip (
      .clk_i(clk_i),
      .now_i(mem_flip_i),
      .late_o(mem_flip)
  );

  always @* begin
    mem_weight_o = {WGT_W{1'b0}};
    for (n = 0; n < BANKS; n = n + 1) begin
      if (mem_answer_q == n[8:0]) mem_weight_o = mem_word_q[n*WGT_W+:WGT_W];
    end
  end

  hne_index #(
      .ROWS(ROWS),
      .INDEX_MODE(INDEX_MODE),
      .SKIP(SKIP),
      .COLUMN_W(COLUMN_W),
      .ADDR_W(ADDR_W),
      .IDX_DEPTH(IDX_DEPTH),
      .ECC(ECC),
      .INIT_DIR(INIT_DIR)
  ) u_index (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(load_i),
      .scheme_i(scheme_i),
      .log2_hash_banks_i(log2_hash_banks_i),
      .n_out_i(n_out_i),
      .outputs_i(outputs_i),
      .groups_i(groups_i),
      .rows_i(rows_i),
      .fan_in_i(fan_in_i),
      .real_weights_i(real_weights_i),
      .seed_i(seed_i),
      .index_base_i(index_base_i),
      .list_i(list_i),
      .list_ready_i(list_ready_i),
      .list_last_i(list_last_i),
      .list_take_o(list_take_o),
      .list_column_i(list_column_i),
      .move_i(move),
      .valid_o(valid),
      .last_o(last),
      .address_o(address),
      .negative_o(negative),
      .mem_we_i(mem_index_we_q),
      .mem_re_i(mem_re_q),
      .mem_field_i(mem_field_q),
      .mem_line_i(mem_line_q),
      .mem_wdata_i(mem_wdata_q),
      .mem_flip_i(mem_flip),
      .mem_rdata_o(mem_index_o),
      .wrong_o(wrong_o[1])
  );

  hne_turns #(
      .ROWS  (ROWS),
      .BANKS (BANKS),
      .ADDR_W(ADDR_W),
      .LINE_W(BANK_LINE_W)
  ) u_turns (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(load_i),
      .outputs_i(outputs_i),
      .groups_i(groups_i),
      .base_i(weight_base_i[BANK_LINE_W-1:0]),
      .en_i(move),
      .valid_i(valid),
      .last_i(last),
      .address_i(address),
      .negative_i(negative),
      .valid_o(turn_valid),
      .last_o(turn_last),
      .negative_o(turn_negative),
      .bank_o(row_bank),
      .line_o(row_line),
      .used_o(used),
      .turn_o(turn),
      .more_o(more)
  );

  hne_expander #(
      .ROWS  (ROWS),
      .BANKS (BANKS),
      .WGT_W (WGT_W),
      .ONES  (ONES),
      .LINES (BANK_LINES)
  ) u_expander (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(load_i),
      .fc_i(fc_i),
      .ones_i(ones_i),
      .add_i(add_i),
      .rows_i(rows_i),
      .move_o(move),
      .valid_i(turn_valid),
      .last_i(turn_last),
      .negative_i(turn_negative),
      .bank_i(row_bank),
      .line_i(row_line),
      .used_i(used),
      .turn_i(turn),
      .more_i(more),
      .release_i(release_i),
      .read_o(read),
      .line_o(line),
      .word_i(bank_word),
      .write_o(write_o),
      .write_last_o(write_last_o),
      .weight_o(weight),
      .conflict_o(conflict_o),
      .wait_o(wait_o),
      .hold_o(hold_o)
  );

  hne_weight_banks #(
      .BANKS(BANKS),
      .WGT_W(WGT_W),
      .LINES(BANK_LINES),
      .ECC(ECC),
      .INIT_DIR(INIT_DIR)
  ) u_banks (
      .clk_i(clk_i),
      .read_i(read),
      .line_i(line),
      .word_o(bank_word),
      .wrong_o(wrong_o[0]),
      .mem_we_i(mem_weights_we_i),
      .mem_re_i(mem_re_i),
      .mem_field_i(mem_field_i),
      .mem_line_i(mem_line_i[BANK_LINE_W-1:0]),
      .mem_wdata_i(mem_wdata_i[WGT_W-1:0]),
      .mem_flip_i(mem_flip_i)
  );

  hne_tile_buffer #(
      .ROWS(ROWS),
      .WGT_W(WGT_W),
      .TILE_DEPTH(TILE_DEPTH),
      .SKIP(SKIP)
  ) u_tile (
      .clk_i(clk_i),
      .load_i(load_i),
      .fc_i(fc_i),
      .write_i(write_o),
      .write_last_i(write_last_o),
      .weight_i(weight),
      .read_i(read_i),
      .read_last_i(read_last_i),
      .release_i(release_i),
      .column_i(column_i),
      .weight_o(weight_o)
  );

endmodule

`resetall
