`default_nettype none

// The bank arbiter with hne_conflicts, for every request, every address and every first line: what one cycle may do (combinational), and
// how long a column takes when what was granted no longer asks (pending, as in hne_expander).
module formal_bank_arbiter #(
    parameter integer ROWS = 4,
    parameter integer BANKS = 2,
    parameter integer ADDR_W = 3,
    parameter integer BANK_W = (BANKS > 1) ? $clog2(BANKS) : 1,
    parameter integer SHIFT = $clog2(BANKS),
    parameter integer LINE_W = ADDR_W - SHIFT,
    parameter integer PAIRS = ROWS * (ROWS - 1) / 2
) (
    input wire                   clk,
    input wire [       ROWS-1:0] column,
    input wire [ROWS*ADDR_W-1:0] addresses
);

  // A column enters in cycle 0 and stays until every row of it has been granted.
  reg [3:0] cycle = 4'd0;
  reg [ROWS-1:0] pending_q;
  reg [ROWS*ADDR_W-1:0] address_q;
  wire [ROWS-1:0] request = cycle == 4'd0 ? column : pending_q;
  wire [ROWS*ADDR_W-1:0] address = cycle == 4'd0 ? addresses : address_q;

  wire [ROWS-1:0] grant;
  wire [ROWS*BANK_W-1:0] bank;
  wire [BANKS-1:0] read;
  wire [BANKS*LINE_W-1:0] line;
  wire [ROWS*LINE_W-1:0] row_line;
  wire [PAIRS-1:0] same_bank, same_word;
  (* anyconst *) reg [LINE_W-1:0] base;
  reg [LINE_W-1:0] mine_line;

  hne_conflicts #(
      .ROWS  (ROWS),
      .BANKS (BANKS),
      .ADDR_W(ADDR_W),
      .LINE_W(LINE_W)
  ) conflicts (
      .address_i(address),
      .base_i(base),
      .bank_o(bank),
      .line_o(row_line),
      .same_bank_o(same_bank),
      .same_word_o(same_word)
  );

  hne_bank_arbiter #(
      .ROWS  (ROWS),
      .BANKS (BANKS),
      .LINE_W(LINE_W)
  ) dut (
      .request_i(request),
      .bank_i(bank),
      .line_i(row_line),
      .same_bank_i(same_bank),
      .same_word_i(same_word),
      .grant_o(grant),
      .read_o(read),
      .line_o(line)
  );

  always @(posedge clk) begin
    pending_q <= request & ~grant;
    address_q <= address;
    if (cycle != 4'd15) cycle <= cycle + 4'd1;
  end

  // What the busiest bank must read: rows that are the first of their address, counted by bank.
  integer r, q, b;
  reg [ADDR_W-1:0] mine, other;
  reg first;
  reg [3:0] distinct, busiest, busiest_q;
  always @* begin
    busiest = 4'd0;
    for (b = 0; b < BANKS; b = b + 1) begin
      distinct = 4'd0;
      for (r = 0; r < ROWS; r = r + 1) begin
        first = request[r] && address[r*ADDR_W+:ADDR_W] % BANKS == b;
        for (q = 0; q < r; q = q + 1)
          if (request[q] && address[q*ADDR_W+:ADDR_W] == address[r*ADDR_W+:ADDR_W]) first = 1'b0;
        if (first) distinct = distinct + 4'd1;
      end
      if (distinct > busiest) busiest = distinct;
    end
  end
  always @(posedge clk) if (cycle == 4'd0) busiest_q <= busiest;

  reg [BANKS-1:0] wanted, served;
  integer i, j;
  always @* begin
    wanted = {BANKS{1'b0}};
    served = {BANKS{1'b0}};
    for (i = 0; i < ROWS; i = i + 1) begin
      mine = address[i*ADDR_W+:ADDR_W];
      if (request[i]) wanted[mine%BANKS] = 1'b1;
      if (grant[i]) begin
        served[mine%BANKS] = 1'b1;
        // None invented, and the word that is read is the word that was asked for.
        assert (request[i]);
        assert (bank[i*BANK_W+:BANK_W] == mine % BANKS);
        assert (read[mine%BANKS]);
        mine_line = base + mine / BANKS;
        assert (line[(mine%BANKS)*LINE_W+:LINE_W] == mine_line);
      end
      for (j = 0; j < ROWS; j = j + 1) begin
        other = address[j*ADDR_W+:ADDR_W];
        // One address per bank per cycle.
        if (grant[i] && grant[j] && mine % BANKS == other % BANKS) assert (mine == other);
        // Equal addresses are served together.
        if (request[i] && request[j] && mine == other) assert (grant[i] == grant[j]);
      end
    end
    // A bank works whenever it is wanted, and never for nobody.
    assert (read == wanted);
    assert (served == wanted);
  end

  always @(posedge clk) begin
    // None lost, and exactly as many cycles as the busiest bank has distinct addresses to read.
    if (cycle != 4'd0) assert ((pending_q == {ROWS{1'b0}}) == (cycle >= busiest_q));
    if (cycle >= ROWS) assert (pending_q == {ROWS{1'b0}});
  end

  // The worst column, one bank with ROWS distinct addresses; and a column of equal addresses.
  always @(posedge clk) begin
    cover (cycle == ROWS && busiest_q == ROWS);
    cover (cycle == 4'd1 && &request == 1'b0 && busiest_q == 4'd2 && pending_q != {ROWS{1'b0}});
    cover (cycle == 4'd0 && &grant && busiest == 4'd1);
  end

endmodule
