`resetall
`timescale 1ns / 1ps
`default_nettype none

// One bank of the activation buffer. The write port is registered here, so each bank has its own
// register: banks stand all over the chip. Nobody reads this early: behind the last write of a
// layer or an image an instruction is fetched.
module hne_act_bank #(
    // Bits of an activation: the width of the memory.
    parameter integer ACT_W = 8,
    // Words: the depth of the memory.
    parameter integer DEPTH = 8192,
    // Bits of a line. Follows from DEPTH: leave it.
    parameter integer LINE_W = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input  wire              clk_i,
    input  wire              read_i,
    input  wire [LINE_W-1:0] read_line_i,
    output wire [ ACT_W-1:0] word_o,
    // A cycle before the memory takes it.
    input  wire              write_i,
    input  wire [LINE_W-1:0] write_line_i,
    input  wire [ ACT_W-1:0] write_word_i
);

  wire [ACT_W-1:0] word;
  reg [ACT_W-1:0] word_q, write_word_q;
  reg write_q;
  reg [LINE_W-1:0] line_q;

  assign word_o = word_q;

  always @(posedge clk_i) begin
    word_q       <= word;
    write_q      <= write_i;
    line_q       <= write_line_i;
    write_word_q <= write_word_i;
  end

  hne_ram #(
      .WIDTH(ACT_W),
      .DEPTH(DEPTH)
  ) u_ram (
      .clk_i(clk_i),
      .we_i(write_q),
      .waddr_i(line_q),
      .wdata_i(write_word_q),
      .re_i(read_i),
      .raddr_i(read_line_i),
      .rdata_o(word)
  );

endmodule

`resetall
