`default_nettype none

// hne_sequencer with check bits: once a wrong word was read, nothing leaves the engine and no image
// is taken before it is idle again, with the status that says so.
module formal_stop #(
    parameter integer PROG_DEPTH = 4
) (
    input wire       clk,
    input wire       rst,
    input wire       start,
    input wire [3:0] op,
    input wire       last,
    input wire       bad_shape,
    input wire       bad_size,
    input wire       bad_place,
    input wire       wrong_instruction,
    input wire [3:0] wrong_word,
    input wire       input_done,
    input wire       input_error,
    input wire       output_done,
    input wire       layer_end
);

  `include "hne_constants.vh"

  // Cycles behind a layer in which a wrong word of it may still be reported.
  localparam integer LATE = 8;

  wire idle, done, error, fetch, word_we, input_load, send, load, load_mac, load_pool, run;
  wire counting, instruction;
  wire [2:0] cause;
  wire [5:0] address;
  wire [3:0] slot;

  hne_sequencer #(
      .PROG_DEPTH(PROG_DEPTH),
      .ECC(2)
  ) dut (
      .clk_i(clk),
      .rst_i(rst),
      .start_i(start),
      .images_i(9'd1),
      .idle_o(idle),
      .done_o(done),
      .error_o(error),
      .cause_o(cause),
      .fetch_o(fetch),
      .address_o(address),
      .word_we_o(word_we),
      .slot_o(slot),
      .op_i(op),
      .last_i(last),
      .bad_shape_i(bad_shape),
      .bad_size_i(bad_size),
      .bad_place_i(bad_place),
      .wrong_instruction_i(wrong_instruction),
      .wrong_word_i(wrong_word),
      .input_load_o(input_load),
      .input_done_i(input_done),
      .input_error_i(input_error),
      .output_o(send),
      .output_done_i(output_done),
      .load_o(load),
      .load_mac_o(load_mac),
      .load_pool_o(load_pool),
      .run_o(run),
      .layer_end_i(layer_end),
      .counting_o(counting),
      .instruction_o(instruction)
  );

  // State of the sequencer: 1 the first fetch, 3 a fetch.
  (* hierconn *) wire \dut.gen_wrong.wrong_q ;
  (* hierconn *) wire [2:0] \dut.state_q ;
  (* hierconn *) wire [4:0] \dut.count_q ;
  (* hierconn *) wire [1:0] \dut.word_we_q ;
  (* hierconn *) wire [5:0] \dut.address_q ;
  (* hierconn *) wire \dut.shaped_q ;
  (* hierconn *) wire \dut.fetch_last_q ;
  (* hierconn *) wire \dut.set_up_q ;

  reg past = 1'b0;
  // A wrong word in this inference; and since when no layer runs.
  reg seen = 1'b0, idle_p = 1'b1;
  reg [3:0] behind = 4'd15;
  wire late = run || behind < LATE;

  always @* if (!past) assume (rst);
  always @* begin
    assume (!wrong_instruction || word_we);
    assume (wrong_word == 4'd0 || late);
    assume (!layer_end || run);
  end

  always @(posedge clk) begin
    past   <= 1'b1;
    idle_p <= idle || rst;
    behind <= rst ? 4'd15 : run ? 4'd0 : behind == 4'd15 ? 4'd15 : behind + 4'd1;
    seen   <= !rst && !idle && (seen || wrong_instruction || wrong_word != 4'd0);
  end

  // For the induction: what the state says of the last layer; the words of a fetch are behind it.
  always @(posedge clk) begin
    if (past && !rst) begin
      assert (seen == \dut.gen_wrong.wrong_q || idle);
      if (!run)
        assert (behind == 4'd15 || (\dut.state_q == 3'd3 && {1'b0, behind} == \dut.count_q ));
      if (\dut.state_q == 3'd3) assert (\dut.count_q <= 5'd17);
      assert (\dut.shaped_q == (\dut.state_q == 3'd1 && \dut.count_q == 5'd19));
      assert (\dut.fetch_last_q == (\dut.state_q == 3'd3 && \dut.count_q == 5'd17));
      assert (\dut.set_up_q == (\dut.state_q == 3'd4 && \dut.count_q == 5'd1));
      if (word_we) begin
        assert (\dut.state_q == 3'd3 || \dut.state_q == 3'd1);
        assert (\dut.count_q >= 5'd2 && \dut.count_q <= 5'd17);
      end
      assert (\dut.word_we_q [0] == ((\dut.state_q == 3'd3 || \dut.state_q == 3'd1)
          && \dut.count_q >= 5'd1 && \dut.count_q <= 5'd16));
      assert (word_we == ((\dut.state_q == 3'd3 || \dut.state_q == 3'd1)
          && \dut.count_q >= 5'd2 && \dut.count_q <= 5'd17));
    end
  end

  always @(posedge clk) begin
    if (past && !rst && seen) begin
      assert (!send && !done && !load);
      assert (\dut.state_q == 3'd0 || \dut.state_q == 3'd1 || \dut.state_q == 3'd3 || run);
      if (!idle_p && idle) assert (error && cause == CAUSE_MEMORY);
      assert (!input_load);
    end
  end

  reg second;
  always @(posedge clk) begin
    second <= !rst && (second || (seen && run));
    cover (past && !rst && second && error && cause == CAUSE_MEMORY);
    cover (past && !rst && done && !seen);
    cover (past && !rst && error && cause == CAUSE_MEMORY && \dut.address_q == 6'd0);
  end

endmodule
