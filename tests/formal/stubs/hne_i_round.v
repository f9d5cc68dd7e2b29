`default_nettype none

// In place of hne_i_round: any states.
module hne_i_round #(
    parameter integer ROWS = 2
) (
    input  wire               clk_i,
    input  wire               en_i,
    input  wire               load_i,
    input  wire [       31:0] seed_i,
    input  wire               row_i,
    input  wire               first_i,
    output wire [ROWS*32-1:0] state_o
);

  (* anyseq *) wire [ROWS*32-1:0] any;
  assign state_o = any;

endmodule
