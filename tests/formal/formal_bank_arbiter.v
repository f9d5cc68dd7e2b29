`default_nettype none

// hne_turns with hne_conflicts and the bank arbiter, for every column, every number of rows in use
// and every first line: what each cycle of the column may do, and how many there are.
module formal_bank_arbiter #(
    parameter integer ROWS = 4,
    parameter integer BANKS = 2,
    parameter integer ADDR_W = 3,
    parameter integer BANK_W = (BANKS > 1) ? $clog2(BANKS) : 1,
    parameter integer SHIFT = $clog2(BANKS),
    parameter integer LINE_W = ADDR_W - SHIFT,
    parameter integer TURN_W = $clog2(ROWS),
    parameter integer MORE_W = ROWS - 1
) (
    input wire clk
);

  // The layer is loaded in cycle 1; the column enters hne_turns in cycle 2, is at its output in
  // cycle 5 and is served from 6 on.
  localparam [3:0] OUTPUT = 4'd5;
  localparam [3:0] SERVED = 4'd6;

  (* anyconst *) reg [3:0] n_out;
  (* anyconst *) reg [ROWS*ADDR_W-1:0] address;
  (* anyconst *) reg [LINE_W-1:0] base;
  (* anyconst *) reg [ROWS-1:0] negative;
  reg [3:0] cycle = 4'd0;

  wire valid, last;
  wire [ROWS-1:0] sign, used, grant;
  wire [ROWS*BANK_W-1:0] bank;
  wire [BANKS-1:0] read;
  wire [BANKS*LINE_W-1:0] line;
  wire [ROWS*LINE_W-1:0] row_line;
  wire [ROWS*TURN_W-1:0] turn;
  wire [MORE_W-1:0] more;

  hne_turns #(
      .ROWS  (ROWS),
      .BANKS (BANKS),
      .ADDR_W(ADDR_W),
      .LINE_W(LINE_W)
  ) turns (
      .clk_i(clk),
      .rst_i(1'b0),
      .load_i(cycle == 4'd1),
      .outputs_i({12'd0, n_out}),
      .groups_i(16'd1),
      .base_i(base),
      .en_i(1'b1),
      .valid_i(cycle == 4'd2),
      .last_i(1'b1),
      .address_i(address),
      .negative_i(negative),
      .valid_o(valid),
      .last_o(last),
      .negative_o(sign),
      .bank_o(bank),
      .line_o(row_line),
      .used_o(used),
      .turn_o(turn),
      .more_o(more)
  );

  // The column register and the turn, as in hne_expander.
  reg [ROWS*BANK_W-1:0] bank_q;
  reg [ROWS*LINE_W-1:0] line_q;
  reg [ROWS-1:0] used_q, pending_q;
  reg [ROWS*TURN_W-1:0] turn_q;
  reg [TURN_W-1:0] now_q;
  reg [MORE_W-1:0] more_q;
  wire serve = cycle >= SERVED && pending_q != {ROWS{1'b0}};

  reg [ROWS-1:0] granted;
  integer n;
  always @* for (n = 0; n < ROWS; n = n + 1)
    granted[n] = used_q[n] && turn_q[n*TURN_W+:TURN_W] == now_q;

  hne_bank_arbiter #(
      .ROWS  (ROWS),
      .BANKS (BANKS),
      .LINE_W(LINE_W)
  ) dut (
      .serve_i(serve),
      .turn_i(granted),
      .bank_i(bank_q),
      .line_i(line_q),
      .grant_o(grant),
      .read_o(read),
      .line_o(line)
  );

  integer r, q, b;
  reg [ROWS-1:0] column;
  always @* begin
    assume (n_out != 4'd0);
    for (r = 0; r < ROWS; r = r + 1) column[r] = r < n_out;
  end

  always @(posedge clk) begin
    if (cycle != 4'd15) cycle <= cycle + 4'd1;
    if (cycle == OUTPUT) begin
      {bank_q, line_q, used_q, turn_q, more_q} <= {bank, row_line, used, turn, more};
      now_q <= {TURN_W{1'b0}};
      pending_q <= column;
      assert (valid && last && sign == negative);
      assert (used == column);
    end else begin
      now_q <= now_q + 1'b1;
      more_q <= more_q >> 1;
      pending_q <= pending_q & ~grant;
    end
    if (cycle != OUTPUT && cycle > 4'd1) assert (!valid);
  end

  // What the busiest bank must read: rows that are the first of their address, counted by bank.
  reg [ADDR_W-1:0] mine, other;
  reg first, lowest;
  reg [3:0] distinct, busiest;
  always @* begin
    busiest = 4'd0;
    for (b = 0; b < BANKS; b = b + 1) begin
      distinct = 4'd0;
      for (r = 0; r < ROWS; r = r + 1) begin
        first = column[r] && address[r*ADDR_W+:ADDR_W] % BANKS == b;
        for (q = 0; q < r; q = q + 1)
          if (column[q] && address[q*ADDR_W+:ADDR_W] == address[r*ADDR_W+:ADDR_W]) first = 1'b0;
        if (first) distinct = distinct + 4'd1;
      end
      if (distinct > busiest) busiest = distinct;
    end
  end

  reg [BANKS-1:0] wanted, served;
  reg [LINE_W-1:0] mine_line;
  integer i, j;
  always @* begin
    wanted = {BANKS{1'b0}};
    served = {BANKS{1'b0}};
    for (i = 0; i < ROWS; i = i + 1) begin
      mine = address[i*ADDR_W+:ADDR_W];
      if (serve && pending_q[i]) wanted[mine%BANKS] = 1'b1;
      if (grant[i]) begin
        served[mine%BANKS] = 1'b1;
        // None invented, none twice, and the word that is read is the word that was asked for.
        assert (pending_q[i]);
        assert (bank_q[i*BANK_W+:BANK_W] == mine % BANKS);
        assert (read[mine%BANKS]);
        mine_line = base + mine / BANKS;
        assert (line[(mine%BANKS)*LINE_W+:LINE_W] == mine_line);
      end
      lowest = pending_q[i];
      for (j = 0; j < ROWS; j = j + 1) begin
        other = address[j*ADDR_W+:ADDR_W];
        // One address per bank per cycle.
        if (grant[i] && grant[j] && mine % BANKS == other % BANKS) assert (mine == other);
        // Equal addresses are served together.
        if (serve && pending_q[i] && pending_q[j] && mine == other) assert (grant[i] == grant[j]);
        // The lowest row that waits for a bank is served.
        if (j < i && pending_q[j] && mine % BANKS == other % BANKS) lowest = 1'b0;
      end
      if (serve && lowest) assert (grant[i]);
    end
    // A bank works whenever it is wanted, and never for nobody.
    assert (read == wanted);
    assert (served == wanted);
    // A further turn is announced exactly if somebody is left over.
    if (serve) assert (more_q[0] == |(pending_q & ~grant));
  end

  always @(posedge clk) begin
    // None lost, and exactly as many cycles as the busiest bank has distinct addresses to read.
    if (cycle >= SERVED) assert ((pending_q == {ROWS{1'b0}}) == (cycle - SERVED >= busiest));
    if (cycle >= SERVED + ROWS) assert (pending_q == {ROWS{1'b0}});
  end

  // The worst column, one bank with ROWS distinct addresses; some rows unused; equal addresses.
  always @(posedge clk) begin
    cover (cycle == SERVED + ROWS && busiest == ROWS);
    cover (cycle == SERVED + 4'd1 && column[ROWS-1] == 1'b0 && busiest == 4'd2 && serve);
    cover (cycle == SERVED && &grant && busiest == 4'd1);
  end

endmodule
