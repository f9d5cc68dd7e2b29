`resetall
`timescale 1ns / 1ps
`default_nettype none

// Expander (twin: hwsim/units/expander.py): turns a column of addresses into a column of weights.
// Column-synchronous: a column stays until each of its rows has been served, at a cost of one cycle
// per distinct address that the busiest bank must read. READ, SIGN, WRITE: three cycles later the
// column is in the tile buffer.
module hne_expander #(
    parameter integer ROWS = 2,
    parameter integer BANKS = 2,
    parameter integer WGT_W = 8,
    parameter integer ADDR_W = 13,
    // Words of a weight bank.
    parameter integer LINES = 4096,
    parameter integer LINE_W = (LINES > 1) ? $clog2(LINES) : 1
) (
    input  wire                    clk_i,
    input  wire                    rst_i,
    // The cycle before a conv or fc layer starts.
    input  wire                    load_i,
    input  wire                    fc_i,
    input  wire [            15:0] n_out_i,
    // Array rows in use: the cycles of a drain.
    input  wire [             8:0] rows_i,
    // Index source: what it offers is taken in every cycle with move_o.
    output wire                    move_o,
    input  wire                    valid_i,
    input  wire                    last_i,
    input  wire [ ROWS*ADDR_W-1:0] address_i,
    input  wire [        ROWS-1:0] negative_i,
    // The array leaves a half of the tile buffer.
    input  wire                    release_i,
    // Weight banks.
    output wire [       BANKS-1:0] read_o,
    output wire [BANKS*LINE_W-1:0] line_o,
    input  wire [ BANKS*WGT_W-1:0] word_i,
    // Tile buffer.
    output wire                    write_o,
    output wire                    write_last_o,
    output wire [  ROWS*WGT_W-1:0] weight_o,
    // For the counters: rows are left over for a further cycle; a column waits for half a tile
    // buffer; the last column of an fc row-tile waits for the shadow bank.
    output wire                    conflict_o,
    output wire                    wait_o,
    output wire                    hold_o
);

  localparam integer BANK_W = (BANKS > 1) ? $clog2(BANKS) : 1;
  localparam [15:0] ROWS16 = ROWS[15:0];

  reg valid_q, last_q, fc_q;
  reg [ROWS-1:0] pending_q, negative_q;
  reg [ROWS*ADDR_W-1:0] address_q;
  reg [15:0] left_q;
  reg [1:0] open_q;
  reg [8:0] drain_q;
  reg [2:0] finish_q, finish_last_q;

  wire [ROWS-1:0] grant;
  wire [ROWS*BANK_W-1:0] bank;

  wire blocked = valid_q && !fc_q && open_q == 2'd2;
  wire [ROWS-1:0] request = pending_q & {ROWS{valid_q && !blocked}};
  wire [ROWS-1:0] rest = pending_q & ~grant;
  wire served = valid_q && !blocked && rest == {ROWS{1'b0}};
  wire held = served && fc_q && last_q && drain_q != 9'd0;
  wire done = served && !held;
  wire [15:0] left_d = (done && last_q) ? left_q - ROWS16 : left_q;

  assign move_o = !valid_q || done;
  assign conflict_o = valid_q && !blocked && rest != {ROWS{1'b0}};
  assign wait_o = blocked;
  assign hold_o = held;
  assign write_o = finish_q[2];
  assign write_last_o = finish_last_q[2];

  hne_bank_arbiter #(
      .ROWS  (ROWS),
      .BANKS (BANKS),
      .ADDR_W(ADDR_W),
      .LINE_W(LINE_W)
  ) u_arbiter (
      .request_i(request),
      .address_i(address_q),
      .grant_o(grant),
      .bank_o(bank),
      .read_o(read_o),
      .line_o(line_o)
  );

  always @(posedge clk_i) begin
    if (rst_i) begin
      valid_q  <= 1'b0;
      finish_q <= 3'd0;
    end else begin
      if (load_i) valid_q <= 1'b0;
      else if (move_o) valid_q <= valid_i;
      finish_q <= {finish_q[1:0], done};
    end
    finish_last_q <= {finish_last_q[1:0], last_q};
    if (move_o) begin
      last_q     <= last_i;
      address_q  <= address_i;
      negative_q <= negative_i;
    end
    if (load_i) begin
      fc_q    <= fc_i;
      left_q  <= n_out_i;
      open_q  <= 2'd0;
      drain_q <= rows_i - 9'd1;
    end else begin
      left_q <= left_d;
      open_q <= open_q + {1'b0, done && last_q && !fc_q} - {1'b0, release_i};
      if (done && last_q) drain_q <= rows_i - 9'd1;
      else if (drain_q != 9'd0) drain_q <= drain_q - 9'd1;
    end
  end

  // READ: the words of all banks. SIGN: each row that was granted takes its word, negated or not.
  reg [BANKS*WGT_W-1:0] word_q;

  always @(posedge clk_i) word_q <= word_i;

  genvar r;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : gen_row
      reg grant1_q, grant2_q, sign1_q, sign2_q;
      reg [BANK_W-1:0] bank1_q, bank2_q;
      reg [WGT_W-1:0] weight_q;
      wire [WGT_W-1:0] word = word_q[bank2_q*WGT_W+:WGT_W];

      assign weight_o[r*WGT_W+:WGT_W] = weight_q;

      always @(posedge clk_i) begin
        // Rows beyond the layer request nothing.
        pending_q[r] <= move_o ? left_d > r[15:0] : rest[r];
        grant1_q <= grant[r];
        grant2_q <= grant1_q;
        bank1_q <= bank[r*BANK_W+:BANK_W];
        bank2_q <= bank1_q;
        sign1_q <= negative_q[r];
        sign2_q <= sign1_q;
        if (grant2_q) weight_q <= sign2_q ? -word : word;
      end
    end
  endgenerate

endmodule

`resetall
