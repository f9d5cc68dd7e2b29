"""Numbers of designs as text."""

from __future__ import annotations

import math

from hwsim.report.words import energy, memory, percent
from hwsim.studies.explore.objectives import Measured


def said(name: str, value: Measured) -> str:
    """A value with its unit; ~ in front of an interpolated one, ? behind an extrapolated one; ≥ of
    flips that were not enough.

    name: of the goal.
    """
    if name == "cycles":
        return f"{value.value:,.0f}"
    if name == "energy":
        return energy(value.value)
    if name == "memory":
        return memory(round(value.value))
    if name == "luts":
        beyond = "?" if math.isinf(value.high) else ""
        return f"{'~' if value.estimated else ''}{value.value:,.0f}{beyond}"
    if name == "flips":
        # Without a lower end there are too few searches to say how far they reach.
        short = math.isinf(value.high) and not math.isinf(value.low)
        return f"{'≥ ' if short else ''}{value.value:.1f}"
    return percent(value.value)


def brief(name: str, value: Measured | None) -> str:
    """The same for a narrow column: thousands of cycles, µJ, KiB, shares in %."""
    if value is None:
        return "–"
    if name == "cycles":
        return f"{value.value / 1000:,.0f}k"
    if name == "energy":
        return f"{value.value / 1000:,.1f}"
    if name == "memory":
        return f"{value.value / 8192:,.0f}"
    if name in ("accuracy", "pgd"):
        return percent(value.value).removesuffix("%")
    return said(name, value).replace("≥ ", "≥")
