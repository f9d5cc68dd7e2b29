"""Engines that take batches, and what must be equal between them and the machines in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwsim.bus.constants import CAUSE_CODES
from hwsim.cost.timing import TimingReport, analyze
from hwsim.engine.reference import Trace
from hwsim.engine.reference import run as oracle
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.program import Program
from hwsim.rtl.outcome import RtlBatch
from hwsim.rtl.simulator import RtlEngine
from hwsim.units import sequencer
from tests.property import slow_batch
from tests.property.batch_networks import batch_programs, several
from tests.property.networks import for_engine
from tests.rtl.compare import TIMED
from tests.rtl.configs import FULL, MANY
from tests.rtl.machine import NAMES, Machine, cycles, expected
from tests.rtl.tally import BATCHES

Images = NDArray[np.int64]


def _taking(plain: EngineConfig, batch: int, **more: Any) -> EngineConfig:
    name = f"{plain.name}-batch{batch}"
    return plain.replace(name=name, batch=batch, **more)


_BY_NAME = {one.name: one for one in MANY}
#: Batches of all columns and of fewer, an index stored and computed, narrow and wide words, with
#: and without the probability unit, with check bits. The first three in every run.
EVERY = [
    _taking(_BY_NAME["4x4-4-sram"], 4),
    _taking(_BY_NAME["3x8-16-sram"], 4),
    _taking(_BY_NAME["4x2-4-hash"], 2),
    _taking(_BY_NAME["2x2-2-sram"], 2, ecc="parity"),
    _taking(_BY_NAME["4x4-16-hash"], 2, ecc="secded"),
    _taking(_BY_NAME["1x4-2-hash"], 4),
    _taking(_BY_NAME["8x16-8-sram"], 16),
    _taking(_BY_NAME["16x8-16-sram"], 8),
    _taking(_BY_NAME["9x32-64-hash"], 8),
    _taking(_BY_NAME["4x4-4-sram"], 2, requantization="twice-away", mult_w=32, act_w=8, acc_w=32),
]
#: One behind its buses, for samples.small_network: fewer images than columns.
BATCH_TINY = load_config("tiny").replace(name="tiny-batch4", cols=8, batch=4)
ENGINES = EVERY if FULL else EVERY[:3]


def networks(config: EngineConfig) -> st.SearchStrategy[Program]:
    """Random programs for exactly this engine, whose memories the simulation was built with."""
    return for_engine(batch_programs(st.just(config)), config)


@dataclass(frozen=True)
class Asked:
    """A batch as it is sent. idles: a seed. packet: which one is wrong, and by how many beats."""

    images: Images
    idles: int | None = None
    packet: tuple[int, int] = (0, 0)


@st.composite
def series(draw: Callable[..., Any], program: Program) -> list[Asked]:
    """Batches that follow each other: of different sizes, a wrong one among them, the first again.

    What an earlier one left in the memories must not matter to those behind it.
    """
    found = []
    for _ in range(draw(st.integers(2, 3))):
        idles = draw(st.none() | st.integers(0, 2**16))
        found.append(Asked(draw(several(program)), idles))
    wrong = found[draw(st.integers(0, len(found) - 1))]
    number = draw(st.integers(0, len(wrong.images) - 1))
    # A packet of a pixel has no beat to lose.
    change = draw(st.sampled_from([-1, 1] if wrong.images[0].size > 1 else [1]))
    place = draw(st.integers(0, len(found)))
    return [
        *found[:place],
        Asked(wrong.images, wrong.idles, (number, change)),
        *found[place:],
        Asked(found[0].images),
    ]


@dataclass
class Truth:
    """What a program must do with batches: traces of the oracle by image, reports by size."""

    program: Program

    def __post_init__(self) -> None:
        self.traces: dict[bytes, Trace] = {}
        self.reports: dict[int, TimingReport] = {}

    def trace(self, image: Images) -> Trace:
        key = image.tobytes()
        if key not in self.traces:
            self.traces[key] = oracle(self.program, image)
        return self.traces[key]

    def report(self, images: int) -> TimingReport:
        if images not in self.reports:
            self.reports[images] = analyze(self.program, images=images)
        return self.reports[images]

    # --- what must be equal ---------------------------------------------------------------------

    def difference(self, images: Images, found: RtlBatch) -> str | None:
        """The first value, else the first counter, that is another than that of the simulator."""
        if found.status:
            return f"the batch ended with status {found.status} after {found.simulated} cycles"
        if len(found.logits) != len(images) or len(found.feature_maps) != len(images):
            return f"{len(images)} images expected, got {found.logits.shape} logits"
        for number, image in enumerate(images):
            trace = self.trace(image)
            for what, due, got in self._values(trace, found, number):
                if got.shape != due.shape:
                    return f"image {number}, {what}: {due.shape} expected, got {got.shape}"
                wrong = np.argwhere(got != due)
                if len(wrong):
                    at = tuple(wrong[0].tolist())
                    return f"image {number}, {what}, {at}: {due[at]} expected, got {got[at]}"
        return self._counters(len(images), found)

    def _values(
        self, trace: Trace, found: RtlBatch, number: int
    ) -> list[tuple[str, NDArray[np.int64], NDArray[np.int64]]]:
        maps = found.feature_maps[number]
        layers = [layer.name for layer in self.program.layers[:-1]]
        assert len(maps) == len(layers)
        values = [
            (f"layer {name}", due, got)
            for name, due, got in zip(layers, trace.feature_maps, maps, strict=False)
        ]
        likely = trace.probabilities if self.program.config.softmax else []
        return [
            *values,
            ("logit", np.array(trace.logits), found.logits[number]),
            ("probability", np.array(likely, np.int64), found.probabilities[number]),
            ("argmax", np.array(trace.argmax), np.array(found.argmax[number])),
        ]

    def _counters(self, images: int, found: RtlBatch) -> str | None:
        report = self.report(images)
        due: list[tuple[str, dict[str, int], dict[str, int]]] = []
        for timed, counted in zip(report.layers, found.layers, strict=True):
            expected = {name: getattr(timed, name) for name in TIMED} | {"total": timed.cycles}
            due.append((f"layer {timed.name}", expected, counted))
        whole = {name: report.total(name) for name in TIMED}
        whole |= {"total": report.cycles, "softmax": report.softmax}
        due.append(("batch", whole, found.counters))
        for what, expected, counted in due:
            for name, value in expected.items():
                if counted[name] != value:
                    return f"{what}, {name}: expected {value}, got {counted[name]}"
        if found.total != report.cycles:
            return f"total: expected {report.cycles}, got {found.total}"
        return None

    def slow_difference(self, images: Images, found: RtlBatch) -> str | None:
        """The same against the machine that is stepped clock by clock, which knows no formulas."""
        slow = slow_batch.run(self.program, images)
        for layer, maps, counted in zip(
            range(len(slow.layers)), slow.maps, found.layers, strict=True
        ):
            for number, due in enumerate(maps):
                last = layer == len(slow.layers) - 1
                got = (
                    found.logits[number][:, None, None]
                    if last
                    else found.feature_maps[number][layer]
                )
                if (due != got).any():
                    return f"layer {layer}, image {number}: {due} expected, got {got}"
            mine: Counter[str] = slow.layers[layer]
            for name in ("instruction", "compute", "act_stall", "post_stall", "expander_stall",
                         "drain", "conflict_cycles", "expander_wait"):  # fmt: skip
                if counted[name] != mine[name]:
                    return f"layer {layer}, {name}: expected {mine[name]}, got {counted[name]}"
        if (slow.cycles, slow.softmax) != (found.total, found.counters["softmax"]):
            return f"expected {slow.cycles} and {slow.softmax}, got {found.counters}"
        return None


def batch_difference(machine: Machine, images: Images, found: RtlBatch) -> str | None:
    """The first value, else the first counter, that is not what the plain machine must do."""
    if found.status:
        return f"status {found.status} after {found.simulated} cycles, {len(found.layers)} layers"
    for number, image in enumerate(images):
        maps, logits = expected(machine, image)
        for layer, (due, got) in enumerate(zip(maps, found.feature_maps[number], strict=True)):
            if (due != got).any():
                at = tuple(np.argwhere(due != got)[0].tolist())
                return f"image {number}, layer {layer}, {at}: {due[at]} expected, got {got[at]}"
        if found.logits[number].tolist() != logits:
            return f"image {number}: {logits} expected, got {found.logits[number].tolist()}"
        if found.argmax[number] != logits.index(max(logits)):
            return f"image {number}: argmax {found.argmax[number]} of {logits}"
    single, _, softmax = cycles(machine)
    total = sequencer.START
    for layer, (alone, got) in enumerate(zip(single, found.layers, strict=True)):
        runs = 1 if NAMES[machine.rows[layer]["op"]] == "fc" else len(images)
        counted = {name: runs * value for name, value in alone.items()}
        # What is fetched once is in two of them.
        for name in ("instruction", "total"):
            counted[name] -= (runs - 1) * sequencer.FETCH
        for name, value in counted.items():
            if got[name] != value:
                return f"layer {layer}, {name}: {value} expected, got {got[name]}"
        total += counted["total"]
    if (found.total, found.counters["softmax"]) != (total, len(images) * softmax):
        return f"total {total}, softmax {len(images) * softmax} expected, got {found.counters}"
    return None


def check(engine: RtlEngine, truth: Truth, asked: Sequence[Asked], slow: bool = False) -> int:
    """Send batches one after the other; how many were compared. Fails with the first difference."""
    compared = 0
    for place, one in enumerate(asked):
        limit = 2 * truth.report(len(one.images)).cycles + 20 * one.images.size + 20_000
        found = engine.run_batch(
            one.images, maps=True, idles=one.idles, packet=one.packet, limit=limit
        )
        if one.packet[1]:
            assert found.status == CAUSE_CODES["packet"], (place, found.status)
            assert found.layers == ()
            continue
        difference = truth.difference(one.images, found)
        if difference is None and slow and not compared:
            difference = truth.slow_difference(one.images, found)
        assert difference is None, f"batch {place} of {len(one.images)} images: {difference}"
        BATCHES[truth.program.config.name].add_batch(truth.program, found)
        compared += 1
    return compared
