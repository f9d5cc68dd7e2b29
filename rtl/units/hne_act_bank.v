`resetall
`timescale 1ns / 1ps
`default_nettype none

// One bank of the activation buffer: its words of both feature maps. The write port is registered
// here, so each bank has its own register: banks stand all over the chip. Nobody reads this early:
// behind the last write of a layer or an image an instruction is fetched.
module hne_act_bank #(
    // Bits of an activation: the width of two memories.
    parameter integer ACT_W = 8,
    // Words of one map: the depth of two memories.
    parameter integer DEPTH = 4096,
    // Bits of a line. Follows from DEPTH: leave it.
    parameter integer LINE_W = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input  wire              clk_i,
    input  wire              read_i,
    input  wire              read_map_i,
    input  wire [LINE_W-1:0] read_line_i,
    output wire [ ACT_W-1:0] word_o,
    // A cycle before the memory takes it.
    input  wire              write_i,
    input  wire              write_map_i,
    input  wire [LINE_W-1:0] write_line_i,
    input  wire [ ACT_W-1:0] write_word_i
);

  wire [ACT_W-1:0] word0, word1;
  reg [ACT_W-1:0] word0_q, word1_q;
  reg write0_q, write1_q;
  reg [LINE_W-1:0] line_q;
  reg [ACT_W-1:0] write_word_q;

  assign word_o = read_map_i ? word1_q : word0_q;

  always @(posedge clk_i) begin
    word0_q      <= word0;
    word1_q      <= word1;
    write0_q     <= write_i && !write_map_i;
    write1_q     <= write_i && write_map_i;
    line_q       <= write_line_i;
    write_word_q <= write_word_i;
  end

  hne_ram #(
      .WIDTH(ACT_W),
      .DEPTH(DEPTH)
  ) u_map0 (
      .clk_i(clk_i),
      .we_i(write0_q),
      .waddr_i(line_q),
      .wdata_i(write_word_q),
      .re_i(read_i && !read_map_i),
      .raddr_i(read_line_i),
      .rdata_o(word0)
  );

  hne_ram #(
      .WIDTH(ACT_W),
      .DEPTH(DEPTH)
  ) u_map1 (
      .clk_i(clk_i),
      .we_i(write1_q),
      .waddr_i(line_q),
      .wdata_i(write_word_q),
      .re_i(read_i && read_map_i),
      .raddr_i(read_line_i),
      .rdata_o(word1)
  );

endmodule

`resetall
