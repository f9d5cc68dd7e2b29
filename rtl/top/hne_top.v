`resetall
`timescale 1ns / 1ps
`default_nettype none

// The engine with its buses: AXI4-Lite registers, AXI4-Stream image in and logits out.
// docs/registers.md is the register map.
module hne_top #(
    // Output channels computed at once: each row costs COLS cells, an index field and a port of the
    // expander.
    parameter integer ROWS = 2,
    // Neighbouring output pixels computed at once, a power of two: each costs ROWS cells, a lane of
    // post and pool and a bank of the feature maps. An fc layer uses one.
    parameter integer COLS = 2,
    // Weight banks, a power of two >= ROWS: more banks, fewer conflicts, more and smaller memories.
    parameter integer BANKS = 2,
    // Bits of an activation, 4 to 16: of every map, lane and multiplier.
    parameter integer ACT_W = 8,
    // Bits of a real weight, 4 to 16: of weight banks, tile buffer and multipliers.
    parameter integer WGT_W = 8,
    // Bits of an accumulator, 32 or 48: two registers and an adder in each cell; 48 where wide
    // words sum up to more.
    parameter integer ACC_W = 32,
    // Bits of a requantization multiplier, 8 to 31, at most 64 with ACC_W: precision of a scale; a
    // DSP of post takes 18.
    parameter integer MULT_W = 16,
    // 0: indices from SRAM, a memory of IDX_DEPTH lines; 1: computed by ROWS + 1 hash units, no
    // memory, 16 cycles more for a layer and an i-round for each row-tile.
    parameter integer INDEX_MODE = 0,
    // Columns of half the tile buffer: the largest fan-in of a convolution. Costs 2 · ROWS · WGT_W
    // bits of memory each.
    parameter integer TILE_DEPTH = 256,
    // Real weights in all banks, a multiple of BANKS: WGT_W bits of memory each, and the width of
    // an index.
    parameter integer WGT_DEPTH = 8192,
    // Lines of index SRAM, one for each row-tile and position of the fan-in: ROWS indices each.
    // Unused with INDEX_MODE 1.
    parameter integer IDX_DEPTH = 8192,
    // Lines of all feature maps together, COLS activations a line.
    parameter integer ACT_DEPTH = 8192,
    // Output channels of all layers together: a scale word and a bias each; also the most classes.
    parameter integer CHAN_DEPTH = 512,
    // Instructions, the end among them: 16 words of memory each.
    parameter integer PROG_DEPTH = 32,
    // 1: with the probability unit, a 16-bit softmax of the logits: a divider, a table and
    // CHAN_DEPTH words. 0: logits and argmax only.
    parameter integer SOFTMAX = 1,
    // 1: with layers that add two maps; they need ROWS >= 2. Costs a choice in each lane of post.
    parameter integer ADD = 1,
    // 1: with average and affine layers, whose weights are 1.
    parameter integer AVERAGE = 1,
    // 1: with convolutions of groups of channels. Costs two dividers.
    parameter integer GROUPS = 1,
    // Tables of lut layers, 0 to 64, for codes of up to 8 bits: COLS copies of 2^ACT_W words each.
    // 0: no such layers.
    parameter integer LUT_TABLES = 4,
    // 1: post also rounds as TFLite's reference kernels do, twice, halves away from the code of 0,
    // for codes of up to 8 bits, ACC_W 32 and MULT_W 32. Costs a mask, and a choice in each lane
    // of post.
    parameter integer REQUANTIZATION = 0,
    // 0: memories without check bits; 1: with a parity bit for each word, a flipped bit stops the
    // image with an error; 2: with 4 to 8 check bits, one is corrected, two stop it. Costs the
    // bits, and logic before and behind each memory; no cycles.
    parameter integer ECC = 0,
    // 1: fc layers skip the zeros of their input, convolutions columns of zeros: cycles depend on
    // the image. Costs a list of SKIP_COLUMNS positions and codes, SKIP_MASKS words of 16 bits, the
    // places of TILE_DEPTH columns, a product, and some cycles a layer. 0: they do not.
    parameter integer SKIP = 0,
    // The largest fan-in of an fc layer that skips: entries of the list. Unused with SKIP 0.
    parameter integer SKIP_COLUMNS = 8192,
    // Words that say which columns of a convolution's pixel tiles are zeros, 16 columns each; one
    // that needs more does not skip. Unused with SKIP 0.
    parameter integer SKIP_MASKS = 4096,
    // Images that go through the program together, a power of two up to COLS: of an fc layer each
    // expanded column serves all. Costs BATCH times the memory of the maps, of logits and
    // probabilities, BATCH comparators, and the turning of what is written. Needs SKIP 0.
    parameter integer BATCH = 1,
    // Folder of the files that `hwsim rom export --format mem` writes: the memories wake up with
    // them, and nothing need be loaded. "" for none: they are loaded over the bus. Costs no logic.
    parameter INIT_DIR = "",
    // Bits of a beat of the output stream: a logit, sign-extended to whole words. Follows from
    // ACC_W: leave it.
    parameter integer OUT_W = (ACC_W > 32) ? 64 : 32,
    // Bits of a beat of the input stream: whole bytes. Follows from ACT_W: leave it.
    parameter integer IN_W = (ACT_W > 8) ? 16 : 8
) (
    input  wire             clk_i,
    // Synchronous; may come at any time.
    input  wire             rst_i,
    output wire             irq_o,
    // AXI4-Lite.
    input  wire             s_axil_awvalid,
    output wire             s_axil_awready,
    input  wire [      7:0] s_axil_awaddr,
    input  wire [      2:0] s_axil_awprot,
    input  wire             s_axil_wvalid,
    output wire             s_axil_wready,
    input  wire [     31:0] s_axil_wdata,
    input  wire [      3:0] s_axil_wstrb,
    output wire             s_axil_bvalid,
    input  wire             s_axil_bready,
    output wire [      1:0] s_axil_bresp,
    input  wire             s_axil_arvalid,
    output wire             s_axil_arready,
    input  wire [      7:0] s_axil_araddr,
    input  wire [      2:0] s_axil_arprot,
    output wire             s_axil_rvalid,
    input  wire             s_axil_rready,
    output wire [     31:0] s_axil_rdata,
    output wire [      1:0] s_axil_rresp,
    // AXI4-Stream: one activation a beat, then one logit a beat.
    input  wire             s_axis_tvalid,
    output wire             s_axis_tready,
    input  wire [ IN_W-1:0] s_axis_tdata,
    input  wire             s_axis_tlast,
    output wire             m_axis_tvalid,
    input  wire             m_axis_tready,
    output wire [OUT_W-1:0] m_axis_tdata,
    output wire             m_axis_tlast
);

  // Logits that may wait for their receiver while the next image is computed.
  localparam integer OUT_DEPTH = 16;
  localparam integer CHAN_W = (CHAN_DEPTH > 1) ? $clog2(CHAN_DEPTH) : 1;

  wire write, write_whole, read, start, abort, idle, done, error, mem_we, mem_re;
  wire [5:0] write_address, read_address;
  wire [31:0] write_data, read_data, mem_line;
  wire [1:0] write_response, read_response;
  wire [2:0] cause, mem_space;
  wire [8:0] mem_field;
  wire [63:0] mem_wdata, mem_rdata;
  wire [415:0] count;
  wire [CHAN_W-1:0] argmax, classes;
  wire [BATCH*CHAN_W-1:0] argmaxes;
  wire [8:0] images;
  wire [7:0] image;
  wire layer_end;
  wire in_expect, in_valid, in_ready, in_last, out_valid, out_ready, out_last;
  wire [ACT_W-1:0] in_data;
  wire [OUT_W-1:0] out_data;
  wire core_rst = rst_i || abort;
  wire unused_inputs = &{1'b0, s_axil_awprot, s_axil_arprot, s_axis_tdata, layer_end};

  hne_choice #(
      .COUNT(BATCH),
      .WIDTH(CHAN_W)
  ) u_argmax (
      .number_i(image),
      .words_i(argmaxes),
      .word_o(argmax)
  );

  hne_axil u_axil (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .awvalid_i(s_axil_awvalid),
      .awready_o(s_axil_awready),
      .awaddr_i(s_axil_awaddr),
      .wvalid_i(s_axil_wvalid),
      .wready_o(s_axil_wready),
      .wdata_i(s_axil_wdata),
      .wstrb_i(s_axil_wstrb),
      .bvalid_o(s_axil_bvalid),
      .bready_i(s_axil_bready),
      .bresp_o(s_axil_bresp),
      .arvalid_i(s_axil_arvalid),
      .arready_o(s_axil_arready),
      .araddr_i(s_axil_araddr),
      .rvalid_o(s_axil_rvalid),
      .rready_i(s_axil_rready),
      .rdata_o(s_axil_rdata),
      .rresp_o(s_axil_rresp),
      .write_o(write),
      .write_address_o(write_address),
      .write_data_o(write_data),
      .write_whole_o(write_whole),
      .write_response_i(write_response),
      .read_o(read),
      .read_address_o(read_address),
      .read_data_i(read_data),
      .read_response_i(read_response)
  );

  hne_csr #(
      .ROWS(ROWS),
      .COLS(COLS),
      .BANKS(BANKS),
      .ACT_W(ACT_W),
      .WGT_W(WGT_W),
      .ACC_W(ACC_W),
      .MULT_W(MULT_W),
      .INDEX_MODE(INDEX_MODE),
      .TILE_DEPTH(TILE_DEPTH),
      .WGT_DEPTH(WGT_DEPTH),
      .IDX_DEPTH(IDX_DEPTH),
      .ACT_DEPTH(ACT_DEPTH),
      .CHAN_DEPTH(CHAN_DEPTH),
      .PROG_DEPTH(PROG_DEPTH),
      .SOFTMAX(SOFTMAX),
      .ADD(ADD),
      .AVERAGE(AVERAGE),
      .GROUPS(GROUPS),
      .LUT_TABLES(LUT_TABLES),
      .REQUANTIZATION(REQUANTIZATION),
      .ECC(ECC),
      .SKIP(SKIP),
      .SKIP_COLUMNS(SKIP_COLUMNS),
      .SKIP_MASKS(SKIP_MASKS),
      .BATCH(BATCH)
  ) u_csr (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .write_i(write),
      .write_address_i(write_address),
      .write_data_i(write_data),
      .write_whole_i(write_whole),
      .write_response_o(write_response),
      .read_i(read),
      .read_address_i(read_address),
      .read_data_o(read_data),
      .read_response_o(read_response),
      .start_o(start),
      .images_o(images),
      .image_o(image),
      .abort_o(abort),
      .idle_i(idle),
      .done_i(done),
      .error_i(error),
      .cause_i(cause),
      .argmax_i({{32 - CHAN_W{1'b0}}, argmax}),
      .classes_i({{32 - CHAN_W{1'b0}}, classes}),
      .count_i(count),
      .mem_we_o(mem_we),
      .mem_re_o(mem_re),
      .mem_space_o(mem_space),
      .mem_field_o(mem_field),
      .mem_line_o(mem_line),
      .mem_wdata_o(mem_wdata),
      .mem_rdata_i(mem_rdata),
      .irq_o(irq_o)
  );

  hne_core #(
      .ROWS(ROWS),
      .COLS(COLS),
      .BANKS(BANKS),
      .ACT_W(ACT_W),
      .WGT_W(WGT_W),
      .ACC_W(ACC_W),
      .MULT_W(MULT_W),
      .INDEX_MODE(INDEX_MODE),
      .TILE_DEPTH(TILE_DEPTH),
      .WGT_DEPTH(WGT_DEPTH),
      .IDX_DEPTH(IDX_DEPTH),
      .ACT_DEPTH(ACT_DEPTH),
      .CHAN_DEPTH(CHAN_DEPTH),
      .PROG_DEPTH(PROG_DEPTH),
      .SOFTMAX(SOFTMAX),
      .ADD(ADD),
      .AVERAGE(AVERAGE),
      .GROUPS(GROUPS),
      .LUT_TABLES(LUT_TABLES),
      .REQUANTIZATION(REQUANTIZATION),
      .ECC(ECC),
      .SKIP(SKIP),
      .SKIP_COLUMNS(SKIP_COLUMNS),
      .SKIP_MASKS(SKIP_MASKS),
      .BATCH(BATCH),
      .INIT_DIR(INIT_DIR)
  ) u_core (
      .clk_i(clk_i),
      .rst_i(core_rst),
      .start_i(start),
      .images_i(images),
      .idle_o(idle),
      .done_o(done),
      .error_o(error),
      .cause_o(cause),
      .layer_end_o(layer_end),
      .argmax_o(argmaxes),
      .classes_o(classes),
      .count_o(count),
      .mem_we_i(mem_we),
      .mem_re_i(mem_re),
      .mem_space_i(mem_space),
      .mem_field_i(mem_field),
      .mem_line_i(mem_line),
      .mem_wdata_i(mem_wdata),
      .mem_flip_i(8'd0),
      .mem_rdata_o(mem_rdata),
      .in_expect_o(in_expect),
      .in_valid_i(in_valid),
      .in_ready_o(in_ready),
      .in_data_i(in_data),
      .in_last_i(in_last),
      .out_valid_o(out_valid),
      .out_ready_i(out_ready),
      .out_data_o(out_data),
      .out_last_o(out_last)
  );

  hne_stream_gate #(
      .DATA_W(ACT_W)
  ) u_gate (
      .clk_i(clk_i),
      .rst_i(core_rst),
      .expect_i(in_expect),
      .valid_i(s_axis_tvalid),
      .ready_o(s_axis_tready),
      .data_i(s_axis_tdata[ACT_W-1:0]),
      .last_i(s_axis_tlast),
      .valid_o(in_valid),
      .ready_i(in_ready),
      .data_o(in_data),
      .last_o(in_last)
  );

  hne_fifo #(
      .WIDTH(OUT_W + 1),
      .DEPTH(OUT_DEPTH)
  ) u_fifo (
      .clk_i(clk_i),
      .rst_i(core_rst),
      .valid_i(out_valid),
      .ready_o(out_ready),
      .data_i({out_last, out_data}),
      .valid_o(m_axis_tvalid),
      .ready_i(m_axis_tready),
      .data_o({m_axis_tlast, m_axis_tdata})
  );

endmodule

`resetall
