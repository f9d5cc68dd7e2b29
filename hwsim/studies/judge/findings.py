"""What a study found: a table, verdicts, flat records, a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from hwsim.attacks.evaluate.rates import Rate
from hwsim.report.words import percent
from hwsim.studies.judge.claims import Verdict


@dataclass(frozen=True)
class Findings:
    """heads, rows: the table, a text for each cell; the first column names the line. notes: how to
    read it. verdicts: one per claim. records: for CSV and Parquet, all with the same keys. draw:
    paints the figure. size: of it, in inches.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    verdicts: Sequence[Verdict]
    records: Sequence[Mapping[str, Any]]
    draw: Callable[[Figure], None]
    size: tuple[float, float] = (9.0, 4.2)
    paper: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def share(rate: Rate | float | None) -> str:
    """``63.2`` of a share in 0 … 1; a dash for none."""
    value = rate.value if isinstance(rate, Rate) else rate
    return percent(value).removesuffix("%")


def span(rate: Rate) -> str:
    """``63.2 [60–66]``: with its 95% interval."""
    low, high = rate.interval
    return f"{share(rate)} [{100 * low:.0f}–{100 * high:.0f}]"


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}"


ADAPTIVE_NOTE = (
    "adapt.: adaptive, images fooled by any of the attack itself, the same step on the margin of "
    "the logits, and PGD on that margin from a random start, within the same ε. All on images "
    "that the machine classifies correctly unattacked."
)
ALGORITHM_NOTE = (
    "Alg. 1: ε raised until the machine's own answer changes, of all images, as the paper counts; "
    "else: at this ε alone, on images classified correctly."
)
BLIND_NOTE = (
    "blind: images whose loss gradient is exactly zero, so that the attack cannot move them. Low "
    "success there is not robustness."
)
