// What the parameters of the engine must be: `include it in hne_core. An illegal parameter set
// stops elaboration: there is no module of such a name.

generate
  if (ROWS < 1 || ROWS > 256) begin : gen_rows
    hne_illegal_ROWS_must_be_1_to_256 stop ();
  end
  if (COLS < 1 || COLS > 256 || (COLS & (COLS - 1)) != 0) begin : gen_cols
    hne_illegal_COLS_must_be_a_power_of_two_up_to_256 stop ();
  end
  if (BANKS < ROWS || (BANKS & (BANKS - 1)) != 0) begin : gen_banks
    hne_illegal_BANKS_must_be_a_power_of_two_from_ROWS_on stop ();
  end
  if (WGT_DEPTH < BANKS || (WGT_DEPTH % BANKS) != 0) begin : gen_weights
    hne_illegal_WGT_DEPTH_must_be_a_multiple_of_BANKS stop ();
  end
  if (ACT_W < 4 || ACT_W > 16 || WGT_W < 4 || WGT_W > 16) begin : gen_widths
    hne_illegal_ACT_W_and_WGT_W_must_be_4_to_16 stop ();
  end
  if (MULT_W < 8 || MULT_W > 32 || ACC_W + MULT_W > 64) begin : gen_mult
    hne_illegal_MULT_W_must_be_8_to_32_and_64_with_ACC_W stop ();
  end
  if (ACC_W != 32 && ACC_W != 48) begin : gen_acc
    hne_illegal_ACC_W_must_be_32_or_48 stop ();
  end
  if (INDEX_MODE != 0 && INDEX_MODE != 1) begin : gen_mode
    hne_illegal_INDEX_MODE_must_be_0_or_1 stop ();
  end
  if (SOFTMAX != 0 && SOFTMAX != 1) begin : gen_softmax
    hne_illegal_SOFTMAX_must_be_0_or_1 stop ();
  end
  if (ADD != 0 && ADD != 1) begin : gen_add
    hne_illegal_ADD_must_be_0_or_1 stop ();
  end
  if (AVERAGE != 0 && AVERAGE != 1) begin : gen_average
    hne_illegal_AVERAGE_must_be_0_or_1 stop ();
  end
  if (GROUPS != 0 && GROUPS != 1) begin : gen_groups
    hne_illegal_GROUPS_must_be_0_or_1 stop ();
  end
  if (LUT_TABLES < 0 || LUT_TABLES > 64) begin : gen_tables
    hne_illegal_LUT_TABLES_must_be_0_to_64 stop ();
  end
  if (REQUANTIZATION != 0 && (REQUANTIZATION != 1 || ACT_W > 8 || ACC_W + MULT_W < 64)) begin : gen_twice
    hne_illegal_REQUANTIZATION_must_be_0_or_1_with_ACT_W_up_to_8_and_64_bit_biases stop ();
  end
  if (ECC < 0 || ECC > 2) begin : gen_ecc
    hne_illegal_ECC_must_be_0_to_2 stop ();
  end
  if (SKIP != 0 && SKIP != 1) begin : gen_skips
    hne_illegal_SKIP_must_be_0_or_1 stop ();
  end
  if (BATCH < 1 || BATCH > COLS || (BATCH & (BATCH - 1)) != 0 || (BATCH > 1 && SKIP != 0)) begin : gen_batch
    hne_illegal_BATCH_must_be_a_power_of_two_up_to_COLS_and_1_with_SKIP stop ();
  end
  if (PROG_DEPTH < 2) begin : gen_program
    hne_illegal_PROG_DEPTH_must_hold_a_layer_and_the_end stop ();
  end
endgenerate
