`resetall
`timescale 1ns / 1ps
`default_nettype none

// Feature maps: image in, activation buffer, and the reader that brings COLS neighbouring
// activations to the array or the pool five cycles after each step.
module hne_act_path #(
    // Activations side by side, a power of two: a bank and a lane each.
    parameter integer COLS = 2,
    // Bits of an activation: of memories and lanes.
    parameter integer ACT_W = 8,
    // Lines of all maps: the depth of the memories.
    parameter integer ACT_DEPTH = 8192,
    // 1: the memories are also read line by line, a lane's code may come from a list, and columns
    // of a window may be left out.
    parameter integer SKIP = 0,
    // Columns of a window, where some may be left out.
    parameter integer TILE_DEPTH = 256,
    // Images of a batch, a power of two: a page of the memories each, in which image b stands
    // turned by b banks. Costs the turning of what is written.
    parameter integer BATCH = 1,
    // Bits of a column's number. Follows from TILE_DEPTH: leave it.
    parameter integer COLUMN_W = (TILE_DEPTH > 1) ? $clog2(TILE_DEPTH) : 1,
    // Bits of a line. Follows from ACT_DEPTH: leave it.
    parameter integer LINE_W = (ACT_DEPTH > 1) ? $clog2(ACT_DEPTH) : 1
) (
    input  wire                  clk_i,
    input  wire                  rst_i,
    // The cycle before a layer starts, and its parameters.
    input  wire                  load_i,
    input  wire                  fc_i,
    // Of a batch: images, and the one that is taken or that the layer runs for.
    input  wire [           8:0] images_i,
    input  wire [           7:0] image_i,
    input  wire [           3:0] stride_w_i,
    input  wire [           3:0] stride_h_i,
    input  wire [           3:0] pad_left_i,
    input  wire [           3:0] pad_top_i,
    input  wire [     ACT_W-1:0] fill_i,
    input  wire [          15:0] in_c_i,
    input  wire [          15:0] in_h_i,
    input  wire [          15:0] in_w_i,
    input  wire [          15:0] out_h_i,
    input  wire [          15:0] window_c_i,
    input  wire [          15:0] window_w_i,
    input  wire [          15:0] window_h_i,
    input  wire [          15:0] x_tiles_i,
    input  wire [           3:0] log2_groups_i,
    input  wire [    LINE_W-1:0] in_row_i,
    input  wire [    LINE_W-1:0] channel_step_i,
    input  wire [    LINE_W-1:0] group_step_i,
    input  wire [    LINE_W-1:0] out_step_i,
    input  wire [    LINE_W-1:0] first_line_i,
    // A layer runs: it writes, not the image.
    input  wire                  run_i,
    // Reader: see hne_act_reader.
    input  wire                  step_i,
    input  wire                  wrap_i,
    // The step is one of the first window of a layer, and of this column; columns are looked up;
    // the step is one that was, of this group of lanes.
    input  wire                  opening_i,
    input  wire [  COLUMN_W-1:0] column_i,
    input  wire                  look_i,
    input  wire [  COLUMN_W-1:0] look_column_i,
    input  wire                  replay_i,
    input  wire [           3:0] replay_group_i,
    input  wire                  group_end_i,
    output wire                  group_first_o,
    output wire                  group_last_o,
    output wire                  window_first_o,
    output wire                  window_last_o,
    output wire                  map_last_o,
    output wire [COLS*ACT_W-1:0] lane_o,
    // The layer's codes come from a list: lines to look at, their words two cycles later; the code.
    input  wire                  list_i,
    input  wire                  list_read_i,
    input  wire [    LINE_W-1:0] list_line_i,
    output wire [COLS*ACT_W-1:0] list_word_o,
    input  wire [     ACT_W-1:0] list_code_i,
    // One line of the output map; of an fc layer, a pixel of the map of each image.
    input  wire                  write_i,
    input  wire [    LINE_W-1:0] line_i,
    input  wire [COLS*ACT_W-1:0] act_i,
    // Image in, from this line on.
    input  wire                  input_load_i,
    input  wire [    LINE_W-1:0] input_line_i,
    output wire                  input_done_o,
    output wire                  input_error_o,
    input  wire                  in_valid_i,
    output wire                  in_ready_o,
    input  wire [     ACT_W-1:0] in_data_i,
    input  wire                  in_last_i
);

  wire signed [17:0] x, walked_x, x_first, y, y_first;
  wire row_valid, walked_valid;
  wire [3:0] group, walked_group;
  wire [LINE_W-1:0] read_line, walked_line, line_first, in_line;
  localparam integer PLACE_W = LINE_W + $clog2(BATCH);

  wire [COLS*PLACE_W-1:0] bank_place, write_place;
  wire [COLS*ACT_W-1:0] bank_word, in_act, write_word;
  wire [COLS-1:0] in_write, bank_write;
  wire [PLACE_W-1:0] list_place;
  wire [LINE_W-1:0] write_line = run_i ? line_i : in_line;
  wire read;
  wire listed = SKIP != 0 && list_i;
  wire replayed = SKIP != 0 && replay_i;
  wire [COLS*ACT_W-1:0] lane;
  wire unused_list = &{1'b0, list_read_i, list_line_i, list_code_i};

  assign list_word_o = bank_word;
  generate
    if (SKIP != 0) begin : gen_replay
      wire signed [17:0] found_x;
      wire found_valid;
      wire [LINE_W-1:0] found_line;

      hne_replay #(
          .TILE_DEPTH(TILE_DEPTH),
          .LINE_W(LINE_W)
      ) u_replay (
          .clk_i(clk_i),
          .write_i(step_i && opening_i),
          .write_column_i(column_i),
          .x_i(walked_x),
          .y_i(y),
          .line_i(walked_line),
          .x_first_i(x_first),
          .y_first_i(y_first),
          .line_first_i(line_first),
          .in_h_i(in_h_i),
          .look_i(look_i),
          .look_column_i(look_column_i),
          .x_o(found_x),
          .row_valid_o(found_valid),
          .line_o(found_line)
      );

      assign x = replay_i ? found_x : walked_x;
      assign row_valid = replay_i ? found_valid : walked_valid;
      assign read_line = replay_i ? found_line : walked_line;
      assign group = replay_i ? replay_group_i : walked_group;
    end else begin : gen_walk
      wire unused_replay = &{
        1'b0, opening_i, column_i, look_i, look_column_i, replay_i, replay_group_i, x_first,
        y_first, y, line_first
      };

      assign x = walked_x;
      assign row_valid = walked_valid;
      assign read_line = walked_line;
      assign group = walked_group;
    end
  endgenerate

  // An fc layer uses the first lane, or those of a batch.
  assign lane_o = listed ? {COLS{list_code_i}} : lane;

  hne_stream_in #(
      .COLS  (COLS),
      .ACT_W (ACT_W),
      .LINE_W(LINE_W)
  ) u_stream_in (
      .clk_i(clk_i),
      .rst_i(rst_i),
      .load_i(input_load_i),
      .channels_i(in_c_i),
      .height_i(in_h_i),
      .width_i(in_w_i),
      .line_i(input_line_i),
      .valid_i(in_valid_i),
      .ready_o(in_ready_o),
      .data_i(in_data_i),
      .last_i(in_last_i),
      .write_o(in_write),
      .line_o(in_line),
      .act_o(in_act),
      .done_o(input_done_o),
      .error_o(input_error_o)
  );

  hne_act_buffer #(
      .COLS(COLS),
      .ACT_W(ACT_W),
      .ACT_DEPTH(ACT_DEPTH),
      .BATCH(BATCH)
  ) u_maps (
      .clk_i(clk_i),
      .read_i(listed ? list_read_i : read),
      .read_place_i(listed ? {COLS{list_place}} : bank_place),
      .word_o(bank_word),
      .write_i(rst_i ? {COLS{1'b0}} : bank_write),
      .write_place_i(write_place),
      .write_word_i(write_word)
  );

  generate
    if (BATCH > 1) begin : gen_batch
      // What an fc layer gives stands in lane n for image n, whose first pixel bank n has.
      wire all = run_i && fc_i;
      wire [7:0] turn = all ? 8'd0 : image_i;
      genvar n;

      hne_turn #(
          .LANES(COLS),
          .WIDTH(ACT_W),
          .TURNS(BATCH)
      ) u_turn (
          .turn_i(turn),
          .line_i(run_i ? act_i : in_act),
          .line_o(write_word)
      );

      wire [COLS-1:0] turned_write;

      hne_turn #(
          .LANES(COLS),
          .WIDTH(1),
          .TURNS(BATCH)
      ) u_turn_in (
          .turn_i(turn),
          .line_i(in_write),
          .line_o(turned_write)
      );

      for (n = 0; n < COLS; n = n + 1) begin : gen_bank
        localparam [31:0] NUMBER = n;
        wire [7:0] page = all ? NUMBER[7:0] : image_i;
        wire unused_page = &{1'b0, page};

        assign write_place[n*PLACE_W+:PLACE_W] = {write_line, page[PLACE_W-LINE_W-1:0]};
        assign bank_write[n] = turned_write[n]
            || (write_i && (!all || NUMBER[8:0] < images_i));
      end
      // An engine of batches has no list.
      wire [PLACE_W-LINE_W-1:0] no_page = 0;
      assign list_place = {list_line_i, no_page};
    end else begin : gen_image
      wire unused_images = &{1'b0, images_i, image_i};

      assign list_place = list_line_i;
      assign write_place = {COLS{write_line}};
      assign write_word = run_i ? act_i : in_act;
      assign bank_write = in_write | {COLS{write_i}};
    end
  endgenerate

  hne_act_reader #(
      .COLS  (COLS),
      .LINE_W(LINE_W)
  ) u_reader (
      .clk_i(clk_i),
      .load_i(load_i),
      .stride_w_i(stride_w_i),
      .stride_h_i(stride_h_i),
      .pad_left_i(pad_left_i),
      .pad_top_i(pad_top_i),
      .in_h_i(in_h_i),
      .out_h_i(out_h_i),
      .window_c_i(window_c_i),
      .window_w_i(window_w_i),
      .window_h_i(window_h_i),
      .x_tiles_i(x_tiles_i),
      .log2_groups_i(log2_groups_i),
      .in_row_i(in_row_i),
      .channel_step_i(channel_step_i),
      .group_step_i(group_step_i),
      .out_step_i(out_step_i),
      .first_line_i(first_line_i),
      .group_end_i(group_end_i),
      .step_i(step_i && !replayed),
      .wrap_i(wrap_i),
      .x_first_o(x_first),
      .y_first_o(y_first),
      .y_o(y),
      .line_first_o(line_first),
      .x_o(walked_x),
      .row_valid_o(walked_valid),
      .line_o(walked_line),
      .group_o(walked_group),
      .group_first_o(group_first_o),
      .group_last_o(group_last_o),
      .window_first_o(window_first_o),
      .window_last_o(window_last_o),
      .map_last_o(map_last_o)
  );

  hne_act_lanes #(
      .COLS  (COLS),
      .ACT_W (ACT_W),
      .LINE_W(LINE_W),
      .BATCH(BATCH)
  ) u_lanes (
      .clk_i(clk_i),
      .step_i(step_i),
      .fc_i(fc_i),
      .image_i(image_i),
      .x_i(x),
      .in_w_i(in_w_i),
      .row_valid_i(row_valid),
      .line_i(read_line),
      .stride_i(stride_w_i),
      .fill_i(fill_i),
      .group_i(group),
      .log2_groups_i(log2_groups_i),
      .read_o(read),
      .bank_place_o(bank_place),
      .bank_word_i(bank_word),
      .lane_o(lane)
  );

endmodule

`resetall
