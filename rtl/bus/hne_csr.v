`resetall
`timescale 1ns / 1ps
`default_nettype none

// Control and status registers: start, status, interrupt, parameter words, counters, and a window
// that reads and writes every memory while the engine is idle. docs/registers.md is the map.
module hne_csr #(
    // Array rows of the engine: a word for the host, and the fields of a line of index memory.
    // Costs nothing here.
    parameter integer ROWS = 2,
    // Pixels side by side: a word for the host.
    parameter integer COLS = 2,
    // Weight banks: a word for the host, and the fields of a line of weights.
    parameter integer BANKS = 2,
    // Bits of an activation: a word for the host, which refuses a program of other widths.
    parameter integer ACT_W = 8,
    // Bits of a real weight: a word for the host.
    parameter integer WGT_W = 8,
    // Bits of an accumulator: a word for the host.
    parameter integer ACC_W = 32,
    // Bits of a requantization multiplier: a word for the host.
    parameter integer MULT_W = 16,
    // Source of indices: a word for the host; with 1 the index memory has no lines.
    parameter integer INDEX_MODE = 0,
    // Columns of half the tile buffer: a word for the host.
    parameter integer TILE_DEPTH = 256,
    // Real weights: a word for the host, and with BANKS the lines of the weight memory.
    parameter integer WGT_DEPTH = 8192,
    // Lines of index memory: a word for the host, and the end of that memory.
    parameter integer IDX_DEPTH = 8192,
    // Lines of activations: a word for the host.
    parameter integer ACT_DEPTH = 8192,
    // Lines of scale, bias and probability memory: a word for the host, and their end.
    parameter integer CHAN_DEPTH = 512,
    // Instructions of the program memory: a word for the host, and its end.
    parameter integer PROG_DEPTH = 32,
    // Probability unit, 0 or 1: a word for the host; with 0 its memory has no lines.
    parameter integer SOFTMAX = 1,
    // Layers that add two maps, 0 or 1: a word for the host.
    parameter integer ADD = 1,
    // Average and affine layers, 0 or 1: a word for the host.
    parameter integer AVERAGE = 1,
    // Convolutions of groups, 0 or 1: a word for the host.
    parameter integer GROUPS = 1,
    // Tables of lut layers: a word for the host, and the end of their memory.
    parameter integer LUT_TABLES = 4,
    // Roundings that post knows, 0 or 1: a word for the host.
    parameter integer REQUANTIZATION = 0,
    // Check bits of the memories, 0 to 2: a word for the host.
    parameter integer ECC = 0,
    // Zero skipping, 0 or 1: a word for the host.
    parameter integer SKIP = 0,
    // The largest fan-in that is skipped in: a word for the host.
    parameter integer SKIP_COLUMNS = 8192,
    // Words that say which columns of a convolution are zeros: a word for the host.
    parameter integer SKIP_MASKS = 4096,
    // Images of a batch: a word for the host, the most that IMAGES takes, and the fields of a line
    // of probabilities.
    parameter integer BATCH = 1
) (
    input  wire         clk_i,
    input  wire         rst_i,
    // Register file of the bus.
    input  wire         write_i,
    input  wire [  5:0] write_address_i,
    input  wire [ 31:0] write_data_i,
    input  wire         write_whole_i,
    output reg  [  1:0] write_response_o,
    input  wire         read_i,
    input  wire [  5:0] read_address_i,
    output wire [ 31:0] read_data_o,
    output reg  [  1:0] read_response_o,
    // Engine.
    output wire         start_o,
    // Images of a batch; the one whose class is asked for.
    output wire [  8:0] images_o,
    output wire [  7:0] image_o,
    output reg          abort_o,
    input  wire         idle_i,
    input  wire         done_i,
    input  wire         error_i,
    input  wire [  2:0] cause_i,
    input  wire [ 31:0] argmax_i,
    input  wire [ 31:0] classes_i,
    input  wire [415:0] count_i,
    output wire         mem_we_o,
    output wire         mem_re_o,
    output wire [  2:0] mem_space_o,
    output wire [  8:0] mem_field_o,
    output wire [ 31:0] mem_line_o,
    output wire [ 63:0] mem_wdata_o,
    input  wire [ 63:0] mem_rdata_i,
    output wire         irq_o
);

  `include "hne_constants.vh"
  `include "hne_program.vh"
  `include "hne_registers.vh"

  localparam integer LAST_BANK = BANKS - 1;
  localparam integer LAST_ROW = ROWS - 1;
  localparam [1:0] OKAY = 2'b00;
  localparam [1:0] SLVERR = 2'b10;
  localparam [1:0] DECERR = 2'b11;
  localparam [5:0] LAST_PARAMETER = REG_SOFTMAX;
  localparam [5:0] LAST_COUNTER = REG_COUNT_SOFTMAX;
  localparam [5:0] LAST_OPTION = REG_IMAGE;
  localparam [31:0] MOST = BATCH;
  localparam integer LAST_IMAGE = BATCH - 1;

  reg start_q, auto_q, done_q, error_q, refused_q;
  reg [2:0] enable_q;
  reg [2:0] space_q;
  reg [31:0] line_q, high_q;
  reg [8:0] field_q, images_q;
  reg [7:0] image_q;
  // When a memory answers; all others do earlier.
  reg [MEMORY_READ-1:0] mem_read_q;
  reg read_refused_q, mem_answer_q;
  reg [31:0] read_data_q, count_q;
  reg [5:0] read_address_q;

  wire writable = write_address_i == REG_CONTROL || write_address_i == REG_STATUS
      || write_address_i == REG_IRQ_ENABLE
      || (write_address_i >= REG_MEM_SPACE && write_address_i <= REG_MEM_DATA)
      || write_address_i == REG_IMAGES || write_address_i == REG_IMAGE;
  wire known = writable || write_address_i <= REG_CLASSES
      || (write_address_i >= REG_ROWS && write_address_i <= LAST_PARAMETER)
      || (write_address_i >= REG_COUNT_TOTAL && write_address_i <= LAST_COUNTER)
      || (write_address_i >= REG_ADD && write_address_i <= LAST_OPTION);
  wire busy = !idle_i || start_q || auto_q;
  // Lines and fields of the memory that is chosen.
  reg [31:0] lines, fields;
  // Of the line and field that stood a cycle ago: accesses are two cycles apart (hne_axil).
  reg inside_q;
  // Only a start, what it starts with, and the memories need an idle engine.
  wire needs_idle = write_address_i == REG_MEM_DATA || write_address_i == REG_IMAGES
      || (write_address_i == REG_CONTROL && write_data_i[0]);
  wire nowhere = !inside_q || space_q == SPACE_PROBABILITIES;
  wire no_image = (write_address_i == REG_IMAGES && (write_data_i == 32'd0 || write_data_i > MOST))
      || (write_address_i == REG_IMAGE && write_data_i >= MOST);
  wire refused = write_i && write_whole_i
      && ((needs_idle && busy) || (write_address_i == REG_MEM_DATA && nowhere) || no_image);
  wire start_refused = write_data_i[0] && busy;
  // The memories have one place: a read in the cycle of a write is refused.
  wire mem_read = read_i && read_address_i == REG_MEM_DATA;
  wire mem_write = write_i && write_whole_i && write_address_i == REG_MEM_DATA
      && space_q != SPACE_PROBABILITIES;
  wire mem_open = !busy && inside_q;
  wire last_field = space_q == SPACE_WEIGHTS ? field_q == LAST_BANK[8:0]
                  : space_q == SPACE_INDEX ? field_q == LAST_ROW[8:0]
                  : space_q == SPACE_PROBABILITIES ? field_q == LAST_IMAGE[8:0] : 1'b1;

  assign read_data_o = mem_answer_q ? mem_rdata_i[31:0] : read_data_q | count_q;
  assign start_o = start_q || auto_q;
  assign images_o = images_q;
  assign image_o = image_q;
  assign irq_o = (done_q && enable_q[1]) || (error_q && enable_q[2]);
  assign mem_we_o = mem_write && mem_open;
  assign mem_re_o = mem_read && !mem_write && mem_open;
  wire read_refused = mem_read && (mem_we_o || !mem_open);
  assign mem_space_o = space_q;
  assign mem_field_o = field_q;
  assign mem_line_o = line_q;
  assign mem_wdata_o = {high_q, write_data_i};

  always @* begin
    fields = 32'd1;
    case (space_q)
      SPACE_WEIGHTS: begin
        lines  = WGT_DEPTH / BANKS;
        fields = BANKS;
      end
      SPACE_INDEX: begin
        lines  = INDEX_MODE == 0 ? IDX_DEPTH : 0;
        fields = ROWS;
      end
      SPACE_SCALE, SPACE_BIAS: lines = CHAN_DEPTH;
      SPACE_LUT: lines = ACT_W <= 8 ? LUT_TABLES << ACT_W : 0;
      SPACE_PROGRAM: lines = INSTRUCTION_WORDS * PROG_DEPTH;
      SPACE_PROBABILITIES: begin
        lines  = SOFTMAX == 1 ? CHAN_DEPTH : 0;
        fields = BATCH;
      end
      default: lines = 32'd0;
    endcase
  end

  always @* begin
    write_response_o = OKAY;
    if (!known) write_response_o = DECERR;
    else if (!writable || !write_whole_i || refused) write_response_o = SLVERR;
  end

  always @(posedge clk_i) begin
    if (rst_i) begin
      start_q   <= 1'b0;
      auto_q    <= 1'b0;
      done_q    <= 1'b0;
      error_q   <= 1'b0;
      refused_q <= 1'b0;
      enable_q  <= 3'd0;
      space_q   <= 3'd0;
      line_q    <= 32'd0;
      field_q   <= 9'd0;
      high_q    <= 32'd0;
      images_q  <= 9'd1;
      image_q   <= 8'd0;
      mem_read_q <= {MEMORY_READ{1'b0}};
    end else begin
      if (!idle_i) start_q <= 1'b0;
      // Each register is asked for its own reasons to refuse: most have none, and do not wait.
      if (write_i && write_whole_i) begin
        case (write_address_i)
          REG_CONTROL:
          if (!start_refused) begin
            start_q <= write_data_i[0];
            auto_q <= write_data_i[1];
          end
          REG_STATUS: begin
            if (write_data_i[1]) done_q <= 1'b0;
            if (write_data_i[2]) error_q <= 1'b0;
            if (write_data_i[3]) refused_q <= 1'b0;
          end
          REG_IRQ_ENABLE: enable_q <= write_data_i[2:0];
          REG_MEM_SPACE:  space_q <= write_data_i[2:0];
          REG_MEM_LINE:   line_q <= write_data_i;
          REG_MEM_FIELD:  field_q <= write_data_i[8:0];
          REG_MEM_HIGH:   high_q <= write_data_i;
          REG_IMAGES:     if (!busy && !no_image) images_q <= write_data_i[8:0];
          REG_IMAGE:      if (!no_image) image_q <= write_data_i[7:0];
          default: ;
        endcase
      end
      // What happens in the same cycle as it is cleared is not lost.
      if (done_i) done_q <= 1'b1;
      if (error_i) error_q <= 1'b1;
      if (refused || read_refused) refused_q <= 1'b1;
      if (mem_we_o || mem_re_o) begin
        field_q <= last_field ? 9'd0 : field_q + 9'd1;
        if (last_field) line_q <= line_q + 32'd1;
      end
      mem_read_q <= {mem_read_q[MEMORY_READ-2:0], mem_re_o};
      if (mem_read_q[MEMORY_READ-1]) high_q <= mem_rdata_i[63:32];
    end
    inside_q <= line_q < lines && {23'd0, field_q} < fields;
    abort_o  <= write_i && write_whole_i && write_address_i == REG_CONTROL && write_data_i[2]
        && !start_refused;
    if (read_i) read_address_q <= read_address_i;
    if (read_i) read_refused_q <= read_refused;
  end

  // The cycle after the read: the answer is registered for the next one.
  reg [31:0] value, count;
  reg [1:0] response;
  reg counter;
  integer n;

  always @* begin
    value = 32'd0;
    count = 32'd0;
    response = OKAY;
    counter = 1'b0;
    // The last one came when the words behind the others were taken.
    for (n = 0; n < COUNTER_SKIPPED; n = n + 1) begin
      if (read_address_q == REG_COUNT_TOTAL + n[5:0]) begin
        count = count_i[n*32+:32];
        counter = 1'b1;
      end
    end
    if (read_address_q == REG_COUNT_SKIPPED) begin
      count = count_i[COUNTER_SKIPPED*32+:32];
      counter = 1'b1;
    end
    case (read_address_q)
      REG_ID:         value = REGISTER_ID;
      REG_VERSION:    value = REGISTER_VERSION;
      REG_CONTROL:    value = {30'd0, auto_q, start_q};
      REG_STATUS:     value = {25'd0, cause_i, refused_q, error_q, done_q, !idle_i};
      REG_IRQ_ENABLE: value = {29'd0, enable_q};
      REG_ARGMAX:     value = argmax_i;
      REG_CLASSES:    value = classes_i;
      REG_MEM_SPACE:  value = {29'd0, space_q};
      REG_MEM_LINE:   value = line_q;
      REG_MEM_FIELD:  value = {23'd0, field_q};
      REG_MEM_HIGH:   value = high_q;
      REG_MEM_DATA:   response = read_refused_q ? SLVERR : OKAY;
      REG_ROWS:       value = ROWS;
      REG_COLS:       value = COLS;
      REG_BANKS:      value = BANKS;
      REG_ACT_W:      value = ACT_W;
      REG_WGT_W:      value = WGT_W;
      REG_ACC_W:      value = ACC_W;
      REG_MULT_W:     value = MULT_W;
      REG_INDEX_MODE: value = INDEX_MODE;
      REG_TILE_DEPTH: value = TILE_DEPTH;
      REG_WGT_DEPTH:  value = WGT_DEPTH;
      REG_IDX_DEPTH:  value = IDX_DEPTH;
      REG_ACT_DEPTH:  value = ACT_DEPTH;
      REG_CHAN_DEPTH: value = CHAN_DEPTH;
      REG_PROG_DEPTH: value = PROG_DEPTH;
      REG_SOFTMAX:    value = SOFTMAX;
      REG_ADD:        value = ADD;
      REG_AVERAGE:    value = AVERAGE;
      REG_GROUPS:     value = GROUPS;
      REG_LUT_TABLES: value = LUT_TABLES;
      REG_REQUANTIZATION: value = REQUANTIZATION;
      REG_ECC:        value = ECC;
      REG_SKIP:       value = SKIP;
      REG_SKIP_COLUMNS: value = SKIP_COLUMNS;
      REG_SKIP_MASKS: value = SKIP_MASKS;
      REG_BATCH:      value = BATCH;
      REG_IMAGES:     value = {23'd0, images_q};
      REG_IMAGE:      value = {24'd0, image_q};
      default: if (!counter) response = DECERR;
    endcase
  end

  always @(posedge clk_i) begin
    read_data_q     <= value;
    count_q         <= count;
    mem_answer_q    <= read_address_q == REG_MEM_DATA && !read_refused_q;
    read_response_o <= response;
  end

endmodule

`resetall
