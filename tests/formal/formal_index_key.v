`default_nettype none

// hne_index_key: each column comes out with its number times the factor, and where its row-tile
// begins, INDEX_COLUMN moves after it entered: columns that are counted, and listed ones in any
// order, row-tiles of any size, rows of an i-round between them, any stalls.
module formal_index_key #(
    parameter integer INDEX_MODE = 0,
    // Bits of a column's number, of the outputs, the fan-in and the first line: the rest is 0.
    parameter integer COLUMN_W = 3,
    parameter integer OUT_W = 4
) (
    input wire                clk,
    input wire                load,
    input wire                move,
    input wire                enter,
    input wire                enter_last,
    input wire                row,
    input wire                row_first,
    input wire [COLUMN_W-1:0] number,
    input wire [         1:0] row_end
);

  localparam [31:0] PRIME3 = 32'hC2B2AE3D;
  // Moves: INDEX_COLUMN.
  localparam integer MOVES = 4;

  (* anyconst *) reg dense, listed;
  (* anyconst *) reg [OUT_W-1:0] n_out, fan_in, first;

  wire column, column_last, row_out, row_first_out;
  wire [31:0] key;
  // The list shows the number a cycle after it was taken, and until the next one is.
  reg [COLUMN_W-1:0] shown;

  hne_index_key #(
      .INDEX_MODE(INDEX_MODE),
      .COLUMN_W  (COLUMN_W)
  ) dut (
      .clk_i(clk),
      .load_i(load),
      .move_i(move),
      .dense_i(dense),
      .n_out_i({{16 - OUT_W{1'b0}}, n_out}),
      .fan_in_i({{32 - OUT_W{1'b0}}, fan_in}),
      .index_base_i({{32 - OUT_W{1'b0}}, first}),
      .listed_i(listed),
      .list_column_i(shown),
      .enter_i(enter),
      .enter_last_i(enter_last),
      .row_end_i({6'd0, row_end}),
      .row_i(row),
      .row_first_i(row_first),
      .column_o(column),
      .column_last_o(column_last),
      .row_o(row_out),
      .row_first_o(row_first_out),
      .key_o(key)
  );

  // Where the row-tile that enters begins, the number of its next column, what goes with each one.
  reg loaded = 1'b0;
  reg [31:0] base, count;
  wire [31:0] factor = dense ? {{32 - OUT_W{1'b0}}, n_out} : INDEX_MODE == 1 ? PRIME3 : 32'd1;
  wire [31:0] now = listed ? {{32 - COLUMN_W{1'b0}}, number} : count;
  reg [MOVES-1:0] there, lasts, rows, firsts;
  reg [32*MOVES-1:0] keys;

  // One layer, from any state: numbers and factors are short, so that the products are.
  always @* assume (load == !loaded);

  always @(posedge clk) begin
    if (load) begin
      loaded <= 1'b1;
      base <= dense || INDEX_MODE == 1 ? 32'd0 : {{32 - OUT_W{1'b0}}, first};
      {count, there, rows} <= {32 + 2 * MOVES{1'b0}};
    end else if (move) begin
      there <= {there[MOVES-2:0], enter};
      rows <= {rows[MOVES-2:0], row};
      if (enter) begin
        count <= enter_last ? 32'd0 : count + 32'd1;
        if (enter_last) begin
          base <= base + (dense ? {30'd0, row_end} + 32'd1 : INDEX_MODE == 1 ? 32'd0 : fan_in);
        end
      end
    end
    if (move) begin
      lasts <= {lasts[MOVES-2:0], enter_last};
      firsts <= {firsts[MOVES-2:0], row_first};
      keys <= {keys[32*(MOVES-1)-1:0], now * factor + base};
      if (enter) shown <= number;
    end
  end

  always @(posedge clk) begin
    if (loaded) begin
      assert (column == there[MOVES-1]);
      assert (row_out == rows[MOVES-1]);
      if (row_out) assert (row_first_out == firsts[MOVES-1]);
      if (column) begin
        assert (column_last == lasts[MOVES-1]);
        assert (key == keys[32*MOVES-1-:32]);
      end
    end
  end

  // Row-tiles behind each other, of one column and of more; a stall; listed and counted.
  reg [2:0] tiles;
  reg stalled;
  always @(posedge clk) begin
    tiles <= load ? 3'd0 : tiles + {2'd0, column && column_last && move};
    stalled <= !load && (stalled || (column && !move));
    cover (loaded && column && listed && tiles == 3'd2 && there == {MOVES{1'b1}} && stalled);
    cover (loaded && column && !listed && tiles == 3'd1 && column_last && keys[32*MOVES-32]);
    cover (loaded && column && dense && tiles == 3'd2 && key == 32'd40);
    cover (loaded && column && !dense && row_out && row_first_out);
  end

endmodule
