`resetall
`timescale 1ns / 1ps
`default_nettype none

// Low 32 bits of a product with a constant. A digit of four bits times the constant is a table of
// 16 words, one LUT for each of its bits; the eight of them are added in pairs. The words and the
// sums of the first two levels are kept. So it takes no multiplier, of which a device has few, in
// few places. The last sum is combinational and registered by whoever uses it.
module hne_mul32 #(
    // The other factor: it becomes tables, so every value costs the same and a second factor is a
    // second module.
    parameter [31:0] FACTOR = 32'd1
) (
    input  wire        clk_i,
    input  wire        en_i,
    input  wire [31:0] a_i,
    output wire [31:0] product_o
);

  // A sum of level l begins at the lowest bit of its digits; what is above bit 31 does not count.
  reg [31:0] pair0_q, half0_q;
  reg [23:0] pair1_q;
  reg [15:0] pair2_q, half1_q;
  reg [7:0] pair3_q;

  // The words of the digits, each as wide as it counts.
  reg [31:0] digit0_q;
  reg [27:0] digit1_q;
  reg [23:0] digit2_q;
  reg [19:0] digit3_q;
  reg [15:0] digit4_q;
  reg [11:0] digit5_q;
  reg [7:0] digit6_q;
  reg [3:0] digit7_q;

  wire [31:0] word1 = times(a_i[7:4]);
  wire [31:0] word2 = times(a_i[11:8]);
  wire [31:0] word3 = times(a_i[15:12]);
  wire [31:0] word4 = times(a_i[19:16]);
  wire [31:0] word5 = times(a_i[23:20]);
  wire [31:0] word6 = times(a_i[27:24]);
  wire [31:0] word7 = times(a_i[31:28]);
  wire unused_tops = &{
    1'b0, word1[31:28], word2[31:24], word3[31:20], word4[31:16], word5[31:12], word6[31:8],
    word7[31:4]
  };

  assign product_o = {half0_q[31:16] + half1_q, half0_q[15:0]};

  function [31:0] times;
    input [3:0] digit;
    case (digit)
      4'd0: times = 32'd0;
      4'd1: times = FACTOR;
      4'd2: times = FACTOR * 32'd2;
      4'd3: times = FACTOR * 32'd3;
      4'd4: times = FACTOR * 32'd4;
      4'd5: times = FACTOR * 32'd5;
      4'd6: times = FACTOR * 32'd6;
      4'd7: times = FACTOR * 32'd7;
      4'd8: times = FACTOR * 32'd8;
      4'd9: times = FACTOR * 32'd9;
      4'd10: times = FACTOR * 32'd10;
      4'd11: times = FACTOR * 32'd11;
      4'd12: times = FACTOR * 32'd12;
      4'd13: times = FACTOR * 32'd13;
      4'd14: times = FACTOR * 32'd14;
      default: times = FACTOR * 32'd15;
    endcase
  endfunction

  always @(posedge clk_i) begin
    if (en_i) begin
      digit0_q <= times(a_i[3:0]);
      digit1_q <= word1[27:0];
      digit2_q <= word2[23:0];
      digit3_q <= word3[19:0];
      digit4_q <= word4[15:0];
      digit5_q <= word5[11:0];
      digit6_q <= word6[7:0];
      digit7_q <= word7[3:0];
      pair0_q  <= digit0_q + {digit1_q, 4'd0};
      pair1_q  <= digit2_q + {digit3_q, 4'd0};
      pair2_q  <= digit4_q + {digit5_q, 4'd0};
      pair3_q  <= digit6_q + {digit7_q, 4'd0};
      half0_q  <= pair0_q + {pair1_q, 8'd0};
      half1_q  <= pair2_q + {pair3_q, 8'd0};
    end
  end

endmodule

`resetall
