"""A simulated engine with a program of plain fields and words, which no compiler has checked."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from hwsim.bus.constants import ALL_IMAGES, COMMANDS, SPACES
from hwsim.numbers.config import EngineConfig
from hwsim.rtl.build import build
from hwsim.rtl.outcome import RtlRun
from hwsim.rtl.simulator import RtlEngine
from tests.rtl.machine import Machine, cycles, expected, lines, shape_of
from tests.rtl.skipping import skipping_cycles


class BareEngine(RtlEngine):
    """``RtlEngine`` for a ``Machine``."""

    def __init__(self, config: EngineConfig, wake_up: int | None = None) -> None:
        self._begin(build(config), wake_up)
        self._own = False

    def __enter__(self) -> BareEngine:
        return self

    def _fill(self) -> None:
        """Nothing: ``take`` says what stands in its memories."""

    def take(self, machine: Machine) -> None:
        """Write all its memories."""
        self.machine = machine
        for name, words in machine.memories().items():
            self.write(name, 0, words)
        first = machine.rows[0]
        self.program = _Shape(machine.config, shape_of(first, "in"))  # type: ignore[assignment]

    def peek(self, name: str, line: int, field: int) -> int:
        """One word as the bus reads it."""
        head = struct.pack("<5I", COMMANDS["read"], SPACES[name], line, 1, field + 1)
        size = 8 * (field + 1)
        return int(np.frombuffer(self._ask(head, 8 * (field + 1), (size, size)), "<u8")[field])

    def _maps(self, written: np.ndarray, image: int) -> Iterator[np.ndarray]:
        """Every map that was written, at the place where it belongs; −1 where nothing was."""
        cols = self.machine.config.cols
        for number, row in enumerate(self.machine.rows[:-1]):
            if row.get("last"):
                return
            mine = written[written[:, 0] == number]
            # Of an fc layer, a pixel of each image, in its lane.
            together = mine[:, 1] == ALL_IMAGES
            mine[together, 3] = mine[together, 3 + image]
            mine = mine[together | (mine[:, 1] == image), 2:]
            shape = shape_of(row, "out")
            count = lines(shape, cols)
            found = np.full((count, cols), -1, np.int64)
            place = mine[:, 0] - row["out_line"]
            assert ((place >= 0) & (place < count)).all(), f"layer {number} writes beyond its map"
            assert len(set(place.tolist())) == len(place), f"layer {number} writes a line twice"
            found[place] = mine[:, 1:]
            yield found.reshape(shape[0], shape[1], -1)[:, :, : shape[2]]


class _Shape:
    """What ``RtlEngine.run`` asks of a program."""

    def __init__(self, config: EngineConfig, input_shape: tuple[int, int, int]) -> None:
        self.config, self.input_shape = config, input_shape


def difference(machine: Machine, image: np.ndarray, run: RtlRun) -> str | None:
    """The first value, else the first counter, that is not what the machine must do."""
    if run.status:
        return f"status {run.status} after {run.simulated} cycles, {len(run.layers)} layers"
    maps, logits = expected(machine, image)
    for number, (one, other) in enumerate(zip(maps, run.feature_maps, strict=True)):
        if (one != other).any():
            c, y, x = (int(n[0]) for n in np.nonzero(one != other))
            return f"layer {number}, {c}, {y}, {x}: {one[c, y, x]} expected, got {other[c, y, x]}"
    if run.logits.tolist() != logits:
        return f"logits {logits} expected, got {run.logits.tolist()}"
    if run.argmax != logits.index(max(logits)):
        return f"argmax {run.argmax} of {logits}"
    if machine.config.skip:
        layers, total, softmax = skipping_cycles(machine, image)
    else:
        layers, total, softmax = cycles(machine)
    for number, (want, got) in enumerate(zip(layers, run.layers, strict=True)):
        for name, value in want.items():
            if got[name] != value:
                return f"layer {number}, {name}: {value} expected, got {got[name]}"
    if run.total != total or run.counters["softmax"] != softmax:
        return f"total {total}, softmax {softmax} expected, got {run.counters}"
    return None
