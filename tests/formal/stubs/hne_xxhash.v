`default_nettype none

// In place of hne_xxhash: any word in any cycle.
module hne_xxhash (
    input  wire        clk_i,
    input  wire        en_i,
    input  wire [31:0] state_i,
    input  wire [31:0] step_i,
    output wire [31:0] hash_o
);

  (* anyseq *) wire [31:0] any;
  assign hash_o = any;

endmodule
