`default_nettype none

// hne_places against a bit for each line: what was written in this inference, whether an instruction
// reads only that, whether what it writes lies apart and is remembered in at most four runs.
module formal_places #(
    parameter integer ACT_DEPTH = 10,
    parameter integer LINE_W = 4,
    parameter integer RUNS = 4
) (
    input wire clk,
    input wire set
);

  localparam [3:0] LAST = 4'd15;
  localparam [3:0] SECOND = 4'd14;
  localparam integer END_W = LINE_W + 1;

  // An instruction: it stands still while its words are fetched and until it starts.
  (* anyseq *) reg next_add, next_last;
  (* anyseq *) reg [LINE_W-1:0] next_in, next_in2, next_out;
  (* anyseq *) reg [LINE_W-1:0] next_in_lines, next_out_lines;
  (* anyseq *) reg wish_input, wish_layer;
  reg add, last;
  reg [LINE_W-1:0] in_line, in2_line, out_line, in_lines, out_lines;
  // Cycles since it has stood there: the last two slots of the fetch, then all is known.
  reg [3:0] slot;
  reg [2:0] behind;
  // It has not started yet; it has stood there for a cycle.
  reg asked, settled, judged;
  reg image = 1'b0;
  reg past = 1'b0;
  wire large, bad;

  wire known = past && behind == 3'd1 && asked;
  // The sequencer takes an image once the shape is known, and starts a layer that is not refused.
  wire busy;
  wire take_input = known && !busy && wish_input && !large;
  wire take_layer = known && !busy && image && !wish_input && wish_layer && !large && !bad;

  hne_places #(
      .ACT_DEPTH(ACT_DEPTH),
      .RUNS(RUNS)
  ) dut (
      .clk_i(clk),
      .input_i(take_input),
      .layer_i(take_layer),
      .slot_i(slot),
      .add_i(add),
      .last_i(last),
      .in_line_i({{32 - LINE_W{1'b0}}, in_line}),
      .in2_line_i({{32 - LINE_W{1'b0}}, in2_line}),
      .out_line_i({{32 - LINE_W{1'b0}}, out_line}),
      .in_lines_i({{32 - LINE_W{1'b0}}, in_lines}),
      .out_lines_i({{32 - LINE_W{1'b0}}, out_lines}),
      .large_o(large),
      .bad_place_o(bad)
  );

  always @(posedge clk) begin
    past <= 1'b1;
    if (!past || set) begin
      {add, last} <= {next_add, next_last};
      {in_line, in2_line, out_line} <= {next_in, next_in2, next_out};
      {in_lines, out_lines} <= {next_in_lines, next_out_lines};
      slot <= SECOND - 4'd2;
      behind <= 3'd0;
      {asked, settled, judged} <= 3'b100;
    end else begin
      settled <= 1'b1;
      judged <= settled;
      if (take_input || take_layer) asked <= 1'b0;
      // What is written is taken up while a layer runs: nothing is fetched before.
      if (!busy && slot != 4'd0) slot <= slot + 4'd1;
      if (slot == 4'd0 && behind != 3'd1) behind <= behind + 3'd1;
    end
    if (take_input) image <= 1'b1;
  end

  always @* begin
    assume (next_in_lines != 0 && next_out_lines != 0);
    // An instruction is followed by another one, not changed on its way.
    if (past && (slot != 4'd0 || busy || (asked && !known))) assume (!set);
    if (take_input || take_layer) assume (!set);
  end

  function [ACT_DEPTH-1:0] range;
    input [END_W:0] start;
    input [END_W:0] stop;
    integer n;
    for (n = 0; n < ACT_DEPTH; n = n + 1) range[n] = start <= n && n < stop;
  endfunction

  wire [END_W:0] in_stop = in_line + in_lines;
  wire [END_W:0] in2_stop = in2_line + in_lines;
  wire [END_W:0] out_stop = out_line + out_lines;
  wire [ACT_DEPTH-1:0] source = range(in_line, in_stop);
  wire [ACT_DEPTH-1:0] second = range(in2_line, in2_stop);
  wire [ACT_DEPTH-1:0] target = range(out_line, out_stop);
  reg [ACT_DEPTH-1:0] written;
  wire [ACT_DEPTH-1:0] grown = written | target;

  integer n;
  reg [3:0] runs;
  always @* begin
    runs = {3'd0, grown[0]};
    for (n = 1; n < ACT_DEPTH; n = n + 1) runs = runs + {3'd0, grown[n] && !grown[n-1]};
  end

  wire unwritten = (source & ~written) != 0 || (add && (second & ~written) != 0);
  wire overlap = (source & target) != 0 || (add && (second & target) != 0);
  wire beyond = in_stop > ACT_DEPTH || (add && in2_stop > ACT_DEPTH)
      || (!last && out_stop > ACT_DEPTH);

  always @(posedge clk) begin
    if (take_input) written <= source;
    else if (take_layer && !last) written <= grown;
  end

  always @* begin
    if (known && !busy && past) begin
      assert (large == beyond);
      if (!beyond && image) assert (bad == (unwritten || (!last && (overlap || runs > RUNS))));
    end
  end

  // For the induction: the runs are disjoint, do not touch, and cover what was written, together
  // with the one that is being taken up; those that touch it are still to come.
  (* hierconn *) wire \dut.busy_q ;
  (* hierconn *) wire [2:0] \dut.join_q ;
  (* hierconn *) wire [RUNS-1:0] \dut.valid_q ;
  (* hierconn *) wire [RUNS-1:0] \dut.touch_q ;
  (* hierconn *) wire [RUNS*END_W-1:0] \dut.start_q ;
  (* hierconn *) wire [RUNS*END_W-1:0] \dut.end_q ;
  (* hierconn *) wire [END_W-1:0] \dut.new_start_q ;
  (* hierconn *) wire [END_W-1:0] \dut.new_end_q ;
  (* hierconn *) wire \dut.known_q ;
  (* hierconn *) wire \dut.known2_q ;
  (* hierconn *) wire [32:0] \dut.in_end_q ;
  (* hierconn *) wire [32:0] \dut.in2_end_q ;
  (* hierconn *) wire [32:0] \dut.out_end_q ;
  assign busy = \dut.busy_q && image;

  integer i, j;
  reg [ACT_DEPTH-1:0] covered;
  reg [END_W-1:0] start_i, end_i, start_j, end_j;
  wire [ACT_DEPTH-1:0] fresh = range(\dut.new_start_q , \dut.new_end_q );
  always @(posedge clk) begin
    covered = 0;
    if (past && image) begin
      assert (\dut.join_q <= RUNS);
      if (busy) begin
        assert (\dut.new_start_q < \dut.new_end_q && \dut.new_end_q <= ACT_DEPTH);
        assert (slot == 4'd0 && !asked);
        covered = fresh;
      end else assert (\dut.join_q == 3'd0);
      // One of them is free, or will be.
      if (busy && \dut.join_q == 3'd0) assert (!(&\dut.valid_q ));
      for (i = 0; i < RUNS; i = i + 1) begin
        start_i = \dut.start_q [i*END_W+:END_W];
        end_i = \dut.end_q [i*END_W+:END_W];
        if (busy && i < \dut.join_q ) assert (!\dut.touch_q [i] || \dut.valid_q [i]);
        if (\dut.valid_q [i]) begin
          assert (start_i < end_i && end_i <= ACT_DEPTH);
          covered = covered | range(start_i, end_i);
          if (busy) begin
            if (i < \dut.join_q ) begin
              assert (\dut.touch_q [i]
                  == (start_i <= \dut.new_end_q && \dut.new_start_q <= end_i));
            end else assert (end_i < \dut.new_start_q || \dut.new_end_q < start_i);
          end
          for (j = 0; j < i; j = j + 1) begin
            start_j = \dut.start_q [j*END_W+:END_W];
            end_j = \dut.end_q [j*END_W+:END_W];
            if (\dut.valid_q [j]) assert (end_i < start_j || end_j < start_i);
          end
        end
      end
      assert (covered == written);
    end
    if (past) begin
      assert (slot == 4'd0 || (slot >= SECOND - 4'd2 && asked && behind == 3'd0));
      assert (settled || (slot == SECOND - 4'd2 && asked));
      assert (judged || slot == SECOND - 4'd2 || (slot == SECOND - 4'd1 && settled));
      assert (in_lines != 0 && out_lines != 0);
      if (judged) assert (large == beyond);
      if (image && asked && !beyond && (slot == LAST || slot == 4'd0)) begin
        assert (\dut.known_q == ((source & ~written) == 0));
      end
      if (settled) begin
        assert (\dut.in_end_q == in_stop && \dut.in2_end_q == in2_stop);
        assert (\dut.out_end_q == out_stop);
      end
      if (image && asked && !beyond && slot == 4'd0) begin
        assert (\dut.known2_q == ((second & ~written) == 0) || !add);
      end
      if (image && asked && !beyond && !last && slot == 4'd0 && behind != 3'd0) begin
        for (i = 0; i < RUNS; i = i + 1) begin
          start_i = \dut.start_q [i*END_W+:END_W];
          end_i = \dut.end_q [i*END_W+:END_W];
          assert (\dut.touch_q [i]
              == (\dut.valid_q [i] && start_i <= out_stop && out_line <= end_i));
        end
      end
    end
  end

  always @(posedge clk) begin
    // More runs than are remembered, where that takes few layers.
    if (RUNS == 2) cover (known && !busy && image && !large && bad && !unwritten && !overlap);
    cover (known && image && !large && !bad && add && in_lines == 2 && &written);
    cover (known && image && !large && bad && add && !last && (source & ~written) == 0 && !overlap);
    cover (known && image && large && !last && out_stop == ACT_DEPTH + 1);
    // A run that joins two others.
    cover (\dut.busy_q && \dut.join_q == 3'd1 && \dut.touch_q [0] && \dut.valid_q [0]
        && \dut.new_end_q - \dut.new_start_q > out_lines && image);
  end

endmodule
