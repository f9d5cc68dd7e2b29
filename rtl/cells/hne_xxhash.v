`resetall
`timescale 1ns / 1ps
`default_nettype none

// xxHash32 from a prepared state to the hash, a lane per cycle: LANE (1), ROUND (4), MIX (8). What
// enters in cycle e is hashed in cycle e + 13 of an enabled pipeline.
module hne_xxhash (
    input  wire        clk_i,
    input  wire        en_i,
    // Seed, length and all lanes but the last, folded in.
    input  wire [31:0] state_i,
    // The last lane times PRIME3.
    input  wire [31:0] step_i,
    output wire [31:0] hash_o
);

  localparam [31:0] PRIME2 = 32'h85EBCA77;
  localparam [31:0] PRIME3 = 32'hC2B2AE3D;
  localparam [31:0] PRIME4 = 32'h27D4EB2F;

  reg [31:0] rotated_q, round_q, mix0_q, mix1_q;
  wire [31:0] lane = state_i + step_i;
  wire [31:0] round, mix0, mix1;

  // A product starts from a register: each shifted sum is folded before it is kept.
  assign hash_o = mix1_q;

  hne_mul32 #(
      .FACTOR(PRIME4)
  ) u_round (
      .clk_i(clk_i),
      .en_i(en_i),
      .a_i(rotated_q),
      .product_o(round)
  );

  hne_mul32 #(
      .FACTOR(PRIME2)
  ) u_mix0 (
      .clk_i(clk_i),
      .en_i(en_i),
      .a_i(round_q),
      .product_o(mix0)
  );

  hne_mul32 #(
      .FACTOR(PRIME3)
  ) u_mix1 (
      .clk_i(clk_i),
      .en_i(en_i),
      .a_i(mix0_q),
      .product_o(mix1)
  );

  always @(posedge clk_i) begin
    if (en_i) begin
      rotated_q <= {lane[14:0], lane[31:15]};
      round_q   <= round ^ (round >> 15);
      mix0_q    <= mix0 ^ (mix0 >> 13);
      mix1_q    <= mix1 ^ (mix1 >> 16);
    end
  end

endmodule

`resetall
