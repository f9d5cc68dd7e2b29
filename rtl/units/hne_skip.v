`resetall
`timescale 1ns / 1ps
`default_nettype none

// Zero skipping of an fc layer (twin: hwsim/units/skip.py): looks through the lines of its input,
// lists the codes that are not 0, their positions for the index source, the codes for the array. A
// line takes a cycle for each of them, and one if there is none. READ 2, LINE, CHOOSE; then the
// entry is written. Row-tiles behind the first one find the list complete.
module hne_skip #(
    // Activations of a line: looked at together; the choice of the next one grows with them.
    parameter integer COLS = 2,
    // Bits of an activation: of a listed code.
    parameter integer ACT_W = 8,
    // Entries of the list, a position and a code each: the largest fan-in that is skipped in.
    parameter integer SKIP_COLUMNS = 8192,
    // Bits of a line of the activation buffer.
    parameter integer LINE_W = 12,
    // Bits of a position. Follows from SKIP_COLUMNS: leave it.
    parameter integer COLUMN_W = (SKIP_COLUMNS > 1) ? $clog2(SKIP_COLUMNS) : 1
) (
    input  wire                  clk_i,
    input  wire                  rst_i,
    // The cycle before an fc layer starts that skips, and its input map; they stand still before.
    input  wire                  load_i,
    input  wire [    LINE_W-1:0] line_i,
    input  wire [          31:0] lines_i,
    input  wire [          15:0] row_lines_i,
    input  wire [          15:0] in_w_i,
    input  wire [          31:0] fan_in_i,
    // Lines of the activation buffer; two cycles later their words.
    output wire                  read_o,
    output wire [    LINE_W-1:0] line_o,
    input  wire [COLS*ACT_W-1:0] word_i,
    // Index source: an entry may be taken, the last one of a row-tile; a cycle after it was, its
    // position.
    output wire                  ready_o,
    output wire                  last_o,
    input  wire                  take_i,
    output wire [  COLUMN_W-1:0] position_o,
    // Array: a column is issued, the last one of a row-tile; five cycles later its code.
    input  wire                  issue_i,
    input  wire                  issue_last_i,
    output wire [     ACT_W-1:0] code_o,
    // For the counter: columns that a row-tile does not have.
    output reg  [          31:0] skipped_o
);

  localparam integer COLS_W = $clog2(COLS);
  localparam integer LANE_W = (COLS > 1) ? COLS_W : 1;
  localparam [15:0] LAST_COL = COLS[15:0] - 16'd1;
  // Lines on their way and waiting: as many as keep one coming in each cycle.
  localparam integer WAITING = 4;
  // One bit more than a position: a full list.
  localparam [COLUMN_W:0] ONE = 1;

  // Asking for lines: lines left, and lines of this row; on the way: READ; which is the last one of
  // a row, of the map.
  reg [LINE_W-1:0] line_q;
  reg [31:0] left_q;
  reg [15:0] row_left_q;
  reg asking_q;
  reg [2:0] used_q;
  reg [1:0] way_q, way_row_q, way_map_q;

  wire ask = asking_q && used_q != WAITING[2:0];
  wire row_end = row_left_q == 16'd1;
  wire map_end = left_q == 32'd1;

  assign read_o = ask;
  assign line_o = line_q;

  // Lanes of the last line of a row, a bit each. A position is that of the first lane and a lane.
  wire [15:0] last_lane = (in_w_i - 16'd1) & LAST_COL;
  reg [COLS-1:0] last_lanes_q, some;
  integer l;

  // LINE: lines that wait, the oldest is looked at.
  reg [WAITING*COLS*ACT_W-1:0] words_q;
  reg [WAITING*COLS-1:0] nonzero_q;
  reg [WAITING-1:0] row_q, map_q;
  reg [1:0] write_q, head_q;
  reg [2:0] there_q;

  always @* begin
    for (l = 0; l < COLS; l = l + 1) begin
      some[l] = word_i[l*ACT_W+:ACT_W] != {ACT_W{1'b0}}
          && (!way_row_q[1] || last_lanes_q[l]);
    end
  end

  // CHOOSE: the lowest lane that is left.
  reg [COLS-1:0] mask_q;
  reg [COLUMN_W-1:0] first_q;
  reg [LANE_W-1:0] lane;
  reg found;
  wire [COLS-1:0] here = nonzero_q[head_q*COLS+:COLS] & mask_q;
  wire [COLS*ACT_W-1:0] words = words_q[head_q*COLS*ACT_W+:COLS*ACT_W];
  wire [COLS-1:0] rest = here & (here - {{COLS - 1{1'b0}}, 1'b1});
  wire look = there_q != 3'd0;
  wire through = look && rest == {COLS{1'b0}};
  wire [COLUMN_W+15:0] width = {{COLUMN_W{1'b0}}, (row_q[head_q] ? last_lane : LAST_COL) + 16'd1};

  always @* begin
    lane  = {LANE_W{1'b0}};
    found = here != {COLS{1'b0}};
    for (l = COLS - 1; l >= 0; l = l - 1) begin
      if (here[l]) lane = l[LANE_W-1:0];
    end
  end

  // The entry that is written, and how many are. The list is over when its last line is through;
  // one that would be empty has the code 0 in it, which adds nothing.
  reg enter_q, over_q, ended_q, done_q;
  reg [COLUMN_W-1:0] position_q;
  reg [ACT_W-1:0] code_q;
  reg [COLUMN_W:0] count_q;
  wire [COLUMN_W-1:0] lane_column;
  wire empty = ended_q && count_q == {COLUMN_W + 1{1'b0}};
  wire write = enter_q || empty;
  wire [COLUMN_W+31:0] fan_in = {{COLUMN_W{1'b0}}, fan_in_i};
  wire unused_bits = &{1'b0, width, fan_in};

  generate
    if (COLUMN_W > LANE_W) begin : gen_lane
      assign lane_column = {{COLUMN_W - LANE_W{1'b0}}, lane};
    end else begin : gen_whole_lane
      assign lane_column = lane[COLUMN_W-1:0];
    end
  endgenerate

  always @(posedge clk_i) begin
    for (l = 0; l < COLS; l = l + 1) last_lanes_q[l] <= l[15:0] <= last_lane;
    if (rst_i) begin
      asking_q <= 1'b0;
      way_q    <= 2'd0;
      used_q   <= 3'd0;
      there_q  <= 3'd0;
      enter_q  <= 1'b0;
      over_q   <= 1'b0;
      ended_q  <= 1'b0;
      done_q   <= 1'b0;
    end else begin
      if (load_i) asking_q <= 1'b1;
      else if (ask && map_end) asking_q <= 1'b0;
      way_q   <= {way_q[0], ask};
      used_q  <= used_q + {2'd0, ask} - {2'd0, through};
      there_q <= there_q + {2'd0, way_q[1]} - {2'd0, through};
      enter_q <= look && found;
      over_q  <= through && map_q[head_q];
      if (load_i) begin
        ended_q <= 1'b0;
        done_q  <= 1'b0;
      end else begin
        if (over_q) ended_q <= 1'b1;
        if (ended_q && !empty) done_q <= 1'b1;
      end
    end
    way_row_q <= {way_row_q[0], row_end};
    way_map_q <= {way_map_q[0], map_end};
    if (load_i) begin
      line_q     <= line_i;
      left_q     <= lines_i;
      row_left_q <= row_lines_i;
      write_q    <= 2'd0;
      head_q     <= 2'd0;
      mask_q     <= {COLS{1'b1}};
      first_q    <= {COLUMN_W{1'b0}};
      count_q    <= {COLUMN_W + 1{1'b0}};
    end else begin
      if (ask) begin
        line_q     <= line_q + {{LINE_W - 1{1'b0}}, 1'b1};
        left_q     <= left_q - 32'd1;
        row_left_q <= row_end ? row_lines_i : row_left_q - 16'd1;
      end
      if (way_q[1]) begin
        words_q[write_q*COLS*ACT_W+:COLS*ACT_W] <= word_i;
        nonzero_q[write_q*COLS+:COLS] <= some;
        row_q[write_q] <= way_row_q[1];
        map_q[write_q] <= way_map_q[1];
        write_q <= write_q + 2'd1;
      end
      if (through) begin
        head_q  <= head_q + 2'd1;
        mask_q  <= {COLS{1'b1}};
        first_q <= first_q + width[COLUMN_W-1:0];
      end else if (look) begin
        mask_q  <= rest;
      end
      if (write) count_q <= count_q + ONE;
    end
    position_q <= first_q + lane_column;
    code_q     <= words[lane*ACT_W+:ACT_W];
    skipped_o  <= fan_in_i - {{31 - COLUMN_W{1'b0}}, count_q};
  end

  // Who reads, where. An entry may be taken when it is known whether it is the last one; that is
  // known a cycle early, of the entry that stands there and of the one behind it: what waits for it
  // stands far away.
  reg [COLUMN_W-1:0] take_q, issue_q;
  reg [COLUMN_W:0] behind_q, beyond_q;
  reg ready_q, last_q;
  wire [ACT_W-1:0] code;
  reg [4*ACT_W-1:0] codes_q;

  wire done_d = done_q || (ended_q && !empty);
  wire behind_is = behind_q == count_q;
  wire beyond_is = beyond_q == count_q;
  wire behind_known = behind_q < count_q || (write && behind_is);
  wire beyond_known = beyond_q < count_q || (write && beyond_is);
  // The list stands when it is done.
  wire single = count_q == ONE;

  assign last_o = last_q;
  assign ready_o = ready_q;
  assign code_o = codes_q[3*ACT_W+:ACT_W];

  always @(posedge clk_i) begin
    codes_q <= {codes_q[3*ACT_W-1:0], code};
    if (load_i) begin
      take_q   <= {COLUMN_W{1'b0}};
      behind_q <= ONE;
      beyond_q <= ONE + ONE;
      ready_q  <= 1'b0;
      last_q   <= 1'b0;
      issue_q  <= {COLUMN_W{1'b0}};
    end else begin
      ready_q <= done_d || (take_i ? beyond_known : behind_known);
      last_q  <= done_d && (!take_i ? behind_is : last_q ? single : beyond_is);
      if (take_i) begin
        take_q   <= last_q ? {COLUMN_W{1'b0}} : take_q + ONE[COLUMN_W-1:0];
        behind_q <= last_q ? ONE : beyond_q;
        beyond_q <= last_q ? ONE + ONE : beyond_q + ONE;
      end
      if (issue_i) issue_q <= issue_last_i ? {COLUMN_W{1'b0}} : issue_q + ONE[COLUMN_W-1:0];
    end
    if (rst_i) ready_q <= 1'b0;
  end

  hne_ram #(
      .WIDTH(COLUMN_W),
      .DEPTH(SKIP_COLUMNS)
  ) u_positions (
      .clk_i(clk_i),
      .we_i(write),
      .waddr_i(count_q[COLUMN_W-1:0]),
      .wdata_i(empty ? {COLUMN_W{1'b0}} : position_q),
      .re_i(take_i),
      .raddr_i(take_q),
      .rdata_o(position_o)
  );

  hne_ram #(
      .WIDTH(ACT_W),
      .DEPTH(SKIP_COLUMNS)
  ) u_codes (
      .clk_i(clk_i),
      .we_i(write),
      .waddr_i(count_q[COLUMN_W-1:0]),
      .wdata_i(empty ? {ACT_W{1'b0}} : code_q),
      .re_i(issue_i),
      .raddr_i(issue_q),
      .rdata_o(code)
  );

endmodule

`resetall
