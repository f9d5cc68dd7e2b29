"""The machine of the contract in plain integers: what instructions and memories do, word by word.

Independent of compiler, fast path and oracle: a program is rows of instruction fields and memories
of numbers, activations are lines of one memory. ``expected`` says values, ``cycles`` says counters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec, table
from hwsim.program.instruction import OPCODES, SCHEME_CODES, encode
from hwsim.units import act_buffer, expander, index, mac_array, pool, post, schedule, sequencer
from hwsim.units.softmax import cycles_softmax

NAMES = {number: name for name, number in OPCODES.items()}
SCHEMES = {number: name for name, number in SCHEME_CODES.items()}
Row = dict[str, int]


@dataclass
class Machine:
    """A program: rows of fields, the end among them, and the words of each memory.

    weights: by bank line, (lines, BANKS). index: (lines, ROWS). scale: (m, s) and bias of each
    channel line. lut: words.
    """

    config: EngineConfig
    rows: list[Row] = field(default_factory=list)
    weights: list[list[int]] = field(default_factory=list)
    index: list[list[int]] = field(default_factory=list)
    scale: list[tuple[int, int]] = field(default_factory=list)
    bias: list[int] = field(default_factory=list)
    lut: list[int] = field(default_factory=list)

    def memories(self) -> dict[str, np.ndarray]:
        """Words of each memory as the bus takes them, uint64 (lines, fields)."""
        config = self.config
        low = (1 << config.mult_w) - 1
        words: dict[str, list[list[int]]] = {
            "weights.mem": [[w & (1 << config.wgt_w) - 1 for w in line] for line in self.weights],
            "index.mem": self.index if config.index_mode == "sram" else [],
            "scale.mem": [[s << config.mult_w | m & low] for m, s in self.scale],
            "bias.mem": [[b & (1 << config.acc_w + config.mult_w) - 1] for b in self.bias],
            "lut.mem": [[word] for word in self.lut],
            "program.mem": [[word] for row in self.rows for word in encode(row)],
        }
        return {name: np.array(lines, np.uint64) for name, lines in words.items() if lines}

    def spec(self, row: Row) -> HashSpec:
        """Weight sharing of a conv or fc layer."""
        scheme = SCHEMES[row["scheme"]]
        return HashSpec(
            scheme, row["out_c"], row["fan_in"], row["real_weights"], row["seed"],
            1 << row["log2_hash_banks"],
        )  # fmt: skip

    def virtual(self, row: Row) -> np.ndarray:
        """Its weights, (n_out, fan_in)."""
        address, negative = table(self.spec(row))
        banks = self.config.banks
        lines = self.weights[row["weight_base"] :]
        words = np.array(lines, np.int64)[address // banks, address % banks]
        return np.where(negative, -words, words)


def lines(shape: tuple[int, int, int], cols: int) -> int:
    """Lines of a map."""
    return shape[0] * shape[1] * -(-shape[2] // cols)


def shape_of(row: Row, way: str) -> tuple[int, int, int]:
    return row[f"{way}_c"], row[f"{way}_h"], row[f"{way}_w"]


class Memory:
    """Lines of COLS codes."""

    def __init__(self, config: EngineConfig) -> None:
        self.words = np.zeros((config.act_depth, config.cols), np.int64)

    def read(self, line: int, shape: tuple[int, int, int]) -> np.ndarray:
        cols = self.words.shape[1]
        found = self.words[line : line + lines(shape, cols)]
        return found.reshape(shape[0], shape[1], -1)[:, :, : shape[2]].copy()

    def write(self, line: int, values: np.ndarray) -> None:
        c, h, w = values.shape
        cols = self.words.shape[1]
        padded = np.zeros((c, h, -(-w // cols) * cols), np.int64)
        padded[:, :, :w] = values
        self.words[line : line + lines((c, h, w), cols)] = padded.reshape(-1, cols)


def window(row: Row, image: np.ndarray, fill: int) -> np.ndarray:
    """(C, OH, OW, KH · KW): the codes of every window."""
    c, h, w = image.shape
    _, out_h, out_w = shape_of(row, "out")
    found = np.empty((c, out_h, out_w, row["kernel_h"] * row["kernel_w"]), np.int64)
    for oy in range(out_h):
        for ox in range(out_w):
            for ky in range(row["kernel_h"]):
                for kx in range(row["kernel_w"]):
                    y = oy * row["stride_h"] - row["pad_top"] + ky
                    x = ox * row["stride_w"] - row["pad_left"] + kx
                    inside = 0 <= y < h and 0 <= x < w
                    place = ky * row["kernel_w"] + kx
                    found[:, oy, ox, place] = image[:, y, x] if inside else fill
    return found


def sums(machine: Machine, row: Row, image: np.ndarray) -> np.ndarray:
    """(C, OH, OW) of a conv, fc, affine or average."""
    name = NAMES[row["op"]]
    if name == "affine":
        return image
    if name == "average":
        return window(row, image, 0).sum(-1)
    weights = machine.virtual(row)
    if name == "fc":
        return (weights @ image.reshape(-1))[:, None, None]
    seen = window(row, image, row["fill"])
    groups = row["groups"]
    inside, outside = seen.shape[0] // groups, row["out_c"] // groups
    parts = []
    for g in range(groups):
        part = seen[g * inside : (g + 1) * inside].transpose(1, 2, 0, 3)
        part = part.reshape(*part.shape[:2], -1)
        parts.append(np.einsum("yxj,ij->iyx", part, weights[g * outside : (g + 1) * outside]))
    return np.concatenate(parts)


def code(machine: Machine, row: Row, p: Any, m: int, s: int) -> Any:
    """What post makes of sums p, arrays of integers of any size."""
    u = p >> s
    if row.get("away") and m >= 1 << 30 and s > 31:
        half = ((p >> 31) & (1 << s - 31) - 1) == 0
        u = u - (half & (u <= row["zero"])).astype(object)
    assert machine.config.requantization == "twice-away" or not row.get("away")
    return np.clip(u, row["lo"], row["hi"])


def layer(machine: Machine, row: Row, memory: Memory) -> np.ndarray:
    """What one layer writes (C, H, W), or the logits (F,)."""
    name = NAMES[row["op"]]
    source = memory.read(row["in_line"], shape_of(row, "in"))
    if name == "pool":
        return window(row, source, 0).max(-1)
    if name == "lut":
        first = row["table"] << machine.config.act_w
        return np.array(machine.lut[first:])[source]
    base = row["channel_base"]
    if name == "add":
        other = memory.read(row["in2_line"], shape_of(row, "in"))
        (m1, s), (m2, _) = machine.scale[base : base + 2]
        total = source.astype(object) * m1 + other.astype(object) * m2 + machine.bias[base]
        return code(machine, row, total, m2, s).astype(np.int64)
    acc = sums(machine, row, source).astype(object)
    step = 0 if name == "average" else 1
    found = []
    for c, plane in enumerate(acc):
        (m, s), b = machine.scale[base + step * c], machine.bias[base + step * c]
        if row["last"]:
            found.append(plane[0, 0] + b)
        else:
            found.append(code(machine, row, plane * m + b, m, s))
    return np.array(found).astype(np.int64)


def steps(machine: Machine, image: np.ndarray) -> Iterator[tuple[Row, np.ndarray, np.ndarray]]:
    """Each row up to the last layer's, the codes (C, H, W) that it reads, and what it makes."""
    memory = Memory(machine.config)
    memory.write(machine.rows[0]["in_line"], image)
    for row in machine.rows[:-1]:
        codes = memory.read(row["in_line"], shape_of(row, "in"))
        values = layer(machine, row, memory)
        yield row, codes, values
        if row.get("last"):
            return
        memory.write(row["out_line"], values)
    raise AssertionError("no last layer")


def expected(machine: Machine, image: np.ndarray) -> tuple[list[np.ndarray], list[int]]:
    """The map of every layer but the last, and the logits."""
    *maps, logits = (values for _, _, values in steps(machine, image))
    return maps, logits.tolist()


def reads(machine: Machine, image: np.ndarray) -> list[tuple[Row, np.ndarray]]:
    """The codes that each layer reads, its row with them."""
    return [(row, codes) for row, codes, _ in steps(machine, image)]


def tiles(row: Row, rows: int) -> list[int]:
    """Rows of each row-tile."""
    name = NAMES[row["op"]]
    if name in ("conv", "fc"):
        groups = row["groups"] if name == "conv" else 1
        own = row["out_c"] // groups
    else:
        groups, own = row["out_c"], 2 if name == "add" else 1
    return [min(rows, own - top) for _ in range(groups) for top in range(0, own, rows)]


def columns(machine: Machine, row: Row, used: list[int]) -> tuple[list[int], int]:
    """Σ_j X_j of each row-tile, and the cycles lost to conflicts."""
    name = NAMES[row["op"]]
    if name not in ("conv", "fc"):
        fan_in = {"add": 2}.get(name, 1)
        if name == "average":
            fan_in = row["kernel_h"] * row["kernel_w"]
        return [fan_in] * len(used), 0
    address, _ = table(machine.spec(row))
    found, first = [], 0
    for rows in used:
        part = np.ascontiguousarray(address[first : first + rows].T.astype(np.uint32))
        found.append(int(expander.cycles_columns(part, machine.config.banks)[0].sum()))
        first += rows
    return found, sum(found) - len(used) * row["fan_in"]


def cycles(machine: Machine) -> tuple[list[dict[str, int]], int, int]:
    """Counters of each layer, ``total`` of the image, cycles of the probability unit."""
    config, time = machine.config, sequencer.START
    layers: list[dict[str, int]] = []
    for row in machine.rows[:-1]:
        one = _layer_cycles(machine, row, time)
        layers.append(one)
        time += one["total"]
    classes = machine.rows[-2]["out_c"]
    return layers, time, cycles_softmax(classes) if config.softmax else 0


def _layer_cycles(machine: Machine, row: Row, start: int) -> dict[str, int]:
    config, name = machine.config, NAMES[row["op"]]
    _, out_h, out_w = shape_of(row, "out")
    pixels = out_h * math.ceil(out_w / config.cols)
    setup = sequencer.INSTRUCTION
    zero = dict.fromkeys(
        ("act_stall", "post_stall", "expander_stall", "drain", "conflict_cycles", "expander_wait"),
        0,
    )
    if name in ("pool", "conv", "average"):
        groups = act_buffer.cycles_column(row["stride_w"], config.cols)
    else:
        groups = 1
    if name == "pool":
        busy = row["out_c"] * pixels * row["kernel_h"] * row["kernel_w"] * groups + pool.FILL
        return zero | dict(instruction=setup, compute=busy, total=setup + busy)
    used = tiles(row, config.rows)
    work, conflicts = columns(machine, row, used)
    fan_in = (sum(work) - conflicts) // len(used)
    hashed = name in ("conv", "fc") and row["scheme"] != 0
    source: Any = "counter" if not hashed else config.index_mode
    given = dict(
        index_latency=index.LATENCY[source] + expander.TURNS,
        row_tile_cycles=[index.cycles_row_tile(source, rows) for rows in used],
        start=start + setup,
    )
    compute = len(used) * fan_in * pixels
    if name == "fc":
        plan = schedule.fc_schedule(used, work, **given)
        act_stall, post_stall = 0, plan.post_hold
    else:
        slot = max(fan_in * groups, max(used))
        plan = schedule.conv_schedule(used, work, slot=slot, pixel_tiles=pixels, **given)
        act_stall = compute * (groups - 1)
        post_stall = len(used) * pixels * (slot - fan_in * groups)
    total = plan.end - start
    drain = mac_array.FILL + post.cycles_drain(used[-1])
    stall = total - setup - compute - act_stall - post_stall - drain
    return dict(
        instruction=setup, compute=compute, act_stall=act_stall, post_stall=post_stall,
        expander_stall=stall, drain=drain, conflict_cycles=conflicts,
        expander_wait=plan.expander_wait, total=total,
    )  # fmt: skip
