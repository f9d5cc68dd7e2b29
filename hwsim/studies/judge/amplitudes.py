"""Magnitudes of loss gradients on many machines: what Figs. 7 and 9 share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.attack_rows import DECADES, QUANTILES
from hwsim.studies.grid.campaign import Line
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.findings import number, share
from hwsim.studies.runner.task import Row

#: Arithmetic of the softmax that is differentiated.
PRECISIONS = ("float32", "float64")
#: Decades 10^a … 10^b that the paper counts.
LARGE, SMALL = (-10, 0), (-25, -15)
CHUNK = 500

HEADS = ("large", "small", "zero")
NOTE = (
    "Of ∂loss/∂pixel at clean images. large: 1e-10 … 1, small: 1e-25 … 1e-15, zero: exactly, in % "
    "of images (by their mean |g|) and of pixels. margin: of the right class, median, in nats. "
    "float32, float64: arithmetic of the softmax; the network is float32 or fixed point. The "
    "zero pixels that are there without inhibition lie behind ReLUs and max-pools; what vanishes "
    "beyond them vanishes in the softmax, since the margin of the logits always has a gradient."
)


def points(plan: Plan, lines: Sequence[Line], samples: int) -> list[Point]:
    """Gradients of every line on every machine, in both precisions."""
    parts = -(-samples // CHUNK)
    return [
        Point(
            {"line": line.label, "machine": machine, "precision": precision},
            "hwsim.studies.grid.attack_rows:gradients",
            {
                "subject": subject.parameters(), "samples": samples, "part": [part, parts],
                "probabilities": precision,
            },
            3 * samples / parts,
        )
        for line in lines
        for machine, subject in plan.machines(line.network, *line.apply)
        for precision in PRECISIONS
        for part in range(parts)
    ]  # fmt: skip


def merged(rows: Sequence[Row]) -> Row:
    """Rows of all parts as one; margins are means of the parts' quantiles."""

    def table(name: str) -> dict[str, Any]:
        return {
            "decades": np.sum([row[name]["decades"] for row in rows], axis=0),
            "tiny": sum(row[name]["tiny"] for row in rows),
            "zero": sum(row[name]["zero"] for row in rows),
        }

    return {
        "images": sum(row["images"] for row in rows),
        "blind": sum(row["blind"] for row in rows),
        "margins": np.mean([row["margins"] for row in rows], axis=0),
        "pixels": table("pixels"),
        "means": table("means"),
    }


def within(table: Mapping[str, Any], span: tuple[int, int]) -> Rate:
    """Share of magnitudes in 10^a … 10^b."""
    start = DECADES.start
    total = int(table["decades"].sum()) + table["tiny"] + table["zero"]
    return Rate(int(table["decades"][span[0] - start : span[1] - start].sum()), total)


def zero(table: Mapping[str, Any]) -> Rate:
    """Share of exact zeros."""
    return Rate(table["zero"], int(table["decades"].sum()) + table["tiny"] + table["zero"])


def cells(row: Row) -> list[str]:
    """large, small and zero of images, the same of pixels, median margin."""
    found = []
    for name in ("means", "pixels"):
        table = row[name]
        found += [share(within(table, LARGE)), share(within(table, SMALL)), share(zero(table))]
    return [*found, number(float(row["margins"][QUANTILES.index(0.5)]), 1)]


def record(label: str, machine: str, precision: str, row: Row) -> dict[str, Any]:
    """The same, flat."""
    flat: dict[str, Any] = {"line": label, "machine": machine, "precision": precision}
    for name in ("means", "pixels"):
        table = row[name]
        flat |= {
            f"{name}_large": within(table, LARGE).value,
            f"{name}_small": within(table, SMALL).value,
            f"{name}_zero": zero(table).value,
        }
    return flat | {
        "images": row["images"],
        "blind": row["blind"] / row["images"],
        "margin": float(row["margins"][QUANTILES.index(0.5)]),
    }


def all_rows(
    plan: Plan, lines: Sequence[Line], answers: Answers
) -> dict[tuple[str, str, str], Row]:
    """(line, machine, precision) -> merged row."""
    return {
        (line.label, machine, precision): merged(
            answers.of(line=line.label, machine=machine, precision=precision)
        )
        for line in lines
        for machine in plan.names
        for precision in PRECISIONS
    }


def draw(
    figure: Figure, plan: Plan, labels: Sequence[str], found: dict[tuple[str, str, str], Row],
    precision: str,
) -> None:  # fmt: skip
    """Distribution of the mean |g| of an image over the decades, a panel a machine."""
    looks = figures.styles(labels)
    edge, zero_at = -30, -33
    places = [zero_at, edge - 1, *range(edge, 1)]
    top = 0.0
    for axes, machine in zip(figures.panels(figure, plan.names), plan.names, strict=True):
        for label in labels:
            table = found[label, machine, precision]["means"]
            counts = table["decades"][edge - DECADES.start : 1 - DECADES.start]
            below = table["tiny"] + int(table["decades"][: edge - DECADES.start].sum())
            total = int(table["decades"].sum()) + table["tiny"] + table["zero"]
            shares = [table["zero"] / total, below / total, *(counts / total)]
            axes.plot(places, shares, linewidth=1.4, markersize=4, label=label, **looks[label])
            top = max(top, *shares)
        axes.set_xticks([zero_at, edge, -25, -20, -15, -10, -5, 0])
        axes.set_xticklabels(["0", *(f"$10^{{{k}}}$" for k in (edge, -25, -20, -15, -10, -5, 0))])
        axes.set_xlabel(f"mean |∂J/∂x| of an image, {precision} softmax", fontsize=9)
    for axes in figure.axes:
        figures.percents(axes, -0.02 * top, 1.05 * top)
    figure.axes[0].set_ylabel("share of images", fontsize=9)
    figures.legend(figure, figure.axes[0])
    figure.tight_layout(rect=(0, 0.1, 1, 1))
