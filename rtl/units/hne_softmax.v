`resetall
`timescale 1ns / 1ps
`default_nettype none

// Probability unit (twin: hwsim/units/softmax.py): p_k = (e_k << 16) / sum of e, UQ1.16, where e_k
// comes from a table of how far logit k is behind the largest. A first pass over the logits fills a
// memory with e_k (READ, DIFFERENCE, SHIFT, LOOKUP, SUM); a second one puts p_k in its place, a
// quotient bit a cycle (LOAD, then DIVIDE for each class).
module hne_softmax #(
    // Bits of a logit: the subtractor and the shifter.
    parameter integer ACC_W = 32,
    // Most classes: the words of the memory that holds e_k and then p_k.
    parameter integer DEPTH = 512,
    // Images of a batch, a power of two: words of that memory for each.
    parameter integer BATCH = 1,
    // Bits of a class; each doubles what the sum of e may be, so the divider is one bit wider.
    // Follows from DEPTH: leave it.
    parameter integer CLASS_W = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input  wire               clk_i,
    // Also ends whatever is going on.
    input  wire               rst_i,
    // The last logit is being written. The shift, fa + fw - 4 in two's complement, is taken now.
    input  wire               start_i,
    input  wire [        7:0] shift_i,
    // The logits of one more image of the batch may be read, with the same shift; the image, which
    // stands still while the unit works.
    input  wire               next_i,
    input  wire [        7:0] image_i,
    // From the next cycle on: the largest logit; one more than the last class.
    input  wire [  ACC_W-1:0] best_i,
    input  wire [CLASS_W-1:0] classes_i,
    // Memory of the logits: it answers in the next cycle.
    output wire               read_o,
    output wire [CLASS_W-1:0] class_o,
    input  wire [  ACC_W-1:0] logit_i,
    // Until the last probability is written.
    output wire               busy_o,
    // Memory bus, while idle.
    input  wire               mem_re_i,
    input  wire [CLASS_W-1:0] mem_line_i,
    input  wire [        7:0] mem_image_i,
    output wire [       16:0] mem_rdata_o
);

  `include "hne_constants.vh"

  localparam [4:0] LAST_BIT = SOFTMAX_DIVIDE[4:0] - 5'd1;
  localparam integer SUM_W = 17 + CLASS_W;
  localparam integer WIDE_W = ACC_W + 8;
  localparam [CLASS_W-1:0] ONE = 1;

  reg read_q, load_q, divide_q;
  reg [SOFTMAX_LOAD-2:0] loaded_q;
  reg [SOFTMAX_FILL-1:0] valid_q;
  reg [CLASS_W-1:0] class_q, place_q;
  // A left shift by n is a right shift by 8 - n of what is eight bits further left; more than eight
  // saturate all but 0, as eight do.
  reg [5:0] amount_q;
  reg [ACC_W-1:0] logit_q, behind_q;
  reg [14:0] near_q;
  reg far_q;
  reg [7:0] step_q;
  reg [16:0] power_q, next_q;
  reg [SUM_W-1:0] sum_q;
  reg [SUM_W:0] rest_q;
  reg [15:0] quotient_q;
  reg [4:0] bit_q;

  wire [8:0] amount = {shift_i[7], shift_i} + 9'd8;
  wire [WIDE_W-1:0] coarse = {behind_q, 8'd0} >> {amount_q[5:3], 3'd0};
  wire [14:0] fine = near_q >> amount_q[2:0];
  wire [16:0] power, kept;
  wire begins = start_i || next_i;
  // Places of the memory: {class, image}.
  localparam integer PLACE_W = CLASS_W + $clog2(BATCH);
  wire [CLASS_W-1:0] read_place;
  wire [PLACE_W-1:0] kept_write, kept_read;
  wire [CLASS_W-1:0] class_next = class_q + ONE;
  wire [CLASS_W-1:0] place_next = place_q + ONE;
  // All classes of a full memory wrap to 0 on both sides.
  wire place_last = place_next == classes_i;
  wire summing = valid_q[SOFTMAX_FILL-1];
  wire [SUM_W+1:0] less = {1'b0, rest_q} - {2'b0, sum_q};
  wire fits = !less[SUM_W+1];
  wire quotient_last = divide_q && bit_q == LAST_BIT;
  wire unused_top = &{1'b0, less[SUM_W]};

  assign read_o = read_q;
  assign class_o = class_q;
  assign busy_o = read_q || valid_q != {SOFTMAX_FILL{1'b0}} || load_q
      || loaded_q != {SOFTMAX_LOAD - 1{1'b0}} || divide_q;
  assign mem_rdata_o = kept;

  hne_exp_lut u_table (
      .clk_i(clk_i),
      .n_i(step_q),
      .power_o(power)
  );

  // e_k, later p_k.
  hne_ram #(
      .WIDTH(17),
      .DEPTH(DEPTH * BATCH)
  ) u_kept (
      .clk_i(clk_i),
      .we_i(summing || quotient_last),
      .waddr_i(kept_write),
      .wdata_i(summing ? power_q : {quotient_q, fits}),
      .re_i(mem_re_i || load_q || (divide_q && bit_q == 5'd0)),
      .raddr_i(kept_read),
      .rdata_o(kept)
  );

  assign read_place = mem_re_i ? mem_line_i : load_q ? place_q : place_next;
  generate
    if (BATCH > 1) begin : gen_batch
      wire [7:0] image = mem_re_i ? mem_image_i : image_i;
      wire unused_image = &{1'b0, image};

      assign kept_write = {place_q, image_i[PLACE_W-CLASS_W-1:0]};
      assign kept_read = {read_place, image[PLACE_W-CLASS_W-1:0]};
    end else begin : gen_single
      wire unused_image = &{1'b0, image_i, mem_image_i};

      assign kept_write = place_q;
      assign kept_read = read_place;
    end
  endgenerate

  always @(posedge clk_i) begin
    if (rst_i) begin
      {read_q, load_q, divide_q} <= 3'd0;
      loaded_q <= {SOFTMAX_LOAD - 1{1'b0}};
      valid_q  <= {SOFTMAX_FILL{1'b0}};
    end else begin
      if (begins) read_q <= 1'b1;
      else if (class_next == classes_i) read_q <= 1'b0;
      valid_q  <= {valid_q[SOFTMAX_FILL-2:0], read_q};
      load_q   <= summing && place_last;
      loaded_q <= {loaded_q[SOFTMAX_LOAD-3:0], load_q};
      if (loaded_q[SOFTMAX_LOAD-2]) divide_q <= 1'b1;
      else if (quotient_last && place_last) divide_q <= 1'b0;
    end
    if (start_i) amount_q <= amount[8] ? 6'd0 : amount[7:6] != 2'd0 ? 6'd63 : amount[5:0];
    if (begins) begin
      class_q  <= {CLASS_W{1'b0}};
      place_q  <= {CLASS_W{1'b0}};
      sum_q    <= {SUM_W{1'b0}};
    end else begin
      if (read_q) class_q <= class_next;
      if (summing || quotient_last) place_q <= place_last ? {CLASS_W{1'b0}} : place_next;
      if (summing) sum_q <= sum_q + {{CLASS_W{1'b0}}, power_q};
    end
  end

  // First pass.
  always @(posedge clk_i) begin
    logit_q  <= logit_i;
    behind_q <= best_i - logit_q;
    near_q   <= coarse[14:0];
    far_q    <= coarse[WIDE_W-1:15] != {WIDE_W - 15{1'b0}};
    step_q   <= (far_q || fine[14:8] != 7'd0) ? 8'd255 : fine[7:0];
    power_q  <= power;
  end

  // Second pass: the divider restores, e_k <= sum of e.
  always @(posedge clk_i) begin
    next_q <= kept;
    if (loaded_q[SOFTMAX_LOAD-2] || quotient_last) begin
      rest_q <= {{CLASS_W + 1{1'b0}}, next_q};
      bit_q  <= 5'd0;
    end else begin
      rest_q <= {fits ? less[SUM_W-1:0] : rest_q[SUM_W-1:0], 1'b0};
      bit_q  <= bit_q + 5'd1;
    end
    quotient_q <= {quotient_q[14:0], fits};
  end

endmodule

`resetall
