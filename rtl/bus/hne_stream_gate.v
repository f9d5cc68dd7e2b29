`resetall
`timescale 1ns / 1ps
`default_nettype none

// In front of the engine's stream input: lets in one packet for each image that is expected, and
// cuts the paths between the pins and the engine. Beats that nobody asked for stay outside.
module hne_stream_gate #(
    // Bits of a beat: two registers each, in the skid buffer.
    parameter integer DATA_W = 8
) (
    input  wire              clk_i,
    input  wire              rst_i,
    // One more packet is expected. The rest of one that was too long may still be on its way.
    input  wire              expect_i,
    input  wire              valid_i,
    output wire              ready_o,
    input  wire [DATA_W-1:0] data_i,
    input  wire              last_i,
    output wire              valid_o,
    input  wire              ready_i,
    output wire [DATA_W-1:0] data_o,
    output wire              last_o
);

  reg [1:0] packets_q;

  wire open = packets_q != 2'd0;
  wire room;

  assign ready_o = open && room;

  always @(posedge clk_i) begin
    if (rst_i) packets_q <= 2'd0;
    else packets_q <= packets_q + {1'b0, expect_i} - {1'b0, valid_i && ready_o && last_i};
  end

  hne_skid #(
      .WIDTH(DATA_W + 1)
  ) u_skid (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .valid_i(valid_i && open),
      .ready_o(room),
      .data_i({last_i, data_i}),
      .valid_o(valid_o),
      .ready_i(ready_i),
      .data_o({last_o, data_o})
  );

endmodule

`resetall
