`resetall
`timescale 1ns / 1ps
`default_nettype none

// From logits to what the world sees: the class, the logits as a packet, and if it is there the
// probability unit, which reads the logits before they leave.
module hne_logit_path #(
    // Bits of a logit: of the comparator, of the memory that keeps them and of the probability
    // unit.
    parameter integer ACC_W = 32,
    // Lines of the scale and bias memories: the most classes, so the words of the memory of logits
    // and of that of probabilities.
    parameter integer CHAN_DEPTH = 512,
    // 1: with the probability unit; 0: without, its memory reads 0.
    parameter integer SOFTMAX = 1,
    // Images of a batch: a comparator and a memory of logits each, and probabilities.
    parameter integer BATCH = 1,
    // Bits of a beat of the output stream. Follows from ACC_W: leave it.
    parameter integer OUT_W = (ACC_W > 32) ? 64 : 32,
    // Bits of a class number. Follows from CHAN_DEPTH: leave it.
    parameter integer CLASS_W = (CHAN_DEPTH > 1) ? $clog2(CHAN_DEPTH) : 1
) (
    input  wire               clk_i,
    input  wire               rst_i,
    // An image starts, or a batch.
    input  wire               clear_i,
    // A logit, in class order: of an fc layer one of each image, else one of this image, in the
    // first place; the last one of the batch.
    input  wire               write_i,
    input  wire               fc_i,
    input  wire [        8:0] images_i,
    input  wire [        7:0] image_i,
    input  wire               last_i,
    input  wire [BATCH*ACC_W-1:0] logit_i,
    // fa + fw - 4, two's complement, in the cycle of the last logit.
    input  wire [        7:0] prob_shift_i,
    output wire [BATCH*CLASS_W-1:0] argmax_o,
    output wire [CLASS_W-1:0] classes_o,
    // Level: logits of this image may leave. Pulse before it: those of one more image. The last one
    // has left, and its last probability is there.
    input  wire               send_i,
    input  wire               next_i,
    output wire               done_o,
    output wire               valid_o,
    input  wire               ready_i,
    output wire [  OUT_W-1:0] data_o,
    output wire               last_o,
    // For the counters: the probability unit works.
    output wire               softmax_o,
    // Memory bus, while idle: probabilities.
    input  wire               mem_re_i,
    input  wire [       31:0] mem_line_i,
    input  wire [        7:0] mem_image_i,
    output wire [       16:0] mem_rdata_o
);

  wire [ACC_W-1:0] best, stored;
  wire [BATCH*ACC_W-1:0] bests, logit;
  wire [BATCH*CLASS_W-1:0] numbers;
  wire [BATCH-1:0] write;
  wire peek, stream_done, stream_sent;
  wire [CLASS_W-1:0] peek_class;

  genvar n;
  generate
    for (n = 0; n < BATCH; n = n + 1) begin : gen_image
      hne_argmax #(
          .ACC_W  (ACC_W),
          .CLASS_W(CLASS_W)
      ) u_argmax (
          .clk_i(clk_i),
          .clear_i(clear_i),
          .logit_write_i(write[n]),
          .logit_i(logit[n*ACC_W+:ACC_W]),
          .class_o(numbers[n*CLASS_W+:CLASS_W]),
          .argmax_o(argmax_o[n*CLASS_W+:CLASS_W]),
          .best_o(bests[n*ACC_W+:ACC_W])
      );
    end
    if (BATCH > 1) begin : gen_batch
      for (n = 0; n < BATCH; n = n + 1) begin : gen_write
        localparam [31:0] NUMBER = n;

        assign write[n] = write_i && (fc_i ? NUMBER[8:0] < images_i : NUMBER[7:0] == image_i);
        assign logit[n*ACC_W+:ACC_W] = fc_i ? logit_i[n*ACC_W+:ACC_W] : logit_i[ACC_W-1:0];
      end
    end else begin : gen_single
      wire unused_batch = &{1'b0, fc_i, images_i};

      assign write = write_i;
      assign logit = logit_i;
    end
  endgenerate

  hne_choice #(
      .COUNT(BATCH),
      .WIDTH(ACC_W)
  ) u_best (
      .number_i(image_i),
      .words_i(bests),
      .word_o(best)
  );

  // Of the image whose logits come: of an fc layer all have as many.
  hne_choice #(
      .COUNT(BATCH),
      .WIDTH(CLASS_W)
  ) u_classes (
      .number_i(image_i),
      .words_i(numbers),
      .word_o(classes_o)
  );

  hne_stream_out #(
      .ACC_W (ACC_W),
      .DEPTH (CHAN_DEPTH),
      .DATA_W(OUT_W),
      .BATCH (BATCH)
  ) u_stream_out (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .write_i(write),
      .class_i(classes_o),
      .logit_i(logit),
      .image_i(image_i),
      .peek_i(peek),
      .peek_class_i(peek_class),
      .logit_o(stored),
      .send_i(send_i && !peek),
      .valid_o(valid_o),
      .ready_i(ready_i),
      .data_o(data_o),
      .last_o(last_o),
      .done_o(stream_done),
      .sent_o(stream_sent)
  );

  generate
    if (SOFTMAX != 0) begin : gen_softmax
      wire unused_line = &{1'b0, mem_line_i};

      assign done_o = (stream_done || stream_sent) && !softmax_o;

      hne_softmax #(
          .ACC_W(ACC_W),
          .DEPTH(CHAN_DEPTH),
          .BATCH(BATCH)
      ) u_softmax (
          .clk_i(clk_i),
          .rst_i(rst_i || clear_i),
          .start_i(write_i && last_i),
          .shift_i(prob_shift_i),
          .next_i(next_i),
          .image_i(image_i),
          .best_i(best),
          .classes_i(classes_o),
          .read_o(peek),
          .class_o(peek_class),
          .logit_i(stored),
          .busy_o(softmax_o),
          .mem_re_i(mem_re_i),
          .mem_line_i(mem_line_i[CLASS_W-1:0]),
          .mem_image_i(mem_image_i),
          .mem_rdata_o(mem_rdata_o)
      );
    end else begin : gen_logits_only
      wire unused_softmax = &{
        1'b0, clear_i, last_i, prob_shift_i, next_i, best, stored, stream_sent, mem_re_i,
        mem_line_i, mem_image_i
      };

      assign done_o = stream_done;
      assign peek = 1'b0;
      assign peek_class = {CLASS_W{1'b0}};
      assign softmax_o = 1'b0;
      assign mem_rdata_o = 17'd0;
    end
  endgenerate

endmodule

`resetall
