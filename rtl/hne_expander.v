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
    // Weight banks; base_i: first line of the layer.
    input  wire [      LINE_W-1:0] base_i,
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
  localparam integer PAIRS = (ROWS > 1) ? ROWS * (ROWS - 1) / 2 : 1;
  localparam [15:0] ROWS16 = ROWS[15:0];

  reg valid_q, last_q, fc_q;
  reg [ROWS-1:0] pending_q, negative_q;
  // What the column register keeps of the addresses, and of each pair of rows.
  reg [ROWS*BANK_W-1:0] bank_q;
  reg [ROWS*LINE_W-1:0] line_q;
  reg [PAIRS-1:0] same_bank_q, same_word_q;
  // One cycle is enough for the rows that are pending: known one cycle early, because the whole
  // index pipeline waits for it.
  reg single_q, single_d;
  reg [15:0] left_q;
  reg [1:0] open_q;
  reg [8:0] drain_q;
  reg [2:0] finish_q, finish_last_q;

  wire [ROWS-1:0] grant;
  wire [ROWS*BANK_W-1:0] bank;
  wire [ROWS*LINE_W-1:0] line;
  wire [PAIRS-1:0] same_bank, same_word;

  wire blocked = valid_q && !fc_q && open_q == 2'd2;
  wire [ROWS-1:0] request = pending_q & {ROWS{valid_q && !blocked}};
  wire [ROWS-1:0] rest = pending_q & ~grant;
  wire served = valid_q && !blocked && single_q;
  wire held = served && fc_q && last_q && drain_q != 9'd0;
  wire done = served && !held;
  wire [15:0] left_d = (done && last_q) ? left_q - ROWS16 : left_q;

  assign move_o = !valid_q || done;
  assign conflict_o = valid_q && !blocked && !single_q;
  assign wait_o = blocked;
  assign hold_o = held;
  assign write_o = finish_q[2];
  assign write_last_o = finish_last_q[2];

  hne_conflicts #(
      .ROWS  (ROWS),
      .BANKS (BANKS),
      .ADDR_W(ADDR_W),
      .LINE_W(LINE_W)
  ) u_conflicts (
      .address_i(address_i),
      .base_i(base_i),
      .bank_o(bank),
      .line_o(line),
      .same_bank_o(same_bank),
      .same_word_o(same_word)
  );

  hne_bank_arbiter #(
      .ROWS  (ROWS),
      .BANKS (BANKS),
      .LINE_W(LINE_W)
  ) u_arbiter (
      .request_i(request),
      .bank_i(bank_q),
      .line_i(line_q),
      .same_bank_i(same_bank_q),
      .same_word_i(same_word_q),
      .grant_o(grant),
      .read_o(read_o),
      .line_o(line_o)
  );

  // The next column as it comes, or what is left of this one: no two rows are in each other's way.
  wire [ROWS-1:0] fresh;
  wire [ROWS-1:0] pending_d = move_o ? fresh : rest;
  wire [PAIRS-1:0] apart = move_o ? same_bank & ~same_word : same_bank_q & ~same_word_q;
  wire unused_apart = &{1'b0, apart};
  integer i, j;

  always @* begin
    single_d = 1'b1;
    for (i = 1; i < ROWS; i = i + 1) begin
      for (j = 0; j < i; j = j + 1) begin
        if (apart[i*(i-1)/2+j] && pending_d[i] && pending_d[j]) single_d = 1'b0;
      end
    end
  end

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
    pending_q <= pending_d;
    single_q <= single_d;
    if (move_o) begin
      last_q     <= last_i;
      bank_q      <= bank;
      line_q      <= line;
      same_bank_q <= same_bank;
      same_word_q <= same_word;
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

      // Rows beyond the layer request nothing.
      assign fresh[r] = left_d > r[15:0];
      assign weight_o[r*WGT_W+:WGT_W] = weight_q;

      always @(posedge clk_i) begin
        grant1_q <= grant[r];
        grant2_q <= grant1_q;
        bank1_q <= bank_q[r*BANK_W+:BANK_W];
        bank2_q <= bank1_q;
        sign1_q <= negative_q[r];
        sign2_q <= sign1_q;
        if (grant2_q) weight_q <= sign2_q ? -word : word;
      end
    end
  endgenerate

endmodule

`resetall
