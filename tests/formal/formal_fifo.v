`default_nettype none

// hne_fifo: the words come out as they went in, none lost, none twice; what is offered stays until
// it is taken; there is room for DEPTH words, and one at the output; none is held back longer than
// two cycles.
module formal_fifo #(
    parameter integer WIDTH = 2,
    parameter integer DEPTH = 4
) (
    input wire             clk,
    input wire             rst,
    input wire             valid_in,
    input wire [WIDTH-1:0] data_in,
    input wire             ready_in
);

  wire ready, valid;
  wire [WIDTH-1:0] data;

  hne_fifo #(
      .WIDTH(WIDTH),
      .DEPTH(DEPTH)
  ) dut (
      .clk_i(clk),
      .rst_i(rst),
      .valid_i(valid_in),
      .ready_o(ready),
      .data_i(data_in),
      .valid_o(valid),
      .ready_i(ready_in),
      .data_o(data)
  );

  // One word, of any number since the reset, is followed; so it is with all.
  (* anyconst *) reg [4:0] followed;
  reg past = 1'b0;
  reg [4:0] in, out;
  reg [WIDTH-1:0] word;
  reg rst_p, valid_p, ready_p;
  reg [WIDTH-1:0] data_p;
  reg waited;
  wire [4:0] inside = in - out;

  always @* if (!past) assume (rst);

  always @(posedge clk) begin
    past <= 1'b1;
    {rst_p, valid_p, ready_p, data_p} <= {rst, valid, ready_in, data};
    waited <= !rst && inside != 5'd0 && !valid;
    if (valid_in && ready && in == followed) word <= data_in;
    if (rst) {in, out} <= 10'd0;
    else begin
      in <= in + {4'd0, valid_in && ready};
      out <= out + {4'd0, valid && ready_in};
    end
  end

  always @(posedge clk) begin
    if (past && !rst) begin
      assert (inside <= DEPTH + 1);
      if (valid) assert (inside != 5'd0);
      // Ready in every cycle in which the memory has room, and in no other.
      assert (ready == (inside - {4'd0, valid} < DEPTH));
      if (waited) assert (valid || inside == 5'd0);
      if (!rst_p && valid_p && !ready_p) assert (valid && data == data_p);
      if (valid && out == followed) assert (data == word);
    end
  end

  reg full;
  always @(posedge clk) begin
    full <= !rst && (full || !ready);
    cover (!rst && inside == DEPTH + 1);
    // Around the memory after it was full; empty again.
    cover (past && !rst && full && in == DEPTH + 3 && inside == 5'd0);
    cover (!rst && valid && ready_in && out == DEPTH + 1 && inside == 5'd2 && !full);
  end

endmodule
