"""The program format: fields of an instruction, and how they stand in its 16 words."""

from __future__ import annotations

from hwsim.errors import CompileError

OPCODES = {
    "end": 0, "conv": 1, "fc": 2, "pool": 3, "average": 4, "affine": 5, "add": 6, "lut": 7,
}  # fmt: skip
SCHEME_CODES = {"dense": 0, "xxh32": 1, "banked": 2}

#: Instruction fields: name -> (32-bit word, lowest bit, width). The one source of the program
#: format; rtl/top/hne_program.vh is generated from it. 16 words an instruction.
FIELDS: dict[str, tuple[int, int, int]] = {
    "op": (0, 0, 4),
    "last": (0, 4, 1),
    "scheme": (0, 5, 2),
    "log2_hash_banks": (0, 7, 5),
    "kernel_w": (0, 12, 4),
    "stride_w": (0, 16, 4),
    "pad_left": (0, 20, 4),
    "kernel_h": (0, 24, 4),
    "stride_h": (0, 28, 4),
    "in_c": (1, 0, 16),
    "out_c": (1, 16, 16),
    "in_h": (2, 0, 16),
    "in_w": (2, 16, 16),
    "out_h": (3, 0, 16),
    "out_w": (3, 16, 16),
    "fan_in": (4, 0, 32),
    "real_weights": (5, 0, 32),
    "seed": (6, 0, 32),
    "weight_base": (7, 0, 32),  # line of the weight memory
    "index_base": (8, 0, 32),  # line of the index memory
    "channel_base": (9, 0, 32),  # line of the scale and bias memories
    "prob_shift": (10, 0, 8),  # two's complement; last layer only
    "pad_top": (10, 8, 4),
    "away": (10, 12, 1),  # rounds as ``requantization`` twice-away, around ``zero``
    "fill": (10, 16, 16),  # the code that padding of a convolution reads
    "lo": (11, 0, 16),  # bounds of a requantized code
    "hi": (11, 16, 16),
    "in_line": (12, 0, 32),  # lines of the activation memory
    "in2_line": (13, 0, 32),  # second source of an add
    "out_line": (14, 0, 32),
    "groups": (15, 0, 16),
    "table": (15, 16, 8),  # number of a lut's table
    "zero": (15, 24, 8),  # code of real 0 of what is written, where ``away`` is 1
}
WORDS_PER_INSTRUCTION = 16


def encode(row: dict[str, int]) -> list[int]:
    """One instruction as 16 words of 32 bits. Raises CompileError if a field does not fit."""
    words = [0] * WORDS_PER_INSTRUCTION
    for name, value in row.items():
        word, low, width = FIELDS[name]
        if not 0 <= value < 1 << width:
            raise CompileError(f"instruction field {name} = {value} does not fit {width} bits")
        words[word] |= value << low
    return words


def decode(words: list[int]) -> dict[str, int]:
    """All fields of one instruction."""
    return {
        name: (words[word] >> low) & ((1 << width) - 1)
        for name, (word, low, width) in FIELDS.items()
    }
