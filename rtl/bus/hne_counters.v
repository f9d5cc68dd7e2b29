`resetall
`timescale 1ns / 1ps
`default_nettype none

// Where the cycles of an image went: every cycle of a layer is in exactly one of the first six
// parts; conflict and wait cycles overlap with them. All count from the image's first pixel request
// on.
module hne_counters (
    input  wire         clk_i,
    input  wire         clear_i,
    // From the last pixel to the last logit.
    input  wire         counting_i,
    input  wire         instruction_i,
    input  wire         run_i,
    input  wire         pool_i,
    // The array takes a group of a column; the first one.
    input  wire         issue_i,
    input  wire         group_first_i,
    // The slot is longer than its columns; an fc column is held in the expander.
    input  wire         idle_i,
    input  wire         hold_i,
    // A window of columns is passed over that all are 0.
    input  wire         zeros_i,
    // All columns of the layer are issued.
    input  wire         finished_i,
    input  wire         conflict_i,
    input  wire         wait_i,
    // A stream waits for its other side.
    input  wire         in_wait_i,
    input  wire         out_wait_i,
    // The probability unit works.
    input  wire         softmax_i,
    // A row-tile, or one of its slots, is through that has this many columns less than its fan-in.
    input  wire         skip_i,
    input  wire [ 31:0] skipped_i,
    // 32 bits each, in the order of hne_constants.vh.
    output wire [415:0] count_o
);

  `include "hne_constants.vh"

  // What a held column leaves idle in the array, when it would have come there.
  localparam integer HOLD = EXPANDER_FILL + SEQUENCER_ISSUE;
  reg [HOLD-1:0] hold_q;

  wire mac = run_i && !pool_i;
  wire compute = (run_i && pool_i) || (issue_i && group_first_i);
  wire act_stall = zeros_i || (issue_i && !group_first_i);
  wire post_stall = idle_i || hold_q[HOLD-1];
  wire drain = mac && finished_i;
  wire [COUNTERS-1:0] occurs;

  assign occurs[COUNTER_TOTAL] = counting_i;
  assign occurs[COUNTER_INSTRUCTION] = instruction_i;
  assign occurs[COUNTER_COMPUTE] = compute;
  assign occurs[COUNTER_ACT_STALL] = act_stall;
  assign occurs[COUNTER_POST_STALL] = post_stall;
  assign occurs[COUNTER_EXPANDER_STALL] = mac && !finished_i && !issue_i && !zeros_i && !post_stall;
  assign occurs[COUNTER_DRAIN] = drain;
  assign occurs[COUNTER_CONFLICT_CYCLES] = conflict_i;
  assign occurs[COUNTER_EXPANDER_WAIT] = wait_i;
  assign occurs[COUNTER_IN_WAIT] = in_wait_i;
  assign occurs[COUNTER_OUT_WAIT] = out_wait_i;
  assign occurs[COUNTER_SOFTMAX] = softmax_i;
  assign occurs[COUNTER_SKIPPED] = skip_i;

  always @(posedge clk_i) begin
    hold_q <= clear_i ? {HOLD{1'b0}} : {hold_q[HOLD-2:0], hold_i};
  end

  genvar n;
  generate
    for (n = 0; n < COUNTERS; n = n + 1) begin : gen_counter
      reg [31:0] count_q;
      assign count_o[n*32+:32] = count_q;
      always @(posedge clk_i) begin
        if (clear_i) count_q <= 32'd0;
        else if (occurs[n]) count_q <= count_q + (n == COUNTER_SKIPPED ? skipped_i : 32'd1);
      end
    end
  endgenerate

endmodule

`resetall
