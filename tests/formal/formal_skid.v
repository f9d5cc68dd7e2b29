`default_nettype none

// hne_skid: the words come out as they went in, none lost, none twice; what is offered stays until
// it is taken; there is room whenever fewer than two words are inside.
module formal_skid #(
    parameter integer WIDTH = 2
) (
    input wire             clk,
    input wire             rst,
    input wire             valid_in,
    input wire [WIDTH-1:0] data_in,
    input wire             ready_in
);

  wire ready, valid;
  wire [WIDTH-1:0] data;

  hne_skid #(
      .WIDTH(WIDTH)
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
  (* anyconst *) reg [3:0] followed;
  reg past = 1'b0;
  reg [3:0] in, out;
  reg [WIDTH-1:0] word;
  reg rst_p, valid_p, ready_p;
  reg [WIDTH-1:0] data_p;
  wire [3:0] inside = in - out;
  // Words in front of the one that is followed, if it is inside.
  wire [3:0] ahead = followed - out;

  always @* if (!past) assume (rst);

  always @(posedge clk) begin
    past <= 1'b1;
    {rst_p, valid_p, ready_p, data_p} <= {rst, valid, ready_in, data};
    if (valid_in && ready && in == followed) word <= data_in;
    if (rst) {in, out} <= 8'd0;
    else begin
      in <= in + {3'd0, valid_in && ready};
      out <= out + {3'd0, valid && ready_in};
    end
  end

  (* hierconn *) wire [WIDTH-1:0] \dut.spare_q ;
  always @(posedge clk) begin
    if (past && !rst) begin
      assert (inside <= 4'd2);
      assert (valid == (inside != 4'd0));
      assert (ready == (inside != 4'd2));
      if (!rst_p && valid_p && !ready_p) assert (valid && data == data_p);
      if (ahead < inside) assert (word == (ahead == 4'd0 ? data : \dut.spare_q ));
    end
  end

  reg [2:0] full;
  always @(posedge clk) begin
    full <= rst ? 3'd0 : full + {2'd0, inside == 4'd2};
    cover (!rst && valid && ready_in && out == 4'd5 && full == 3'd0);
    cover (!rst && valid && ready_in && out == 4'd3 && full == 3'd2 && data == 2'd3);
    cover (past && !rst && rst_p && full == 3'd0 && valid_in);
  end

endmodule
