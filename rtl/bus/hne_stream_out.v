`resetall
`timescale 1ns / 1ps
`default_nettype none

// Logits out: keeps the logits of an image and sends them in class order, sign-extended, one a beat
// whenever the receiver is ready; last with the final class. Those of a batch stand in a memory
// each, and all may be written at once.
module hne_stream_out #(
    // Bits of a logit as it is kept: the width of the memory.
    parameter integer ACC_W = 32,
    // Most classes: the words of the memory.
    parameter integer DEPTH = 512,
    // Bits of a beat, at least ACC_W: the logit is sign-extended, which costs wires only.
    parameter integer DATA_W = 32,
    // Images of a batch: memories.
    parameter integer BATCH = 1,
    // Bits of a class number. Follows from DEPTH: leave it.
    parameter integer CLASS_W = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input  wire               clk_i,
    input  wire               rst_i,
    // One logit of these images.
    input  wire [  BATCH-1:0] write_i,
    input  wire [CLASS_W-1:0] class_i,
    input  wire [BATCH*ACC_W-1:0] logit_i,
    // Whose logits are read and leave; it stands still while they do.
    input  wire [        7:0] image_i,
    // Before they leave, somebody else may read them: logit_o is the answer in the next cycle.
    input  wire               peek_i,
    input  wire [CLASS_W-1:0] peek_class_i,
    output wire [  ACC_W-1:0] logit_o,
    // Level: the logits are complete, the last class is one less than class_i.
    input  wire               send_i,
    output wire               valid_o,
    input  wire               ready_i,
    output wire [ DATA_W-1:0] data_o,
    output wire               last_o,
    // The last logit is accepted; it was accepted.
    output wire               done_o,
    output wire               sent_o
);

  reg valid_q, last_q, sent_q;
  reg [CLASS_W-1:0] next_q;
  wire [ACC_W-1:0] logit;

  // The read register of the memory is the output register.
  wire read = send_i && !sent_q && (!valid_q || ready_i);
  wire [CLASS_W-1:0] following = next_q + {{CLASS_W - 1{1'b0}}, 1'b1};

  assign valid_o = valid_q;
  assign last_o = last_q;
  assign done_o = valid_q && ready_i && last_q;
  assign sent_o = sent_q && !valid_q;
  assign logit_o = logit;

  generate
    if (DATA_W > ACC_W) begin : gen_extend
      assign data_o = {{DATA_W - ACC_W{logit[ACC_W-1]}}, logit};
    end else begin : gen_same
      assign data_o = logit;
    end
  endgenerate

  wire [BATCH*ACC_W-1:0] logits;
  genvar n;

  generate
    for (n = 0; n < BATCH; n = n + 1) begin : gen_image
      hne_ram #(
          .WIDTH(ACC_W),
          .DEPTH(DEPTH)
      ) u_logits (
          .clk_i(clk_i),
          .we_i(write_i[n]),
          .waddr_i(class_i),
          .wdata_i(logit_i[n*ACC_W+:ACC_W]),
          .re_i(read || peek_i),
          .raddr_i(peek_i ? peek_class_i : next_q),
          .rdata_o(logits[n*ACC_W+:ACC_W])
      );
    end
  endgenerate

  hne_choice #(
      .COUNT(BATCH),
      .WIDTH(ACC_W)
  ) u_choice (
      .number_i(image_i),
      .words_i(logits),
      .word_o(logit)
  );

  always @(posedge clk_i) begin
    if (rst_i || !send_i) begin
      valid_q <= 1'b0;
      sent_q  <= 1'b0;
      next_q  <= {CLASS_W{1'b0}};
    end else begin
      if (read) begin
        valid_q <= 1'b1;
        next_q  <= following;
        // All classes at a full memory wrap to 0 on both sides.
        sent_q  <= following == class_i;
        last_q  <= following == class_i;
      end else if (ready_i) begin
        valid_q <= 1'b0;
      end
    end
  end

endmodule

`resetall
