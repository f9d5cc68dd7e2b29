"""Program memory as the sequencer takes it: which instructions run, or why one is refused.

Written from rtl/units/hne_instruction.v, hne_sequencer.v and rtl/top/hne_fan.v, hne_sizes.v,
hne_places.v: whatever bits stand in program.mem, ``walk`` says what the engine does with them. An
instruction that it runs need not be one that a compiler writes: ``execute`` says what it computes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.numbers.config import EngineConfig
from hwsim.program.instruction import OPCODES, SCHEME_CODES, WORDS_PER_INSTRUCTION, decode
from hwsim.program.memory_map import MAX_RUNS

#: One instruction: its fields by name (``hwsim.program.instruction.FIELDS``).
Row = dict[str, int]
#: Lines of the activation memory, from the first one to behind the last.
Run = tuple[int, int]

KINDS = {code: name for name, code in OPCODES.items()}
#: Largest kernel side and stride of a convolution (a max-pool has the same kernels).
KERNEL_MAX, STRIDE_MAX = 11, 4


@dataclass(frozen=True)
class Walk:
    """What the engine makes of its program memory.

    cause: a key of ``hwsim.bus.constants.CAUSE_CODES`` where it stops with an error status, None
    where logits come out. rows: the instructions that run, in order; those before a refused one
    run, too, but for a refusal before the image is taken.
    """

    cause: str | None
    rows: tuple[Row, ...]


def walk(config: EngineConfig, words: Sequence[int], beats: int) -> Walk:
    """What an image of ``beats`` codes meets.

    words: program memory from its first word on, 32 bits each; those behind are 0.
    """
    program = [int(word) for word in words]
    program += [0] * (WORDS_PER_INSTRUCTION * config.prog_depth - len(program))
    rows = [
        decode(program[first : first + WORDS_PER_INSTRUCTION])
        for first in range(0, len(program), WORDS_PER_INSTRUCTION)
    ]
    first = rows[0]
    # Before there is an image, nobody asks where the first instruction reads.
    if kind_of(first) == "end":
        return Walk("end", ())
    if (cause := _malformed(config, first)) is not None:
        return Walk(cause, ())
    if first["in_c"] * first["in_h"] * first["in_w"] != beats:
        return Walk("packet", ())
    written: list[Run] = [(first["in_line"], first["in_line"] + in_lines(config, first))]
    ran: list[Row] = []
    for number, row in enumerate(rows):
        finished = bool(ran) and ran[-1]["last"] == 1
        if kind_of(row) == "end":
            return Walk(None if finished else "end", tuple(ran))
        # Behind the last place of the memory there is no end.
        if finished or number == config.prog_depth - 1:
            return Walk("end", tuple(ran))
        if (cause := _malformed(config, row) or _misplaced(config, row, written)) is not None:
            return Walk(cause, tuple(ran))
        ran.append(row)
        if not row["last"]:
            written = _joined(written, _target(config, row))
    raise AssertionError("the last place of the memory ends every walk")


# --- what an instruction says --------------------------------------------------------------------


def kind_of(row: Row) -> str:
    """Its opcode in words; "" for one that there is not."""
    return KINDS.get(row["op"], "")


def row_lines(config: EngineConfig, width: int) -> int:
    """Lines of a row of a map."""
    return math.ceil(width / config.cols)


def in_lines(config: EngineConfig, row: Row) -> int:
    """Lines of each map that it reads."""
    return row["in_c"] * row["in_h"] * row_lines(config, row["in_w"])


def out_lines(config: EngineConfig, row: Row) -> int:
    """Lines of the map that it writes."""
    return row["out_c"] * row["out_h"] * row_lines(config, row["out_w"])


def groups_of(row: Row) -> int:
    """Groups of row-tiles: those of a convolution; layers without weights have one a channel."""
    kind = kind_of(row)
    return row["groups"] if kind == "conv" else 1 if kind == "fc" else row["out_c"]


def outputs_of(row: Row) -> int:
    """Array rows of a group."""
    kind = kind_of(row)
    if kind in ("conv", "fc"):
        return row["out_c"] // groups_of(row)
    return 2 if kind == "add" else 1


def fan_in_of(row: Row) -> int:
    """Columns of a row-tile."""
    kind = kind_of(row)
    if kind in ("conv", "fc"):
        return row["fan_in"]
    return {"average": row["kernel_h"] * row["kernel_w"], "add": 2}.get(kind, 1)


def channel_lines(row: Row) -> int:
    """Lines of scale.mem and bias.mem that it reads."""
    return {"pool": 0, "average": 1, "lut": 1, "add": 2}.get(kind_of(row), row["out_c"])


# --- what is refused ------------------------------------------------------------------------------


def _malformed(config: EngineConfig, row: Row) -> str | None:
    if _bad_shape(config, row):
        return "shape"
    return "size" if _bad_size(config, row) else None


def _bad_shape(config: EngineConfig, row: Row) -> bool:
    kind = kind_of(row)
    there = {
        "conv": True, "fc": True, "pool": True, "average": config.average,
        "affine": config.average, "add": config.add and config.rows > 1,
        "lut": config.lut_tables > 0 and config.act_w <= 8,
    }  # fmt: skip
    if not there.get(kind, False):
        return True
    sides = ("in_c", "in_h", "in_w", "out_c", "out_h", "out_w")
    if any(row[side] == 0 for side in sides):
        return True
    return (
        _bad_window(kind, row)
        or _bad_codes(config, kind, row)
        or (kind in ("conv", "fc") and _bad_weights(config, kind, row))
        or _bad_output(kind, row)
    )


def _bad_window(kind: str, row: Row) -> bool:
    if kind not in ("conv", "pool", "average"):
        return False
    kernel = row["kernel_h"], row["kernel_w"]
    stride = row["stride_h"], row["stride_w"]
    pads = row["pad_top"], row["pad_left"]
    return (
        0 in kernel
        or 0 in stride
        or (kind != "average" and max(kernel) > KERNEL_MAX)
        or (kind == "conv" and max(stride) > STRIDE_MAX)
        or any(pad >= side for pad, side in zip(pads, kernel, strict=True))
        or (kind == "average" and max(pads) > 0)
    )


def _bad_codes(config: EngineConfig, kind: str, row: Row) -> bool:
    top = config.act_max
    if row["away"] and (config.requantization == "up" or row["zero"] > top):
        return True
    if kind == "conv" and row["fill"] > top:
        return True
    return kind != "pool" and (row["lo"] > row["hi"] or row["hi"] > top)


def _bad_weights(config: EngineConfig, kind: str, row: Row) -> bool:
    """Of a conv or fc layer: its sharing, its groups, and a fan-in that is not its window's."""
    if 0 in (row["fan_in"], row["real_weights"]) or row["scheme"] not in SCHEME_CODES.values():
        return True
    groups = 1
    if kind == "conv":
        groups = row["groups"]
        if groups == 0 or row["in_c"] % groups or row["out_c"] % groups:
            return True
        if groups != 1 and not config.groups:
            return True
    window = row["kernel_h"] * row["kernel_w"] if kind == "conv" else row["in_h"] * row["in_w"]
    return groups * row["fan_in"] != row["in_c"] * window


def _bad_output(kind: str, row: Row) -> bool:
    if kind not in ("conv", "fc") and row["in_c"] != row["out_c"]:
        return True
    sides = row["out_h"], row["out_w"]
    if kind in ("affine", "add", "lut") and (row["in_h"], row["in_w"]) != sides:
        return True
    if row["last"] and kind not in ("conv", "fc", "average", "affine"):
        return True
    return (kind == "fc" or row["last"] == 1) and sides != (1, 1)


def _bad_size(config: EngineConfig, row: Row) -> bool:
    kind = kind_of(row)
    if kind not in ("fc", "pool") and fan_in_of(row) > config.tile_depth:
        return True
    if kind != "pool" and row["channel_base"] + channel_lines(row) > config.chan_depth:
        return True
    if row["last"] and row["out_c"] > config.chan_depth:
        return True
    if kind == "lut" and row["table"] >= config.lut_tables:
        return True
    if kind in ("conv", "fc"):
        lines = math.ceil(row["real_weights"] / config.banks)
        if row["weight_base"] + lines > config.wgt_depth // config.banks:
            return True
        if config.index_mode == "sram" and row["scheme"] != SCHEME_CODES["dense"]:
            tiles = math.ceil(outputs_of(row) / config.rows) * groups_of(row)
            if row["index_base"] + tiles * row["fan_in"] > config.idx_depth:
                return True
    ends = [one[1] for one in _sources(config, row)]
    if not row["last"]:
        ends.append(_target(config, row)[1])
    return max(ends) > config.act_depth


def _sources(config: EngineConfig, row: Row) -> list[Run]:
    lines = in_lines(config, row)
    starts = [row["in_line"]] + [row["in2_line"]] * (kind_of(row) == "add")
    return [(start, start + lines) for start in starts]


def _target(config: EngineConfig, row: Row) -> Run:
    return row["out_line"], row["out_line"] + out_lines(config, row)


def _misplaced(config: EngineConfig, row: Row, written: list[Run]) -> str | None:
    """Reads what nobody wrote, writes what it reads, or leaves too many runs of lines written."""
    sources = _sources(config, row)
    if not all(any(a <= start and end <= b for a, b in written) for start, end in sources):
        return "place"
    if row["last"]:
        return None
    first, behind = _target(config, row)
    if any(start < behind and first < end for start, end in sources):
        return "place"
    alone = not any(a <= behind and first <= b for a, b in written)
    return "place" if alone and len(written) == MAX_RUNS else None


def _joined(written: list[Run], new: Run) -> list[Run]:
    """Disjoint runs, those that touch the new one joined with it."""
    touching = [run for run in written if run[0] <= new[1] and new[0] <= run[1]]
    rest = [run for run in written if run not in touching]
    return [*rest, (min(a for a, _ in [new, *touching]), max(b for _, b in [new, *touching]))]
