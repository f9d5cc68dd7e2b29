"""Tables of synthesis and of place and route: for the terminal, and Markdown for the docs."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hwsim.files import markdown as page
from hwsim.fpga.place_route import PART, Routed, module_of
from hwsim.fpga.synthesis import DEVICE, Synthesis

Rows = list[list[str]]

_TOTALS = ("configuration", "LUTs", "flip-flops", "DSPs", "block RAMs", "memory, Kibit")
_MODULES = ("module", "instances", "LUTs", "flip-flops", "DSPs", "block RAMs", "memory, Kibit")
_FIELDS = ("luts", "flip_flops", "dsps", "block_rams", "memory_bits")
#: Cells of nextpnr's report that the table names.
_CELLS = {
    "TRELLIS_COMB": ("LUTs", "LUT4"), "TRELLIS_FF": ("flip-flops", "TRELLIS_FF"),
    "MULT18X18D": ("DSPs", "MULT18X18D"), "DP16KD": ("block RAMs", "DP16KD"),
}  # fmt: skip


def _cell(field: str, value: int, black_box: bool) -> str:
    if field == "memory_bits":
        return f"{value / 1024:,.1f}" if value else "0"
    if field == "block_rams" and black_box:
        return "black box"
    return f"{value:,}"


def total_rows(found: Sequence[Synthesis]) -> Rows:
    """A row for each configuration."""
    return [
        [one.config, *(_cell(field, one.total(field), one.black_box) for field in _FIELDS)]
        for one in found
    ]


def module_rows(one: Synthesis) -> Rows:
    """A row for each module, without what stands in it; the largest first."""
    ordered = sorted(one.by_module().items(), key=lambda item: (-item[1]["luts"], item[0]))
    return [
        [
            name,
            f"{row['instances']:,}",
            *(
                _cell(field, row[field], one.black_box and row["memory_bits"] > 0)
                for field in _FIELDS
            ),
        ]
        for name, row in ordered
    ]


def placement_rows(found: Routed) -> Rows:
    """What was reached, as name and value."""
    start, end = found.ends
    rows = [["device", PART], ["clock", f"{found.mhz:.1f} MHz"]]
    for cell, (name, kind) in _CELLS.items():
        used = found.used.get(cell, 0)
        rows.append([name, f"{used:,} of {DEVICE[kind]:,} ({used / DEVICE[kind]:.0%})"])
    rows += [
        ["limiting path", f"{found.path_ns:.2f} ns, of which {found.share('routing'):.2f} routing"],
        ["from", f"{module_of(start)} ({start or 'top level'})"],
        ["to", f"{module_of(end)} ({end or 'top level'})"],
    ]
    return rows


_SEEDS = ("seed", "clock", "limiting path", "routing", "from", "to")


def seed_rows(found: Sequence[Routed]) -> Rows:
    """A row for each start of the placer, in the order given."""
    return [
        [
            str(one.seed), f"{one.mhz:.1f} MHz", f"{one.path_ns:.2f} ns",
            f"{one.share('routing'):.2f} ns", *(module_of(end) for end in one.ends),
        ]
        for one in found
    ]  # fmt: skip


def seed_summary(found: Sequence[Routed]) -> str:
    """The spread of the clock in words."""
    clocks = [one.mhz for one in found]
    best = max(found, key=lambda one: one.mhz)
    return (
        f"{len(found)} seeds of {best.config}: {min(clocks):.1f} to {best.mhz:.1f} MHz, median "
        f"{statistics.median(clocks):.1f}; the best is seed {best.seed}."
    )


def _rich(title: str, head: Sequence[str], rows: Rows) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table


def render(found: Sequence[Synthesis]) -> RenderableType:
    """The configurations, then the modules of each."""
    parts: list[RenderableType] = [_rich("ECP5 cells", _TOTALS, total_rows(found))]
    for one in found:
        parts += [Text(), _rich(f"{one.config}: modules by themselves", _MODULES, module_rows(one))]
    return Group(*parts)


def render_placement(found: Routed) -> RenderableType:
    """What was reached, for the terminal."""
    grid = Table.grid(padding=(0, 2))
    for name, value in placement_rows(found):
        grid.add_row(Text(name, style="cyan"), Text(value))
    return grid


def render_seeds(found: Sequence[Routed]) -> RenderableType:
    """All starts of the placer, and their spread, for the terminal."""
    return Group(
        _rich(f"{found[0].config} on {PART}", _SEEDS, seed_rows(found)), Text(), seed_summary(found)
    )


def markdown(found: Sequence[Synthesis]) -> str:
    """The same tables for docs/synthesis.md."""
    parts = [page.table(_TOTALS, total_rows(found))]
    for one in found:
        parts += [f"### `{one.config}`", page.table(_MODULES, module_rows(one))]
    # Without the compiler that built the tool and where it stood.
    tool = found[0].tool.partition(", ")[0]
    return "\n\n".join([*parts, f"Mapped by {tool}{')' * (tool.count('(') - tool.count(')'))}."])


def markdown_placement(found: Routed) -> str:
    """The same table for docs/synthesis.md."""
    rows = page.table([f"`{found.config}`", ""], placement_rows(found))
    return f"{rows.replace('---:', '---')}\n\nRouted by {_short(found.tool)}."


def markdown_seeds(found: Sequence[Routed]) -> str:
    """All starts of the placer for docs/synthesis.md."""
    rows = page.table(_SEEDS, seed_rows(found))
    return f"{rows}\n\n{seed_summary(found)} Routed by {_short(found[0].tool)}."


def _short(tool: str) -> str:
    short = re.search(r"nextpnr-[\d.]+", tool)
    return short[0] if short else tool
