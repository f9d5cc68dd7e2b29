`resetall
`timescale 1ns / 1ps
`default_nettype none

// Index source of INDEX_MODE hash: one pipelined xxHash32 unit per array row, one more for the
// rotation of the banked scheme, and a shared i-round. LANE, ROUND, MIX, SCALE, and beside its last
// stage the row's bank; the output is ROTATE, combinational, for the output register of hne_index.
module hne_index_hash #(
    // Array rows: each costs a hash unit, that is four products of 16 x 16 bits and three trees of
    // adders.
    parameter integer ROWS = 2,
    // Bits of a layer-relative real-weight address: of the scale of each row and of its product.
    parameter integer ADDR_W = 13,
    // 1: the multiple of PRIME3 comes with the column. 0: columns are counted up.
    parameter integer SKIP = 0
) (
    input  wire                   clk_i,
    // The whole pipeline moves.
    input  wire                   en_i,
    input  wire                   load_i,
    input  wire [           31:0] step_i,
    input  wire [           15:0] outputs_i,
    input  wire [           15:0] groups_i,
    input  wire                   banked_i,
    input  wire [            4:0] log2_hash_banks_i,
    input  wire [           31:0] real_weights_i,
    input  wire [           31:0] seed_i,
    // A row of the i-round enters, or a column does.
    input  wire                   row_i,
    input  wire                   row_first_i,
    input  wire                   column_i,
    input  wire                   column_last_i,
    // The column at the output is the last one of its row-tile.
    input  wire                   out_last_i,
    output wire [ROWS*ADDR_W-1:0] address_o,
    output wire [       ROWS-1:0] negative_o
);

  `include "hne_constants.vh"

  localparam [31:0] PRIME3 = 32'hC2B2AE3D;
  localparam [31:0] PRIME5 = 32'h165667B1;
  localparam [31:0] ROTATION = 32'h85EBCA6B;

  reg [31:0] step_q, word_state_q;
  wire [31:0] step = SKIP != 0 ? step_i : step_q;
  // At most 2^ADDR_W: where that has few bits, so have the products.
  reg [ADDR_W:0] scale_q;
  // A copy for each row, one cycle after the row before it: the multipliers stand far apart. A row
  // needs its own when its first column comes, which is behind the i-round of all rows.
  reg [ROWS*(ADDR_W+1)-1:0] scales_q;
  reg [4:0] shift_q;
  reg [ADDR_W-1:0] mask_q, first_row_q, rotation1_q, rotation2_q, rotation3_q;
  wire [ROWS*32-1:0] state;
  wire [31:0] rotation;

  hne_i_round #(
      .ROWS(ROWS)
  ) u_i_round (
      .clk_i(clk_i),
      .en_i(en_i),
      .load_i(load_i),
      .seed_i(seed_i),
      .row_i(row_i),
      .first_i(row_first_i),
      .state_o(state)
  );

  hne_xxhash u_rotation (
      .clk_i(clk_i),
      .en_i(en_i),
      .state_i(word_state_q),
      .step_i(step),
      .hash_o(rotation)
  );

  wire [31:0] scale = banked_i ? real_weights_i >> log2_hash_banks_i : real_weights_i;
  wire [7:0] row_end, next_end;
  wire group_end, layer_end;
  wire [ADDR_W+7:0] end_wide = {{ADDR_W{1'b0}}, row_end};
  wire unused_bits = &{1'b0, rotation, scale, end_wide, next_end, group_end, layer_end,
                       step_i};

  // Of the row-tile at the output: the pipeline may hold two.
  hne_row_tiles #(
      .ROWS(ROWS)
  ) u_tiles (
      .clk_i(clk_i),
      .load_i(load_i),
      .outputs_i(outputs_i),
      .groups_i(groups_i),
      .next_i(en_i && out_last_i),
      .end_o(row_end),
      .next_end_o(next_end),
      .group_last_o(group_end),
      .last_o(layer_end)
  );

  always @(posedge clk_i) begin
    scales_q <= (scales_q << (ADDR_W + 1)) | {{(ROWS - 1) * (ADDR_W + 1) {1'b0}}, scale_q};
    if (load_i) begin
      step_q       <= 32'd0;
      first_row_q  <= {ADDR_W{1'b0}};
      shift_q      <= banked_i ? log2_hash_banks_i : 5'd0;
      scale_q      <= scale[ADDR_W:0];
      mask_q       <= banked_i ? ~({ADDR_W{1'b1}} << log2_hash_banks_i) : {ADDR_W{1'b0}};
      word_state_q <= (seed_i ^ ROTATION) + PRIME5 + 32'd4;
    end else if (en_i) begin
      if (column_i) step_q <= column_last_i ? 32'd0 : step_q + PRIME3;
      if (out_last_i) begin
        first_row_q <= first_row_q + end_wide[ADDR_W-1:0] + {{ADDR_W - 1{1'b0}}, 1'b1};
      end
    end
    if (en_i) begin
      rotation1_q <= rotation[ADDR_W-1:0];
      rotation2_q <= rotation1_q;
      rotation3_q <= rotation2_q;
    end
  end

  genvar r;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : gen_row
      reg [31:0] line_q;
      reg [ADDR_W-1:0] bank_q;
      reg [INDEX_SCALE-1:0] sign_q;
      wire [31:0] hash, line;
      wire [31:0] placed = line_q << shift_q;
      wire unused_placed = &{1'b0, placed};

      assign address_o[r*ADDR_W+:ADDR_W] = placed[ADDR_W-1:0] | bank_q;
      assign negative_o[r] = sign_q[INDEX_SCALE-1];

      hne_xxhash u_hash (
          .clk_i(clk_i),
          .en_i(en_i),
          .state_i(state[r*32+:32]),
          .step_i(step),
          .hash_o(hash)
      );

      hne_mulhi32 u_scale (
          .clk_i(clk_i),
          .en_i(en_i),
          .a_i(hash),
          .b_i({{31 - ADDR_W{1'b0}}, scales_q[r*(ADDR_W+1)+:ADDR_W+1]}),
          .high_o(line)
      );

      always @(posedge clk_i) begin
        if (en_i) begin
          line_q <= line;
          // The first row of a tile is there in time: an i-round is between two tiles.
          bank_q <= (rotation3_q + first_row_q + r[ADDR_W-1:0]) & mask_q;
          sign_q <= {sign_q[INDEX_SCALE-2:0], hash[0]};
        end
      end
    end
  endgenerate

endmodule

`resetall
