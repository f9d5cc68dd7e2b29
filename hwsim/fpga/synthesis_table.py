"""Tables of synthesis and of place and route: for the terminal, and Markdown for the docs."""

from __future__ import annotations

import re
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
    short = re.search(r"nextpnr-[\d.]+", found.tool)
    return f"{rows.replace('---:', '---')}\n\nRouted by {short[0] if short else found.tool}."
