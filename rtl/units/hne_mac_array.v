`resetall
`timescale 1ns / 1ps
`default_nettype none

// MAC array (twin: hwsim/units/mac_array.py): ROWS x COLS output-stationary accumulators with a
// shadow bank. A weight is broadcast along a row, an activation along a column. Stages behind the
// issue: those of the activation buffer, BROADCAST, MULTIPLY, ACCUMULATE, SHADOW.
module hne_mac_array #(
    // Output channels: each costs COLS cells and a place in the tree that drains the shadow bank.
    parameter integer ROWS = 2,
    // Output pixels: each costs ROWS cells.
    parameter integer COLS = 2,
    // Bits of an activation: with WGT_W the size of a multiplier.
    parameter integer ACT_W = 8,
    // Bits of a weight, its sign among them; weights wait LANES − 1 cycles, a register each.
    parameter integer WGT_W = 8,
    // Bits of an accumulator: an adder and two registers in each cell.
    parameter integer ACC_W = 32,
    // Bits of a row number. Follows from ROWS: leave it.
    parameter integer ROW_W = (ROWS > 1) ? $clog2(ROWS) : 1
) (
    input  wire                  clk_i,
    input  wire                  rst_i,
    // Issue cycle: a column is complete with this read; it is the first of a pixel tile; the slot
    // ends.
    input  wire                  issue_i,
    input  wire                  first_i,
    input  wire                  copy_i,
    // The cycle after: the tile buffer answers.
    input  wire [ROWS*WGT_W-1:0] weight_i,
    // The lanes are aligned: LANES cycles after the issue.
    input  wire [COLS*ACT_W-1:0] act_i,
    // The shadow bank is being written: it may be read from the next cycle on.
    output wire                  shadow_load_o,
    input  wire [     ROW_W-1:0] shadow_row_i,
    output reg  [COLS*ACC_W-1:0] shadow_o
);

  `include "hne_constants.vh"

  // From the issue to the aligned lanes, and what weights wait for them; to the addition of the
  // products; to the copy of the sums.
  localparam integer LANES = ACT_BUFFER_FILL + 1;
  localparam integer SUMS = LANES + MAC_ARRAY_BROADCAST + MAC_ARRAY_MULTIPLY;
  localparam integer COPY = MAC_ARRAY_FILL;
  localparam integer WAIT = (LANES - 1) * ROWS * WGT_W;

  localparam integer LEVELS = $clog2(ROWS);
  localparam integer PLACES = 1 << LEVELS;

  reg [SUMS-1:0] issue_q, first_q;
  reg [COPY-1:0] copy_q;
  reg [WAIT-1:0] wait_q;
  wire [ROWS*WGT_W-1:0] weight = wait_q[WAIT-1-:ROWS*WGT_W];
  wire [PLACES*COLS*ACC_W-1:0] shadow;
  reg [PLACES*COLS*ACC_W-1:0] tree;
  integer level, place;

  assign shadow_load_o = copy_q[COPY-1];

  always @(posedge clk_i) begin
    if (rst_i) begin
      issue_q <= {SUMS{1'b0}};
      copy_q  <= {COPY{1'b0}};
    end else begin
      issue_q <= {issue_q[SUMS-2:0], issue_i};
      copy_q  <= {copy_q[COPY-2:0], copy_i};
    end
    first_q  <= {first_q[SUMS-2:0], first_i};
    wait_q  <= {wait_q[WAIT-ROWS*WGT_W-1:0], weight_i};
  end

  genvar r;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : gen_row
      hne_mac_row #(
          .COLS (COLS),
          .ACT_W(ACT_W),
          .WGT_W(WGT_W),
          .ACC_W(ACC_W)
      ) u_row (
          .clk_i(clk_i),
          .weight_i(weight[r*WGT_W+:WGT_W]),
          .act_i(act_i),
          .add_i(issue_q[SUMS-1]),
          .first_i(first_q[SUMS-1]),
          .copy_i(copy_q[COPY-1]),
          .shadow_o(shadow[r*COLS*ACC_W+:COLS*ACC_W])
      );
    end
    // Places of no row.
    for (r = ROWS; r < PLACES; r = r + 1) begin : gen_none
      assign shadow[r*COLS*ACC_W+:COLS*ACC_W] = {COLS * ACC_W{1'b0}};
    end
  endgenerate

  // A tree of choices between two, a bit of the row at each level: the rows stand far apart.
  always @* begin
    tree = shadow;
    for (level = 0; level < LEVELS; level = level + 1) begin
      for (place = 0; place < (PLACES >> (level + 1)); place = place + 1) begin
        tree[place*COLS*ACC_W+:COLS*ACC_W] = shadow_row_i[level]
            ? tree[(2*place+1)*COLS*ACC_W+:COLS*ACC_W] : tree[2*place*COLS*ACC_W+:COLS*ACC_W];
      end
    end
    shadow_o = tree[0+:COLS*ACC_W];
  end

endmodule

`resetall
