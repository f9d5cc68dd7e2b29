`resetall
`timescale 1ns / 1ps
`default_nettype none

// RAM with one write and one read port, both synchronous: a word that is read in one cycle stands
// in rdata_o in the next and stays there until the next read. Infers as block RAM, so a word that
// is read while it is written is not defined: nobody does that. It can wake up with words in it.
module hne_ram #(
    // Bits of a word. Block RAM comes in widths of its own: what is wider takes a further one.
    parameter integer WIDTH = 8,
    // Words; need not be a power of two. One more than a block RAM holds costs a second one and a
    // choice behind it.
    parameter integer DEPTH = 16,
    // Folder of files that `hwsim rom export --format mem` writes, "" for none: the memory wakes up
    // with the words of INIT_NAME there. Costs configuration bits, no logic.
    parameter INIT_DIR = "",
    // Name of this memory's file there, without .mem.
    parameter INIT_NAME = "",
    // Three digits behind that name where several memories share it, -1 for none.
    parameter integer INIT_FIELD = -1,
    // Bits of an address. Follows from DEPTH: leave it.
    parameter integer ADDR_W = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input  wire              clk_i,
    input  wire              we_i,
    input  wire [ADDR_W-1:0] waddr_i,
    input  wire [ WIDTH-1:0] wdata_i,
    input  wire              re_i,
    input  wire [ADDR_W-1:0] raddr_i,
    output wire [ WIDTH-1:0] rdata_o
);

  // Without the attribute, logic behind the RAM would return the old word.
  (* no_rw_check *)
  reg [WIDTH-1:0] mem[0:DEPTH-1];
  reg [WIDTH-1:0] rdata_q;

  assign rdata_o = rdata_q;

  generate
    if (INIT_DIR != "") begin : gen_init
      if (INIT_FIELD < 0) begin : gen_one
        initial $readmemh({INIT_DIR, "/", INIT_NAME, ".mem"}, mem);
      end else begin : gen_many
        localparam [31:0] UNIT_DIGIT = 48 + INIT_FIELD % 10;
        localparam [31:0] TEN_DIGIT = 48 + INIT_FIELD / 10 % 10;
        localparam [31:0] HUNDRED_DIGIT = 48 + INIT_FIELD / 100;
        localparam [23:0] DIGITS = {HUNDRED_DIGIT[7:0], TEN_DIGIT[7:0], UNIT_DIGIT[7:0]};

        initial $readmemh({INIT_DIR, "/", INIT_NAME, "_", DIGITS, ".mem"}, mem);
      end
    end
  endgenerate

  always @(posedge clk_i) begin
    if (we_i) mem[waddr_i] <= wdata_i;
    if (re_i) rdata_q <= mem[raddr_i];
`ifndef SYNTHESIS
    // A simulation that depends on such a word must show it.
    if (re_i && we_i && raddr_i == waddr_i) rdata_q <= ~mem[raddr_i];
`endif
  end

endmodule

`resetall
