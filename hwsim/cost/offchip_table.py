"""Weights off chip for people: what ``hwsim timing --bandwidth`` adds to its screen."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from hwsim.cost.offchip import OffChip


def render(found: OffChip, bandwidth: float, mhz: float, nj: float, images: int | None) -> Group:
    """nj: of an image with weights on chip. images: over which all are meant, None of one report;
    plain ASCII.
    """
    over = "" if images is None else f", mean of {images:,} test images"
    whole = nj + found.fetch_nj
    lines = [
        f"{found.cycles:,.0f} cycles, {found.waited:,.0f} of them for the port, the first fill "
        "included",
        f"{found.fetched_bits:,} bits fetched, {found.fetch_nj:,.0f} nJ: {whole:,.0f} nJ in all",
        f"{found.buffer_bits:,} bits stay on chip, two halves of the largest layer",
    ]
    note = (
        "A model of a double buffer, docs/timing.md: the engine in Verilog has no such port. All "
        "above is with weights on chip."
    )
    rate = bandwidth * mhz / 1000
    shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
    title = f"Weights off chip, {bandwidth:g} bytes a cycle = {shown} GB/s"
    return Group(Text(title + over, "bold"), *map(Text, lines), Text(note, style="dim"))
