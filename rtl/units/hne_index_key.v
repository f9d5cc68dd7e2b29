`resetall
`timescale 1ns / 1ps
`default_nettype none

// What a source counts with, for columns that do not come one after the other: column number times
// a factor, and where the row-tile begins. Of a dense layer addresses (factor: its outputs), of
// INDEX_MODE sram lines (1), of hash multiples of xxHash32's prime. Everything that goes with a
// column waits as long, INDEX_COLUMN moves: number, operands, products, sum.
module hne_index_key #(
    // 0: index SRAM; 1: hash units.
    parameter integer INDEX_MODE = 0,
    // Bits of a column's number in the list.
    parameter integer COLUMN_W = 13
) (
    input  wire                clk_i,
    // The cycle before a conv or fc layer starts, and its parameters.
    input  wire                load_i,
    // The whole pipeline moves.
    input  wire                move_i,
    input  wire                dense_i,
    input  wire [        15:0] n_out_i,
    input  wire [        31:0] fan_in_i,
    input  wire [        31:0] index_base_i,
    // Columns come from the list, their numbers a move later; else they are counted.
    input  wire                listed_i,
    input  wire [COLUMN_W-1:0] list_column_i,
    input  wire                enter_i,
    input  wire                enter_last_i,
    // Last row of the row-tile that enters; of the i-round.
    input  wire [         7:0] row_end_i,
    input  wire                row_i,
    input  wire                row_first_i,
    output wire                column_o,
    output wire                column_last_o,
    output wire                row_o,
    output wire                row_first_o,
    output wire [        31:0] key_o
);

  `include "hne_constants.vh"

  localparam [31:0] PRIME3 = 32'hC2B2AE3D;
  localparam [0:0] HASH = INDEX_MODE == 1;

  reg [INDEX_COLUMN-1:0] valid_q, last_q, row_q, row_first_q;
  // Rows of the row-tile of each column but the last stage's.
  reg [8*(INDEX_COLUMN-1)-1:0] row_end_q;
  reg [31:0] count_q, number_q, factor_q, operand_q, low_q, key_q, base_q;
  reg [15:0] high_q;

  wire [COLUMN_W+31:0] listed = {{32{1'b0}}, list_column_i};
  wire [31:0] number = listed_i ? listed[31:0] : number_q;
  wire [47:0] low = operand_q[31:0] * factor_q[15:0];
  wire [31:0] high = operand_q[15:0] * factor_q[31:16];
  // The column whose sum is formed: behind the last one of its row-tile the next one begins.
  wire [7:0] row_end = row_end_q[8*(INDEX_COLUMN-1)-1-:8];
  wire ends = valid_q[INDEX_COLUMN-2] && last_q[INDEX_COLUMN-2];
  wire unused_bits = &{1'b0, listed, low, high};

  assign column_o = valid_q[INDEX_COLUMN-1];
  assign column_last_o = last_q[INDEX_COLUMN-1];
  assign row_o = row_q[INDEX_COLUMN-1];
  assign row_first_o = row_first_q[INDEX_COLUMN-1];
  assign key_o = key_q;

  always @(posedge clk_i) begin
    if (load_i) begin
      valid_q  <= {INDEX_COLUMN{1'b0}};
      row_q    <= {INDEX_COLUMN{1'b0}};
      count_q  <= 32'd0;
      factor_q <= dense_i ? {16'd0, n_out_i} : HASH ? PRIME3 : 32'd1;
      base_q   <= (dense_i || HASH) ? 32'd0 : index_base_i;
    end else if (move_i) begin
      valid_q     <= {valid_q[INDEX_COLUMN-2:0], enter_i};
      row_q       <= {row_q[INDEX_COLUMN-2:0], row_i};
      if (enter_i) count_q <= enter_last_i ? 32'd0 : count_q + 32'd1;
      if (ends) begin
        base_q <= base_q + (dense_i ? {24'd0, row_end} + 32'd1 : HASH ? 32'd0 : fan_in_i);
      end
    end
    if (move_i) begin
      last_q      <= {last_q[INDEX_COLUMN-2:0], enter_last_i};
      row_first_q <= {row_first_q[INDEX_COLUMN-2:0], row_first_i};
      row_end_q   <= {row_end_q[8*(INDEX_COLUMN-2)-1:0], row_end_i};
      number_q    <= count_q;
      operand_q   <= number;
      low_q       <= low[31:0];
      high_q      <= high[15:0];
      key_q       <= {low_q[31:16] + high_q, low_q[15:0]} + base_q;
    end
  end

endmodule

`resetall
