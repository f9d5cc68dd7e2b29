"""What ``hwsim detect`` leaves behind: a table, a picture of ROC curves, a page."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from rich.console import Group
from rich.table import Table
from rich.text import Text

from hwsim.report.pages import write_page
from hwsim.report.words import percent

_COLORS = {"unaware": "#0072B2", "aware": "#D55E00"}
_WORDS = {"unaware": "knows no detector", "aware": "knows this detector"}


def area(told: Mapping[str, Any]) -> str:
    """``0.98 [0.95–1.00]``; a dash where no image fooled the engine."""
    if told["auc"] is None:
        return "–"
    low, high = told["interval"]
    return f"{told['auc']:.2f} [{low:.2f}–{high:.2f}]"


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """attack, detector, AUC unaware, AUC aware, success, missed unaware and aware."""
    return [
        (
            row["attack"],
            result["detectors"][name],
            area(told["unaware"]),
            area(told["aware"]),
            percent(told["unaware"]["success"], 0),
            percent(told["unaware"]["undetected"], 0),
            percent(told["aware"]["undetected"], 0),
        )
        for row in result["attacks"]
        for name, told in row["detectors"].items()
    ]


HEADS = (
    "attack", "detector", "AUC", "AUC, attacker knows", "success", "missed", "missed, knows",
)  # fmt: skip


def caption(result: Mapping[str, Any]) -> str:
    """What the columns count."""
    return (
        f"{result['correct']:,} of {result['samples']:,} images of {result['dataset']['name']} "
        "that the engine gets right. AUC [95% interval]: images that fool the engine against the "
        "clean ones; 0.5 is guessing. missed: fools the engine and stays below the threshold "
        f"that {percent(result['false_alarms_allowed'], 0)} of {result['calibration']:,} clean "
        "training images exceed."
    )


def title(result: Mapping[str, Any]) -> str:
    """Of the table, the picture and the page."""
    return f"Detection on {result['model']}, {result['bits']}-bit engine"


def render(result: Mapping[str, Any]) -> Group:
    """The table for a terminal of 100 columns."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="")
    for head in HEADS:
        # Words in heads may break; numbers and names may not.
        table.add_column(head, min_width=max(len(row[HEADS.index(head)]) for row in rows(result)))
    for row in rows(result):
        table.add_row(*row)
    heading = Text(title(result), style="bold")
    return Group(heading, Text(), table, Text(), Text(caption(result), style="dim"))


def roc_png(result: Mapping[str, Any]) -> bytes:
    """A grid of ROC curves: a row for each attack, a column for each detector."""
    attacks, detectors = result["attacks"], result["detectors"]
    figure = Figure(figsize=(3.5 * len(detectors), 3.0 * len(attacks) + 1.3), facecolor="white")
    grid = figure.subplots(len(attacks), len(detectors), squeeze=False)
    for line, row in zip(grid, attacks, strict=True):
        for axes, (name, told) in zip(line, row["detectors"].items(), strict=True):
            axes.plot([0, 1], [0, 1], color="#b8bec4", linewidth=0.8)
            for who, color in _COLORS.items():
                roc = told[who]["roc"]
                style = "-" if who == "unaware" else "--"
                label = f"{_WORDS[who]}: {area(told[who])}"
                axes.plot(roc["false"], roc["true"], style, color=color, linewidth=2, label=label)
            axes.set_title(f"{row['attack']}: {detectors[name]}", fontsize=8.5, loc="left")
            axes.legend(fontsize=7, loc="lower right", frameon=False)
            axes.set_xlim(-0.02, 1.02)
            axes.set_ylim(-0.02, 1.02)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title(result), fontweight="bold", fontsize=12)
    figure.supxlabel("clean images called adversarial", fontsize=9)
    figure.supylabel("adversarial images called adversarial", fontsize=9)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def write(result: Mapping[str, Any], directory: Path | str) -> dict[str, Path]:
    """result.json, result.png and report.html; each whole or not at all. Raises InputError."""
    return write_page(
        "detection.html", result, roc_png(result), directory,
        title=title(result), caption=caption(result), heads=HEADS, rows=rows(result),
    )  # fmt: skip
