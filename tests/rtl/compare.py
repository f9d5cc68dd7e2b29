"""What must be equal between the RTL and the simulator, and where it first is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.timing import TimingReport
from hwsim.engine.reference import Trace
from hwsim.program.program import Program
from hwsim.rtl.backend import first_map_difference
from hwsim.rtl.outcome import RtlRun

#: Counters of LayerTiming that the RTL has, too.
TIMED = ("instruction", "compute", "act_stall", "post_stall", "expander_stall", "drain",
         "conflict_cycles", "expander_wait", "skipped")  # fmt: skip


def first_difference(
    program: Program, run: RtlRun, maps: list[NDArray[np.int64]], logits: list[int], argmax: int
) -> str | None:
    """Layer, channel, y, x, expected and got of the first value that differs; None if none does."""
    if run.status:
        return f"the run ended with status {run.status} after {run.simulated} cycles"
    names = (layer.name for layer in program.layers)
    difference = first_map_difference(
        program, dict(zip(names, maps, strict=False)), run.feature_maps
    )
    if difference:
        return difference
    return first_logit_difference(run, logits, argmax)


def first_logit_difference(run: RtlRun, logits: list[int], argmax: int) -> str | None:
    """Class, expected and got of the first logit that differs, then the argmax; else None."""
    got_logits = run.logits.tolist()
    if len(got_logits) != len(logits):
        return f"{len(logits)} logits expected, got {len(got_logits)}"
    for number, (one, other) in enumerate(zip(logits, got_logits, strict=True)):
        if one != other:
            return f"logit {number}: expected {one}, got {other}"
    if run.argmax != argmax:
        return f"argmax: expected {argmax}, got {run.argmax}"
    return None


def first_probability_difference(program: Program, run: RtlRun, expected: list[int]) -> str | None:
    """Class, expected and got of the first probability that differs; None if none does."""
    if not program.config.softmax:
        return "probabilities without a unit" if len(run.probabilities) else None
    for number, (one, other) in enumerate(zip(expected, run.probabilities.tolist(), strict=True)):
        if one != other:
            return f"probability {number}: expected {one}, got {other}"
    return None


def first_cycle_difference(report: TimingReport, run: RtlRun) -> str | None:
    """Layer, counter, expected and got of the first counter that differs; None if none does."""
    for timed, counted in zip(report.layers, run.layers, strict=True):
        expected = {name: getattr(timed, name) for name in TIMED} | {"total": timed.cycles}
        for name, value in expected.items():
            if counted[name] != value:
                return f"layer {timed.name}, {name}: expected {value}, got {counted[name]}"
    if run.total != report.cycles:
        return f"total: expected {report.cycles}, got {run.total}"
    if run.counters["softmax"] != report.softmax:
        return f"softmax: expected {report.softmax}, got {run.counters['softmax']}"
    return None


def check(program: Program, run: RtlRun, trace: Trace, report: TimingReport) -> None:
    """Fail with the first value, else the first counter, that differs from the simulator."""
    maps = trace.feature_maps[:-1]
    difference = first_difference(program, run, maps, trace.logits, trace.argmax)
    difference = difference or first_probability_difference(program, run, trace.probabilities)
    difference = difference or first_cycle_difference(report, run)
    assert difference is None, difference
