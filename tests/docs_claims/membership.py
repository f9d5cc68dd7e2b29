"""docs/membership.md: what its measured table says."""

from __future__ import annotations

from collections.abc import Iterator

from tests.docs_claims.page import Page
from tests.docs_claims.rendered import printed


def _ends(cell: str) -> tuple[float, float]:
    """``.541 (.505–.576)`` -> (0.505, 0.576)."""
    low, high = cell.partition("(")[2].rstrip(")").split("–")
    return float(low), float(high)


def _claims() -> Iterator[str]:
    """No sentence has a number of the table; what it says in words is held here."""
    for row in printed("membership-c0"):
        if row["float"] and row["engine, 8 bits"]:
            low, high = _ends(row["float"])
            assert low <= float(row["engine, 8 bits"].partition(" ")[0]) <= high, row["attack"]
    yield from ()


PAGE = Page(
    "docs/membership.md",
    _claims,
    fixed={
        "takes at most 1%, or 0.1%, of the others": "the usual rates of false alarms",
        "All with 95% intervals": "the method's level",
    },
)
