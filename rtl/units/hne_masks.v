`resetall
`timescale 1ns / 1ps
`default_nettype none

// Which columns of each pixel tile are not 0 in all of its lanes: a word of SLOTS_WINDOW columns a
// line, the last one of a pixel tile filled up with zeros. The first row-tile of a group finds them
// out while it issues all columns; the others read them, one after the other and again from the
// first. A pixel tile of zeros keeps its last column, so that there is a sum.
module hne_masks #(
    // Lines: words of all pixel tiles of a layer. Where they are too few, it skips nothing.
    parameter integer SKIP_MASKS = 4096,
    // Bits of a word. Follows from the contract: leave it.
    parameter integer WINDOW = 16
) (
    input  wire              clk_i,
    // A row-tile begins to find out.
    input  wire              clear_i,
    // A column was seen, whether it is one of zeros, the last one of its pixel tile.
    input  wire              seen_i,
    input  wire              nonzero_i,
    input  wire              last_i,
    // There are more words than lines.
    output wire              over_o,
    // Two cycles in which the first words are read.
    input  wire              first_i,
    input  wire              second_i,
    // What is left of the word that is looked at; its lowest column is issued, or it is through.
    output wire [WINDOW-1:0] left_o,
    input  wire              issue_i,
    input  wire              through_i
);

  localparam integer LINE_W = (SKIP_MASKS > 1) ? $clog2(SKIP_MASKS) : 1;
  localparam integer BIT_W = $clog2(WINDOW);
  // One bit more than a line: all are in use.
  localparam [LINE_W:0] ONE = 1;

  reg [BIT_W-1:0] bit_q;
  reg [WINDOW-1:0] word_q, left_q;
  reg any_q, over_q;
  reg [LINE_W:0] lines_q;
  reg [LINE_W-1:0] read_q;

  wire column = nonzero_i || (last_i && !any_q);
  wire [WINDOW-1:0] word = word_q | ({{WINDOW - 1{1'b0}}, column} << bit_q);
  wire whole = seen_i && (last_i || bit_q == {BIT_W{1'b1}});
  wire full = lines_q == SKIP_MASKS[LINE_W:0];
  wire [WINDOW-1:0] next;
  wire read = first_i || second_i || through_i;

  assign over_o = over_q;
  assign left_o = left_q;

  always @(posedge clk_i) begin
    if (clear_i) begin
      bit_q   <= {BIT_W{1'b0}};
      word_q  <= {WINDOW{1'b0}};
      any_q   <= 1'b0;
      over_q  <= 1'b0;
      lines_q <= {LINE_W + 1{1'b0}};
    end else if (seen_i) begin
      bit_q  <= whole ? {BIT_W{1'b0}} : bit_q + {{BIT_W - 1{1'b0}}, 1'b1};
      word_q <= whole ? {WINDOW{1'b0}} : word;
      any_q  <= !last_i && (any_q || nonzero_i);
      if (whole && full) over_q <= 1'b1;
      if (whole && !full) lines_q <= lines_q + ONE;
    end
    if (first_i) read_q <= lines_q == ONE ? {LINE_W{1'b0}} : ONE[LINE_W-1:0];
    else if (read) begin
      read_q <= {1'b0, read_q} + ONE == lines_q ? {LINE_W{1'b0}} : read_q + ONE[LINE_W-1:0];
    end
    if (second_i || through_i) left_q <= next;
    else if (issue_i) left_q <= left_q & (left_q - {{WINDOW - 1{1'b0}}, 1'b1});
  end

  hne_ram #(
      .WIDTH(WINDOW),
      .DEPTH(SKIP_MASKS)
  ) u_ram (
      .clk_i(clk_i),
      .we_i(whole && !full),
      .waddr_i(lines_q[LINE_W-1:0]),
      .wdata_i(word),
      .re_i(read),
      .raddr_i(first_i ? {LINE_W{1'b0}} : read_q),
      .rdata_o(next)
  );

endmodule

`resetall
