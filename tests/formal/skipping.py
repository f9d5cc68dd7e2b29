"""Proofs of an engine that skips zeros: the list of an fc layer, the columns of a convolution."""

from __future__ import annotations

from tests.formal.sby import Mutation, Proof

_INDEX_KEY = tuple(
    Proof(
        name=f"index_key_{source}",
        claim="what a source counts with on an engine that skips: the column's number times the "
        "factor of its layer, and where its row-tile begins, of columns that are counted or "
        "listed, in any order; it comes out INDEX_COLUMN moves later, with its last and the rows "
        "of an i-round, none lost, none invented",
        top="formal_index_key",
        sources=("hne_index_key",),
        parameters={"INDEX_MODE": mode, "COLUMN_W": 3, "OUT_W": 4},
        mode="bmc",
        depth=10,
        cover_depth=14,
        note="bounded: the first 9 cycles of a layer, from any state, with any stalls",
        mutations=(
            Mutation(
                "hne_index_key", "listed_i ? listed[31:0]", "1'b0 ? listed[31:0]", "always counted"
            ),
            Mutation(
                "hne_index_key",
                "row_end_q[8*(INDEX_COLUMN-1)-1-:8]",
                "row_end_q[8*(INDEX_COLUMN-2)-1-:8]",
                "the rows of the next row-tile",
            ),
            Mutation(
                "hne_index_key",
                "valid_q[INDEX_COLUMN-2] && last_q[INDEX_COLUMN-2]",
                "valid_q[INDEX_COLUMN-1] && last_q[INDEX_COLUMN-1]",
                "a row-tile begins a column late",
            ),
            Mutation(
                "hne_index_key",
                "enter_last_i ? 32'd0 : count_q + 32'd1",
                "count_q + 32'd1",
                "the next row-tile counts on",
            ),
            Mutation(
                "hne_index_key",
                "      operand_q   <= number;",
                "    end\n    begin\n      operand_q   <= number;",
                "a stage that does not stop",
            ),
            *extra,
        ),
    )
    for source, mode, extra in (
        (
            "sram",
            0,
            (
                Mutation(
                    "hne_index_key",
                    "(dense_i || HASH) ? 32'd0 : index_base_i",
                    "32'd0",
                    "from line 0",
                ),
            ),
        ),
        (
            "hash",
            1,
            (
                Mutation(
                    "hne_index_key",
                    "low_q[31:16] + high_q",
                    "low_q[31:16]",
                    "the upper half of the factor",
                ),
            ),
        ),
    )
)

_MASKS = Proof(
    name="masks",
    claim="which columns of each pixel tile are not 0 in all lanes: every replay shows those that "
    "were seen so, and the last one of a pixel tile of zeros, and no other, word by word and again "
    "from the first; too many words are told, none is written past the end; no word is read before "
    "it was written",
    top="formal_masks",
    sources=("hne_masks", "hne_ram"),
    parameters={"SKIP_MASKS": 3, "WINDOW": 2},
    mode="bmc",
    depth=14,
    cover_depth=22,
    note="bounded: 14 cycles from any state, pixel tiles of up to five columns",
    mutations=(
        Mutation("hne_masks", "(last_i && !any_q)", "1'b0", "a pixel tile of no column"),
        Mutation("hne_masks", "any_q  <= !last_i && (", "any_q  <= (", "zeros behind another one"),
        Mutation(
            "hne_masks",
            "(last_i || bit_q == {BIT_W{1'b1}})",
            "(bit_q == {BIT_W{1'b1}})",
            "a word of two pixel tiles",
        ),
        Mutation("hne_masks", ".we_i(whole && !full)", ".we_i(whole)", "written past the end"),
        Mutation("hne_masks", "if (whole && full) over_q <= 1'b1;", "", "too many words pass"),
        Mutation(
            "hne_masks", "{1'b0, read_q} + ONE == lines_q", "1'b0", "the first word comes once"
        ),
        Mutation(
            "hne_masks", "lines_q == ONE ? {LINE_W{1'b0}} : ", "", "a second word that is not there"
        ),
        Mutation("hne_masks", "word_q <= whole ? {WINDOW{1'b0}} : word", "word_q <= word",
                 "columns of the word before"),
    ),
)  # fmt: skip

_SKIP_MUTATIONS = (
    Mutation(
        "hne_skip", "&& (!way_row_q[1] || last_lanes_q[l])", "", "lanes beyond the row count"
    ),
    Mutation("hne_skip", "(row_q[head_q] ? last_lane : LAST_COL)", "LAST_COL", "rows of lines"),
    Mutation("hne_skip", "nonzero_q[head_q*COLS+:COLS] & mask_q",
             "nonzero_q[head_q*COLS+:COLS]", "a code twice, the next one never"),
    Mutation("hne_skip", "wire behind_known = behind_q < count_q ",
             "wire behind_known = behind_q <= count_q ",
             "taken before it is known whether it is the last one"),
    Mutation("hne_skip", "take_i ? beyond_known : behind_known", "behind_known",
             "the one behind taken before that is known of it"),
    Mutation("hne_skip", "last_q ? single : beyond_is", "beyond_is", "one entry, again and again"),
    Mutation("hne_skip", "wire write = enter_q || empty;", "wire write = enter_q;",
             "an empty list"),
    Mutation("hne_skip", "row_left_q <= row_end ? row_lines_i : ", "row_left_q <= ",
             "one row"),
    Mutation("hne_skip", "take_q   <= last_q ? {COLUMN_W{1'b0}} : ", "take_q   <= ",
             "the next row-tile takes on"),
    Mutation("hne_skip", "skipped_o  <= fan_in_i - ", "skipped_o  <= ", "the wrong ones counted"),
)  # fmt: skip

#: Codes of two bits tell columns apart.
_SKIP_CODES = (
    Mutation("hne_skip", "assign code_o = codes_q[3*ACT_W+:ACT_W];",
             "assign code_o = codes_q[2*ACT_W+:ACT_W];", "the code of the next column"),
    Mutation("hne_skip", "words[lane*ACT_W+:ACT_W]", "words[0+:ACT_W]", "the code of lane 0"),
)  # fmt: skip

_SKIP = tuple(
    Proof(
        name=f"skip_{width}x{height}",
        claim="the list of an fc layer that skips: every code that is not 0 is taken once, in "
        "order, with its position, none else, or one of code 0 if there is none, the last one "
        "marked, in row-tile after row-tile, each in no other cycle than from the one that "
        "docs/timing.md says on; the array gets the code of the column that it issues, the "
        "counter how many there are not; no line is read from outside of the map; nothing is under "
        "way when it is through",
        top="formal_skip",
        sources=("hne_skip", "hne_ram"),
        parameters={"COLS": cols, "ACT_W": act_w, "HEIGHT": height, "WIDTH": width},
        mode="bmc",
        depth=depth,
        cover_depth=22,
        note="bounded: a layer's first cycles, after a reset from any state, all of a scan",
        mutations=mutations,
    )
    for width, height, cols, act_w, depth, mutations in (
        (3, 2, 2, 1, 18, _SKIP_MUTATIONS),
        (5, 1, 4, 2, 16, _SKIP_CODES),
    )
)  # fmt: skip

_SLOTS_MUTATIONS = (
    Mutation("hne_masks", "(last_i && !any_q)", "1'b0", "a pixel tile of no column"),
    Mutation("hne_slots", "[LANES-2:0], x_last_now}", "[LANES-2:0], 1'b0}",
             "lanes beyond the width count"),
    Mutation("hne_slots", "localparam [4:0] GAP = SLOTS_GAP[4:0];",
             "localparam [4:0] GAP = SLOTS_GAP[4:0] - 5'd1;", "a gap one shorter"),
    Mutation("hne_slots", "wire ends = replay ? word_ends && word_last :",
             "wire ends = replay ? word_ends :", "one window of a pixel tile"),
    Mutation("hne_slots", "if (take && word_ends) words_q", "if (take && single) words_q",
             "a window ends before its last lanes"),
    Mutation("hne_slots", "else idle_q <= take && ends && !roomy;", "else idle_q <= 1'b0;",
             "a slot shorter than a drain"),
    Mutation("hne_slots", "assign wrap_o = places[7] && places[13];",
             "assign wrap_o = places[7];", "a window that was walked is left twice"),
    Mutation("hne_slots", "first_tile_q <= group_last_tile;", "first_tile_q <= 1'b0;",
             "the next group replays the one before"),
    Mutation("hne_slots", "- {1'b0, tile_last};", "- {1'b0, slot_last};",
             "the half is left with a pixel tile"),
    Mutation("hne_slots", "!zeros && group_last)", "!zeros)", "one group of lanes"),
    Mutation("hne_slots", "!first_tile_q && !over;", "!first_tile_q;",
             "what does not fit is replayed"),
)  # fmt: skip


def _slots(name: str, depth: int, mutants: tuple[int, ...], **shape: int) -> Proof:
    return Proof(
        name=f"slots_{name}",
        claim="slots of a layer on an engine that skips: each issues the columns that are not 0 in "
        "all lanes that count, the last one of a pixel tile of zeros, or all of them where they "
        "are found out, do not fit or need not be, in order, once for each group of lanes; it "
        "begins, ends and idles in exactly the cycles of docs/timing.md, never shorter than a "
        "drain; a half is left with its last column; the reader is told in time",
        top="formal_slots",
        sources=("hne_slots", "hne_masks", "hne_row_tiles", "hne_ram"),
        parameters={"ROWS": 2, **shape},
        constants={"SLOTS_WINDOW": 2},
        mode="bmc",
        depth=depth,
        cover_depth=depth,
        note="bounded: the first cycles of a layer of this shape, all of it if no half is late; "
        "windows of two columns",
        mutations=tuple(_SLOTS_MUTATIONS[number] for number in mutants),
    )


_SLOTS = (
    _slots("rows", 34, (0, 1, 2, 3, 6), FAN_IN=3, OUT_W=3, OUTPUTS=4, SKIP_MASKS=4),
    _slots("sets", 44, (5, 7), ROWS=3, FAN_IN=2, OUT_W=2, OUTPUTS=4, GROUPS=2, SKIP_MASKS=1),
    _slots("lanes", 34, (4, 9), FAN_IN=3, LOG2_GROUPS=1, OUT_W=1, OUTPUTS=3, SKIP_MASKS=2),
    _slots("full", 34, (10,), FAN_IN=3, OUT_W=3, OUTPUTS=3, SKIP_MASKS=3),
    _slots("plain", 20, (5, 8), CONV=0, FAN_IN=1, OUT_W=3, OUTPUTS=3),
)

_REPLAY_MUTATIONS = (
    Mutation("hne_act_reader", "top_q && !wrap_i ? channel_next : behind_q",
             "top_q ? channel_next : behind_q", "the next group where the reader stands"),
    Mutation("hne_act_reader", "if (top_q && !wrap_i) behind_q", "if (top_q) behind_q",
             "what is behind is forgotten"),
    Mutation("hne_act_reader", "wire window = wrap_i || (", "wire window = (",
             "the window is not left"),
    Mutation("hne_replay", "y_first_i + {14'd0, down_found}", "y_first_i",
             "the row of the first column"),
    Mutation("hne_replay", "line_first_i + behind_found", "behind_found",
             "the line in the first window"),
    Mutation("hne_replay", " && y_q < {2'd0, in_h_i}", "", "below the map"),
)  # fmt: skip

_REPLAY = tuple(
    Proof(
        name=f"replay_{name}",
        claim="the reader of an engine that skips: columns that are looked up are read where "
        "walking the window would have read them, whichever are left out, and such windows leave "
        "the reader where walking them would have left it, through all pixel tiles, row-tiles and "
        "groups",
        top="formal_replay",
        sources=("hne_act_reader", "hne_replay", "hne_ram"),
        parameters=shape,
        mode="bmc",
        depth=depth,
        cover_depth=depth,
        note="bounded: a whole layer of this shape, two groups; any lines, strides, padding and "
        "height",
        mutations=mutations,
    )
    for name, shape, depth, mutations in (
        ("2x2x1", {"WINDOW_C": 2, "WINDOW_H": 2, "WINDOW_W": 1}, 82, _REPLAY_MUTATIONS[1:3]),
        ("1x2x2", {"WINDOW_C": 1, "WINDOW_H": 2, "WINDOW_W": 2}, 82, _REPLAY_MUTATIONS[3:]),
        (
            "lanes",
            {"WINDOW_C": 2, "WINDOW_H": 1, "WINDOW_W": 1, "LOG2_GROUPS": 1, "OUT_H": 1},
            52,
            _REPLAY_MUTATIONS[:1],
        ),
    )
)

_FLOOR = Proof(
    name="floor",
    claim="a layer of an engine that skips ends in the cycle in which it is ready, or in that of "
    "its floor if that comes later, and in no other, whatever the layer before it did",
    top="formal_floor",
    sources=("hne_floor",),
    parameters={},
    mode="bmc",
    depth=32,
    cover_depth=32,
    note="bounded: the first 32 cycles, floors of up to 9",
    mutations=(
        Mutation("hne_floor", "{1'b0, cycles_q} + 25'd2 >=", "{1'b0, cycles_q} + 25'd1 >=",
                 "a cycle late"),
        Mutation("hne_floor", "{1'b0, cycles_q} + 25'd2 >=", "{1'b0, cycles_q} + 25'd3 >=",
                 "a cycle early"),
        Mutation("hne_floor", "reached_q && (end_i || ended_q)", "reached_q && end_i",
                 "one that was ready too early never ends"),
        Mutation("hne_floor", "rst_i || end_o || !counting_i", "rst_i || !counting_i",
                 "the next layer counts on"),
    ),
)  # fmt: skip

PROOFS = (*_INDEX_KEY, *_SKIP, _MASKS, *_SLOTS, *_REPLAY, _FLOOR)
