`default_nettype none

// hne_stream_gate: as many packets get in as are expected, whole, in order and unchanged; a beat
// that is offered to the engine stays until it is taken; reset at any time.
module formal_stream_gate #(
    parameter integer DATA_W = 2
) (
    input wire              clk,
    input wire              rst,
    input wire              expected,
    input wire              valid_in,
    input wire [DATA_W-1:0] data_in,
    input wire              last_in,
    input wire              ready_in
);

  wire ready, valid, last;
  wire [DATA_W-1:0] data;

  hne_stream_gate #(
      .DATA_W(DATA_W)
  ) dut (
      .clk_i(clk),
      .rst_i(rst),
      .expect_i(expected),
      .valid_i(valid_in),
      .ready_o(ready),
      .data_i(data_in),
      .last_i(last_in),
      .valid_o(valid),
      .ready_i(ready_in),
      .data_o(data),
      .last_o(last)
  );

  (* anyconst *) reg [3:0] followed;
  reg past = 1'b0;
  reg [3:0] in, out;
  reg [2:0] asked, begun;
  reg [DATA_W:0] word;
  reg rst_p, valid_p, ready_p, last_p;
  reg [DATA_W-1:0] data_p;
  wire [3:0] inside = in - out;
  wire [3:0] ahead = followed - out;
  // Packets that are expected and have not come to their end.
  wire [2:0] open = asked - begun;

  always @* begin
    if (!past) assume (rst);
    // The sequencer expects the next packet when the one before is through, but for the rest of one
    // that was too long.
    if (open >= 3'd2) assume (!expected);
  end

  always @(posedge clk) begin
    past <= 1'b1;
    {rst_p, valid_p, ready_p, last_p, data_p} <= {rst, valid, ready_in, last, data};
    if (valid_in && ready && in == followed) word <= {last_in, data_in};
    if (rst) {in, out, asked, begun} <= 14'd0;
    else begin
      in <= in + {3'd0, valid_in && ready};
      out <= out + {3'd0, valid && ready_in};
      asked <= asked + {2'd0, expected};
      begun <= begun + {2'd0, valid_in && ready && last_in};
    end
  end

  (* hierconn *) wire [1:0] \dut.packets_q ;
  (* hierconn *) wire [DATA_W:0] \dut.u_skid.spare_q ;
  (* hierconn *) wire \dut.u_skid.spare_valid_q ;
  always @(posedge clk) begin
    if (past && !rst) begin
      assert (open <= 3'd2 && \dut.packets_q == open[1:0]);
      if (open == 3'd0) assert (!ready);
      assert (ready == (open != 3'd0 && inside != 4'd2));
      assert (inside <= 4'd2 && valid == (inside != 4'd0));
      assert (\dut.u_skid.spare_valid_q == (inside == 4'd2));
      if (!rst_p && valid_p && !ready_p) assert (valid && data == data_p && last == last_p);
      if (ahead < inside) begin
        assert (word == (ahead == 4'd0 ? {last, data} : \dut.u_skid.spare_q ));
      end
    end
  end

  always @(posedge clk) begin
    cover (!rst && begun == 3'd2 && out == 4'd5 && valid && last);
    cover (past && !rst && valid_in && !ready && open == 3'd0 && begun == 3'd1);
    cover (!rst && open == 3'd2 && valid && ready_in);
  end

endmodule
