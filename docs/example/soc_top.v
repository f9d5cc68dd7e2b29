`resetall
`timescale 1ns / 1ps
`default_nettype none

// An example of how the engine goes into one's own design: configuration `small` between a
// processor's AXI4-Lite port and two AXI4-Stream DMA channels, all in one clock domain. Take it as
// it is, or take the instance. tests/rtl/test_example.py elaborates it.
module soc_top (
    input  wire        clk_i,
    // From a button or a PLL's lock: asynchronous.
    input  wire        rst_async_ni,
    // To the processor: level, until STATUS is written.
    output wire        irq_o,
    // AXI4-Lite slave, 256 bytes; give it an address of its own in the processor's map.
    input  wire        s_axil_awvalid,
    output wire        s_axil_awready,
    input  wire [ 7:0] s_axil_awaddr,
    input  wire        s_axil_wvalid,
    output wire        s_axil_wready,
    input  wire [31:0] s_axil_wdata,
    input  wire [ 3:0] s_axil_wstrb,
    output wire        s_axil_bvalid,
    input  wire        s_axil_bready,
    output wire [ 1:0] s_axil_bresp,
    input  wire        s_axil_arvalid,
    output wire        s_axil_arready,
    input  wire [ 7:0] s_axil_araddr,
    output wire        s_axil_rvalid,
    input  wire        s_axil_rready,
    output wire [31:0] s_axil_rdata,
    output wire [ 1:0] s_axil_rresp,
    // From the DMA that reads memory: one pixel a beat, TLAST with the last one of an image.
    input  wire        image_tvalid,
    output wire        image_tready,
    input  wire [ 7:0] image_tdata,
    input  wire        image_tlast,
    // To the DMA that writes memory: one logit a beat, TLAST with the last class.
    output wire        logit_tvalid,
    input  wire        logit_tready,
    output wire [31:0] logit_tdata,
    output wire        logit_tlast
);

  // The engine's reset is synchronous: it comes at once and goes with the clock.
  reg [1:0] rst_q;

  always @(posedge clk_i or negedge rst_async_ni) begin
    if (!rst_async_ni) rst_q <= 2'b11;
    else rst_q <= {rst_q[0], 1'b0};
  end

  // The numbers are those of configs/small.toml: `hwsim compile --config small` makes images that
  // this engine accepts, and refuses the ones that it cannot run.
  hne_top #(
      .ROWS(8),
      .COLS(4),
      .BANKS(8),
      .ACT_W(8),
      .WGT_W(8),
      .ACC_W(32),
      .MULT_W(16),
      .INDEX_MODE(1),
      .TILE_DEPTH(1152),
      .WGT_DEPTH(65536),
      .IDX_DEPTH(64),
      .ACT_DEPTH(32768),
      .CHAN_DEPTH(1024),
      .PROG_DEPTH(16),
      .SOFTMAX(0),
      .ADD(1),
      .AVERAGE(1),
      .GROUPS(1),
      .LUT_TABLES(4),
      .REQUANTIZATION(0),
      .ECC(0),
      .SKIP(0),
      .SKIP_COLUMNS(8192),
      .SKIP_MASKS(4096),
      .BATCH(1)
  ) u_engine (
      .clk_i(clk_i),
      .rst_i(rst_q[1]),
      .irq_o(irq_o),
      .s_axil_awvalid(s_axil_awvalid),
      .s_axil_awready(s_axil_awready),
      .s_axil_awaddr(s_axil_awaddr),
      .s_axil_awprot(3'b000),
      .s_axil_wvalid(s_axil_wvalid),
      .s_axil_wready(s_axil_wready),
      .s_axil_wdata(s_axil_wdata),
      .s_axil_wstrb(s_axil_wstrb),
      .s_axil_bvalid(s_axil_bvalid),
      .s_axil_bready(s_axil_bready),
      .s_axil_bresp(s_axil_bresp),
      .s_axil_arvalid(s_axil_arvalid),
      .s_axil_arready(s_axil_arready),
      .s_axil_araddr(s_axil_araddr),
      .s_axil_arprot(3'b000),
      .s_axil_rvalid(s_axil_rvalid),
      .s_axil_rready(s_axil_rready),
      .s_axil_rdata(s_axil_rdata),
      .s_axil_rresp(s_axil_rresp),
      .s_axis_tvalid(image_tvalid),
      .s_axis_tready(image_tready),
      .s_axis_tdata(image_tdata),
      .s_axis_tlast(image_tlast),
      .m_axis_tvalid(logit_tvalid),
      .m_axis_tready(logit_tready),
      .m_axis_tdata(logit_tdata),
      .m_axis_tlast(logit_tlast)
  );

endmodule

`resetall
