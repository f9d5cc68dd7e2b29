`resetall
`timescale 1ns / 1ps
`default_nettype none

// Sequencer (twin: hwsim/units/sequencer.py): takes an image, walks the program, hands the logits
// out. Layers are barriers: an instruction is fetched when the layer before it has written its last
// result. Of a batch, all images are taken first; then an fc layer runs once for all, any other for
// one after the other.
module hne_sequencer #(
    // Instructions of the program memory: a fetch behind the last one is refused.
    parameter integer PROG_DEPTH = 32,
    // 0: no word of a memory is ever wrong; else a wrong one stops the image when its layer ends.
    parameter integer ECC = 0,
    // The most images of a batch: a number, and a comparison with how many there are.
    parameter integer BATCH = 1,
    // Bits of a word address, 16 words an instruction. Follows from PROG_DEPTH: leave it.
    parameter integer ADDR_W = $clog2(16 * PROG_DEPTH)
) (
    input  wire              clk_i,
    input  wire              rst_i,
    // Level: while it is high, the next image is taken as soon as the last one is through.
    input  wire              start_i,
    output wire              idle_o,
    // Images of the next batch, 1 … BATCH: looked at when it starts.
    input  wire [       8:0] images_i,
    // How many there are; the one that is taken, that a layer runs for, whose logits leave, and
    // whether it is the last one. An fc layer runs as that of image 0.
    output wire [       8:0] images_o,
    output wire [       7:0] image_o,
    output wire              image_last_o,
    // Pulse: the logits are out, of all images.
    output wire              done_o,
    // Pulse, with its cause, as in hne_constants.vh.
    output reg               error_o,
    output reg  [       2:0] cause_o,
    // Program memory, and the words that it answered: slots of the fetch, whose order is
    // SEQUENCER_ORDER.
    output wire              fetch_o,
    output wire [ADDR_W-1:0] address_o,
    output wire              word_we_o,
    output wire [       3:0] slot_o,
    input  wire [       3:0] op_i,
    input  wire              last_i,
    input  wire              bad_shape_i,
    input  wire              bad_size_i,
    input  wire              bad_place_i,
    // With a word of the program: it is wrong. A word of another memory was.
    input  wire              wrong_instruction_i,
    input  wire [       3:0] wrong_word_i,
    // Streams: the shape of the input is known, and a packet of it comes; one comes, each of a
    // batch; its last pixel is accepted; it was too short or too long; logits may leave; those of
    // one more image may be looked at; the last one of an image has left.
    output wire              input_load_o,
    output wire              input_expect_o,
    input  wire              input_done_i,
    input  wire              input_error_i,
    output wire              output_o,
    output wire              output_next_o,
    input  wire              output_done_i,
    // Units: the cycle before a layer starts, for the first image; for any, of any kind, of one for
    // the array and of a pool; a layer runs; its last result is being written.
    output wire              load_first_o,
    output reg               load_o,
    output reg               load_mac_o,
    output reg               load_pool_o,
    output wire              run_o,
    input  wire              layer_end_i,
    // For the counters.
    output wire              counting_o,
    output wire              instruction_o
);

  `include "hne_constants.vh"
  `include "hne_program.vh"

  localparam integer BEHIND = INSTRUCTION_WORDS * PROG_DEPTH;
  // Last cycles of a fetch; of the first one, which waits for what follows from the shape; and the
  // one before the load of the units, which ends the set-up.
  localparam [4:0] FETCHED = SEQUENCER_FETCH[4:0] - 5'd1;
  localparam [4:0] SHAPED = FETCHED + 5'd2;
  localparam [4:0] SET_UP = SEQUENCER_SETUP[4:0] - 5'd2;

  localparam [2:0] IDLE = 3'd0;
  localparam [2:0] SHAPE = 3'd1;
  localparam [2:0] INPUT = 3'd2;
  localparam [2:0] FETCH = 3'd3;
  localparam [2:0] SETUP = 3'd4;
  localparam [2:0] RUN = 3'd5;
  localparam [2:0] OUTPUT = 3'd6;
  localparam [2:0] NEXT = 3'd7;

  reg [2:0] state_q;
  reg [4:0] count_q;
  // Last cycles of the first fetch, of a fetch, of a set-up, known one cycle early; the instruction
  // is the end.
  reg shaped_q, fetch_last_q, set_up_q, op_end_q;
  reg [ADDR_W-1:0] address_q;
  // The words of the program are registered behind its memory.
  reg [1:0] word_we_q;
  // Of the input stream, a cycle later: START is the cycle behind the last pixel.
  reg input_done_q, input_error_q;
  reg finished_q;
  reg [3:0] slot1_q, slot2_q;

  wire wrong;
  wire taken = state_q == INPUT && input_done_q;
  wire image_first, image_last;
  wire begins = taken && image_last;
  wire fetching = state_q == FETCH || state_q == SHAPE;
  wire set_up = set_up_q;
  // Before there is an image, nothing is written: the first instruction is asked where it reads
  // when it is fetched again.
  wire malformed = bad_shape_i || bad_size_i;
  // A layer is asked for the first image only: then what it writes counts as written.
  wire refused = (malformed || bad_place_i) && image_first;
  wire fetched = count_q >= INSTRUCTION_WORDS[4:0];
  // The shape of the input is known, and whether the instruction is refused.
  wire shaped = shaped_q;
  // The address stands behind the instruction when a fetch ends; a layer in the last place of the
  // memory has no end behind it. A depth of a power of two wraps to 0.
  wire overrun = address_q == BEHIND[ADDR_W-1:0];

  assign idle_o = state_q == IDLE;
  assign done_o = state_q == OUTPUT && output_done_i && image_last;
  assign fetch_o = fetching && !fetched;
  // Instructions have 16 words, so the order within one is that of its lowest bits.
  assign address_o = {address_q[ADDR_W-1:4], SEQUENCER_ORDER[{address_q[3:0], 2'b00}+:4]};
  assign word_we_o = word_we_q[1];
  assign slot_o = slot2_q;
  // Nothing is asked for where the first instruction is refused.
  assign input_load_o = shaped && !op_end_q && !malformed && !wrong;
  assign input_expect_o = input_load_o || (taken && !image_last);
  assign output_o = state_q == OUTPUT;
  assign output_next_o = state_q == NEXT;
  assign image_last_o = image_last;
  assign load_first_o = load_o && image_first;
  assign run_o = state_q == RUN;
  assign instruction_o = (state_q == FETCH && !finished_q) || state_q == SETUP;
  assign counting_o = begins || instruction_o || run_o;

  generate
    if (ECC != 0) begin : gen_wrong
      reg wrong_q;

      assign wrong = wrong_q || wrong_instruction_i;

      always @(posedge clk_i) wrong_q <= state_q != IDLE && (wrong || wrong_word_i != 4'd0);
    end else begin : gen_right
      wire unused_wrong = &{1'b0, wrong_instruction_i, wrong_word_i};

      assign wrong = 1'b0;
    end
  endgenerate

  generate
    if (BATCH > 1) begin : gen_images
      reg [7:0] image_q, last_q;
      reg [8:0] images_q;
      wire run_next = state_q == RUN && layer_end_i && op_i != OP_FC;
      wire output_next = state_q == OUTPUT && output_done_i;

      assign image_last = image_q == last_q;
      assign image_o = image_q;
      assign images_o = images_q;
      assign image_first = image_q == 8'd0;

      always @(posedge clk_i) begin
        if (state_q == IDLE) begin
          images_q <= images_i;
          last_q   <= images_i[7:0] - 8'd1;
          image_q  <= 8'd0;
        end else if (taken || run_next || output_next) begin
          image_q <= image_last ? 8'd0 : image_q + 8'd1;
        end
      end
    end else begin : gen_image
      wire unused_images = &{1'b0, images_i};

      assign image_last = 1'b1;
      assign image_o = 8'd0;
      assign images_o = 9'd1;
      assign image_first = 1'b1;
    end
  endgenerate

  always @(posedge clk_i) begin
    error_o       <= 1'b0;
    word_we_q     <= {word_we_q[0], fetch_o};
    input_done_q  <= input_done_i;
    input_error_q <= input_error_i;
    slot1_q       <= count_q[3:0];
    slot2_q       <= slot1_q;
    count_q       <= 5'd0;
    shaped_q      <= state_q == SHAPE && count_q == SHAPED - 5'd1;
    fetch_last_q  <= state_q == FETCH && count_q == FETCHED - 5'd1;
    op_end_q      <= op_i == OP_END;
    set_up_q      <= state_q == SETUP && count_q == SET_UP - 5'd1;
    // Units must not start on an instruction that is refused. They are many, so this is a register.
    load_o        <= set_up && !refused;
    load_mac_o    <= set_up && !refused && op_i != OP_POOL;
    load_pool_o   <= set_up && !refused && op_i == OP_POOL;
    case (state_q)
      IDLE: begin
        address_q  <= {ADDR_W{1'b0}};
        finished_q <= 1'b0;
        if (start_i) state_q <= SHAPE;
      end
      SHAPE: begin
        count_q   <= count_q + 5'd1;
        address_q <= address_q + {{ADDR_W - 1{1'b0}}, !fetched};
        if (shaped) begin
          count_q   <= 5'd0;
          address_q <= {ADDR_W{1'b0}};
          state_q   <= INPUT;
          if (!input_load_o) begin
            state_q <= IDLE;
            error_o <= 1'b1;
            cause_o <= op_end_q ? CAUSE_END : bad_shape_i ? CAUSE_SHAPE : CAUSE_SIZE;
            if (wrong) cause_o <= CAUSE_MEMORY;
          end
        end
      end
      INPUT: begin
        if (input_error_q) begin
          state_q <= IDLE;
          error_o <= 1'b1;
          cause_o <= CAUSE_PACKET;
        end else if (begins) begin
          state_q <= FETCH;
        end
      end
      FETCH: begin
        count_q   <= count_q + 5'd1;
        address_q <= address_q + {{ADDR_W - 1{1'b0}}, !fetched};
        if (fetch_last_q) begin
          count_q <= 5'd0;
          state_q <= SETUP;
          if (op_end_q) begin
            state_q <= finished_q ? OUTPUT : IDLE;
            error_o <= !finished_q;
            if (!finished_q) cause_o <= CAUSE_END;
          end else if (finished_q || overrun) begin
            state_q <= IDLE;
            error_o <= 1'b1;
            cause_o <= CAUSE_END;
          end
          // What the layer before has read, and every word of this instruction.
          if (wrong) begin
            state_q <= IDLE;
            error_o <= 1'b1;
            cause_o <= CAUSE_MEMORY;
          end
        end
      end
      SETUP: begin
        count_q <= count_q + 5'd1;
        if (set_up && refused) begin
          state_q <= IDLE;
          error_o <= 1'b1;
          cause_o <= bad_shape_i ? CAUSE_SHAPE : bad_size_i ? CAUSE_SIZE : CAUSE_PLACE;
        end
        if (load_o) begin
          count_q <= 5'd0;
          state_q <= RUN;
        end
      end
      RUN: begin
        if (layer_end_i) begin
          // Where a word was wrong it ends with the fetch.
          state_q    <= op_i == OP_FC || image_last || wrong ? FETCH : SETUP;
          finished_q <= last_i;
        end
      end
      OUTPUT: if (output_done_i) state_q <= image_last ? IDLE : NEXT;
      // The stream begins anew; the logits of the next image are chosen.
      default: state_q <= OUTPUT;
    endcase
    if (rst_i) begin
      state_q       <= IDLE;
      error_o       <= 1'b0;
      word_we_q     <= 2'd0;
      input_done_q  <= 1'b0;
      input_error_q <= 1'b0;
      cause_o       <= 3'd0;
      load_o        <= 1'b0;
      load_mac_o    <= 1'b0;
      load_pool_o   <= 1'b0;
      shaped_q      <= 1'b0;
      fetch_last_q  <= 1'b0;
      set_up_q      <= 1'b0;
    end
  end

endmodule

`resetall
