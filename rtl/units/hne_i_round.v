`resetall
`timescale 1ns / 1ps
`default_nettype none

// The half of xxHash32 that depends on the output neuron i only, for the rows of a row-tile: one
// row a cycle, its state four cycles later. Shared by all rows; neurons come in order.
module hne_i_round #(
    // Array rows: a state of 32 bits and a cycle of each row-tile each.
    parameter integer ROWS = 2,
    // Bits of a row number. Follows from ROWS: leave it.
    parameter integer ROW_W = (ROWS > 1) ? $clog2(ROWS) : 1
) (
    input  wire               clk_i,
    input  wire               en_i,
    // First cycle of a layer: neuron 0 is next.
    input  wire               load_i,
    input  wire [       31:0] seed_i,
    // A row enters; first_i: it is row 0 of its row-tile.
    input  wire               row_i,
    input  wire               first_i,
    output wire [ROWS*32-1:0] state_o
);

  localparam [31:0] PRIME3 = 32'hC2B2AE3D;
  localparam [31:0] PRIME4 = 32'h27D4EB2F;
  localparam [31:0] PRIME5 = 32'h165667B1;

  reg [31:0] step_q, rotated_q;
  reg [ROW_W-1:0] next_q, row1_q, row2_q, row3_q, row4_q;
  reg valid1_q, valid2_q, valid3_q, valid4_q;
  wire [31:0] lane = seed_i + PRIME5 + 32'd8 + step_q;
  wire [ROW_W-1:0] row = first_i ? {ROW_W{1'b0}} : next_q;
  wire [31:0] state;

  hne_mul32 #(
      .FACTOR(PRIME4)
  ) u_round (
      .clk_i(clk_i),
      .en_i(en_i),
      .a_i(rotated_q),
      .product_o(state)
  );

  always @(posedge clk_i) begin
    if (load_i) begin
      step_q   <= 32'd0;
      valid1_q <= 1'b0;
      valid2_q <= 1'b0;
      valid3_q <= 1'b0;
      valid4_q <= 1'b0;
    end else if (en_i) begin
      valid1_q <= row_i;
      valid2_q <= valid1_q;
      valid3_q <= valid2_q;
      valid4_q <= valid3_q;
      if (row_i) begin
        step_q <= step_q + PRIME3;
        next_q <= row + {{ROW_W - 1{1'b0}}, 1'b1};
      end
    end
    if (en_i) begin
      rotated_q <= {lane[14:0], lane[31:15]};
      row1_q    <= row;
      row2_q    <= row1_q;
      row3_q    <= row2_q;
      row4_q    <= row3_q;
    end
  end

  genvar r;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : gen_row
      reg [31:0] state_q;
      assign state_o[r*32+:32] = state_q;
      always @(posedge clk_i) begin
        if (en_i && valid4_q && row4_q == r[ROW_W-1:0]) state_q <= state;
      end
    end
  endgenerate

endmodule

`resetall
