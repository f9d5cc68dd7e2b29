`resetall
`timescale 1ns / 1ps
`default_nettype none

// Index source of INDEX_MODE sram: one RAM of {negative, address} words per array row, read one
// line a cycle.
module hne_index_sram #(
    // Array rows: words of a line, a memory each.
    parameter integer ROWS = 2,
    // Bits of a layer-relative real-weight address: a word has one more, its sign.
    parameter integer ADDR_W = 13,
    // Lines, one for each row-tile and position of the fan-in: the depth of the memories.
    parameter integer DEPTH = 8192,
    // 0: words without check bits, 1: parity, 2: one flipped bit is corrected: see hne_ecc_ram.
    parameter integer ECC = 0,
    // Folder of initial words, "" for none: see hne_ram.
    parameter INIT_DIR = "",
    // Bits of a line. Follows from DEPTH: leave it.
    parameter integer LINE_W = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input  wire                   clk_i,
    input  wire                   en_i,
    // The layer counts its addresses, or the memory bus reads: the line is none of the layer's.
    input  wire                   dense_i,
    input  wire                   bus_i,
    input  wire [     LINE_W-1:0] line_i,
    // Memory bus, while idle.
    input  wire                   we_i,
    input  wire [            8:0] field_i,
    input  wire [     LINE_W-1:0] wline_i,
    input  wire [       ADDR_W:0] wdata_i,
    input  wire [            7:0] flip_i,
    output wire [ROWS*ADDR_W-1:0] address_o,
    output wire [       ROWS-1:0] negative_o,
    // Three cycles after the read: a word of the line is wrong.
    output wire                   wrong_o
);

  wire [ROWS-1:0] wrong;
  wire watch;

  hne_watch #(
      .ECC  (ECC),
      .COUNT(ROWS)
  ) u_watch (
      .clk_i(clk_i),
      .read_i(watch),
      .wrong_i(wrong),
      .wrong_o(wrong_o)
  );

  genvar r;
  generate
    if (ECC != 0) begin : gen_watch
      assign watch = en_i && !bus_i && !dense_i;
    end else begin : gen_blind
      wire unused_bits = &{1'b0, dense_i, bus_i};

      assign watch = 1'b0;
    end
    for (r = 0; r < ROWS; r = r + 1) begin : gen_row
      hne_ecc_ram #(
          .WIDTH(ADDR_W + 1),
          .DEPTH(DEPTH),
          .ECC(ECC),
          .INIT_DIR(INIT_DIR),
          .INIT_NAME("index"),
          .INIT_FIELD(r)
      ) u_ram (
          .clk_i(clk_i),
          .we_i(we_i && field_i == r[8:0]),
          .waddr_i(wline_i),
          .wdata_i(wdata_i),
          .flip_i(flip_i),
          .re_i(en_i),
          .raddr_i(line_i),
          .rdata_o({negative_o[r], address_o[r*ADDR_W+:ADDR_W]}),
          .wrong_o(wrong[r])
      );
    end
  endgenerate

endmodule

`resetall
