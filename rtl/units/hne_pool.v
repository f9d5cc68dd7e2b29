`resetall
`timescale 1ns / 1ps
`default_nettype none

// Max-pool (twin: hwsim/units/pool.py): COLS lanes, each a comparator and the maximum so far. Takes
// one read of the activation buffer in every cycle; behind its stages COMPARE and WRITE. Padding
// comes as 0, which no code is below: it never wins.
module hne_pool #(
    // Lanes: a comparator and a register each.
    parameter integer COLS = 2,
    // Bits of an activation: of the comparators.
    parameter integer ACT_W = 8,
    // Bits of a line of the activation buffer: the counter of output lines.
    parameter integer LINE_W = 12
) (
    input  wire                  clk_i,
    input  wire                  rst_i,
    // The cycle before a pool layer starts.
    input  wire                  load_i,
    input  wire [          15:0] channels_i,
    // First line of the output map.
    input  wire [    LINE_W-1:0] out_line_i,
    // Activation reader: a step; one in the next cycle.
    output wire                  step_o,
    output wire                  step_next_o,
    input  wire                  group_last_i,
    input  wire                  window_first_i,
    input  wire                  window_last_i,
    input  wire                  map_last_i,
    // The lanes are aligned: LANES cycles after the step.
    input  wire [COLS*ACT_W-1:0] act_i,
    output wire                  write_o,
    output wire [    LINE_W-1:0] line_o,
    output wire [COLS*ACT_W-1:0] act_o,
    output wire                  end_o
);

  `include "hne_constants.vh"

  // From the step to the aligned lanes, and to the write.
  localparam integer LANES = ACT_BUFFER_FILL + 1;
  localparam integer WRITE = POOL_FILL;

  reg active_q;
  reg [15:0] left_q;
  reg [LANES-1:0] valid_q, first_q;
  reg [WRITE-1:0] write_q, end_q;
  reg [LINE_W-1:0] line_q;

  // This channel is the last one.
  reg left_last_q;
  wire channel_last = active_q && window_last_i && map_last_i;
  wire active_d = !rst_i && (load_i || (active_q && !(channel_last && left_last_q)));

  assign step_o = active_q;
  assign step_next_o = active_d;
  assign write_o = write_q[WRITE-1];
  assign line_o = line_q;
  assign end_o = write_q[WRITE-1] && end_q[WRITE-1];

  always @(posedge clk_i) begin
    active_q <= active_d;
    if (rst_i) begin
      valid_q  <= {LANES{1'b0}};
      write_q  <= {WRITE{1'b0}};
    end else begin
      valid_q <= {valid_q[LANES-2:0], active_q && group_last_i};
      write_q <= {write_q[WRITE-2:0], active_q && window_last_i};
    end
    if (load_i) begin
      left_q      <= channels_i;
      left_last_q <= channels_i == 16'd1;
    end else if (channel_last) begin
      left_q      <= left_q - 16'd1;
      left_last_q <= left_q == 16'd2;
    end
    first_q <= {first_q[LANES-2:0], window_first_i};
    end_q   <= {end_q[WRITE-2:0], channel_last && left_last_q};
    if (load_i) line_q <= out_line_i;
    else if (write_q[WRITE-1]) line_q <= line_q + {{LINE_W - 1{1'b0}}, 1'b1};
  end

  genvar n;
  generate
    for (n = 0; n < COLS; n = n + 1) begin : gen_lane
      reg [ACT_W-1:0] max_q;
      wire [ACT_W-1:0] act = act_i[n*ACT_W+:ACT_W];

      assign act_o[n*ACT_W+:ACT_W] = max_q;

      always @(posedge clk_i) begin
        if (valid_q[LANES-1] && (first_q[LANES-1] || act > max_q)) max_q <= act;
      end
    end
  endgenerate

endmodule

`resetall
