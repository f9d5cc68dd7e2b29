"""The counters of the Verilog beside those of the simulator, a layer a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from hwsim.cost.timing import TimingReport
from hwsim.engine.module import Engine
from hwsim.program.program import Program
from hwsim.rtl.counters import differences
from hwsim.rtl.errors import RtlError
from hwsim.rtl.simulator import RtlEngine, refusal

if TYPE_CHECKING:
    from hwsim.rtl.outcome import RtlBatch, RtlRun


def count(program: Program, report: TimingReport) -> tuple[TimingReport, RtlRun | RtlBatch]:
    """Run as many images of random pixels as ``report`` has.

    With it the report of them: where counters depend on the image it is another one.
    """
    limits, shape = program.config.act_max + 1, (report.images, *program.input_shape)
    images = np.random.default_rng(0).integers(0, limits, shape)
    run: RtlRun | RtlBatch
    with RtlEngine(program) as engine:
        run = engine.run_batch(images) if report.images > 1 else engine.run(images[0])
    if run.status:
        raise RtlError(refusal(run.status))
    return Engine(program).image_report(report, images[0]), run


def as_dict(report: TimingReport, run: RtlRun | RtlBatch) -> dict[str, Any]:
    """For JSON: the counters of the Verilog and the differences."""
    layers = zip(report.layers, run.layers, differences(report, run), strict=True)
    return {
        "cycles": run.total,
        "simulated": run.simulated,
        "layers": [
            {"name": timed.name, "counters": counted, "difference": difference}
            for timed, counted, difference in layers
        ],
    }


def render(report: TimingReport, run: RtlRun | RtlBatch) -> Group:
    """Cycles of both, how many of the counters differ, and where the cycles of the Verilog went."""
    table = Table(title="The Verilog against this report", title_justify="left",
                  title_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0),
                  header_style="dim")  # fmt: skip
    for name in ("layer", "kind"):
        table.add_column(name, no_wrap=True)
    titles = ("cycles,\nVerilog", "cycles,\nsimulator", "difference", "counters\nthat differ",
              "array\nbusy", "cycles a\ncolumn")  # fmt: skip
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    layers = zip(report.layers, run.layers, differences(report, run), strict=True)
    for timed, counted, difference in layers:
        wrong = sum(1 for value in difference.values() if value)
        busy = counted["compute"] / counted["total"]
        column = f"{1 + counted['conflict_cycles'] / timed.columns:.2f}" if timed.columns else "-"
        table.add_row(
            Text(timed.name), timed.kind, f"{counted['total']:,}", f"{timed.cycles:,}",
            f"{difference['cycles']:,}", f"{wrong} of {len(difference)}",
            "-" if timed.kind == "pool" else f"{busy:.1%}", column,
        )  # fmt: skip
    table.add_section()
    cells = ("total", "", f"{run.total:,}", f"{report.cycles:,}", f"{run.total - report.cycles:,}")
    table.add_row(*(Text(cell, style="bold") for cell in cells))
    return Group(table, Text(_convolutions(report, run), style="dim"))


def _convolutions(report: TimingReport, run: RtlRun | RtlBatch) -> str:
    """The array over all convolutions together."""
    pairs = list(zip(report.layers, run.layers, strict=True))
    chosen = [counted for timed, counted in pairs if timed.kind == "conv"]
    if not chosen:
        return "array busy: of the cycles of a layer, those that issue a column."
    share = sum(one["compute"] for one in chosen) / sum(one["total"] for one in chosen)
    return (
        "array busy: of the cycles of a layer, those that issue a column; of all convolutions "
        f"together {share:.1%}."
    )
