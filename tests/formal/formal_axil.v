`default_nettype none

// hne_axil between a master that keeps the rules of AXI4-Lite and a register file that answers
// anything.
module formal_axil #(
    parameter integer ADDR_W = 4
) (
    input wire              clk,
    input wire              rst,
    input wire              awvalid,
    input wire [ADDR_W-1:0] awaddr,
    input wire              wvalid,
    input wire [      31:0] wdata,
    input wire [       3:0] wstrb,
    input wire              bready,
    input wire              arvalid,
    input wire [ADDR_W-1:0] araddr,
    input wire              rready,
    input wire [       1:0] write_response,
    input wire [      31:0] read_data,
    input wire [       1:0] read_response
);

  wire awready, wready, bvalid, arready, rvalid, write, write_whole, read;
  wire [1:0] bresp, rresp;
  wire [31:0] rdata, write_data;
  wire [ADDR_W-3:0] write_address, read_address;

  hne_axil #(
      .ADDR_W(ADDR_W)
  ) dut (
      .clk_i(clk),
      .rst_i(rst),
      .awvalid_i(awvalid),
      .awready_o(awready),
      .awaddr_i(awaddr),
      .wvalid_i(wvalid),
      .wready_o(wready),
      .wdata_i(wdata),
      .wstrb_i(wstrb),
      .bvalid_o(bvalid),
      .bready_i(bready),
      .bresp_o(bresp),
      .arvalid_i(arvalid),
      .arready_o(arready),
      .araddr_i(araddr),
      .rvalid_o(rvalid),
      .rready_i(rready),
      .rdata_o(rdata),
      .rresp_o(rresp),
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

  // The cycle before. Reset comes first, and may come again at any time.
  reg past = 1'b0;
  reg rst_p, awvalid_p, awready_p, wvalid_p, wready_p, arvalid_p, arready_p;
  reg bvalid_p, bready_p, rvalid_p, rready_p;
  reg [ADDR_W-1:0] awaddr_p, araddr_p;
  reg [31:0] wdata_p, rdata_p;
  reg [3:0] wstrb_p;
  reg [1:0] bresp_p, rresp_p;
  always @(posedge clk) begin
    past <= 1'b1;
    rst_p <= rst;
    {awvalid_p, awready_p, wvalid_p, wready_p} <= {awvalid, awready, wvalid, wready};
    {arvalid_p, arready_p} <= {arvalid, arready};
    {bvalid_p, bready_p, rvalid_p, rready_p} <= {bvalid, bready, rvalid, rready};
    {awaddr_p, araddr_p, wdata_p, wstrb_p} <= {awaddr, araddr, wdata, wstrb};
    {bresp_p, rresp_p, rdata_p} <= {bresp, rresp, rdata};
  end

  // The master: nothing valid in reset; what is valid stays until it is taken.
  always @* begin
    if (!past) assume (rst);
    if (rst) assume (!awvalid && !wvalid && !arvalid);
    if (past && !rst && !rst_p) begin
      if (awvalid_p && !awready_p) assume (awvalid && awaddr == awaddr_p);
      if (wvalid_p && !wready_p) assume (wvalid && wdata == wdata_p && wstrb == wstrb_p);
      if (arvalid_p && !arready_p) assume (arvalid && araddr == araddr_p);
    end
  end

  // Requests that were accepted and not answered yet, answers that are due.
  reg [1:0] writes, reads;
  reg [2:0] read_age;
  reg [1:0] due_bresp, due_rresp;
  reg [31:0] due_rdata;
  reg [2:0] write_wait, read_wait;
  always @(posedge clk) begin
    if (rst) begin
      writes <= 2'd0;
      reads <= 2'd0;
      write_wait <= 3'd0;
      read_wait <= 3'd0;
    end else begin
      writes <= writes + {1'b0, awvalid && awready} - {1'b0, bvalid && bready};
      reads <= reads + {1'b0, arvalid && arready} - {1'b0, rvalid && rready};
      // Cycles that a request waits while no earlier answer is held up by the master.
      if (!(awvalid && wvalid) || awready || (bvalid && !bready)) write_wait <= 3'd0;
      else write_wait <= write_wait + 3'd1;
      if (!arvalid || arready || (rvalid && !rready)) read_wait <= 3'd0;
      else read_wait <= read_wait + 3'd1;
    end
    if (write) due_bresp <= write_response;
    read_age <= (arvalid && arready) ? 3'd0 : read_age + {2'b0, read_age != 3'd7};
    if (read_age == 3'd3) {due_rdata, due_rresp} <= {read_data, read_response};
  end

  always @(posedge clk) begin
    if (past && !rst && rst_p) assert (!bvalid && !rvalid && !awready && !wready);
    if (past && !rst && !rst_p) begin
      // A response stays as it is until it is taken.
      if (bvalid_p && !bready_p) assert (bvalid && bresp == bresp_p);
      if (rvalid_p && !rready_p) assert (rvalid && rdata == rdata_p && rresp == rresp_p);
      // The answer to a write is there in the next cycle, that to a read in the fifth.
      if (awvalid_p && awready_p) assert (bvalid);
    end
    if (past && !rst) begin
      // Address and data are taken together; the register file sees each access exactly once.
      assert ((awvalid && awready) == (wvalid && wready));
      assert (awready == wready);
      assert (write == (awvalid && awready));
      assert (read == (arvalid && arready));
      // What one access changes, the other finds.
      if (!rst_p && (awvalid_p && awready_p)) assert (!read);
      if (!rst_p && (arvalid_p && arready_p)) assert (!write && !read);
      if (write) assert (write_address == awaddr[ADDR_W-1:2] && write_data == wdata);
      if (write) assert (write_whole == &wstrb);
      if (read) assert (read_address == araddr[ADDR_W-1:2]);
      // One response per request, none without.
      assert (writes <= 2'd1 && reads <= 2'd1);
      assert (bvalid == (writes == 2'd1));
      assert (rvalid == (reads == 2'd1 && read_age >= 3'd4));
      if (bvalid) assert (bresp == due_bresp);
      if (rvalid) assert (rdata == due_rdata && rresp == due_rresp);
      // Nobody waits longer than this for a reason of ours.
      assert (write_wait <= 3'd2);
      assert (read_wait <= 3'd6);
    end
  end

  reg [2:0] answered_writes, answered_reads;
  always @(posedge clk) begin
    if (rst) {answered_writes, answered_reads} <= 6'd0;
    else begin
      answered_writes <= answered_writes + {2'd0, bvalid && bready};
      answered_reads <= answered_reads + {2'd0, rvalid && rready};
    end
    cover (!rst && answered_writes == 3'd2 && answered_reads == 3'd2 && bresp == 2'd2);
    cover (past && !rst && bvalid && bvalid_p && !bready_p && rvalid && rvalid_p && !rready_p);
    cover (past && !rst && write_wait == 3'd2);
    cover (past && !rst && read_wait == 3'd6);
  end

endmodule
