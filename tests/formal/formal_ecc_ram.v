`default_nettype none

// hne_ecc_ram: a word that was written is the word that is read, in the cycle after the read, until
// the next one, if at most one of its check bits was written wrong; two are found.
module formal_ecc_ram #(
    parameter integer WIDTH = 3,
    parameter integer DEPTH = 2
) (
    input wire             clk,
    input wire             we,
    input wire             waddr,
    input wire [WIDTH-1:0] wdata,
    input wire [      7:0] flip,
    input wire             re,
    input wire             raddr
);

  wire [WIDTH-1:0] rdata;
  wire wrong;

  hne_ecc_ram #(
      .WIDTH(WIDTH),
      .DEPTH(DEPTH),
      .ECC(2)
  ) dut (
      .clk_i(clk),
      .we_i(we),
      .waddr_i(waddr),
      .wdata_i(wdata),
      .flip_i(flip),
      .re_i(re),
      .raddr_i(raddr),
      .rdata_o(rdata),
      .wrong_o(wrong)
  );

  // One word is followed; so it is with all.
  (* anyconst *) reg followed;
  reg known = 1'b0, read = 1'b0;
  reg [WIDTH-1:0] word, answer;
  reg [1:0] flips, answer_flips;
  wire [3:0] bits = flip[3:0];
  wire [3:0] rest = bits & (bits - 4'd1);

  // At most two of the four check bits; nobody reads what is being written.
  always @* assume ((rest & (rest - 4'd1)) == 4'd0 && flip[7:4] == 4'd0);
  always @* assume (!(we && re && waddr == raddr));

  always @(posedge clk) begin
    if (we && waddr == followed) begin
      known <= 1'b1;
      word  <= wdata;
      flips <= {rest != 4'd0, bits != 4'd0};
    end
    if (re) begin
      read <= known && raddr == followed;
      answer <= word;
      answer_flips <= flips;
    end
  end

  always @(posedge clk) begin
    if (read) assert (wrong == answer_flips[1]);
    if (read && !answer_flips[1]) assert (rdata == answer);
  end

  always @(posedge clk) begin
    cover (read && answer_flips == 2'b01 && rdata != 0);
    cover (read && answer_flips == 2'b11);
    cover (read && answer_flips == 2'b00 && known && answer != word);
  end

endmodule
