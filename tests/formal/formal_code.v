`default_nettype none

// hne_code, twice: a word is stored with the check bits that one of them finds, bits of both are
// flipped, and the other one reads it. Combinational: the first cycle is all there is.
module formal_code #(
    parameter integer WIDTH = 8,
    parameter integer ECC = 2,
    parameter integer CHECK_W = 5
) (
    input wire [        WIDTH-1:0] data,
    // Of the check bits and the word, the latter lowest.
    input wire [CHECK_W+WIDTH-1:0] flips
);

  wire [WIDTH-1:0] found, unused_found;
  wire [CHECK_W-1:0] check, unused_check;
  wire wrong, unused_wrong;
  wire [CHECK_W+WIDTH-1:0] stored = {check, data} ^ flips;

  hne_code #(
      .WIDTH(WIDTH),
      .ECC  (ECC)
  ) write (
      .data_i (data),
      .check_i({CHECK_W{1'b0}}),
      .check_o(check),
      .data_o (unused_found),
      .wrong_o(unused_wrong)
  );

  hne_code #(
      .WIDTH(WIDTH),
      .ECC  (ECC)
  ) read (
      .data_i (stored[WIDTH-1:0]),
      .check_i(stored[WIDTH+:CHECK_W]),
      .check_o(unused_check),
      .data_o (found),
      .wrong_o(wrong)
  );

  // What is left of the flips without the lowest one, and without the lowest two.
  wire [CHECK_W+WIDTH-1:0] rest = flips & (flips - 1'b1);
  wire none = flips == 0;
  wire one = !none && rest == 0;
  wire two = rest != 0 && (rest & (rest - 1'b1)) == 0;

  always @* begin
    if (none) assert (found == data && !wrong);
    if (ECC == 2) begin
      if (one) assert (found == data && !wrong);
      if (two) assert (wrong);
    end else begin
      assert (found == stored[WIDTH-1:0]);
      assert (wrong == ^flips);
    end
  end

  always @* begin
    cover (one && flips[WIDTH-1] && data != 0);
    cover (one && flips[WIDTH+:CHECK_W] != 0);
    cover (two && flips[WIDTH+:CHECK_W] != 0 && flips[WIDTH-1:0] != 0);
    if (CHECK_W > 1) cover (two && flips[WIDTH-1:0] == 0);
    cover (!none && !one && !two);
  end

endmodule
