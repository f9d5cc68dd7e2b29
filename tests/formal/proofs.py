"""The proofs: property module, parameters, depth, and the mutants that each must reject."""

from __future__ import annotations

from tests.formal import batching, skipping
from tests.formal.sby import Mutation, Proof

_ARBITER = tuple(
    Proof(
        name=f"bank_arbiter_{rows}x{banks}",
        claim="turns and bank arbiter: every row of a column granted once, within as many cycles "
        "as its busiest bank has distinct addresses (≤ ROWS), and the last of them known; one "
        "address a bank a cycle, that of the lowest waiting row; none lost, none invented, the "
        "word read is the word asked for; equal addresses together; no wanted bank idles",
        top="formal_bank_arbiter",
        sources=("hne_bank_arbiter", "hne_turns", "hne_conflicts", "hne_row_tiles"),
        parameters={"ROWS": rows, "BANKS": banks, "ADDR_W": 4 if banks == 4 else 3},
        mode="bmc",
        depth=rows + 8,
        cover_depth=rows + 8,
        note="complete: a column takes at most ROWS cycles",
        mutations=(
            Mutation(
                "hne_turns",
                "first2_q[q] && same_bank2_q[r*(r-1)/2+q]",
                "1'b0",
                "two addresses in one bank in one cycle",
            ),
            Mutation(
                "hne_turns",
                "if (used1[q] && same_word1_q[r*(r-1)/2+q]) first_d[r] = 1'b0;",
                "",
                "equal addresses do not share a read",
            ),
            Mutation(
                "hne_turns",
                "if (twin_q[r*(r-1)/2+q]) begin",
                "if (1'b0) begin",
                "a row goes without the first one of its word",
            ),
            Mutation(
                "hne_turns",
                "q[TURN_W-1:0] + {{TURN_W - 1{1'b0}}, 1'b1})",
                "q[TURN_W-1:0])",
                "a further turn is announced one late",
            ),
            Mutation(
                "hne_conflicts",
                "base_i + wide[LINE_W-1:0]",
                "wide[LINE_W-1:0]",
                "a line that does not count from the first of the layer",
            ),
        ),
    )
    for rows, banks in ((4, 1), (3, 2), (4, 2), (4, 4))
)

_EXPANDER = Proof(
    name="expander",
    claim="expander behind its turns: every column leaves once, in order, each row with the word "
    "of its address, from any first line, and its sign, or with 1, or the identity, from no bank; "
    "row-tiles of up to three groups; a cycle per word of the busiest bank; at most two tile "
    "halves full, and no other reason to wait; a hold ends within the drain",
    top="formal_expander",
    sources=(
        "hne_expander",
        "hne_turns",
        "hne_bank_arbiter",
        "hne_conflicts",
        "hne_row_tiles",
    ),
    parameters={"ROWS": 3, "BANKS": 2, "WGT_W": 2, "ADDR_W": 3},
    mode="bmc",
    depth=16,
    cover_depth=16,
    note="bounded: the first 16 cycles of a layer, after a reset from any state",
    mutations=(
        Mutation("hne_expander", "if (grant_q[2]) begin", "begin", "a word is fetched unasked"),
        Mutation("hne_expander", "<= used_i[n] && turn_i", "<= turn_i", "granted without asking"),
        Mutation(
            "hne_turns",
            "used[n] = row_end >= n[7:0]",
            "used[n] = 1'b1",
            "rows beyond the tile ask for words",
        ),
        Mutation("hne_expander", "open_moves == 2'd2", "open_moves == 2'd3", "a third tile half"),
        Mutation(
            "hne_expander",
            "weight = sign_q[2]",
            "weight = sign_q[1]",
            "the sign is that of the next column",
        ),
        Mutation(
            "hne_expander",
            "more_d = move_q ? more_i :",
            "more_d = move_q ? more_q >> 1 :",
            "served at once, if the column before was",
        ),
        Mutation(
            "hne_expander",
            "behind_q   <= {{TURN_W - 1{1'b0}}, 1'b1};",
            "",
            "a column goes on with the turns of the one before",
        ),
        Mutation(
            "hne_turns",
            "else if (en_i) valid_q <=",
            "else valid_q <=",
            "the turns move on without the expander",
        ),
        Mutation(
            "hne_row_tiles",
            "<= before_last ? first_end_q : end_of(rest);",
            "<= end_of(rest);",
            "a row-tile that spans two groups",
        ),
        Mutation(
            "hne_expander",
            "finish_last_q[2] == (r != 0)",
            "finish_last_q[1] == (r != 0)",
            "the identity of the next column",
        ),
        Mutation(
            "hne_expander",
            "(ONES != 0 && ones_i) ? {BANKS{1'b0}} : read",
            "read",
            "weights of one read banks",
        ),
    ),
)

_AXIL = Proof(
    name="axil",
    claim="AXI4-Lite slave: a response stays as it is until it is taken; one per request, none "
    "without; the register file sees each access once; a write is taken within 2 cycles and "
    "answered in the next, a read within 6 and answered in the fifth; reset at any time",
    top="formal_axil",
    sources=("hne_axil",),
    parameters={"ADDR_W": 4},
    depth=8,
    cover_depth=20,
    mutations=(
        Mutation(
            "hne_axil",
            "else if (bready_i) bvalid_q <= 1'b0;",
            "else bvalid_q <= 1'b0;",
            "a write response is withdrawn",
        ),
        Mutation(
            "hne_axil",
            "wait_q == {MEMORY_READ{1'b0}} && !(rvalid_q",
            "!(rvalid_q",
            "two reads at once",
        ),
        Mutation("hne_axil", "&& !write_q && !read_o", "&& !read_o", "a write is taken twice"),
        Mutation("hne_axil", "&& !read_o && (", "&& (", "a write right behind a read"),
        Mutation("hne_axil", "if (write_q) bresp_q", "bresp_q", "a response changes its mind"),
    ),
)

_STREAM_OUT = Proof(
    name="stream_out",
    claim="logit stream: valid, data and last stay until ready; the logits in class order, each "
    "once, sign-extended, last marked; no beat held back longer than a cycle; reset at any time",
    top="formal_stream_out",
    sources=("hne_stream_out", "hne_ram", "hne_choice"),
    parameters={"ACC_W": 3, "DEPTH": 4, "DATA_W": 5},
    mode="bmc",
    depth=12,
    cover_depth=14,
    note="bounded: 12 cycles, enough for all logits of a full memory",
    mutations=(
        Mutation(
            "hne_stream_out", "&& (!valid_q || ready_i);", "&& 1'b1;", "a beat is overwritten"
        ),
        Mutation(
            "hne_stream_out",
            "sent_q  <= following == class_i;",
            "sent_q  <= next_q == class_i;",
            "one beat too many",
        ),
        Mutation("hne_stream_out", "if (rst_i || !send_i)", "if (rst_i)", "no second image"),
    ),
)

_STREAM_IN = Proof(
    name="stream_in",
    claim="image stream: each beat is written once, to the lane and line of its pixel; done with "
    "the last beat, an error for a short or a long packet, the rest of a long one swallowed; "
    "nothing taken unasked; reset at any time",
    top="formal_stream_in",
    sources=("hne_stream_in",),
    parameters={"COLS": 2, "ACT_W": 2, "LINE_W": 5},
    depth=4,
    cover_depth=18,
    note="shapes up to 3 × 3 × 5",
    mutations=(
        Mutation(
            "hne_stream_in",
            "assign error_o = accept && (final != last_i);",
            "assign error_o = accept && final && !last_i;",
            "a short packet passes",
        ),
        Mutation(
            "hne_stream_in",
            "if (x_last || lane_last) line_q",
            "if (lane_last) line_q",
            "an odd row ends in the line of the next",
        ),
        Mutation(
            "hne_stream_in",
            "active_q && !discard_q && valid_i",
            "active_q && valid_i",
            "the rest of a long packet becomes the next image",
        ),
    ),
)

_SKID = Proof(
    name="skid",
    claim="skid buffer: the words come out as they went in, none lost, none twice; what is offered "
    "stays until it is taken; room whenever fewer than two words are inside, so a word a cycle; "
    "reset at any time",
    top="formal_skid",
    sources=("hne_skid",),
    parameters={"WIDTH": 2},
    depth=3,
    cover_depth=12,
    mutations=(
        Mutation("hne_skid", "!valid_q || ready_i;", "ready_i;", "an empty output takes nothing"),
        Mutation(
            "hne_skid", "spare_valid_q ? spare_q : data_i", "data_i", "the spare word is forgotten"
        ),
        Mutation(
            "hne_skid", "if (!spare_valid_q) spare_q", "spare_q", "the spare word is overwritten"
        ),
        Mutation("hne_skid", "wire move = !valid_q || ready_i;", "wire move = 1'b1;", "not kept"),
    ),
)

_FIFO = Proof(
    name="fifo",
    claim="FIFO: the words come out as they went in, none lost, none twice; what is offered stays "
    "until it is taken; room for DEPTH words and one at the output; none waits longer than two "
    "cycles for a free output; reset at any time",
    top="formal_fifo",
    sources=("hne_fifo",),
    parameters={"WIDTH": 1, "DEPTH": 2},
    mode="bmc",
    depth=10,
    cover_depth=14,
    note="bounded: 10 cycles, enough to fill it, empty it and go around its memory twice",
    mutations=(
        Mutation("hne_fifo", "valid_i && !full_q;", "valid_i;", "a full one takes one more"),
        Mutation(
            "hne_fifo",
            "!empty_q && (!valid_q || ready_i)",
            "!empty_q && ready_i",
            "waits for ready",
        ),
        Mutation("hne_fifo", "else if (ready_i) valid_q", "else valid_q", "an offer withdrawn"),
        Mutation("hne_fifo", "push && words == ALMOST", "push", "a place lost"),
        Mutation(
            "hne_fifo", "if (pop) full_q", "if (pop && !push) full_q", "full for one, for good"
        ),
        Mutation("hne_fifo", "pop && words == ONE", "pop", "forgets what it has"),
    ),
)

_STREAM_GATE = Proof(
    name="stream_gate",
    claim="stream gate: as many packets get in as are expected, whole, in order, unchanged, and "
    "no beat more; a beat that is offered stays until it is taken; reset at any time",
    top="formal_stream_gate",
    sources=("hne_stream_gate", "hne_skid"),
    parameters={"DATA_W": 2},
    depth=3,
    cover_depth=12,
    mutations=(
        Mutation(
            "hne_stream_gate", ".valid_i(valid_i && open)", ".valid_i(valid_i)", "taken unasked"
        ),
        Mutation("hne_stream_gate", "ready_o && last_i}", "last_i}", "a packet skipped"),
        Mutation("hne_stream_gate", "packets_q + {1'b0, expect_i}", "{1'b0, expect_i}", "cut off"),
    ),
)

_ARGMAX = Proof(
    name="argmax",
    claim="argmax: the class of the largest logit, the first where there are several; logits are "
    "numbered as they come; a full set of classes, and a clear at any time",
    top="formal_argmax",
    sources=("hne_argmax",),
    parameters={"ACC_W": 3, "CLASS_W": 3},
    depth=3,
    cover_depth=12,
    mutations=(
        Mutation("hne_argmax", "logit_i > best_q", "logit_i >= best_q", "the last maximum wins"),
        Mutation(
            "hne_argmax",
            "class_q == {CLASS_W{1'b0}} || logit_i",
            "logit_i",
            "the maximum of the image before stays",
        ),
        Mutation(
            "hne_argmax", "reg signed [ACC_W-1:0] best_q", "reg [ACC_W-1:0] best_q", "unsigned"
        ),
    ),
)

_MULHI = Proof(
    name="mulhi",
    claim="hne_mulhi32, full width: (u · K) >> 32 < K for every u and every K > 0; equal to the "
    "upper half of the schoolbook sum",
    top="formal_mulhi",
    sources=("hne_mulhi32",),
    # The products of the module and of the property are the same four, and may be anything that
    # the property assumes of them.
    steps=(
        "opt_dff",
        "opt_merge -share_all",
        "select -assert-count 4 t:$mul",
        "cutpoint t:$mul",
    ),
    depth=4,
    cover_depth=6,
    note="the 16 × 16 products are cut out; of them only the next line is assumed",
    mutations=(
        Mutation(
            "hne_mulhi32",
            "{14'd0, middle_q}",
            "{14'd0, middle_q} + 32'd1",
            "rounds up",
        ),
        Mutation("hne_mulhi32", " + {18'd0, ll_q[31:16]}", "", "a carry is lost"),
    ),
)

_PRODUCT = Proof(
    name="product",
    claim="what the line above takes for granted: x · y ≤ (2^16 − 1) · y for a 16 × 16 product; "
    "four half products are a whole one",
    top="formal_product",
    sources=(),
    parameters={"HALF_W": 3, "LEMMA_W": 16},
    solver="z3",
    mode="bmc",
    depth=1,
    cover_depth=1,
    note="complete: combinational; the sum of halves at 6 × 6 bits",
    mutations=(
        Mutation(
            "formal_product",
            "- {{LEMMA_W{1'b0}}, y};",
            "- {{LEMMA_W{1'b0}}, y} - (y > 7);",
            "a bound that is one lower",
        ),
        Mutation("formal_product", "((al * bh) << HALF_W)", "(al * bh)", "a half misplaced"),
    ),
)

_HASH = Proof(
    name="hash",
    claim="hash unit: address < K, the number of real weights, for every hash, both schemes, any "
    "stalls, and every load in the middle of anything; from the seventh cycle after a load "
    "(columns come out from the eighteenth)",
    top="formal_hash",
    sources=(
        "hne_index_hash",
        "hne_row_tiles",
        "stubs/hne_xxhash",
        "stubs/hne_i_round",
        "stubs/hne_mulhi32",
    ),
    parameters={"ROWS": 2, "ADDR_W": 13, "LOG2_BANKS": 4},
    depth=6,
    cover_depth=20,
    note="xxHash32 may answer anything; hne_mulhi32 what the lines above prove",
    mutations=(
        Mutation(
            "hne_index_hash",
            "banked_i ? real_weights_i >> log2_hash_banks_i : real_weights_i",
            "real_weights_i",
            "scales by all weights, not by those of a bank",
        ),
        Mutation(
            "hne_index_hash", "+ r[ADDR_W-1:0]) & mask_q", "+ r[ADDR_W-1:0])", "a bank too many"
        ),
        Mutation("hne_index_hash", "scale[ADDR_W:0];", "scale[ADDR_W:0] + 1'b1;", "K + 1"),
    ),
)

_POST_LANE = Proof(
    name="post_lane",
    claim="post lane: equal to clamp(⌊(acc · m + b) / 2^s⌋, lo, hi) in exact integers for every "
    "operand whose sum fits (the compiler's promise), of an add with the product before it in "
    "place of b, of a lut the word of its table, and for the logits, whose s is 0, to acc · m + b; "
    "a new operand every cycle",
    top="formal_post_lane",
    sources=("hne_post_lane",),
    parameters={"ACT_W": 3, "ACC_W": 6, "MULT_W": 4, "SHIFT_W": 4},
    depth=8,
    cover_depth=10,
    mutations=(
        Mutation("hne_post_lane", "sum_q >>> shift4_i", "sum_q >> shift4_i", "unsigned shift"),
        Mutation(
            "hne_post_lane",
            "shifted_q[WIDE_W-2:ACT_W]",
            "shifted_q[WIDE_W-2:ACT_W+1]",
            "2^ACT_W wraps to 0",
        ),
        Mutation("hne_post_lane", "below ? lo_i : above", "above", "no lower clamp"),
        Mutation("hne_post_lane", "> hi_i;", "> {ACT_W{1'b1}};", "no upper bound"),
        Mutation("hne_post_lane", "? sum_q : bias3_i", "? bias3_i : bias3_i", "an add of one map"),
        Mutation("hne_post_lane", "lut ? word5_i :", "", "a table that is not looked at"),
    ),
)

_POST_WIDE = Proof(
    name="post_wide",
    claim="post lane at the width of `default`: adder, shifter and clamp for all sums that fit",
    top="formal_post_wide",
    sources=("hne_post_lane",),
    steps=("opt_merge -share_all", "select -assert-count 2 t:$mul", "cutpoint t:$mul"),
    parameters={"ACT_W": 8, "ACC_W": 32, "MULT_W": 16, "SHIFT_W": 6},
    depth=8,
    cover_depth=10,
    note="the two half products are cut out; the line above multiplies",
    mutations=(
        Mutation("hne_post_lane", "sum_q >>> shift4_i", "sum_q >> shift4_i", "unsigned shift"),
        Mutation(
            "hne_post_lane",
            "shifted_q[WIDE_W-2:ACT_W]",
            "shifted_q[WIDE_W-3:ACT_W]",
            "the highest bit does not clamp",
        ),
    ),
)

_PLACES_MUTATIONS = (
    Mutation("hne_places", "|| out_line >= in_end)", "|| 1'b1)", "a map over what is read"),
    Mutation("hne_places", "out_line >= in2_end);", "1'b1);", "a map over the second source"),
    Mutation("hne_places", "!known_q ||", "", "what nobody wrote"),
    Mutation("hne_places", "(add_i && !known2_q)", "1'b0", "a second source of nobody"),
    Mutation("hne_places", "&& !last_i) begin", ") begin", "logits take up lines"),
    Mutation("hne_places", "(valid_q[0] && !joins)", "valid_q[0]", "a run twice"),
    Mutation(
        "hne_places",
        "if (first_end > new_end_q)",
        "if (first_end < new_end_q)",
        "the end of a run forgotten",
    ),
    Mutation("hne_places", "valid_q <= {RUNS{1'b0}};", "", "the image before counts, too"),
    Mutation("hne_places", "(!last_i && out_end_q > DEPTH)", "1'b0", "beyond the end"),
)

#: Takes as many layers as there are runs: beyond the bound where there are four.
_PLACES_FORGOTTEN = Mutation("hne_places", "&& &valid_q &&", "&& 1'b0 &&", "a run forgotten")

_PLACES = tuple(
    Proof(
        name=f"places_{runs}",
        claim="places of maps: an instruction is refused exactly if it reads a line that was not "
        "written since the image, writes a line that it reads, would leave what was written in "
        "more than RUNS runs, or reaches beyond the memory; for every program of any length",
        top="formal_places",
        sources=("hne_places",),
        parameters={"ACT_DEPTH": depth, "LINE_W": width, "RUNS": runs},
        depth=6,
        cover_depth=cover_depth,
        mutations=mutations,
    )
    for runs, depth, width, cover_depth, mutations in (
        (2, 6, 3, 30, (*_PLACES_MUTATIONS, _PLACES_FORGOTTEN)),
        (4, 10, 4, 34, _PLACES_MUTATIONS),
    )
)

_POST = Proof(
    name="post",
    claim="where post writes: every line of the output map once and no other, the last one marked; "
    "a logit for each output; of every row the scale and bias of its channel, of an average those "
    "of all, of an add in turn; for any row-tiles, groups and pixels, drains back to back or apart",
    top="formal_post",
    sources=("hne_post", "hne_post_lane", "hne_row_tiles"),
    parameters={"ROWS": 2, "LINE_W": 4, "CHAN_W": 3},
    mode="bmc",
    depth=36,
    cover_depth=28,
    note="complete for up to two groups of three outputs of two pixels",
    mutations=(
        Mutation("hne_post", "if (!add_q) line_q", "line_q", "an add with a line for each row"),
        Mutation("hne_post", "&& (!add_q || row_last)}", "}", "the first row of an add is written"),
        Mutation("hne_post", "(shared_q || !pixel_last)", "!pixel_last", "words not shared"),
        Mutation(
            "hne_post", "if (!shared_q) tile_channel_q", "tile_channel_q", "shared words move on"
        ),
        Mutation("hne_post", "tile_line_q    <= out_line_i", "tile_line_q    <= 0", "from line 0"),
        Mutation(
            "hne_row_tiles",
            "<= before_last ? first_end_q : end_of(rest);",
            "<= end_of(rest);",
            "a row-tile that spans two groups",
        ),
    ),
)

_POST_VALUES = Proof(
    name="post_values",
    claim="what post writes, with its memories and hne_lut: for every row that drains "
    "clamp(⌊(acc · m + b) / 2^s⌋, lo, hi) with the words of its channel, or with those of all "
    "(average), with both products of an add, T[a] of the layer's table; acc + b in the last "
    "layer; drains back to back or apart",
    top="formal_post_values",
    sources=(
        "hne_post",
        "hne_post_lane",
        "hne_row_tiles",
        "hne_lut",
        "hne_watch",
        "hne_ecc_ram",
        "hne_ram",
    ),
    parameters={"COLS": 2, "ACT_W": 2, "ACC_W": 4, "MULT_W": 2, "LUT_TABLES": 2},
    mode="bmc",
    depth=24,
    cover_depth=26,
    note="bounded: the first six rows of a layer, such as three outputs of two pixels or of two "
    "groups",
    mutations=(
        Mutation("hne_post", "(second_q[BIAS])", "(second_q[BIAS-1])", "the second map early"),
        Mutation(
            "hne_post",
            "bias_q[(BIAS-1)*BIAS_W+:BIAS_W]",
            "bias_q[(BIAS-2)*BIAS_W+:BIAS_W]",
            "b early",
        ),
        Mutation(
            "hne_post",
            "shift_q[(SHIFT-1)*SHIFT_W+:SHIFT_W]",
            "shift_q[(SHIFT-2)*SHIFT_W+:SHIFT_W]",
            "s early",
        ),
        Mutation("hne_post", "last_layer_q ? UNIT : scale1_q", "scale1_q", "a logit times m"),
        Mutation(
            "hne_post",
            "= acc2_q[n*ACC_W+:ACT_W]",
            "= acc1_q[n*ACC_W+:ACT_W]",
            "the code of the next row",
        ),
        Mutation("hne_lut", "LUT_WAIT + 1", "LUT_WAIT", "a word of a table early"),
        Mutation(
            "hne_lut",
            "base[LINE_W-1:ACT_W], code_q",
            "{LINE_W - ACT_W{1'b0}}, code_q",
            "always table 0",
        ),
        Mutation(
            "hne_post",
            "if (!shared_q) tile_channel_q",
            "tile_channel_q",
            "an average with the words of the next channel",
        ),
    ),
)

_READER = Proof(
    name="reader",
    claim="what a layer reads: no word from outside of its source maps ever reaches a lane, for "
    "any window, padding, stride, group and second map; padding instead",
    top="formal_reader",
    sources=("hne_act_reader", "hne_act_lanes"),
    parameters={"COLS": 2, "LINE_W": 5},
    mode="bmc",
    depth=26,
    cover_depth=26,
    note="bounded: the first 19 steps of a layer, back to back, or 10 apart; maps up to 2 × 3, "
    "windows up to 2 × 2",
    mutations=(
        Mutation(
            "hne_act_reader", "y_q >= 18'sd0 && y_q < height", "y_q < height", "above the map"
        ),
        Mutation("hne_act_reader", "y_q >= 18'sd0 && y_q < height", "y_q >= 18'sd0", "below it"),
        Mutation(
            "hne_act_lanes",
            "!x_q[17] && x_q[16:0] < {1'b0, in_w_i}",
            "(x_q[17] || x_q[16:0] < {1'b0, in_w_i})",
            "left of it",
        ),
        Mutation("hne_act_lanes", "&& x_q[16:0] < {1'b0, in_w_i}", "", "right of it"),
        Mutation(
            "hne_act_reader",
            "c_last_q ? group_step_i : channel_step_i",
            "channel_step_i",
            "the second channel of an add is not that of its map",
        ),
        Mutation(
            "hne_act_reader",
            "top_q && !wrap_i ? channel_next : behind_q",
            "channel_next",
            "a group too low",
        ),
        Mutation("hne_act_reader", "group_end_i ? behind : map_q", "behind", "a group too early"),
    ),
)

_MAC = Proof(
    name="mac",
    claim="MAC array: what drains of every row and lane is the sum of weight · activation over the "
    "columns since the first one of the pixel tile, modulo 2^ACC_W, whatever is issued meanwhile, "
    "back to back or apart; with weights of one it is the sum of an average",
    top="formal_mac",
    sources=("hne_mac_array", "hne_mac_row"),
    parameters={"ROWS": 3, "COLS": 2, "ACT_W": 2, "WGT_W": 3, "ACC_W": 8},
    mode="bmc",
    depth=18,
    cover_depth=18,
    note="bounded: 18 cycles, sums of up to eight columns",
    mutations=(
        Mutation("hne_mac_row", "first_i ? product : ", "", "the sum of the pixel before stays"),
        Mutation(
            "hne_mac_array",
            "wait_q[WAIT-1-:ROWS*WGT_W]",
            "wait_q[WAIT-ROWS*WGT_W-1-:ROWS*WGT_W]",
            "the weight of the next column",
        ),
        Mutation("hne_mac_row", "if (copy_i) shadow_q", "shadow_q", "no shadow bank"),
        Mutation(
            "hne_mac_row", "{{WGT_W{1'b0}}, act_q}", "{{WGT_W{act_q[ACT_W-1]}}, act_q}", "a sign"
        ),
        Mutation(
            "hne_mac_array",
            "tree[(2*place+1)*COLS*ACC_W+:COLS*ACC_W]",
            "tree[2*place*COLS*ACC_W+:COLS*ACC_W]",
            "a row drains in place of the next one",
        ),
    ),
)

_CODE_MUTATIONS = (
    Mutation(
        "hne_code", "ECC_COLUMNS[n*8+:CHECK_W];", "ECC_COLUMNS[(n/2)*8+:CHECK_W];", "a column twice"
    ),
    Mutation("hne_code", "data_o[n] = !data_i[n];", "", "found, not corrected"),
    Mutation(
        "hne_code", "known  = ECC != 1 && (", "known  = ECC != 1 && ~(", "check bits forgotten"
    ),
    Mutation(
        "hne_code",
        "wrong_o = syndrome != {CHECK_W{1'b0}} && !known;",
        "wrong_o = 1'b0;",
        "two pass",
    ),
)

_CODE = tuple(
    Proof(
        name=f"code_{width}",
        claim="check bits: a word comes back as it was if no bit or any one bit of it and its "
        "check bits was flipped; any two are found",
        top="formal_code",
        sources=("hne_code",),
        parameters={"WIDTH": width, "ECC": 2, "CHECK_W": check},
        # Long exclusive ors: seconds for z3, minutes for Yices.
        solver="z3",
        mode="bmc",
        depth=1,
        cover_depth=1,
        note="complete: combinational",
        mutations=_CODE_MUTATIONS,
    )
    for width, check in (
        (4, 4),
        (8, 5),
        (14, 6),
        (22, 6),
        (25, 6),
        (32, 7),
        (48, 7),
        (64, 8),
    )
)

_PARITY = Proof(
    name="parity",
    claim="parity: a word comes as it is stored, and is wrong exactly if an odd number of bits of "
    "it and its check bit was flipped",
    top="formal_code",
    sources=("hne_code",),
    parameters={"WIDTH": 8, "ECC": 1, "CHECK_W": 1},
    mode="bmc",
    depth=1,
    cover_depth=1,
    note="complete: combinational",
    mutations=(
        Mutation("hne_code", "? {CHECK_W{1'b1}} :", "? ~{CHECK_W{1'b1}} :", "no parity"),
        Mutation(
            "hne_code", "known  = ECC != 1 && (", "known  = (", "a flip passes as a check bit"
        ),
    ),
)

_ECC_RAM = Proof(
    name="ecc_ram",
    claim="RAM with check bits: what was written is read in the next cycle, and stays; one wrong "
    "check bit changes nothing, two are found",
    top="formal_ecc_ram",
    sources=("hne_ecc_ram", "hne_ram", "hne_code"),
    parameters={"WIDTH": 3, "DEPTH": 2},
    mode="bmc",
    depth=8,
    cover_depth=8,
    note="bounded: 8 cycles, enough to write and read both words twice",
    mutations=(
        Mutation(
            "hne_ecc_ram",
            "{check ^ flip_i[CHECK_W-1:0], wdata_i}",
            "{flip_i[CHECK_W-1:0], wdata_i}",
            "stored without check bits",
        ),
        Mutation(
            "hne_ecc_ram", ".rdata_o({stored_check, stored})", ".rdata_o({stored, stored_check})",
            "check bits on the wrong side",
        ),
    ),
)  # fmt: skip

_WEIGHT_BANK = Proof(
    name="weight_bank",
    claim="weight bank of a number of lines that is no power of two: a line that there is not is 0 "
    "and no wrong word, whatever stands behind the memory; the others are what was written, and "
    "wrong where their check bit is",
    top="formal_weight_bank",
    sources=(
        "hne_weight_bank", "hne_late", "hne_watch", "hne_ecc_ram", "hne_ram", "hne_code",
    ),
    parameters={"WGT_W": 2, "LINES": 3},
    mode="bmc",
    depth=10,
    cover_depth=10,
    note="bounded: 10 cycles, enough to write and read every line twice",
    mutations=(
        Mutation("hne_weight_bank", "wrong_word && !hole_q", "wrong_word", "a hole is wrong"),
        Mutation("hne_weight_bank", "hole_q ? {WGT_W{1'b0}} : word", "word", "a hole is not 0"),
        Mutation("hne_weight_bank", ">= LINES[LINE_W-1:0]", "> LINES[LINE_W-1:0]", "a line more"),
        Mutation("hne_watch", "read_q && wrong_i", "wrong_i", "words that the bus reads stop"),
    ),
)  # fmt: skip

_STOP = Proof(
    name="stop",
    claim="sequencer: after a wrong word of any memory no layer starts, no logit leaves and no "
    "image is taken; the engine ends with the status of it; reset at any time",
    top="formal_stop",
    sources=("hne_sequencer",),
    parameters={"PROG_DEPTH": 4},
    depth=4,
    cover_depth=75,
    mutations=(
        Mutation(
            "hne_sequencer", "&& !malformed && !wrong;", "&& !malformed;", "an image is taken"
        ),
        Mutation(
            "hne_sequencer",
            "          if (wrong) begin",
            "          if (1'b0) begin",
            "a layer goes on",
        ),
        Mutation(
            "hne_sequencer", "wrong_q || wrong_instruction_i", "wrong_q", "the last word of a fetch"
        ),
        Mutation(
            "hne_sequencer", "if (wrong) cause_o <= CAUSE_MEMORY;", "", "the status of another"
        ),
    ),
)

PROOFS = (
    *_ARBITER, _EXPANDER, _AXIL, _STREAM_OUT, _STREAM_IN, _STREAM_GATE, _SKID, _FIFO, _ARGMAX,
    _MULHI, _PRODUCT, _HASH, _POST_LANE, _POST_WIDE,
    *_PLACES,
    _MAC,
    _POST,
    _POST_VALUES,
    _READER,
    *_CODE, _PARITY, _ECC_RAM, _WEIGHT_BANK, _STOP,
    *skipping.PROOFS,
    *batching.PROOFS,
)  # fmt: skip
