`default_nettype none

// hne_mac_array: the shadow bank holds, of every row and lane, the sum of weight * activation over
// the columns of a pixel tile up to the copy, whatever is issued before, between and behind them. One
// accumulator is compared, any of them.
module formal_mac #(
    parameter integer ROWS = 3,
    parameter integer COLS = 2,
    parameter integer ACT_W = 2,
    parameter integer WGT_W = 3,
    parameter integer ACC_W = 8
) (
    input wire                  clk,
    input wire                  issue,
    input wire                  first,
    input wire                  copy,
    input wire [ROWS*WGT_W-1:0] weight,
    input wire [COLS*ACT_W-1:0] act
);

  localparam integer ROW_W = $clog2(ROWS);
  // From the issue to the aligned lanes; from the weight to them; from the issue to the sum and to
  // its copy.
  localparam integer LANES = 5;
  localparam integer WAIT = 4;
  localparam integer FILL = 8;

  (* anyconst *) reg [ROW_W-1:0] row;
  (* anyconst *) reg [0:0] lane;
  reg past = 1'b0;

  wire load;
  wire [COLS*ACC_W-1:0] shadow;

  hne_mac_array #(
      .ROWS (ROWS),
      .COLS (COLS),
      .ACT_W(ACT_W),
      .WGT_W(WGT_W),
      .ACC_W(ACC_W)
  ) dut (
      .clk_i(clk),
      .rst_i(!past),
      .issue_i(issue),
      .first_i(first),
      .copy_i(copy),
      .weight_i(weight),
      .act_i(act),
      .shadow_load_o(load),
      .shadow_row_i(row),
      .shadow_o(shadow)
  );

  reg [LANES-1:0] issues, firsts;
  reg [FILL-1:0] copies;
  reg [WAIT*WGT_W-1:0] weights;
  wire signed [WGT_W-1:0] mine = weight[row*WGT_W+:WGT_W];
  wire signed [WGT_W-1:0] w = weights[(WAIT-1)*WGT_W+:WGT_W];
  wire signed [ACT_W:0] a = {1'b0, act[lane*ACT_W+:ACT_W]};
  wire signed [ACC_W-1:0] product = w * a;
  // The sum, known three cycles before the copy; the copy.
  reg signed [ACC_W-1:0] sum, sum1, sum2, copied;
  reg begun, there;
  reg [3:0] columns, columns1, columns2, size;

  always @* begin
    assume (row < ROWS);
    // A pixel tile begins with its first column; nothing is copied before.
    if (!begun) assume (!issue || first);
    if (!begun) assume (!copy || issue);
    // A weight has a sign and is no -2^(WGT_W-1).
    assume (mine != {1'b1, {WGT_W - 1{1'b0}}});
  end

  always @(posedge clk) begin
    past <= 1'b1;
    if (!past) {issues, copies, begun, there} <= {LANES + FILL + 2{1'b0}};
    else begin
      issues <= {issues[LANES-2:0], issue};
      copies <= {copies[FILL-2:0], copy};
      if (issue) begun <= 1'b1;
      if (copies[FILL-1]) there <= 1'b1;
    end
    firsts  <= {firsts[LANES-2:0], first};
    weights <= {weights[(WAIT-1)*WGT_W-1:0], mine};
    if (issues[LANES-1]) sum <= firsts[LANES-1] ? product : sum + product;
    if (issues[LANES-1]) columns <= firsts[LANES-1] ? 4'd1 : columns + 4'd1;
    {sum1, sum2} <= {sum, sum1};
    {columns1, columns2} <= {columns, columns1};
    if (copies[FILL-1]) {copied, size} <= {sum2, columns2};
  end

  always @(posedge clk) begin
    if (past) begin
      assert (load == copies[FILL-1]);
      if (there) assert (shadow[lane*ACC_W+:ACC_W] == copied);
    end
  end

  // An average of a window, and its sum while the next one is under way; sums of either sign.
  always @(posedge clk) begin
    cover (past && there && size == 4 && copied == 12 && row == 2 && columns == 2);
    cover (past && there && size == 2 && copied == -8'sd18 && row == 1 && lane == 1);
    cover (past && there && size == 1 && copied == 8'sd9 && load && copies[FILL-2]);
  end

endmodule
