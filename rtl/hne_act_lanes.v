`resetall
`timescale 1ns / 1ps
`default_nettype none

// COLS neighbouring activations at distance `stride` from memories banked by x mod COLS: sends each
// lane of the current group to its bank, and one cycle later, when the banks answer, takes the
// words into the lanes, 0 for padding. A lane keeps its word while other groups are read.
module hne_act_lanes #(
    parameter integer COLS = 2,
    parameter integer ACT_W = 8,
    parameter integer LINE_W = 12
) (
    input  wire                   clk_i,
    // Cycle of the read.
    input  wire                   read_i,
    input  wire                   fc_i,
    input  wire signed [    17:0] x_i,
    input  wire [           15:0] in_w_i,
    input  wire                   row_valid_i,
    input  wire [     LINE_W-1:0] line_i,
    input  wire [            3:0] stride_i,
    input  wire [            3:0] group_i,
    input  wire [            3:0] log2_groups_i,
    output reg  [COLS*LINE_W-1:0] bank_line_o,
    // The cycle after.
    input  wire [ COLS*ACT_W-1:0] bank_word_i,
    // And the one after that.
    output wire [ COLS*ACT_W-1:0] lane_o
);

  localparam integer COLS_W = $clog2(COLS);
  localparam integer BANK_W = (COLS > 1) ? COLS_W : 1;
  localparam [31:0] BANK_MASK = COLS - 1;

  reg [COLS-1:0] take, inside, take_q, inside_q;
  reg [BANK_W-1:0] bank[0:COLS-1];
  reg [BANK_W-1:0] bank_q[0:COLS-1];
  reg [31:0] x, offset, group;
  integer l, b;

  wire unused_bits = &{1'b0, x, offset};

  always @* begin
    bank_line_o = {COLS{line_i}};
    take = {COLS{1'b0}};
    inside = {COLS{1'b0}};
    for (l = 0; l < COLS; l = l + 1) begin
      x = {{14{x_i[17]}}, x_i} + l * {28'd0, stride_i};
      group = (l << log2_groups_i) >> COLS_W;
      offset = x >> COLS_W;
      bank[l] = x[BANK_W-1:0] & BANK_MASK[BANK_W-1:0];
      take[l] = group == {28'd0, group_i};
      inside[l] = row_valid_i && x < {16'd0, in_w_i} && (l == 0 || !fc_i);
      for (b = 0; b < COLS; b = b + 1) begin
        if (take[l] && bank[l] == b[BANK_W-1:0]) begin
          bank_line_o[b*LINE_W+:LINE_W] = line_i + offset[LINE_W-1:0];
        end
      end
    end
  end

  genvar n;
  generate
    for (n = 0; n < COLS; n = n + 1) begin : gen_lane
      reg [ACT_W-1:0] lane_q;

      assign lane_o[n*ACT_W+:ACT_W] = lane_q;

      always @(posedge clk_i) begin
        take_q[n]   <= read_i && take[n];
        inside_q[n] <= inside[n];
        bank_q[n]   <= bank[n];
        if (take_q[n]) begin
          lane_q <= inside_q[n] ? bank_word_i[bank_q[n]*ACT_W+:ACT_W] : {ACT_W{1'b0}};
        end
      end
    end
  endgenerate

endmodule

`resetall
