"""The counters of the Verilog held against those of the timing model."""

from __future__ import annotations

import dataclasses

from hwsim.bus.constants import COUNTERS
from hwsim.cost.layer_timing import LayerTiming
from hwsim.cost.timing import TimingReport
from hwsim.rtl.errors import RtlError
from hwsim.rtl.outcome import RtlBatch, RtlRun

_FIELDS = {field.name for field in dataclasses.fields(LayerTiming)}
#: Counters of a layer that both have; ``total`` of the Verilog is ``cycles`` here.
SHARED = tuple(name for name in COUNTERS if name in _FIELDS)


def differences(report: TimingReport, run: RtlRun | RtlBatch) -> list[dict[str, int]]:
    """Verilog minus simulator of each layer: its cycles, then every shared counter."""
    return [
        {"cycles": counted["total"] - timed.cycles}
        | {name: counted[name] - getattr(timed, name) for name in SHARED}
        for timed, counted in zip(report.layers, run.layers, strict=True)
    ]


def check(report: TimingReport, run: RtlRun | RtlBatch) -> None:
    """Raise RtlError with the first counter that differs.

    report: of as many images as the run had.
    """
    for timed, difference in zip(report.layers, differences(report, run), strict=True):
        for name, value in difference.items():
            if value:
                raise RtlError(
                    f"the RTL and the timing model differ in layer {timed.name}, {name}, by "
                    f"{value:,}: one of the two is wrong, please report it"
                )
    for name, found, due in (
        ("", run.total, report.cycles),
        (" in the probability unit", run.counters["softmax"], report.softmax),
    ):
        if found != due:
            raise RtlError(
                f"the RTL took {found:,} cycles{name} where the timing model says {due:,}: "
                "one of the two is wrong, please report it"
            )
