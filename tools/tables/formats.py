"""Tables of formats and constants, read from the modules that define them."""

from __future__ import annotations

import numpy as np

from hwsim.files import markdown
from hwsim.numbers.config import EngineConfig, config_names, load_config
from hwsim.program.instruction import FIELDS
from hwsim.program.layers import LutLayer
from hwsim.program.program import Program
from hwsim.rom.memfile import MemFile
from hwsim.rom.memories import MEMORIES, memory_files
from hwsim.units import (
    act_buffer,
    expander,
    index,
    mac_array,
    pool,
    post,
    sequencer,
    skip,
    slots,
    softmax,
)

#: What the fields of an instruction say, and which layers have them.
MEANINGS = {
    "op": "0 end, 1 conv, 2 fc, 3 pool, 4 average, 5 affine, 6 add, 7 lut",
    "last": "1 in the last layer",
    "scheme": "conv, fc: 0 dense, 1 xxh32, 2 banked",
    "log2_hash_banks": "conv, fc: log2 H",
    "kernel_w": "conv, pool, average: columns of the window",
    "stride_w": "and its step to the right",
    "pad_left": "conv, pool: columns of padding before the first",
    "kernel_h": "conv, pool, average: rows of the window",
    "stride_h": "and its step down",
    "in_c": "channels of the input map",
    "out_c": "channels of the output map",
    "in_h": "its height",
    "in_w": "its width",
    "out_h": "its height",
    "out_w": "its width",
    "fan_in": "conv, fc",
    "real_weights": "conv, fc: K",
    "seed": "conv, fc: of the hash",
    "weight_base": "first line in weights.mem",
    "index_base": "first line in index.mem",
    "channel_base": "first line in scale.mem and bias.mem",
    "prob_shift": "last layer: the binary point of the logits less 4, two's complement",
    "pad_top": "conv, pool: rows of padding above the first",
    "away": "conv, fc, average, affine, add but the last layer: 1 if `requantization` is "
    "`twice-away`",
    "fill": "conv: the code that padding reads",
    "lo": "all but pool, lut: the least code of the output map",
    "hi": "all but pool: the largest",
    "in_line": "first line of what is read",
    "in2_line": "add: first line of the second map; conv, fc: cycles that the layer takes at "
    "least, 24 bits, 0 of an engine that does not skip",
    "out_line": "first line of what is written; 0 in the last layer",
    "groups": "conv",
    "table": "lut: number of its table in lut.mem",
    "zero": "where `away` is 1: the code of real 0 of the output map",
}

#: Pipeline stages by unit, in the order of the table, and what happens in them.
STAGES = {
    sequencer: {
        "START": "the last pixel was accepted at boundary 0; leave idle",
        "FETCH": "16 instruction words, one a cycle; read; register",
        "SETUP": "line strides of all maps (a product); slot length T (a maximum); the load of "
        "all units, registered",
        "ISSUE": "fc only: the array issues a column in the cycle after its tile-buffer write",
    },
    skip: {
        "SCAN": "fc of an engine that skips: a line is read (2); which codes are not 0; the first "
        "of them",
    },
    slots: {
        "SELECT": "all other layers of the array of an engine that skips: a column is chosen and "
        "looked up; its place is read; added to that of the window",
        "GAP": "a convolution of an engine that skips, before the second row-tile of a group: the "
        "last column is seen and written, the first words are read",
        "WINDOW": "no cycles: columns of such a convolution that are looked at together",
    },
    index: {
        "COLUMN": "on an engine that skips: the column's number, from a counter or the list; its "
        "product with the constant of the source (3)",
        "LANE": "state_i + j·PRIME3, rotate by 17",
        "ROUND": "· PRIME4: the words of the digits, three levels of sums",
        "MIX": "^ >> 15, · PRIME2 (4); ^ >> 13, · PRIME3 (4)",
        "SCALE": "^ >> 16, high half of u·K, or of u·(K/H) for `banked`: operands, products, sum "
        "(2)",
        "ROTATE": "`banked`: ·H + ((i + rotation) mod H); `xxh32` passes",
    },
    expander: {
        "COMPARE": "bank and line of each row; which rows want the same bank or word",
        "FIRST": "the lowest row of each word",
        "COUNT": "words of lower rows in the same bank",
        "TURN": "the turn of each row, and whether a further one follows; the column register",
        "ROUTE": "the reads travel to their banks",
        "READ": "bank SRAMs answer",
        "SIGN": "words are routed to the rows that were granted, negated where ξ = −1",
        "WRITE": "the finished column is written to the tile buffer",
    },
    act_buffer: {
        "ADDRESS": "line of each bank; x of each lane was found in the cycle of the issue",
        "READ": "the banks answer; their output registers. The tile buffer answered at once, its "
        "weights wait",
        "ALIGN": "words to lanes, the fill code for padding",
    },
    mac_array: {
        "BROADCAST": "lanes and weights to the operand registers of all cells",
        "MULTIPLY": "ROWS × COLS products",
        "ACCUMULATE": "the first column of a pixel tile loads, the others add",
        "SHADOW": "all accumulators are copied to the shadow bank",
    },
    post: {
        "READ": "scale and bias memories answer",
        "BROADCAST": "sums and m_c to the operand registers of the lanes",
        "MULTIPLY": "acc·m_c: partial products, sum",
        "ADD": "+ b_c",
        "SHIFT": "arithmetic >> s_c",
        "CLAMP": "to lo … hi; a lut takes its word here",
        "WRITE": "one line of the feature map; last layer: one logit, compared for the argmax",
    },
    pool: {
        "COMPARE": "maximum so far; the first element of a window loads",
        "WRITE": "one line of the output map",
    },
    softmax: {
        "READ": "the logit is out",
        "DIFFERENCE": "to the maximum",
        "SHIFT": "by multiples of eight; by the rest, saturated to a table address",
        "LOOKUP": "EXP_LUT; its output register",
        "SUM": "Σe; e_k is kept",
        "LOAD": "between the passes: e_0 is read, its register, into the divider",
        "DIVIDE": "one quotient bit a cycle; the next e_k loads with the last bit",
    },
}


def constants() -> str:
    """Every stage of every unit, with the cycles that its module says, for docs/timing.md."""
    rows = [
        [f"`{unit.__name__.rpartition('.')[2]}.{name}`", str(getattr(unit, name)), words]
        for unit, stages in STAGES.items()
        for name, words in stages.items()
    ]
    return _left(["constant", "cycles", "what happens"], rows)


def fields() -> str:
    """The words of an instruction, for docs/images.md."""
    rows = [
        [str(word), f"{low + width - 1} … {low}" if width > 1 else str(low), f"`{name}`",
         MEANINGS[name]]
        for name, (word, low, width) in FIELDS.items()
    ]  # fmt: skip
    return _left(["word", "bits", "field", ""], rows)


def _files(config: EngineConfig) -> dict[str, MemFile]:
    """Line layouts of a configuration; they do not depend on the network."""
    layer = LutLayer("", (1, 1, 1), np.zeros(1, np.int32), scale=1.0)
    return memory_files(Program.chain(config, (layer,), (1, 1, 1)))


def widths() -> str:
    """Fields, bits and digits of a line by configuration, for docs/images.md."""
    names = config_names()
    rows = []
    for memory in MEMORIES:
        row = [f"`{memory}`"]
        for name in names:
            file = _files(load_config(name)).get(memory)
            row.append(
                f"{file.fields} × {file.width} bits, {file.digits} digits" if file else "no file"
            )
        rows.append(row)
    return markdown.table(["", *(f"`{name}`" for name in names)], rows)


#: What each named configuration is for, and how its index is kept, in README.md.
PURPOSES = {
    "tiny": "exhaustive tests",
    "small": "an ECP5-85F",
    "default": "the figures here",
    "wide": "ASIC-sized",
}


def configurations() -> str:
    """The named configurations, for README.md."""
    rows = []
    for name in config_names():
        config = load_config(name)
        stored = {"sram": "stored", "hash": "hashed"}[config.index_mode]
        rows.append(
            [name, f"{config.rows}×{config.cols}", str(config.banks), stored,
             f"{config.clock_mhz:g} MHz", PURPOSES[name]]
        )  # fmt: skip
    return _left(["configuration", "array", "banks", "index", "clock", "for"], rows)


def _left(head: list[str], rows: list[list[str]]) -> str:
    """A table of words, all columns to the left."""
    return markdown.table(head, rows).replace("---:", "---", len(head))
