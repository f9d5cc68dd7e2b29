`resetall
`timescale 1ns / 1ps
`default_nettype none

// When the array takes a column: a convolution runs the pixel tiles of a row-tile back to back as
// soon as its half of the tile buffer is full, each in a slot that is no shorter than a drain; an
// fc layer takes each column in the cycle after it was written.
module hne_mac_control #(
    // Array rows: outputs of a row-tile. A constant.
    parameter integer ROWS = 2,
    // 1: windows of an fc layer may end where its row-tile does, not where its input does.
    parameter integer SKIP = 0
) (
    input  wire        clk_i,
    input  wire        rst_i,
    // The cycle before a conv or fc layer starts.
    input  wire        load_i,
    input  wire        fc_i,
    input  wire        list_i,
    input  wire [15:0] outputs_i,
    input  wire [15:0] groups_i,
    input  wire [ 8:0] idle_i,
    // Tile buffer: a column is written; the last one of a row-tile.
    input  wire        write_i,
    input  wire        write_last_i,
    // Activation reader: the current step begins, ends a window, of the last pixel tile.
    input  wire        window_first_i,
    input  wire        window_last_i,
    input  wire        map_last_i,
    // The row-tile is the last one of its group.
    output wire        group_end_o,
    // The same, or of the row-tile whose columns come from the list.
    output wire        window_first_o,
    output wire        window_last_o,
    // A step is taken; one is in the next cycle; marker behind the last cycle of a slot; the half
    // is left.
    output wire        issue_o,
    output wire        issue_next_o,
    output wire        copy_o,
    output wire        release_o,
    // For the counters: idle cycles of a slot; all columns of the layer are issued.
    output wire        idle_o,
    output wire        finished_o
);

  reg active_q, fc_q, map_last_q;
  reg [1:0] full_q;
  // Idle cycles left of a slot; this is one, the last one; slots of this layer have any, have one.
  reg [8:0] idle_q;
  reg idling_q, idle_last_q, idles_q, idle_one_q;

  // The column that was written ends a row-tile; the next one begins one.
  reg column_last_q, column_first_q;
  wire listed = SKIP != 0 && list_i;
  wire window_last = listed ? column_last_q : window_last_i;
  wire unused_columns = &{1'b0, column_last_q, column_first_q};

  assign window_first_o = listed ? column_first_q : window_first_i;
  assign window_last_o = window_last;

  // Whether a column is taken, known a cycle early: reader, array and tile buffer, far from each
  // other, all move with it.
  reg issue_q;
  wire idle = idling_q;
  wire issue = issue_q;
  wire slot_last = idle ? idle_last_q : issue && window_last && (fc_q || !idles_q);
  wire tile_last = slot_last && (idle ? map_last_q : map_last_i);
  wire layer_last;
  wire [7:0] row_end, next_end;
  wire unused_rows = &{1'b0, row_end, next_end};

  // The same a cycle later: a half is full; the slot goes on with idle cycles; so does the layer.
  wire filled = write_i && write_last_i;
  wire full_d = filled || full_q[1] || (full_q[0] && !(tile_last && !fc_q));
  wire idling_d = idle ? !idle_last_q : issue && window_last && !fc_q && idles_q;
  wire active_d = active_q && !(tile_last && layer_last);
  // An fc layer takes each column in the cycle after it was written.
  wire issue_d = !rst_i && (load_i ? fc_i && write_i
      : active_d && !idling_d && (fc_q ? write_i : full_d));

  assign issue_o = issue;
  assign issue_next_o = issue_d;
  assign copy_o = slot_last;
  assign release_o = tile_last && !fc_q;
  assign idle_o = idle;
  assign finished_o = !active_q;

  hne_row_tiles #(
      .ROWS(ROWS)
  ) u_tiles (
      .clk_i(clk_i),
      .load_i(load_i),
      .outputs_i(outputs_i),
      .groups_i(groups_i),
      .next_i(tile_last),
      .end_o(row_end),
      .next_end_o(next_end),
      .group_last_o(group_end_o),
      .last_o(layer_last)
  );

  always @(posedge clk_i) begin
    issue_q <= issue_d;
    if (rst_i) begin
      active_q <= 1'b0;
      idling_q <= 1'b0;
    end else if (load_i) begin
      active_q <= 1'b1;
      idling_q <= 1'b0;
    end else begin
      active_q <= active_d;
      idling_q <= idling_d;
    end
    column_last_q <= write_last_i;
    if (load_i) column_first_q <= 1'b1;
    else if (issue) column_first_q <= column_last_q;
    // They stand still long before the layer starts.
    idles_q    <= idle_i != 9'd0;
    idle_one_q <= idle_i == 9'd1;
    if (idle) begin
      idle_q      <= idle_q - 9'd1;
      idle_last_q <= idle_q == 9'd2;
    end else begin
      idle_q      <= idle_i;
      idle_last_q <= idle_one_q;
    end
    if (load_i) begin
      fc_q   <= fc_i;
      full_q <= 2'd0;
    end else begin
      full_q <= full_q + {1'b0, filled} - {1'b0, release_o};
      if (issue) map_last_q <= map_last_i;
    end
  end

endmodule

`resetall
