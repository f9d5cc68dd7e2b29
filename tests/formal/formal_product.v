`default_nettype none

// The lemmas of formal_mulhi: the bound of a product at the width that it is used at, and the
// schoolbook sum of four products, at a width that a solver can multiply.
module formal_product #(
    // Bits of half a factor.
    parameter integer HALF_W = 4,
    parameter integer LEMMA_W = 16
) (
    input wire [2*HALF_W-1:0] a,
    input wire [2*HALF_W-1:0] b,
    input wire [ LEMMA_W-1:0] x,
    input wire [ LEMMA_W-1:0] y
);

  wire [2*LEMMA_W-1:0] product = {{LEMMA_W{1'b0}}, x} * {{LEMMA_W{1'b0}}, y};
  // (2^LEMMA_W - 1 - x) y is what is missing to the bound: sums of shifted copies of y.
  wire [2*LEMMA_W-1:0] bound = {y, {LEMMA_W{1'b0}}} - {{LEMMA_W{1'b0}}, y};

  localparam integer W = 4 * HALF_W;
  wire [W-1:0] al = {{W - HALF_W{1'b0}}, a[HALF_W-1:0]};
  wire [W-1:0] ah = {{W - HALF_W{1'b0}}, a[2*HALF_W-1:HALF_W]};
  wire [W-1:0] bl = {{W - HALF_W{1'b0}}, b[HALF_W-1:0]};
  wire [W-1:0] bh = {{W - HALF_W{1'b0}}, b[2*HALF_W-1:HALF_W]};
  wire [W-1:0] whole = {{W - 2 * HALF_W{1'b0}}, a} * {{W - 2 * HALF_W{1'b0}}, b};

  always @* begin
    assert (product <= bound);
    assert (whole == ((ah * bh) << 2 * HALF_W) + ((al * bh) << HALF_W) + ((ah * bl) << HALF_W)
        + al * bl);
    cover (y > 1 && product == bound);
    cover (&whole[W-1:W-HALF_W]);
  end

endmodule
