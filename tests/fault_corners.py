"""Programs with one peculiar fault each, and their logits worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwsim.faults import Fault, Memory
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import AddLayer, LutLayer, MacLayer, Shape
from hwsim.program.program import Program
from hwsim.program.wires import Place, Wire
from hwsim.rom.words import WordReader

_ROOM = dict(tile_depth=512, wgt_depth=65536, idx_depth=65536, act_depth=8192)
#: As the engines of tests/rtl/configs.py, so that no others are compiled.
PLAIN = load_config("tiny").replace(rows=2, cols=2, banks=2, name="2x2-2-sram", **_ROOM)
WIDE = PLAIN.replace(rows=4, banks=4, act_w=16, wgt_w=16, acc_w=32, name="4x2-4-wraps")
#: Seven hundred lines a bank, of addresses for 1,024.
HOLES = PLAIN.replace(rows=3, banks=4, wgt_depth=4 * 700, name="3x2-4-sram")


@dataclass(frozen=True)
class Corner:
    """A program, faults in it, an image of one row, and the logits that follow.

    sums, products: how many accumulators and how many p or logits wrap.
    """

    name: str
    program: Program
    faults: list[Fault]
    image: list[int]
    logits: list[int]
    sums: int = 0
    products: int = 0
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def pixels(self) -> np.ndarray:
        """(1, 1, W)."""
        return np.array([[self.image]], np.int64)


def forced(program: Program, memory: Memory, line: int, place: int, word: int) -> list[Fault]:
    """Flips that leave ``word`` in a field of a memory, whatever stands there."""
    reader = WordReader(program)
    change = word ^ reader(f"{memory}.mem", line, place)
    return [
        Fault(memory, line, place, bit) for bit in range(change.bit_length()) if change >> bit & 1
    ]


def layer(
    config: EngineConfig,
    words: list[int],
    n_out: int,
    fan_in: int,
    *,
    last: bool,
    shared: bool = True,
    source: Shape | None = None,
    post: tuple[int, int, int] = (1, 0, 0),
) -> MacLayer:
    """An fc layer of few words. shared: hashed, else dense, words by input and then by output."""
    spec = HashSpec("xxh32" if shared else "dense", n_out, fan_in, len(words))
    m, s, b = (0, 0, 0) if last else post
    return MacLayer(
        "fc", "fc", source or (1, 1, fan_in), (n_out, 1, 1), None, spec, np.array(words, np.int32),
        np.full(n_out, m, np.int32), np.full(n_out, s, np.int32), np.full(n_out, b, np.int64),
        last=last, weight_scale=np.array([1.0]), scale=1 / 256, hi=config.act_max,
    )  # fmt: skip


def chain(config: EngineConfig, *layers: MacLayer) -> Program:
    """Layers one after the other; what they read is a row."""
    return Program.chain(config, layers, layers[0].in_shape)


def _one(config: EngineConfig, words: list[int]) -> Program:
    """Two inputs, one logit; its indices stand in lines 0 and 1, field 0."""
    return chain(config, layer(config, words, 1, 2, last=True))


def _index(program: Program, address: int, negative: bool = False, line: int = 0) -> list[Fault]:
    return forced(program, "index", line, 0, negative << program.config.addr_w | address)


def _weights() -> list[Corner]:
    one = _one(PLAIN, [3, -5, 7])
    both = _index(one, 0) + _index(one, 0, True, line=1)
    least = forced(one, "weights", 0, 0, 0x80)
    return [
        Corner("a sign bit of an index", one, both, [10, 20], [3 * 10 - 3 * 20]),
        Corner("the least word is its own negative", one, both + least, [10, 20], [-128 * 30]),
        Corner(
            "a stuck bit",
            one,
            [*both, Fault("weights", 0, 0, 0, "stuck-0"), Fault("weights", 0, 0, 1, "stuck-1")],
            [10, 20],
            [2 * 10 - 2 * 20],
        ),
    ]


def _addresses() -> list[Corner]:
    one = _one(PLAIN, [3, -5, 7])
    second = _index(one, 2, line=1)  # 7 · 20
    filling = forced(one, "weights", 1, 1, 9)
    two = chain(
        PLAIN,
        layer(PLAIN, [11, 13, 17], 2, 2, last=False),
        layer(PLAIN, [2, 4], 1, 2, last=True, source=(2, 1, 1)),
    )
    # The hidden layer: both outputs 11 · 10 of the first input, and 0 · of the second.
    lines = [
        *forced(two, "index", 0, 0, 0), *forced(two, "index", 0, 1, 0),
        *forced(two, "index", 1, 0, 1000), *forced(two, "index", 1, 1, 1000),
    ]  # fmt: skip
    hole = _one(HOLES, [3, -5, 7])
    last = len(range(0, 65536, 2))  # lines of a bank
    return [
        Corner("a word of the filling", one, _index(one, 3) + second, [10, 20], [140]),
        Corner(
            "a fault in the filling that an index reads",
            one,
            _index(one, 3) + second + filling,
            [10, 20],
            [90 + 140],
        ),
        Corner("a fault in the filling that nobody reads", one, filling, [0, 0], [0]),
        Corner("a line that nobody wrote", one, _index(one, 4000) + second, [10, 20], [140]),
        Corner(
            "a line that no bank has", hole, _index(hole, 4 * 700) + _index(hole, 2, line=1),
            [10, 20], [140],
        ),
        Corner(
            "the words of the layer before, behind the end of the memory",
            two,
            # The second layer begins in line 2, so that line 0 is the last but one from there.
            lines + forced(two, "index", 2, 0, 2 * (last - 2) + 1) + forced(two, "index", 3, 0, 0),
            [10, 20],
            [13 * 110 + 2 * 110],
        ),
        Corner(
            "the words of the layer behind",
            two,
            # Line 2 of bank 1 is 4, and of the hidden layer address 5.
            forced(two, "index", 0, 0, 5) + forced(two, "index", 0, 1, 5)
            + forced(two, "index", 1, 0, 1000) + forced(two, "index", 1, 1, 1000)
            + forced(two, "index", 2, 0, 0) + forced(two, "index", 3, 0, 0),
            [10, 20],
            [2 * 40 + 2 * 40],
        ),
    ]  # fmt: skip


def _sums() -> list[Corner]:
    three = chain(WIDE, layer(WIDE, [1, 1, 1], 1, 3, last=True, shared=False))
    # Dense: words 0, 1, 2 in banks 0, 1, 2 of line 0.
    least = [one for bank in range(3) for one in forced(three, "weights", 0, bank, 0x8000)]
    logit = _one(PLAIN, [1])
    signs = forced(logit, "index", 0, 0, 0) + forced(logit, "index", 1, 0, 0)
    two = chain(PLAIN, layer(PLAIN, [1], 1, 2, last=False), layer(PLAIN, [1], 1, 1, last=True))
    plus = [*forced(two, "index", 0, 0, 0), *forced(two, "index", 1, 0, 0),
            *forced(two, "index", 2, 0, 0)]  # fmt: skip
    scale = 22 - PLAIN.mult_w
    assert scale == 6
    return [
        Corner(
            "an accumulator that wraps", three, least, [65535] * 3,
            [-3 * 32768 * 65535 + 2 * 2**32 - 2**32], sums=1,
        ),
        Corner(
            "a logit that wraps", logit, signs + forced(logit, "bias", 0, 0, 2**31 - 30),
            [10, 20], [-(2**31)], products=1,
        ),
        Corner(
            "a bias above the width of a logit", logit, signs + forced(logit, "bias", 0, 0, 2**40),
            [10, 20], [30], products=1,
        ),
        Corner(
            "p wraps and is then negative", two, plus + forced(two, "bias", 0, 0, 2**47 - 1),
            [10, 20], [0], products=1,
        ),
        Corner(
            "p just does not", two, plus + forced(two, "bias", 0, 0, 2**47 - 31), [10, 20], [255]
        ),
        Corner("a shift beyond the width", two, plus + forced(two, "scale", 0, 0, 63 << 16 | 1),
               [10, 20], [0]),
        Corner(
            "the least multiplier", two,
            plus + forced(two, "scale", 0, 0, 0x8000) + forced(two, "bias", 0, 0, 30 * 2**15 + 5),
            [10, 20], [5],
        ),
        Corner(
            "scale of the last layer", two, plus + [Fault("scale", 1, 0, bit) for bit in range(22)],
            [10, 20], [30],
        ),
    ]  # fmt: skip


def _others() -> list[Corner]:
    row = (1, 1, 2)
    table = np.arange(256, dtype=np.int32)
    other = table.copy()
    other[7] = 6
    add = AddLayer("add", row, np.array([1, 1], np.int32), np.zeros(1, np.int32),
                   np.zeros(1, np.int64), scale=1.0, hi=255)  # fmt: skip
    tables = [
        LutLayer(f"lut{n}", row, one, scale=1.0) for n, one in enumerate((table, table, other))
    ]
    dense = layer(PLAIN, [1, 1], 1, 2, last=True, shared=False)
    wires = [Wire((Place(n),), Place(n + 1)) for n in range(3)]
    wires += [Wire((Place(3), Place(3)), Place(4)), Wire((Place(4),), None)]
    program = Program.graph(PLAIN, [*tables, add, dense], wires, row)
    # Channel lines: three tables, then the two of the addition.
    dead = [
        *forced(program, "scale", 0, 0, 5), *forced(program, "bias", 1, 0, 99),
        *forced(program, "scale", 3, 0, 9 << 16 | 1), *forced(program, "bias", 4, 0, 1234),
    ]  # fmt: skip
    return [
        Corner("words of a table and of an addition that nobody reads", program, dead, [10, 20],
               [60]),
        Corner("both layers that share a table", program, forced(program, "lut", 10, 0, 20),
               [10, 20], [80]),
        # 7 -> 6 in the first table, as in the second one, which then is equal.
        Corner("a table that becomes another one", program, forced(program, "lut", 7, 0, 6),
               [7, 20], [2 * 26]),
        Corner("the shift and the multipliers of an addition", program,
               forced(program, "scale", 3, 0, 3) + forced(program, "scale", 4, 0, 1 << 16 | 5)
               + forced(program, "bias", 3, 0, 2),
               [10, 20], [(8 * 10 + 2) // 2 + (8 * 20 + 2) // 2]),
    ]  # fmt: skip


CORNERS = [*_weights(), *_addresses(), *_sums(), *_others()]
