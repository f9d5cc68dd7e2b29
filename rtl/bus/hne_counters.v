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
    // All columns of the layer are issued.
    input  wire         finished_i,
    input  wire         conflict_i,
    input  wire         wait_i,
    // A stream waits for its other side.
    input  wire         in_wait_i,
    input  wire         out_wait_i,
    // The probability unit works.
    input  wire         softmax_i,
    // {softmax, out_wait, in_wait, wait, conflict, drain, expander_stall, post_stall, act_stall,
    // compute, instruction, total}, 32 bits each.
    output wire [383:0] count_o
);

  // Expander FILL and sequencer ISSUE: what a held column leaves idle in the array five cycles
  // later.
  reg [4:0] hold_q;

  wire mac = run_i && !pool_i;
  wire compute = (run_i && pool_i) || (issue_i && group_first_i);
  wire act_stall = issue_i && !group_first_i;
  wire post_stall = idle_i || hold_q[4];
  wire drain = mac && finished_i;
  wire [11:0] occurs = {
    softmax_i,
    out_wait_i,
    in_wait_i,
    wait_i,
    conflict_i,
    drain,
    mac && !finished_i && !issue_i && !post_stall,
    post_stall,
    act_stall,
    compute,
    instruction_i,
    counting_i
  };

  always @(posedge clk_i) begin
    hold_q <= clear_i ? 5'd0 : {hold_q[3:0], hold_i};
  end

  genvar n;
  generate
    for (n = 0; n < 12; n = n + 1) begin : gen_counter
      reg [31:0] count_q;
      assign count_o[n*32+:32] = count_q;
      always @(posedge clk_i) begin
        if (clear_i) count_q <= 32'd0;
        else if (occurs[n]) count_q <= count_q + 32'd1;
      end
    end
  endgenerate

endmodule

`resetall
