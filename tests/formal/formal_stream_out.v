`default_nettype none

// hne_stream_out: the beats of the output stream are the logits that were written, in class order,
// each once, the last one marked; under any back-pressure, and after a reset at any time.
module formal_stream_out #(
    parameter integer ACC_W = 3,
    parameter integer DEPTH = 4,
    parameter integer DATA_W = 5,
    parameter integer CLASS_W = $clog2(DEPTH)
) (
    input wire             clk,
    input wire             rst,
    input wire             write,
    input wire [ACC_W-1:0] logit,
    input wire             again,
    input wire             ready,
    // The level send may outlast the last beat.
    input wire             keep,
    input wire             peek,
    input wire [CLASS_W-1:0] peek_class
);

  // A network with this many classes; its logits come in class order, then the level send.
  (* anyconst *) reg [CLASS_W:0] classes;
  reg [CLASS_W:0] written;
  reg past = 1'b0;
  reg finished;
  wire send = written == classes && !finished;
  wire valid, last, done, sent;
  wire [ACC_W-1:0] peeked;
  wire [DATA_W-1:0] data;

  hne_stream_out #(
      .ACC_W (ACC_W),
      .DEPTH (DEPTH),
      .DATA_W(DATA_W)
  ) dut (
      .clk_i(clk),
      .rst_i(rst),
      .write_i(write),
      .class_i(written[CLASS_W-1:0]),
      .logit_i(logit),
      .image_i(8'd0),
      .peek_i(peek),
      .peek_class_i(peek_class),
      .logit_o(peeked),
      .send_i(send && !peek),
      .valid_o(valid),
      .ready_i(ready),
      .data_o(data),
      .last_o(last),
      .done_o(done),
      .sent_o(sent)
  );

  // One logit, of any class, is followed; so it is with all.
  (* anyconst *) reg [CLASS_W-1:0] followed;
  reg [ACC_W-1:0] logit_q;
  reg [CLASS_W:0] beat;
  reg rst_p, valid_p, ready_p, last_p, send_p, peek_p;
  reg [CLASS_W-1:0] peek_class_p;
  reg [DATA_W-1:0] data_p;
  reg [1:0] gap;
  reg [2:0] sent_images;
  reg [1:0] peeks;

  always @* begin
    assume (classes != 0 && classes <= DEPTH);
    if (!past) assume (rst);
    if (written == classes) assume (!write);
    // The probability unit has read all logits before the first one leaves.
    if (written != classes || beat != 0 || valid || valid_p) assume (!peek);
    if (peek) assume (peek_class < classes);
  end

  always @(posedge clk) begin
    past <= 1'b1;
    {rst_p, valid_p, ready_p, last_p, send_p, data_p} <= {rst, valid, ready, last, send, data};
    {peek_p, peek_class_p} <= {peek, peek_class};
    if (write && written[CLASS_W-1:0] == followed) logit_q <= logit;
    if (rst) begin
      written <= 0;
      finished <= 1'b0;
      beat <= 0;
      gap <= 2'd0;
      sent_images <= 3'd0;
      peeks <= 2'd0;
    end else begin
      peeks <= peeks + {1'b0, peek};
      if (write) written <= written + 1;
      if (valid && ready) beat <= beat + 1;
      if (done) sent_images <= sent_images + 3'd1;
      if ((done || sent) && !keep) finished <= 1'b1;
      // The next image.
      if (finished && again) begin
        written <= 0;
        finished <= 1'b0;
        beat <= 0;
      end
      gap <= send && !peek && !valid && !sent ? gap + 2'd1 : 2'd0;
    end
  end

  always @(posedge clk) begin
    if (past && !rst) begin
      if (rst_p) assert (!valid);
      // What is offered stays until it is taken.
      else if (valid_p && !ready_p && send_p) assert (valid && data == data_p && last == last_p);
      if (valid) begin
        assert (send && beat < classes);
        if (beat == followed) assert (data == {{DATA_W - ACC_W{logit_q[ACC_W-1]}}, logit_q});
        assert (last == (beat == classes - 1));
      end
      assert (done == (valid && ready && beat == classes - 1));
      if (finished) assert (beat == classes);
      if (sent) assert (beat == classes);
      if (send && beat == classes) assert (sent);
      if (peek_p && !rst_p && peek_class_p == followed) assert (peeked == logit_q);
      // No beat is held back for more than a cycle.
      assert (gap <= 2'd1);
    end
  end

  always @(posedge clk) begin
    cover (!rst && done && classes == DEPTH && followed == 3 && data == 5'b11100);
    cover (!rst && sent_images == 3'd2 && classes == 2);
    cover (!rst && past && finished && send_p && sent && classes == 2);
    cover (!rst && done && peeks == 2'd2 && classes == 2);
    cover (past && !rst && valid && valid_p && !ready_p && beat == 1);
  end

endmodule
