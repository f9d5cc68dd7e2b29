`default_nettype none

// hne_stream_in: every beat of an image goes to the lane and line of its pixel, exactly one; done
// and error come when they must; the rest of a long packet is swallowed; nothing is taken unasked.
module formal_stream_in #(
    parameter integer COLS = 2,
    parameter integer ACT_W = 2,
    parameter integer LINE_W = 5
) (
    input wire             clk,
    input wire             rst,
    input wire             load,
    input wire             valid,
    input wire [ACT_W-1:0] data,
    input wire             last
);

  (* anyconst *) reg [1:0] channels;
  (* anyconst *) reg [1:0] height;
  (* anyconst *) reg [2:0] width;
  (* anyconst *) reg [LINE_W-1:0] base;
  wire ready, done, error;
  wire [COLS-1:0] write;
  wire [LINE_W-1:0] line;
  wire [COLS*ACT_W-1:0] act;

  hne_stream_in #(
      .COLS  (COLS),
      .ACT_W (ACT_W),
      .LINE_W(LINE_W)
  ) dut (
      .clk_i(clk),
      .rst_i(rst),
      .load_i(load),
      .channels_i({14'd0, channels}),
      .height_i({14'd0, height}),
      .width_i({13'd0, width}),
      .line_i(base),
      .valid_i(valid),
      .ready_o(ready),
      .data_i(data),
      .last_i(last),
      .write_o(write),
      .line_o(line),
      .act_o(act),
      .done_o(done),
      .error_o(error)
  );

  // The engine waits for an image; the rest of a long packet is being swallowed.
  reg past = 1'b0;
  reg waiting, swallowing;
  reg [7:0] x, y, channel;
  wire taken = valid && ready;
  wire beat = taken && waiting && !swallowing;
  wire final = x == width - 1 && y == height - 1 && channel == channels - 1;
  wire [7:0] lines = (width + COLS - 1) / COLS;
  wire [7:0] expected_line = base + (channel * height + y) * lines + x / COLS;
  wire [7:0] lane = x % COLS;

  always @* begin
    if (!past) assume (rst);
    assume (channels != 0 && height != 0 && width != 0);
    assume (width <= 3'd5);
    // The sequencer asks for one image at a time.
    if (waiting) assume (!load);
  end

  always @(posedge clk) begin
    past <= 1'b1;
    if (rst) {waiting, swallowing} <= 2'd0;
    else begin
      if (beat && (final || last)) waiting <= 1'b0;
      if (load) waiting <= 1'b1;
      if (beat && final && !last) swallowing <= 1'b1;
      if (swallowing && taken && last) swallowing <= 1'b0;
    end
    if (load) {x, y, channel} <= 24'd0;
    else if (beat) begin
      x <= x == width - 1 ? 8'd0 : x + 8'd1;
      if (x == width - 1) y <= y == height - 1 ? 8'd0 : y + 8'd1;
      if (x == width - 1 && y == height - 1) channel <= channel + 8'd1;
    end
  end

  always @(posedge clk) begin
    if (past && !rst) begin
      assert (ready == (waiting || swallowing));
      assert (write == (beat ? 1 << lane : 0));
      if (beat) assert (line == expected_line[LINE_W-1:0]);
      if (beat) assert (act[lane*ACT_W+:ACT_W] == data);
      assert (done == (beat && final && last));
      assert (error == (beat && final != last));
    end
  end

  // For the induction: how the state of the module is the state above.
  (* hierconn *) wire \dut.active_q ;
  (* hierconn *) wire \dut.discard_q ;
  (* hierconn *) wire [15:0] \dut.x_q ;
  (* hierconn *) wire [15:0] \dut.y_q ;
  (* hierconn *) wire [15:0] \dut.channel_q ;
  (* hierconn *) wire \dut.x_last_q ;
  (* hierconn *) wire \dut.y_last_q ;
  (* hierconn *) wire \dut.channel_last_q ;
  (* hierconn *) wire [LINE_W-1:0] \dut.line_q ;
  (* hierconn *) wire [$clog2(COLS)-1:0] \dut.lane_q ;
  always @(posedge clk) begin
    if (past && !rst) begin
      assert (\dut.active_q == waiting && \dut.discard_q == swallowing);
      if (waiting) begin
        assert (x < width && y < height && channel < channels);
        assert (\dut.x_q == x && \dut.y_q == y && \dut.channel_q == channel);
        assert (\dut.x_last_q == (x == width - 1) && \dut.y_last_q == (y == height - 1));
        assert (\dut.channel_last_q == (channel == channels - 1));
        assert (\dut.lane_q == lane && \dut.line_q == expected_line[LINE_W-1:0]);
      end
    end
  end

  reg [2:0] images, refused;
  always @(posedge clk) begin
    if (rst) {images, refused} <= 6'd0;
    else begin
      images <= images + {2'd0, done};
      refused <= refused + {2'd0, error};
    end
    cover (!rst && done && channels == 2 && height == 2 && width == 3);
    // After a short packet, and after a long one, the next image is taken.
    cover (!rst && refused == 1 && images == 1 && width == 2);
    cover (!rst && error && !last && width == 3);
    cover (!rst && swallowing && waiting && taken && last);
  end

endmodule
