`default_nettype none

// hne_argmax: the class is that of the largest logit, the first one where there are several; the
// logits are numbered as they come. After each logit, whatever the one before the first clear was.
module formal_argmax #(
    parameter integer ACC_W = 3,
    parameter integer CLASS_W = 3
) (
    input wire                    clk,
    input wire                    clear,
    input wire                    write,
    input wire signed [ACC_W-1:0] logit
);

  wire [CLASS_W-1:0] class_number, argmax;
  wire signed [ACC_W-1:0] best;

  hne_argmax #(
      .ACC_W  (ACC_W),
      .CLASS_W(CLASS_W)
  ) dut (
      .clk_i(clk),
      .clear_i(clear),
      .logit_write_i(write),
      .logit_i(logit),
      .class_o(class_number),
      .argmax_o(argmax),
      .best_o(best)
  );

  // One logit, of any class, is followed; so it is with all.
  (* anyconst *) reg [CLASS_W-1:0] followed;
  reg past = 1'b0;
  reg [CLASS_W:0] written;
  reg signed [ACC_W-1:0] value;

  always @* begin
    if (!past) assume (clear);
    assume (!(clear && write));
    // At most as many as there are numbers.
    if (written == {1'b1, {CLASS_W{1'b0}}}) assume (!write);
  end

  always @(posedge clk) begin
    past <= 1'b1;
    if (clear) written <= 0;
    else if (write) written <= written + 1;
    if (write && written[CLASS_W-1:0] == followed) value <= logit;
  end

  always @(posedge clk) begin
    if (past) begin
      assert (written <= {1'b1, {CLASS_W{1'b0}}});
      assert (class_number == written[CLASS_W-1:0]);
      if (written != 0) assert (argmax < written);
      if (followed < written) begin
        assert (value <= best);
        if (followed < argmax) assert (value < best);
        if (followed == argmax) assert (value == best);
      end
    end
  end

  always @(posedge clk) begin
    cover (past && written == 4 && followed == 3 && argmax == 1 && value == best);
    cover (past && written == {1'b1, {CLASS_W{1'b0}}} && argmax == 7 && best == -1);
  end

endmodule
