`default_nettype none

// hne_weight_bank, of a number of lines that is no power of two: a read of a line that there is not
// gives 0 and is no wrong word, whatever stands behind the memory; one of a line that there is
// gives what was written, and a word whose check bit was written wrong is said to be wrong.
module formal_weight_bank #(
    parameter integer WGT_W = 2,
    parameter integer LINES = 3
) (
    input wire             clk,
    input wire             read,
    input wire [      1:0] line,
    input wire             mem_we,
    input wire             mem_re,
    input wire [      8:0] mem_field,
    input wire [      1:0] mem_line,
    input wire [WGT_W-1:0] mem_wdata,
    input wire             mem_flip
);

  wire [WGT_W-1:0] word;
  wire wrong;

  hne_weight_bank #(
      .BANK(1),
      .WGT_W(WGT_W),
      .LINES(LINES),
      .ECC(1)
  ) dut (
      .clk_i(clk),
      .read_i(read),
      .line_i(line),
      .word_o(word),
      .wrong_o(wrong),
      .mem_we_i(mem_we),
      .mem_re_i(mem_re),
      .mem_field_i(mem_field),
      .mem_line_i(mem_line),
      .mem_wdata_i(mem_wdata),
      .mem_flip_i({7'd0, mem_flip})
  );

  // The bus comes while the engine is idle, and knows how many lines there are. Its registers wake
  // up with anything, and are known a cycle later.
  reg we_q = 1'b0, re_q = 1'b0, awake = 1'b0;
  always @(posedge clk) {we_q, re_q, awake} <= {mem_we, mem_re, 1'b1};
  always @* assume (awake || !read);
  always @* assume (!(read && (we_q || re_q)));
  always @* assume (!(mem_we || mem_re) || mem_line < LINES);
  always @* assume (!(mem_we && mem_re));

  // One line is followed; so it is with all.
  (* anyconst *) reg [1:0] followed;
  always @* assume (followed < LINES);
  reg known = 1'b0, told = 1'b0, hole = 1'b0, hole_before = 1'b0, told_before = 1'b0;
  reg wrong_written, wrong_told, write_q = 1'b0, flip_q;
  reg [WGT_W-1:0] written, answer, wdata_q;

  always @(posedge clk) begin
    write_q <= mem_we && mem_field == 9'd1 && mem_line == followed;
    wdata_q <= mem_wdata;
    flip_q  <= mem_flip;
    if (write_q) begin
      known <= 1'b1;
      written <= wdata_q;
      wrong_written <= flip_q;
    end
    hole <= read && line >= LINES;
    told <= read && line == followed && known;
    answer <= written;
    wrong_told <= wrong_written;
    hole_before <= hole;
    told_before <= told;
  end

  reg wrong_told_before;
  reg [1:0] reads = 2'd0, woken = 2'd0;
  always @(posedge clk) begin
    wrong_told_before <= wrong_told;
    reads <= {reads[0], read};
    woken <= {woken[0], awake};
  end

  always @(posedge clk) begin
    if (hole) assert (word == 0);
    if (told) assert (word == answer);
    if (hole_before) assert (!wrong);
    if (told_before) assert (wrong == wrong_told_before);
    // What the bus reads stops nobody.
    if (woken[1] && !reads[1]) assert (!wrong);
  end

  always @(posedge clk) begin
    cover (hole && told_before);
    cover (told_before && wrong);
    cover (told && hole_before && answer != 0);
  end

endmodule
