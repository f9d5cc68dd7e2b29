`resetall
`timescale 1ns / 1ps
`default_nettype none

// A test bench for any simulator: an engine that wakes up loaded answers one image. It prints a logit
// a line, or "refused". Parameters are those of hne_top; INIT_DIR is a folder of
// `hwsim rom export --format mem`. +image=FILE: activations in hexadecimal, one a line, in the order
// c, y, x; +beats=N: how many.
module hne_tb #(
    parameter integer ROWS = 2,
    parameter integer COLS = 2,
    parameter integer BANKS = 2,
    parameter integer ACT_W = 8,
    parameter integer WGT_W = 8,
    parameter integer ACC_W = 32,
    parameter integer MULT_W = 16,
    parameter integer INDEX_MODE = 0,
    parameter integer TILE_DEPTH = 256,
    parameter integer WGT_DEPTH = 8192,
    parameter integer IDX_DEPTH = 8192,
    parameter integer ACT_DEPTH = 8192,
    parameter integer CHAN_DEPTH = 512,
    parameter integer PROG_DEPTH = 32,
    parameter integer SOFTMAX = 1,
    parameter integer ADD = 1,
    parameter integer AVERAGE = 1,
    parameter integer GROUPS = 1,
    parameter integer LUT_TABLES = 4,
    parameter integer REQUANTIZATION = 0,
    parameter integer ECC = 0,
    parameter integer SKIP = 0,
    parameter integer SKIP_COLUMNS = 8192,
    parameter integer SKIP_MASKS = 4096,
    parameter integer BATCH = 1,
    parameter INIT_DIR = "rom"
);

  `include "hne_registers.vh"

  localparam integer OUT_W = (ACC_W > 32) ? 64 : 32;
  localparam integer IN_W = (ACT_W > 8) ? 16 : 8;
  localparam integer MOST = 1 << 20;

  reg clk = 1'b0;
  reg rst = 1'b1;
  reg awvalid = 1'b0;
  reg [7:0] awaddr = 8'd0;
  reg [31:0] wdata = 32'd0;
  reg tvalid = 1'b0;
  reg tlast = 1'b0;
  reg [IN_W-1:0] tdata = {IN_W{1'b0}};
  reg [IN_W-1:0] image[0:MOST-1];
  reg [8*1024-1:0] file;
  integer beats, n;

  wire irq, awready, wready, tready, out_valid, out_last;
  wire [OUT_W-1:0] out_data;

  always #5 clk = ~clk;

  hne_top #(
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
  ) u_top (
      .clk_i(clk),
      .rst_i(rst),
      .irq_o(irq),
      .s_axil_awvalid(awvalid),
      .s_axil_awready(awready),
      .s_axil_awaddr(awaddr),
      .s_axil_awprot(3'd0),
      .s_axil_wvalid(awvalid),
      .s_axil_wready(wready),
      .s_axil_wdata(wdata),
      .s_axil_wstrb(4'hF),
      .s_axil_bvalid(),
      .s_axil_bready(1'b1),
      .s_axil_bresp(),
      .s_axil_arvalid(1'b0),
      .s_axil_arready(),
      .s_axil_araddr(8'd0),
      .s_axil_arprot(3'd0),
      .s_axil_rvalid(),
      .s_axil_rready(1'b1),
      .s_axil_rdata(),
      .s_axil_rresp(),
      .s_axis_tvalid(tvalid),
      .s_axis_tready(tready),
      .s_axis_tdata(tdata),
      .s_axis_tlast(tlast),
      .m_axis_tvalid(out_valid),
      .m_axis_tready(1'b1),
      .m_axis_tdata(out_data),
      .m_axis_tlast(out_last)
  );

  // Signals change between the rising edges, at which they are looked at.
  task write(input [5:0] register, input [31:0] value);
    begin
      @(negedge clk);
      awaddr  = {register, 2'd0};
      wdata   = value;
      awvalid = 1'b1;
      @(posedge clk);
      while (!(awready && wready)) @(posedge clk);
      @(negedge clk);
      awvalid = 1'b0;
    end
  endtask

  initial begin
    if (!$value$plusargs("image=%s", file) || !$value$plusargs("beats=%d", beats)) begin
      $display("give +image=FILE and +beats=N");
      $finish;
    end
    $readmemh(file, image);
    repeat (4) @(negedge clk);
    rst = 1'b0;
    write(REG_IRQ_ENABLE, 32'd4);
    write(REG_CONTROL, 32'd1);
    for (n = 0; n < beats; n = n + 1) begin
      @(negedge clk);
      tvalid = 1'b1;
      tdata  = image[n];
      tlast  = n == beats - 1;
      @(posedge clk);
      while (!tready) @(posedge clk);
    end
    @(negedge clk);
    tvalid = 1'b0;
  end

  always @(posedge clk) begin
    if (out_valid && !rst) $display("%0d", $signed(out_data));
    if (out_valid && !rst && out_last) $finish;
    if (irq && !rst) begin
      $display("refused");
      $finish;
    end
  end

endmodule

`resetall
