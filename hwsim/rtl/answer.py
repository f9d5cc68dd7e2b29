"""The answer of a simulation to a batch: every count and range in it, before it is believed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from hwsim.bus.constants import ALL_IMAGES, CAUSE_CODES, CAUSES, COUNTERS, OUT_OF_CYCLES
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import Layer
from hwsim.program.program import Program
from hwsim.program.wires import map_lines
from hwsim.rtl.errors import RtlError
from hwsim.units.slots import WINDOW

_HEAD = struct.Struct("<6IQ")
#: Bytes of an answer about which nothing is known but the memories' words.
_MOST = 1 << 30
#: Probabilities are UQ1.16.
_ONE = 1 << 16


@dataclass(frozen=True)
class Asked:
    """What the simulation was asked for.

    program: what stands in its memories, None where that is other words than a compiler's. images:
    those of the batch. beats: pixels sent. limit: cycles. maps: whether feature maps were to be
    recorded.
    """

    config: EngineConfig
    program: Program | None
    images: int
    beats: int
    limit: int
    maps: bool

    @property
    def map_lines(self) -> list[int]:
        """Lines of each map but the last layer's."""
        assert self.program is not None
        layers, cols = self.program.layers[:-1], self.config.cols
        return [map_lines(layer.out_shape, cols) for layer in layers]

    @property
    def writes(self) -> int:
        """Lines of all maps; of a batch, an fc layer writes those of all images at once."""
        assert self.program is not None
        return sum(
            lines if _at_once(self.config, layer) else self.images * lines
            for layer, lines in zip(self.program.layers[:-1], self.map_lines, strict=True)
        )

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes of the answer, the least and the most."""
        row = 4 * len(COUNTERS)
        least = _HEAD.size + 4 * (self.images - 1) + row
        if self.program is None:
            return least, _MOST
        writes = self.writes if self.maps else 0
        most = (8 + 4 * self.config.softmax) * self.program.classes * self.images
        most += row * len(self.program.layers) + 4 * (3 + self.config.cols) * writes
        return least, least + most

    @property
    def ticks(self) -> int:
        """Clock cycles it takes at most: the rest of a packet, a reset, probabilities."""
        return self.limit + self.beats + (1 << 18)


@dataclass(frozen=True)
class SimulationAnswer:
    """status, cycles: integers. argmax: int64 (images,). logits: int64 (n,), of one image after the
    other. probabilities: int64 (n,). counters: int64 (layers + 1, len(COUNTERS)), running totals.
    writes: int64 (n, 3 + COLS): layer, image or ALL_IMAGES, line, codes.
    """

    status: int
    argmax: NDArray[np.int64]
    cycles: int
    logits: NDArray[np.int64]
    probabilities: NDArray[np.int64]
    counters: NDArray[np.int64]
    writes: NDArray[np.int64]


def read(payload: bytes, asked: Asked) -> SimulationAnswer:
    """The answer that ``payload`` is. Raises RtlError for one that cannot be."""
    status, logits, odds, argmax, layers, writes, cycles = _HEAD.unpack_from(payload)
    columns = 3 + asked.config.cols
    parts: list[tuple[np.dtype[Any], int]] = [
        (np.dtype("<i8"), logits), (np.dtype("<u4"), odds),
        (np.dtype("<u4"), asked.images - 1),
        (np.dtype("<u4"), (layers + 1) * len(COUNTERS)), (np.dtype("<u4"), writes * columns),
    ]  # fmt: skip
    size = _HEAD.size + sum(kind.itemsize * count for kind, count in parts)
    if size != len(payload):
        _refuse(f"counts what takes {size:,} bytes in an answer of {len(payload):,}")
    found, start = [], _HEAD.size
    for kind, count in parts:
        found.append(np.frombuffer(payload, kind, count, start).astype(np.int64))
        start += kind.itemsize * count
    answer = SimulationAnswer(
        status, np.array([argmax, *found[2]]), cycles, found[0], found[1],
        found[3].reshape(-1, len(COUNTERS)), found[4].reshape(-1, columns),
    )  # fmt: skip
    _check(answer, asked)
    if asked.program is not None:
        _check_program(answer, asked, asked.program)
    return answer


def _check(answer: SimulationAnswer, asked: Asked) -> None:
    """What holds whatever stands in the memories."""
    status, cycles = answer.status, answer.cycles
    known = {0, OUT_OF_CYCLES, *CAUSES}
    if asked.config.ecc == "none":
        known.discard(CAUSE_CODES["memory"])
    if status not in known:
        _refuse(f"ended with status {status}, which there is not")
    if status == OUT_OF_CYCLES and cycles != asked.limit:
        _refuse(f"ran out of {asked.limit:,} cycles at cycle {cycles:,}")
    if status != OUT_OF_CYCLES and cycles >= asked.limit:
        _refuse(f"took {cycles:,} cycles of {asked.limit:,}")
    # One at most in a cycle.
    for what, values in (("logits", answer.logits), ("layers", answer.counters[1:]),
                         ("writes", answer.writes)):  # fmt: skip
        if len(values) > cycles:
            _refuse(f"has {len(values):,} {what} after {cycles:,} cycles")
    odds = len(answer.logits) if asked.config.softmax and not status else 0
    _same("probabilities", len(answer.probabilities), odds)
    _within("a probability", answer.probabilities, 0, _ONE)
    if not asked.maps:
        _same("writes of maps", len(answer.writes), 0)
    _within("a code of a map", answer.writes[:, 3:], 0, asked.config.act_max)
    if status:
        return
    if cycles < asked.beats:
        _refuse(f"took {asked.beats:,} pixels in {cycles:,} cycles")
    if (np.diff(answer.counters, axis=0) < 0).any():
        _refuse("has counters that run backwards")
    # All but one count cycles. An fc row-tile that is through, or a slot, may have left out more
    # columns than it took cycles.
    columns = np.array(COUNTERS) == "skipped"
    _within("a counter", answer.counters[:, ~columns], 0, cycles)
    each = max(asked.config.skip_columns, WINDOW) if asked.config.skip else 0
    _within("a counter of columns", answer.counters[:, columns], 0, cycles * each)


def _check_program(answer: SimulationAnswer, asked: Asked, program: Program) -> None:
    """What follows from the program."""
    top = 1 << asked.config.acc_w - 1
    _within("a logit", answer.logits, -top, top - 1)
    layers = len(answer.counters) - 1
    if answer.status:
        _most("logits", len(answer.logits), program.classes * asked.images)
        _most("layers", layers, len(program.layers))
        _most("writes of maps", len(answer.writes), asked.writes)
        _lines(answer.writes, program, asked)
        return
    _same("logits", len(answer.logits), program.classes * asked.images)
    _same("layers", layers, len(program.layers))
    for found, logits in zip(answer.argmax, answer.logits.reshape(asked.images, -1), strict=True):
        if found != logits.argmax():
            _refuse(f"says that class {found} has the largest logit")
    if asked.maps:
        _same("writes of maps", len(answer.writes), asked.writes)
        _lines(answer.writes, program, asked)


def _at_once(config: EngineConfig, layer: Layer) -> bool:
    return config.batch > 1 and layer.kind == "fc"


def _lines(writes: NDArray[np.int64], program: Program, asked: Asked) -> None:
    """Layers write one after another, each line of their own map once at most, image by image."""
    layers, images, places = writes[:, 0], writes[:, 1], writes[:, 2]
    lines = asked.map_lines
    if (np.diff(layers) < 0).any() or (layers >= len(lines)).any():
        _refuse("has writes of layers out of order")
    for number, (count, wire) in enumerate(zip(lines, program.wires, strict=False)):
        assert wire.target is not None
        mine = layers == number
        line, image = places[mine] - program.first_line(wire.target), images[mine]
        _within(f"a line of layer {number}", line, 0, count - 1)
        if _at_once(asked.config, program.layers[number]):
            _within(f"an image of layer {number}", image, ALL_IMAGES, ALL_IMAGES)
        else:
            _within(f"an image of layer {number}", image, 0, asked.images - 1)
            if (np.diff(image) < 0).any():
                _refuse(f"has writes of images out of order in layer {number}")
        if len(np.unique(image * count + line)) != len(line):
            _refuse(f"has two writes of one line of layer {number}")


def _same(what: str, found: int, due: int) -> None:
    if found != due:
        _refuse(f"has {found:,} {what} where {due:,} are due")


def _most(what: str, found: int, most: int) -> None:
    if found > most:
        _refuse(f"has {found:,} {what} where {most:,} are the most")


def _within(what: str, values: NDArray[np.int64], low: int, high: int) -> None:
    if values.size and (values.min() < low or values.max() > high):
        odd = values[(values < low) | (values > high)].flat[0]
        _refuse(f"has {what} of {odd:,}, outside {low:,} … {high:,}")


def _refuse(what: str) -> NoReturn:
    raise RtlError(f"the simulation of the RTL is not to be believed: its answer {what}")
