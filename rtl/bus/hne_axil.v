`resetall
`timescale 1ns / 1ps
`default_nettype none

// AXI4-Lite slave: turns the five channels into single accesses of a register file, one write every
// two cycles at best, one read every six. No access in the cycle behind another, which may move the
// place that it is for. Answers come after a fixed time, so nothing can hang.
module hne_axil #(
    // Bits of a byte address: the room of the register map. Each costs a bit in the comparisons of
    // the register file.
    parameter integer ADDR_W = 8
) (
    input  wire              clk_i,
    input  wire              rst_i,
    input  wire              awvalid_i,
    output wire              awready_o,
    input  wire [ADDR_W-1:0] awaddr_i,
    input  wire              wvalid_i,
    output wire              wready_o,
    input  wire [      31:0] wdata_i,
    input  wire [       3:0] wstrb_i,
    output wire              bvalid_o,
    input  wire              bready_i,
    output wire [       1:0] bresp_o,
    input  wire              arvalid_i,
    output wire              arready_o,
    input  wire [ADDR_W-1:0] araddr_i,
    output wire              rvalid_o,
    input  wire              rready_i,
    output wire [      31:0] rdata_o,
    output wire [       1:0] rresp_o,
    // Register file: a write and its answer in one cycle; a read answers after as many
    // cycles as a memory takes, whatever it is for.
    output wire              write_o,
    output wire [ADDR_W-3:0] write_address_o,
    output wire [      31:0] write_data_o,
    output wire              write_whole_o,
    input  wire [       1:0] write_response_i,
    output wire              read_o,
    output wire [ADDR_W-3:0] read_address_o,
    input  wire [      31:0] read_data_i,
    input  wire [       1:0] read_response_i
);

  `include "hne_constants.vh"

  reg write_q, bvalid_q, rvalid_q;
  // No read is under way, none was answered that nobody has taken, nothing was written just now.
  reg free_q;
  reg [1:0] bresp_q, rresp_q;
  reg [MEMORY_READ-1:0] wait_q;
  reg [31:0] rdata_q;

  wire unused_bytes = &{1'b0, awaddr_i[1:0], araddr_i[1:0]};

  // Address and data are accepted together, in the cycle after both are there.
  assign awready_o = write_q;
  assign wready_o = write_q;
  assign bvalid_o = bvalid_q;
  assign bresp_o = bresp_q;
  assign write_o = write_q;
  assign write_address_o = awaddr_i[ADDR_W-1:2];
  assign write_data_o = wdata_i;
  assign write_whole_o = wstrb_i == 4'hF;

  assign arready_o = free_q;
  assign rvalid_o = rvalid_q;
  assign rdata_o = rdata_q;
  assign rresp_o = rresp_q;
  assign read_o = arvalid_i && arready_o;
  assign read_address_o = araddr_i[ADDR_W-1:2];

  always @(posedge clk_i) begin
    if (rst_i) begin
      write_q   <= 1'b0;
      bvalid_q  <= 1'b0;
      rvalid_q  <= 1'b0;
      wait_q    <= {MEMORY_READ{1'b0}};
      free_q    <= 1'b1;
    end else begin
      free_q    <= !read_o && wait_q == {MEMORY_READ{1'b0}} && !(rvalid_q && !rready_i) && !write_q;
      write_q   <= awvalid_i && wvalid_i && !write_q && !read_o && (!bvalid_q || bready_i);
      if (write_q) bvalid_q <= 1'b1;
      else if (bready_i) bvalid_q <= 1'b0;
      wait_q    <= {wait_q[MEMORY_READ-2:0], read_o};
      if (wait_q[MEMORY_READ-1]) rvalid_q <= 1'b1;
      else if (rready_i) rvalid_q <= 1'b0;
    end
    if (write_q) bresp_q <= write_response_i;
    if (wait_q[MEMORY_READ-1]) begin
      rdata_q <= read_data_i;
      rresp_q <= read_response_i;
    end
  end

endmodule

`resetall
