`default_nettype none

// The hash unit's addresses: below the number of real weights, for every hash, in both schemes,
// whatever the pipeline does. xxHash32 and the i-round are replaced by sources of arbitrary words,
// hne_mulhi32 by what formal_mulhi proves of it: a result below its factor.
module formal_hash #(
    parameter integer ROWS = 2,
    parameter integer ADDR_W = 13,
    // Most banks, as a power of two.
    parameter integer LOG2_BANKS = 4
) (
    input wire        clk,
    input wire        en,
    input wire        load,
    input wire        banked,
    input wire [ 4:0] log2_banks,
    input wire [31:0] real_weights,
    input wire [31:0] seed,
    input wire        row,
    input wire        row_first,
    input wire        column,
    input wire        column_last,
    input wire        out_last,
    input wire [15:0] outputs,
    input wire [15:0] groups
);

  wire [ROWS*ADDR_W-1:0] address;
  wire [ROWS-1:0] negative;

  hne_index_hash #(
      .ROWS  (ROWS),
      .ADDR_W(ADDR_W)
  ) dut (
      .clk_i(clk),
      .en_i(en),
      .load_i(load),
      .step_i(32'd0),
      .outputs_i(outputs),
      .groups_i(groups),
      .banked_i(banked),
      .log2_hash_banks_i(log2_banks),
      .real_weights_i(real_weights),
      .seed_i(seed),
      .row_i(row),
      .row_first_i(row_first),
      .column_i(column),
      .column_last_i(column_last),
      .out_last_i(out_last),
      .address_o(address),
      .negative_o(negative)
  );

  // Layers that the compiler makes: weights that the address can name; in the banked scheme, at
  // least one in each bank and the same number in all.
  wire [31:0] rest = real_weights & ~(32'hFFFFFFFF << log2_banks);
  always @* begin
    assume (real_weights != 32'd0 && real_weights <= (32'd1 << ADDR_W));
    assume (log2_banks <= LOG2_BANKS);
    if (banked) assume (rest == 32'd0);
  end

  // The layer that was loaded, and cycles that the pipeline moved since: what comes out in the first
  // six is of the layer before (nothing is taken before the fifteenth).
  reg loaded = 1'b0;
  reg banked_q;
  reg [4:0] log2_banks_q;
  reg [31:0] real_weights_q;
  reg [4:0] moved;
  always @(posedge clk) begin
    if (load) begin
      loaded <= 1'b1;
      banked_q <= banked;
      log2_banks_q <= log2_banks;
      real_weights_q <= real_weights;
      moved <= 5'd0;
    end else if (en && moved != 5'd17) moved <= moved + 5'd1;
  end

  integer r;
  always @* begin
    if (loaded && moved >= 5'd6)
      for (r = 0; r < ROWS; r = r + 1)
        assert ({{32 - ADDR_W{1'b0}}, address[r*ADDR_W+:ADDR_W]} < real_weights_q);
  end

  // For the induction: what the registers of the module hold.
  (* hierconn *) wire [4:0] \dut.shift_q ;
  (* hierconn *) wire [ADDR_W:0] \dut.scale_q ;
  (* hierconn *) wire [ADDR_W-1:0] \dut.mask_q ;
  (* hierconn *) wire [ROWS*(ADDR_W+1)-1:0] \dut.scales_q ;
  (* hierconn *) wire [31:0] \dut.gen_row[0].u_scale.b_q ;
  (* hierconn *) wire [31:0] \dut.gen_row[0].u_scale.b2_q ;
  (* hierconn *) wire [31:0] \dut.gen_row[0].u_scale.b3_q ;
  (* hierconn *) wire [31:0] \dut.gen_row[0].line_q ;
  (* hierconn *) wire [ADDR_W-1:0] \dut.gen_row[0].bank_q ;
  (* hierconn *) wire [ADDR_W-1:0] \dut.gen_row[1].bank_q ;
  (* hierconn *) wire [31:0] \dut.gen_row[1].u_scale.b_q ;
  (* hierconn *) wire [31:0] \dut.gen_row[1].u_scale.b2_q ;
  (* hierconn *) wire [31:0] \dut.gen_row[1].u_scale.b3_q ;
  (* hierconn *) wire [31:0] \dut.gen_row[1].line_q ;
  wire [ADDR_W:0] scale0 = \dut.scales_q [0+:ADDR_W+1];
  wire [ADDR_W:0] scale1 = \dut.scales_q [ADDR_W+1+:ADDR_W+1];
  wire [4:0] shift = banked_q ? log2_banks_q : 5'd0;
  wire [31:0] scale = real_weights_q >> shift;
  always @* begin
    if (loaded) begin
      assert (real_weights_q != 32'd0 && real_weights_q <= (32'd1 << ADDR_W));
      assert (log2_banks_q <= LOG2_BANKS && scale << shift == real_weights_q);
      assert (\dut.shift_q == shift && \dut.scale_q == scale);
      assert (\dut.mask_q == (32'd1 << shift) - 1);
      if (moved >= 5'd1) begin
        assert (scale0 == scale);
        assert (((\dut.gen_row[0].bank_q | \dut.gen_row[1].bank_q ) & ~\dut.mask_q ) == 0);
      end
      if (moved >= 5'd2) assert (scale1 == scale && \dut.gen_row[0].u_scale.b_q == scale);
      if (moved >= 5'd3) begin
        assert (\dut.gen_row[0].u_scale.b2_q == scale && \dut.gen_row[1].u_scale.b_q == scale);
      end
      if (moved >= 5'd4) begin
        assert (\dut.gen_row[0].u_scale.b3_q == scale && \dut.gen_row[1].u_scale.b2_q == scale);
      end
      if (moved >= 5'd5) begin
        assert (\dut.gen_row[0].line_q < scale && \dut.gen_row[1].u_scale.b3_q == scale);
      end
      if (moved >= 5'd6) assert (\dut.gen_row[1].line_q < scale);
    end
  end

  always @(posedge clk) begin
    cover (loaded && moved == 5'd17 && banked_q && log2_banks_q == LOG2_BANKS
        && real_weights_q == 32'd48 && address[0+:ADDR_W] == 47);
    cover (loaded && moved == 5'd17 && !banked_q && real_weights_q == (32'd1 << ADDR_W)
        && &address[0+:ADDR_W]);
  end

endmodule
