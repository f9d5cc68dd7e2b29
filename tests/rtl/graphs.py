"""Random programs of the machine: graphs over places of one memory, with every kind of layer."""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass

import numpy as np

from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec, table
from hwsim.program.instruction import OPCODES, SCHEME_CODES
from tests.rtl.machine import Machine, Row, lines, tiles

Shape = tuple[int, int, int]


@dataclass
class Map:
    """A run of channels that holds codes."""

    line: int
    shape: Shape


class Drawing:
    """One random program, layer by layer."""

    def __init__(
        self,
        rng: random.Random,
        config: EngineConfig,
        ops: tuple[str, ...],
        image: Shape | None = None,
    ) -> None:
        self.rng, self.config, self.ops = rng, config, ops
        self.machine = Machine(config)
        shape = image or (rng.randint(1, 4), rng.randint(1, 9), rng.randint(1, 12))
        self.image = shape
        start = rng.choice([0, 0, rng.randint(0, 40)])
        self.maps = [Map(start, shape)]
        self.runs = [(start, start + lines(shape, config.cols))]

    def make(self, layers: int) -> Machine:
        for _ in range(layers):
            self.hidden()
        self.last()
        self.machine.rows.append(dict(op=0))
        return self.machine

    # --- places -------------------------------------------------------------------------------

    def place(self, shape: Shape, sources: list[Map]) -> int | None:
        """A first line for a map, apart from the sources: behind one, in a gap, or anywhere."""
        count, cols = lines(shape, self.config.cols), self.config.cols
        taken = [(m.line, m.line + lines(m.shape, cols)) for m in sources]
        kept = [m for m in self.maps if m in sources or self.rng.random() < 0.7]
        alive = [(m.line, m.line + lines(m.shape, cols)) for m in kept]
        for _ in range(20):
            line = self.rng.choice([end for _, end in alive] + [0, self.rng.randint(0, 300)])
            line = min(line, self.config.act_depth - count)
            if all(line + count <= start or end <= line for start, end in alive + taken):
                runs = joined([*self.runs, (line, line + count)])
                if len(runs) <= 4:
                    self.runs = runs
                    self.maps = kept
                    return line
        return None

    def source(self) -> Map:
        """A map, some of its channels, or two that are neighbours with equal sides.

        The first instruction says what the image is, so it reads all of it.
        """
        if not self.machine.rows:
            return self.maps[0]
        one = self.rng.choice(self.maps[-3:])
        c, h, w = one.shape
        plane = lines((1, h, w), self.config.cols)
        chance = self.rng.random()
        if chance < 0.15 and c > 1:
            first = self.rng.randrange(c - 1)
            return Map(one.line + first * plane, (self.rng.randint(1, c - first), h, w))
        end = one.line + c * plane
        behind = [m for m in self.maps if m.line == end and m.shape[1:] == (h, w)]
        if chance < 0.6 and behind:
            return Map(one.line, (c + behind[0].shape[0], h, w))
        return one

    # --- layers -------------------------------------------------------------------------------

    def hidden(self) -> None:
        op = self.rng.choice(self.ops)
        made = getattr(self, f"_{op}")()
        if made is None:
            return
        row, sources = made
        shape = (row["out_c"], row["out_h"], row["out_w"])
        line = self.place(shape, sources)
        if line is None:
            return
        row["out_line"] = line
        if op != "pool":
            self.words(row)
        self.machine.rows.append(row)
        self.maps.append(Map(line, shape))

    def last(self) -> None:
        """A layer with logits: fc, or what leaves one pixel."""
        source = self.source()
        c, h, w = source.shape
        ways = ["fc", "conv"] + ["average"] * (max(h, w) <= 15 and "average" in self.ops)
        ways += ["affine"] * ((h, w) == (1, 1) and "affine" in self.ops)
        op = self.rng.choice(ways)
        if op == "conv" and (max(h, w) > 11 or c * h * w > self.config.tile_depth):
            op = "fc"
        row = self.base(op, source, (c if op in ("average", "affine") else 0, 1, 1))
        row["last"] = 1
        row["prob_shift"] = self.rng.randrange(256)
        row["out_c"] = row["out_c"] or self.rng.randint(1, 12)
        if op in ("conv", "average"):
            row |= dict(kernel_h=h, kernel_w=w, stride_h=1, stride_w=1)
        if op == "conv":
            row |= dict(groups=1, fan_in=c * h * w)
        if op == "fc":
            row |= dict(fan_in=c * h * w)
        self.words(row)
        self.machine.rows.append(row)

    def base(self, op: str, source: Map, out: Shape) -> Row:
        top = self.config.act_max
        lo = self.rng.choice([0, 0, self.rng.randint(0, top // 2)])
        hi = self.rng.choice([top, top, self.rng.randint(lo, top)])
        row: Row = dict(
            op=OPCODES[op], in_line=source.line, in_c=source.shape[0], in_h=source.shape[1],
            in_w=source.shape[2], out_c=out[0], out_h=out[1], out_w=out[2], last=0,
            pad_top=0, pad_left=0, fill=0,
        )  # fmt: skip
        if op not in ("pool", "lut"):
            row |= dict(lo=lo, hi=hi)
            if self.config.requantization == "twice-away" and self.rng.random() < 0.8:
                row |= dict(away=1, zero=self.rng.choice([hi, hi, self.rng.randint(lo, hi)]))
        return row

    def _conv(self) -> tuple[Row, list[Map]] | None:
        source = self.source()
        c, h, w = source.shape
        groups = 1
        if "groups" in self.ops and self.rng.random() < 0.6:
            groups = self.rng.choice([n for n in range(1, c + 1) if c % n == 0])
        kernel = [self.rng.randint(1, self.rng.choice([1, 3, 5, 11])) for _ in range(2)]
        pads = [self.rng.randrange(k) if self.rng.random() < 0.6 else 0 for k in kernel]
        strides = [self.rng.randint(1, self.rng.choice([1, 2, 4])) for _ in range(2)]
        sides = [
            (side + pad + self.rng.randint(0, k - 1) - k) // s + 1
            for side, pad, k, s in zip((h, w), pads, kernel, strides, strict=True)
        ]
        fan_in = c // groups * kernel[0] * kernel[1]
        if min(sides) < 1 or fan_in > self.config.tile_depth:
            return None
        out = groups * self.rng.randint(1, max(1, 14 // groups))
        row = self.base("conv", source, (out, sides[0], sides[1]))
        row |= dict(
            kernel_h=kernel[0], kernel_w=kernel[1], stride_h=strides[0], stride_w=strides[1],
            pad_top=pads[0], pad_left=pads[1], groups=groups, fan_in=fan_in,
            fill=self.rng.choice([0, self.rng.randint(0, self.config.act_max)]),
        )  # fmt: skip
        return row, [source]

    def _groups(self) -> tuple[Row, list[Map]] | None:
        return self._conv()

    def _fc(self) -> tuple[Row, list[Map]] | None:
        source = self.source()
        row = self.base("fc", source, (self.rng.randint(1, 12), 1, 1))
        return row | dict(fan_in=math.prod(source.shape)), [source]

    def _pool(self) -> tuple[Row, list[Map]] | None:
        source = self.source()
        c, h, w = source.shape
        kernel = [self.rng.randint(1, self.rng.choice([2, 3, 11])) for _ in range(2)]
        pads = [self.rng.randrange(k) if self.rng.random() < 0.5 else 0 for k in kernel]
        strides = [self.rng.randint(1, self.rng.choice([2, 3, 15])) for _ in range(2)]
        # Every window holds a pixel.
        most = [(side - 1 + pad) // s + 1
                for side, pad, s in zip((h, w), pads, strides, strict=True)]  # fmt: skip
        out = (c, self.rng.randint(1, most[0]), self.rng.randint(1, most[1]))
        row = self.base("pool", source, out)
        row |= dict(kernel_h=kernel[0], kernel_w=kernel[1], stride_h=strides[0],
                    stride_w=strides[1], pad_top=pads[0], pad_left=pads[1])  # fmt: skip
        return row, [source]

    def _average(self) -> tuple[Row, list[Map]] | None:
        source = self.source()
        c, h, w = source.shape
        kernel = [self.rng.randint(1, min(side, 15)) for side in (h, w)]
        strides = [self.rng.randint(1, self.rng.choice([2, 15])) for _ in range(2)]
        if kernel[0] * kernel[1] > self.config.tile_depth:
            return None
        sides = [(side - k) // s + 1
                 for side, k, s in zip((h, w), kernel, strides, strict=True)]  # fmt: skip
        row = self.base("average", source, (c, sides[0], sides[1]))
        row |= dict(kernel_h=kernel[0], kernel_w=kernel[1], stride_h=strides[0],
                    stride_w=strides[1])  # fmt: skip
        return row, [source]

    def _affine(self) -> tuple[Row, list[Map]] | None:
        source = self.source()
        return self.base("affine", source, source.shape), [source]

    def _lut(self) -> tuple[Row, list[Map]] | None:
        source = self.source()
        row = self.base("lut", source, source.shape)
        row |= dict(hi=self.config.act_max, table=self.rng.randrange(self.config.lut_tables))
        return row, [source]

    def _add(self) -> tuple[Row, list[Map]] | None:
        one = self.source()
        others = [m for m in self.maps if m.shape == one.shape] or [one]
        other = self.rng.choice(others)
        row = self.base("add", one, one.shape) | dict(in2_line=other.line)
        return row, [one, other]

    # --- words --------------------------------------------------------------------------------

    def words(self, row: Row) -> None:
        """Weights, indices, scales, biases and tables of a layer."""
        machine, config, rng = self.machine, self.config, self.rng
        name = next(n for n, code in OPCODES.items() if code == row["op"])
        row["channel_base"] = len(machine.scale)
        if name == "lut":
            need = config.lut_tables << config.act_w
            if not machine.lut:
                machine.lut = [rng.randint(0, config.act_max) for _ in range(need)]
            machine.scale.append((1, 0))
            machine.bias.append(0)
            return
        reach = config.act_max
        if name in ("conv", "fc"):
            reach *= max(1, self.weights(row))
        elif name == "average":
            reach *= row["kernel_h"] * row["kernel_w"]
        m_max = (1 << config.mult_w - 1) - 1
        count = {"average": 1, "add": 2}.get(name, row["out_c"])
        shift = None
        for _ in range(count):
            m = rng.choice([rng.randint(-m_max, m_max), rng.randint(1, m_max)])
            room = (1 << config.acc_w + config.mult_w - 2) - 1
            top = max(1, reach * abs(m) // config.act_max)
            s = max(0, top.bit_length() - rng.randint(0, 4))
            s = min(s, config.acc_w + config.mult_w - 1)
            b = rng.randint(-reach * abs(m) // 2, reach * abs(m) // 2)
            if row["last"]:
                b = rng.randint(-reach, reach)
            if row.get("away") and not row["last"] and rng.random() < 0.85:
                # Products of few bits, next to the codes: many of them are halves.
                m = rng.choice([1 << 30, 1 << 30, 1 << 30, 3 << 29, 1 << 29, -(1 << 30)])
                top = max(1, reach * abs(m) // config.act_max)
                s = rng.randint(32, rng.choice([33, 35, max(33, min(40, top.bit_length() - 1))]))
                b = (1 << 30) + (1 << s - 1) + (rng.randint(row["lo"], row["zero"]) << s)
                b -= rng.choice([0, 0, reach // 4, reach // 2]) * m
            if name == "add":
                shift = s = s if shift is None else shift
            machine.scale.append((m, s))
            machine.bias.append(max(-room, min(room, b)))
        if name == "add":
            machine.bias[-1] = 0

    def weights(self, row: Row) -> int:
        """Draw a scheme and its words; the largest sum of their magnitudes."""
        machine, config, rng = self.machine, self.config, self.rng
        n_out, fan_in = row["out_c"], row["fan_in"]
        scheme = rng.choice(["dense", "xxh32", "banked"])
        banks = 1
        if scheme == "dense":
            real = n_out * fan_in
        elif scheme == "xxh32":
            real = rng.randint(1, min(n_out * fan_in, 400))
        else:
            banks = 2 ** rng.randint(0, 3)
            real = banks * rng.randint(1, max(1, min(n_out * fan_in, 400) // banks))
        row |= dict(
            scheme=SCHEME_CODES[scheme], real_weights=real, seed=rng.getrandbits(32),
            log2_hash_banks=banks.bit_length() - 1, weight_base=len(machine.weights),
            index_base=len(machine.index),
        )  # fmt: skip
        limit = config.wgt_max
        words = [rng.randint(-limit, limit) for _ in range(real)]
        words += [0] * (-real % config.banks)
        machine.weights += [words[n : n + config.banks] for n in range(0, len(words), config.banks)]
        spec = HashSpec(scheme, n_out, fan_in, real, row["seed"], banks)
        if scheme != "dense":
            address, negative = table(spec)
            first = 0
            for used in tiles(row, config.rows):
                for j in range(fan_in):
                    line = [int(negative[i, j]) << config.addr_w | int(address[i, j])
                            for i in range(first, first + used)]  # fmt: skip
                    machine.index.append(line + [0] * (config.rows - used))
                first += used
        return int(np.abs(machine.virtual(row)).sum(1).max())


def joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Disjoint runs; neighbours are one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(runs):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


ALL = ("conv", "groups", "fc", "pool", "average", "affine", "lut", "add")


def kinds(config: EngineConfig) -> tuple[str, ...]:
    """The kinds of layer that an engine has."""
    out = set()
    if not (config.add and config.rows > 1):
        out.add("add")
    if not config.average:
        out |= {"average", "affine"}
    if not config.groups:
        out.add("groups")
    if not (config.lut_tables and config.act_w <= 8):
        out.add("lut")
    return tuple(name for name in ALL if name not in out)


def draw(
    seed: int | str,
    config: EngineConfig,
    ops: tuple[str, ...] | None = None,
    blocks: tuple[int, int] = (0, 6),
    image: Shape | None = None,
) -> Machine:
    """A random program that fits the engine; blocks: the least and the most that it has.

    image: its sides, if not drawn.
    """
    for attempt in range(100):
        rng = random.Random(f"{seed} {attempt}")
        drawing = Drawing(rng, config, ops or kinds(config), image)
        machine = drawing.make(rng.randint(*blocks))
        room = [
            len(machine.weights) * config.banks <= config.wgt_depth,
            config.index_mode == "hash" or len(machine.index) <= config.idx_depth,
            len(machine.scale) <= config.chan_depth,
            len(machine.rows) <= config.prog_depth,
        ]
        if all(room):
            return machine
    raise AssertionError("no program fits")


def image_of(machine: Machine, seed: int | str) -> np.ndarray:
    """An image for it."""
    first = machine.rows[0]
    shape = (first["in_c"], first["in_h"], first["in_w"])
    rng = np.random.default_rng(zlib.crc32(str(seed).encode()))
    return rng.integers(0, machine.config.act_max + 1, shape)
