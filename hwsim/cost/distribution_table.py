"""A distribution for people: what ``hwsim timing MODEL --skip --images N`` adds to its screen."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hwsim.cost.distribution import Distribution, Percentiles
from hwsim.files.shown import tail


def _cells(spread: Percentiles) -> list[str]:
    values = (spread.mean, spread.min, spread.p5, spread.p95, spread.max)
    return [f"{value:,.0f}" for value in values]


def render(found: Distribution) -> Group:
    """Cycles and energy of the images, a line each, then the layers that skip; plain ASCII."""
    table = Table(
        title=f"Zeros skipped, over {found.images:,} test images", title_justify="left",
        title_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim",
    )  # fmt: skip
    table.add_column("", no_wrap=True)
    heads = ("mean", "min", "p5", "p95", "max", "without", "gain", "columns", "of bound")
    for name in heads:
        table.add_column(name, justify="right", no_wrap=True)
    gains = (f"{found.plain_cycles:,}", f"{found.speed_up:.2f}x")
    table.add_row(Text("cycles", style="bold"), *_cells(found.cycles), *gains, "", "")
    gains = (f"{found.plain_energy_nj:,.0f}", f"{found.energy_gain:.2f}x")
    table.add_row(Text("energy, nJ", style="bold"), *_cells(found.energy_nj), *gains, "", "")
    for layer in found.layers:
        mean = layer.cycles.mean
        table.add_row(
            Text(f"cycles of {tail(layer.name)}"), *_cells(layer.cycles), f"{layer.plain:,}",
            f"{layer.plain / mean:.2f}x", f"{layer.columns:.1%}", f"{layer.bound / mean:.1%}",
        )  # fmt: skip
    note = (
        "without: the same network where nothing is skipped. columns: expanded, of all. of bound: "
        "cycles of the layer were the places of its zeros known before it starts, over its cycles."
    )
    return Group(table, Text(note, style="dim"))
