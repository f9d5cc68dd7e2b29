`resetall
`timescale 1ns / 1ps
`default_nettype none

// Index source (twin: hwsim/units/index.py): the (address, sign) pairs of one column per cycle.
// Three sources, one per layer: index SRAM, hash units, or for dense layers a counter. The pipeline
// moves as a whole whenever a column is taken; an i-round passes through it as bubbles.
module hne_index #(
    // Array rows: an (address, sign) pair of each column, so a field of the SRAM or a hash unit
    // each.
    parameter integer ROWS = 2,
    // 0: {negative, address} from the index SRAM; 1: computed by hash units, no index SRAM, a
    // longer pipeline.
    parameter integer INDEX_MODE = 0,
    // 1: columns may come from a list, so their numbers are multiplied: a pipeline longer by
    // INDEX_COLUMN, and a product. 0: they are counted up.
    parameter integer SKIP = 0,
    // Bits of a column's number in the list.
    parameter integer COLUMN_W = 13,
    // Bits of a layer-relative real-weight address: of every pair.
    parameter integer ADDR_W = 13,
    // Lines of the index SRAM, one for each row-tile and position of the fan-in.
    parameter integer IDX_DEPTH = 8192,
    // 0: words without check bits, 1: parity, 2: one flipped bit is corrected: see hne_ecc_ram.
    parameter integer ECC = 0,
    // Folder of initial words, "" for none: see hne_ram.
    parameter INIT_DIR = "",
    // Bits of a line. Follows from IDX_DEPTH: leave it.
    parameter integer LINE_W = (IDX_DEPTH > 1) ? $clog2(IDX_DEPTH) : 1
) (
    input  wire                   clk_i,
    input  wire                   rst_i,
    // The cycle before a conv or fc layer starts: take its parameters.
    input  wire                   load_i,
    input  wire [            1:0] scheme_i,
    input  wire [            4:0] log2_hash_banks_i,
    input  wire [           15:0] n_out_i,
    input  wire [           15:0] outputs_i,
    input  wire [           15:0] groups_i,
    // Rows of the first row-tile.
    input  wire [            8:0] rows_i,
    input  wire [           31:0] fan_in_i,
    input  wire [           31:0] real_weights_i,
    input  wire [           31:0] seed_i,
    input  wire [           31:0] index_base_i,
    // The layer takes its columns from a list: one may be taken, the last one of a row-tile; a
    // cycle after it was, its number.
    input  wire                   list_i,
    input  wire                   list_ready_i,
    input  wire                   list_last_i,
    output wire                   list_take_o,
    input  wire [   COLUMN_W-1:0] list_column_i,
    // What stands at the output is taken.
    input  wire                   move_i,
    output wire                   valid_o,
    output wire                   last_o,
    output wire [ROWS*ADDR_W-1:0] address_o,
    output wire [       ROWS-1:0] negative_o,
    // Memory bus, while idle.
    input  wire                   mem_we_i,
    input  wire                   mem_re_i,
    input  wire [            8:0] mem_field_i,
    input  wire [     LINE_W-1:0] mem_line_i,
    input  wire [       ADDR_W:0] mem_wdata_i,
    input  wire [            7:0] mem_flip_i,
    output reg  [       ADDR_W:0] mem_rdata_o,
    // A word of the index memory is wrong.
    output wire                   wrong_o
);

  `include "hne_constants.vh"
  `include "hne_program.vh"

  localparam [0:0] HASH = INDEX_MODE == 1;
  // Registers of a source; the output register is one more.
  localparam integer STAGES = (HASH ? INDEX_LATENCY_HASH : INDEX_LATENCY_SRAM) - 1;
  // Cycles of an i-round beyond one per row.
  localparam [9:0] ROUND = INDEX_ROUND[9:0];

  reg active_q, dense_q, row_first_q;
  // Columns of a row-tile behind the first one, and behind the one that enters next.
  reg [31:0] behind_all_q, behind_q;
  // That one is the last; all have one column only.
  reg enter_last_q, single_q;
  reg [9:0] round_q;
  // Whether it is over; whether rows are fed.
  reg over_q, row_q;
  reg [ADDR_W-1:0] counter_q, first_row_q;
  reg [STAGES-1:0] valid_q, last_q;

  wire hashed = HASH && scheme_i != SCHEME_DENSE;
  wire listed = SKIP != 0 && list_i;
  wire enter = active_q && over_q && (!listed || list_ready_i);
  wire enter_last = listed ? list_last_i : enter_last_q;
  wire row = row_q;
  // What comes to the sources: the same, INDEX_COLUMN moves later on an engine that skips.
  wire column, column_last, row_late, row_first_late;
  wire [ROWS*ADDR_W-1:0] source_address;
  wire [ROWS-1:0] source_negative;
  wire [7:0] row_end, next_end;
  wire group_end, layer_end;
  wire unused_fields = &{1'b0, n_out_i, index_base_i, group_end};

  // Cycles of the i-rounds of the first row-tile, which stand still before the load, and of the
  // next one: an i-round is longer than a cycle, so they are there when it is over.
  reg [9:0] first_round_q, next_round_q;

  hne_row_tiles #(
      .ROWS(ROWS)
  ) u_tiles (
      .clk_i(clk_i),
      .load_i(load_i),
      .outputs_i(outputs_i),
      .groups_i(groups_i),
      .next_i(move_i && enter && enter_last),
      .end_o(row_end),
      .next_end_o(next_end),
      .group_last_o(group_end),
      .last_o(layer_end)
  );

  // Output register.
  reg valid_out_q, last_out_q;
  reg [ROWS*ADDR_W-1:0] address_q;
  reg [ROWS-1:0] negative_q;
  wire [ROWS*ADDR_W-1:0] address;

  assign valid_o = valid_out_q;
  assign last_o = last_out_q;
  assign address_o = address_q;
  assign negative_o = negative_q;

  always @(posedge clk_i) begin
    if (rst_i || load_i) valid_out_q <= 1'b0;
    else if (move_i) valid_out_q <= dense_q ? column : valid_q[STAGES-1];
    if (move_i) begin
      last_out_q <= dense_q ? column_last : last_q[STAGES-1];
      address_q  <= address;
      negative_q <= dense_q ? {ROWS{1'b0}} : source_negative;
    end
  end

  always @(posedge clk_i) begin
    if (rst_i) begin
      active_q <= 1'b0;
      round_q  <= 10'd0;
      over_q   <= 1'b1;
      row_q    <= 1'b0;
      valid_q  <= {STAGES{1'b0}};
    end else if (load_i) begin
      active_q <= 1'b1;
      round_q  <= hashed ? first_round_q : 10'd0;
      over_q   <= !hashed;
      row_q    <= hashed;
      valid_q  <= {STAGES{1'b0}};
    end else if (move_i) begin
      valid_q <= (valid_q << 1) | {{STAGES - 1{1'b0}}, column && !dense_q};
      if (!over_q) begin
        round_q <= round_q - 10'd1;
        over_q  <= round_q == 10'd1;
        row_q   <= round_q > ROUND + 10'd1;
      end
      if (enter && enter_last) begin
        active_q <= !layer_end;
        if (hashed && !layer_end) begin
          round_q <= next_round_q;
          over_q  <= 1'b0;
          row_q   <= 1'b1;
        end
      end
    end
    first_round_q <= {1'b0, rows_i} + ROUND;
    next_round_q  <= {2'd0, next_end} + ROUND + 10'd1;
    behind_all_q <= fan_in_i - 32'd1;
    single_q     <= fan_in_i == 32'd1;
    if (load_i) begin
      dense_q      <= scheme_i == SCHEME_DENSE;
      behind_q     <= behind_all_q;
      enter_last_q <= single_q;
      first_row_q  <= {ADDR_W{1'b0}};
      counter_q    <= {ADDR_W{1'b0}};
      row_first_q  <= 1'b1;
    end else if (move_i) begin
      last_q <= (last_q << 1) | {{STAGES - 1{1'b0}}, column_last};
      if (row) row_first_q <= 1'b0;
      if (enter) begin
        behind_q     <= behind_q - 32'd1;
        enter_last_q <= behind_q == 32'd1;
        counter_q    <= counter_q + n_out_i_addr;
        if (enter_last) begin
          behind_q     <= behind_all_q;
          enter_last_q <= single_q;
          row_first_q  <= 1'b1;
          first_row_q  <= next_row;
          counter_q    <= next_row;
        end
      end
    end
  end

  // The field of the line that the memory bus has just read, registered.
  reg [8:0] field_q;
  integer n;

  always @(posedge clk_i) field_q <= mem_field_i;

  always @(posedge clk_i) begin
    mem_rdata_o <= {ADDR_W + 1{1'b0}};
    for (n = 0; n < ROWS; n = n + 1) begin
      if (!HASH && field_q == n[8:0]) begin
        mem_rdata_o <= {source_negative[n], source_address[n*ADDR_W+:ADDR_W]};
      end
    end
  end

  // Numbers of outputs in address width; more bits than an address has would not matter.
  wire [ADDR_W+15:0] n_out_wide = {{ADDR_W{1'b0}}, n_out_i};
  wire [ADDR_W-1:0] n_out_i_addr = n_out_wide[ADDR_W-1:0];
  wire [ADDR_W+7:0] end_wide = {{ADDR_W{1'b0}}, row_end};
  wire [ADDR_W-1:0] next_row = first_row_q + end_wide[ADDR_W-1:0] + {{ADDR_W - 1{1'b0}}, 1'b1};
  wire unused_wide = &{1'b0, n_out_wide, end_wide};

  // On an engine that skips, the number of a column becomes what its source counts with: addresses
  // of a dense layer, lines of the index SRAM, multiples of xxHash32's prime. Number, operands,
  // products, their sum and where the row-tile begins.
  wire [31:0] key;
  wire [ADDR_W-1:0] counter;

  generate
    if (SKIP != 0) begin : gen_keys
      hne_index_key #(
          .INDEX_MODE(INDEX_MODE),
          .COLUMN_W(COLUMN_W)
      ) u_key (
          .clk_i(clk_i),
          .load_i(load_i),
          .move_i(move_i),
          .dense_i(scheme_i == SCHEME_DENSE),
          .n_out_i(n_out_i),
          .fan_in_i(fan_in_i),
          .index_base_i(index_base_i),
          .listed_i(listed),
          .list_column_i(list_column_i),
          .enter_i(enter),
          .enter_last_i(enter_last),
          .row_end_i(row_end),
          .row_i(row),
          .row_first_i(row_first_q),
          .column_o(column),
          .column_last_o(column_last),
          .row_o(row_late),
          .row_first_o(row_first_late),
          .key_o(key)
      );

      wire [ADDR_W+31:0] key_wide = {{ADDR_W{1'b0}}, key};
      wire unused_key = &{1'b0, key_wide, counter_q};

      assign list_take_o = move_i && enter && listed;
      assign counter = key_wide[ADDR_W-1:0];
    end else begin : gen_counted
      wire unused_list = &{1'b0, list_column_i, key};

      assign list_take_o = 1'b0;
      assign {column, column_last} = {enter, enter_last};
      assign {row_late, row_first_late} = {row, row_first_q};
      assign key = 32'd0;
      assign counter = counter_q;
    end
  endgenerate

  genvar r;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : gen_row
      assign address[r*ADDR_W+:ADDR_W] = dense_q ? counter + r[ADDR_W-1:0]
                                                 : source_address[r*ADDR_W+:ADDR_W];
    end

    if (HASH) begin : gen_hash
      wire unused_mem = &{
        1'b0, mem_we_i, mem_re_i, field_q, mem_line_i, mem_wdata_i, mem_flip_i
      };

      assign wrong_o = 1'b0;

      hne_index_hash #(
          .ROWS  (ROWS),
          .ADDR_W(ADDR_W),
          .SKIP  (SKIP)
      ) u_source (
          .clk_i(clk_i),
          .en_i(move_i),
          .load_i(load_i),
          .step_i(key),
          .outputs_i(outputs_i),
          .groups_i(groups_i),
          .banked_i(scheme_i == SCHEME_BANKED),
          .log2_hash_banks_i(log2_hash_banks_i),
          .real_weights_i(real_weights_i),
          .seed_i(seed_i),
          .row_i(row_late),
          .row_first_i(row_first_late),
          .column_i(column),
          .column_last_i(column_last),
          .out_last_i(valid_q[STAGES-1] && last_q[STAGES-1]),
          .address_o(source_address),
          .negative_o(source_negative)
      );
    end else begin : gen_sram
      reg [LINE_W-1:0] line_q;
      wire [LINE_W+31:0] key_line = {{LINE_W{1'b0}}, key};
      wire unused_hash = &{
        1'b0, log2_hash_banks_i, real_weights_i, seed_i, row_late, row_first_late, key_line, line_q
      };

      always @(posedge clk_i) begin
        if (load_i) line_q <= index_base_i[LINE_W-1:0];
        else if (move_i && column) line_q <= line_q + {{LINE_W - 1{1'b0}}, 1'b1};
      end

      hne_index_sram #(
          .ROWS(ROWS),
          .ADDR_W(ADDR_W),
          .DEPTH(IDX_DEPTH),
          .ECC(ECC),
          .INIT_DIR(INIT_DIR)
      ) u_source (
          .clk_i(clk_i),
          .en_i((move_i && column) || mem_re_i),
          .dense_i(dense_q),
          .bus_i(mem_re_i),
          .line_i(mem_re_i ? mem_line_i : SKIP != 0 ? key_line[LINE_W-1:0] : line_q),
          .we_i(mem_we_i),
          .field_i(mem_field_i),
          .wline_i(mem_line_i),
          .wdata_i(mem_wdata_i),
          .flip_i(mem_flip_i),
          .address_o(source_address),
          .negative_o(source_negative),
          .wrong_o(wrong_o)
      );
    end
  endgenerate

endmodule

`resetall
