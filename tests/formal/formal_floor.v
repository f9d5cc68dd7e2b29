`default_nettype none

// hne_floor: a layer ends in the cycle in which it is ready, or in that of its floor if that comes
// later, and in no other; layers follow each other with or without a pause, each with a floor of its
// own.
module formal_floor (
    input wire        clk,
    input wire        rst,
    input wire        counting,
    input wire        ready,
    input wire [23:0] least
);

  wire ends;

  hne_floor dut (
      .clk_i(clk),
      .rst_i(rst),
      .counting_i(counting),
      .floor_i(least),
      .end_i(ready),
      .end_o(ends)
  );

  // Cycles of the layer before this one; it has been ready. The second one, for the cover.
  reg [23:0] before;
  reg was_ready;
  reg begun = 1'b0;
  reg second = 1'b0;
  wire [24:0] now = {1'b0, before} + 25'd1;

  always @(posedge clk) begin
    begun <= 1'b1;
    if (!begun) assume (rst);
    if (rst || ends || !counting) begin
      before    <= 24'd0;
      was_ready <= 1'b0;
    end else begin
      before    <= before + 24'd1;
      was_ready <= was_ready || ready;
    end
    if (ends) second <= 1'b1;

    if (begun && !rst) begin
      // A layer is ready once, not before its floor has been fetched and stands, and it counts until
      // it ends. A floor stands until then.
      if (ready) assume (counting && !was_ready && before >= 24'd2);
      if (was_ready) assume (counting);
      if (before >= 24'd1) assume (least == $past(least) && !$past(rst));
      assume (least <= 24'd9);

      assert (ends == ((ready || was_ready) && now >= {1'b0, least}));
      cover (ends && was_ready && second && before == 24'd8);
      cover (ends && ready && second && before == 24'd4);
    end
  end

endmodule
