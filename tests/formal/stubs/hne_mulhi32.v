`default_nettype none

// In place of hne_mulhi32: any result below the factor b that was there three enabled cycles before,
// which is what formal_mulhi proves of the module.
module hne_mulhi32 (
    input  wire        clk_i,
    input  wire        en_i,
    input  wire [31:0] a_i,
    input  wire [31:0] b_i,
    output wire [31:0] high_o
);

  (* anyseq *) wire [31:0] any;
  reg [31:0] b_q, b2_q, b3_q;
  assign high_o = any;
  always @(posedge clk_i) if (en_i) {b3_q, b2_q, b_q} <= {b2_q, b_q, b_i};
  always @* if (b3_q != 32'd0) assume (any < b3_q);

endmodule
