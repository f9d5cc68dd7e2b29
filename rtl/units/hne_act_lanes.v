`resetall
`timescale 1ns / 1ps
`default_nettype none

// COLS neighbouring activations at distance `stride` from memories banked by x mod COLS: sends each
// lane of the current group to its bank and takes the words that the banks answer into the lanes,
// `fill` for padding. A lane keeps its word while other groups are read. The lane's column is found
// in the cycle of the step; behind it ADDRESS (the bank's line), READ 2 (the memory, its output
// register), ALIGN.
module hne_act_lanes #(
    // Lanes and banks, a power of two: any lane may want any bank, so the choices between them grow
    // with COLS².
    parameter integer COLS = 2,
    // Bits of an activation: of each choice among the banks.
    parameter integer ACT_W = 8,
    // Bits of a line of the activation buffer: an adder in each lane.
    parameter integer LINE_W = 12,
    // Images of a batch: what image b has stands in banks turned by b, in its page. The lanes of an
    // fc layer are then the images.
    parameter integer BATCH = 1,
    // Bits of a place {line, page}. Follows from both: leave it.
    parameter integer PLACE_W = LINE_W + $clog2(BATCH)
) (
    input  wire                   clk_i,
    // A step of the reader; shape of the layer, which stands still long before.
    input  wire                   step_i,
    input  wire                   fc_i,
    input  wire [            7:0] image_i,
    input  wire signed [    17:0] x_i,
    input  wire [           15:0] in_w_i,
    input  wire                   row_valid_i,
    input  wire [     LINE_W-1:0] line_i,
    input  wire [            3:0] stride_i,
    input  wire [      ACT_W-1:0] fill_i,
    input  wire [            3:0] group_i,
    input  wire [            3:0] log2_groups_i,
    // Two cycles after the step: the banks are read.
    output wire                   read_o,
    output wire [COLS*PLACE_W-1:0] bank_place_o,
    // Two cycles after that: the words.
    input  wire [ COLS*ACT_W-1:0] bank_word_i,
    // Five cycles after the step.
    output wire [ COLS*ACT_W-1:0] lane_o
);

  localparam integer COLS_W = $clog2(COLS);
  localparam integer BANK_W = (COLS > 1) ? COLS_W : 1;
  localparam [31:0] BANK_MASK = COLS - 1;
  localparam integer PAGE_W = $clog2(BATCH);

  reg [1:0] read_q;
  reg [LINE_W-1:0] line_q;
  // Of each lane: taken in this step, its bank, its place there.
  wire [COLS-1:0] take;
  wire [COLS*BANK_W-1:0] bank;
  wire [COLS*PLACE_W-1:0] lane_place;
  reg [COLS*PLACE_W-1:0] bank_place_d, bank_place_q;
  integer l, b;

  assign read_o = read_q[1];
  assign bank_place_o = bank_place_q;

  // The lanes of a group stand in different banks, so a bank's place is an or of places.
  always @* begin
    bank_place_d = {COLS * PLACE_W{1'b0}};
    for (b = 0; b < COLS; b = b + 1) begin
      for (l = 0; l < COLS; l = l + 1) begin
        if (take[l] && bank[l*BANK_W+:BANK_W] == b[BANK_W-1:0]) begin
          bank_place_d[b*PLACE_W+:PLACE_W] = bank_place_d[b*PLACE_W+:PLACE_W]
              | lane_place[l*PLACE_W+:PLACE_W];
        end
      end
    end
  end

  always @(posedge clk_i) begin
    read_q      <= {read_q[0], step_i};
    line_q      <= line_i;
    bank_place_q <= bank_place_d;
  end

  // number · stride by additions: as a product it would take a multiplier.
  function [17:0] distance;
    input [8:0] number;
    input [3:0] stride;
    integer n;
    begin
      distance = 18'd0;
      for (n = 0; n < 9; n = n + 1) begin
        if (number[n]) distance = distance + ({14'd0, stride} << n);
      end
    end
  endfunction

  genvar n;
  generate
    for (n = 0; n < COLS; n = n + 1) begin : gen_lane
      localparam [31:0] NUMBER = n;
      reg signed [17:0] distance_q, x_q;
      reg [3:0] group_q;
      reg [3:0] take_q;
      reg [2:0] inside_q;
      reg [BANK_W-1:0] bank2_q, bank3_q, bank4_q;
      wire [BANK_W-1:0] bank1;
      reg valid_q;
      reg [ACT_W-1:0] lane_q;
      wire [31:0] group = (NUMBER << log2_groups_i) >> COLS_W;
      wire [LINE_W+17:0] column = {{LINE_W{1'b0}}, x_q} >> COLS_W;
      wire [LINE_W-1:0] lane_line = line_q + column[LINE_W-1:0];
      wire unused_bits = &{1'b0, group, column};

      assign take[n] = take_q[0];
      assign bank[n*BANK_W+:BANK_W] = bank1 & BANK_MASK[BANK_W-1:0];
      assign lane_o[n*ACT_W+:ACT_W] = lane_q;

      if (BATCH > 1) begin : gen_turned
        // What stands still long before the first step: how far the bank is, the page.
        reg [BANK_W-1:0] turn_q, bank1_q;
        reg [PAGE_W-1:0] page_q;
        wire [7:0] image = fc_i ? NUMBER[7:0] : image_i;
        wire [17:0] turned = distance_q + {10'd0, image};
        wire unused_turned = &{1'b0, turned};

        assign bank1 = bank1_q;
        assign lane_place[n*PLACE_W+:PLACE_W] = {lane_line, page_q};

        // All lanes of an fc layer want the same pixel.
        always @(posedge clk_i) begin
          distance_q <= fc_i ? 18'd0 : distance(NUMBER[8:0], stride_i);
          turn_q     <= turned[BANK_W-1:0];
          page_q     <= image[PAGE_W-1:0];
          bank1_q    <= x_i[BANK_W-1:0] + turn_q;
        end
      end else begin : gen_straight
        wire unused_image = &{1'b0, image_i};

        assign bank1 = x_q[BANK_W-1:0];
        assign lane_place[n*PLACE_W+:PLACE_W] = lane_line;

        always @(posedge clk_i) distance_q <= distance(NUMBER[8:0], stride_i);
      end

      always @(posedge clk_i) begin
        group_q    <= group[3:0];
        x_q        <= x_i + distance_q;
        valid_q    <= row_valid_i && (n < BATCH || !fc_i);
        take_q     <= {take_q[2:0], step_i && group_q == group_i};
        inside_q   <= {inside_q[1:0], valid_q && !x_q[17] && x_q[16:0] < {1'b0, in_w_i}};
        bank2_q    <= bank[n*BANK_W+:BANK_W];
        bank3_q    <= bank2_q;
        bank4_q    <= bank3_q;
        if (take_q[3]) begin
          lane_q <= inside_q[2] ? bank_word_i[bank4_q*ACT_W+:ACT_W] : fill_i;
        end
      end
    end
  endgenerate

endmodule

`resetall
