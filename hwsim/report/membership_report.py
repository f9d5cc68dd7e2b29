"""What a membership run leaves behind: result.json, result.png, report.html, and a screen.

Keys of a result: attack, model, config, bits; samples (members, and as many others), views,
shadows, epochs, seed; accuracy {float, engine: {members, others}}, of the network; members, dataset
(of the others), where they are from; left_out, why attacks that look inside are not there, or "";
repeated, others that are members, too;
versions, command, seconds; and rows, one for each attack and view:

    attack, view           names of the catalogue
    accuracy, interval     balanced, on ``judged_on`` samples; 95%, Wilson
    auc, auc_interval      area under the ROC curve
    tpr1, tpr01            share of members found at 1%, 0.1% of false alarms, with _interval; null
                           where the others are too few to measure it
    epochs                 chosen, by network, of attackers that learn
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwsim.report.pages import write_page

HEADS = ("attack", "sees", "accuracy, %", "AUC", "TPR at 1%, %", "at 0.1%, %")
#: Columns of a terminal that the whole table takes.
WIDE = 100
_COLORS = {
    "float": "#0072B2", "engine": "#D55E00", "probabilities": "#009E73", "class": "#68717a",
    "cycles": "#CC79A7",
}  # fmt: skip


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A line for each attack and view, as HEADS; an attack is named once."""
    found, last = [], ""
    for row in result["rows"]:
        name = "" if row["attack"] == last else row["attack"]
        last = row["attack"]
        found.append([
            name, row["view"], _share(row["accuracy"], row["interval"]),
            number(row["auc"], row["auc_interval"]),
            _share(row["tpr1"], row["tpr1_interval"]),
            _share(row["tpr01"], row["tpr01_interval"]),
        ])  # fmt: skip
    return found


def _share(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return "not measurable"
    return f"{100 * value:.1f} ({100 * interval[0]:.1f}–{100 * interval[1]:.1f})"


def number(value: float, interval: tuple[float, float]) -> str:
    """.541 (.505–.576)."""
    shown = [f"{one:.3f}".removeprefix("0") for one in (value, *interval)]
    return f"{shown[0]} ({shown[1]}–{shown[2]})"


def headline(result: Mapping[str, Any]) -> str:
    """The result in a sentence: the strongest attack on each of float and engine."""
    parts = []
    for view in result["views"]:
        own = [row for row in result["rows"] if row["view"] == view]
        if own:
            best = max(own, key=lambda row: row["auc"])
            which = f" ({best['attack']})" if result["attack"] == "mia" else ""
            parts.append(f"{view} {best['auc']:.3f}{which}")
    return f"{result['model']}: area under the ROC curve, 0.5 for guessing: {', '.join(parts)}"


def gap(result: Mapping[str, Any]) -> str:
    """What the network itself gets right."""
    parts = [
        f"{name} {100 * one['members']:.1f}% of members, {100 * one['others']:.1f}% of others"
        for name, one in result["accuracy"].items()
    ]
    return f"The network gets right: {'; '.join(parts)}."


def caption(result: Mapping[str, Any]) -> str:
    """How to read the table."""
    count, judged = result["samples"], result["rows"][0]["judged_on"]
    text = (
        f"{count:,} members ({result['members']['name']}) and {count:,} others "
        f"({result['dataset']['name']}), asked alike. Attackers learn and choose epoch and "
        f"threshold on a half of each; numbers are of the other {judged:,}, with 95% intervals. "
        f"Engine “{result['config']}”, {result['bits']}-bit words."
    )
    if any(row["attack"] in ("mia-lira", "mia-lira-offline", "mia-rmia") for row in result["rows"]):
        text += (
            f" {result['shadows']} shadow models, small ones, each trained on a half of all "
            "these samples."
        )
    if result["repeated"]:
        text += (
            f" {result['repeated']:,} of the others are among the members, too: nothing can be "
            "told of them."
        )
    if result["left_out"]:
        text += f" White boxes are left out: {result['left_out']}."
    return text


def png(result: Mapping[str, Any]) -> bytes:
    """AUC with its interval, a line for each attack, a color for each view."""
    names = list(dict.fromkeys(row["attack"] for row in result["rows"]))
    views = [view for view in result["views"] if any(r["view"] == view for r in result["rows"])]
    figure = Figure(figsize=(8.2, 1.5 + 0.42 * len(names)), facecolor="white", layout="constrained")
    axes = figure.subplots()
    for row in result["rows"]:
        offset = (views.index(row["view"]) - (len(views) - 1) / 2) * 0.16
        place = -names.index(row["attack"]) - offset
        color = _COLORS[row["view"]]
        axes.plot(row["auc_interval"], [place, place], color=color, linewidth=1.8)
        axes.plot([row["auc"]], [place], "o", color=color, markersize=5)
    for view in views:
        axes.plot([], [], "o-", color=_COLORS[view], label=view, markersize=5)
    axes.axvline(0.5, color="#68717a", linewidth=1, linestyle=":")
    axes.set_yticks([-place for place in range(len(names))], names)
    axes.set_ylim(-len(names) + 0.4, 0.6)
    axes.set_xlabel("area under the ROC curve, 95% interval; 0.5 is guessing")
    axes.set_title(f"{result['attack']} on {result['model']}", loc="left", fontweight="bold")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def write(result: Mapping[str, Any], directory: Path) -> dict[str, Path]:
    """result.json, result.png and report.html; each whole or not at all. Raises InputError."""
    return write_page(
        "membership.html", result, png(result), directory,
        headline=headline(result), heads=HEADS, rows=rows(result), caption=caption(result),
        gap=gap(result),
    )  # fmt: skip


def render_screen(result: Mapping[str, Any], console: Console, paths: Mapping[str, Path]) -> None:
    """Headline, table, and where the files are."""
    console.print(Text(headline(result), style="bold"))
    console.print(Text(gap(result)))
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    wide = console.width >= WIDE
    for number, head in enumerate(HEADS if wide else HEADS[:-1]):
        table.add_column(head, justify="left" if number < 2 else "right")
    for line in rows(result):
        # Less of each fits into 80 columns; the page has all of it.
        shown = line if wide else [*line[:2], line[2].partition(" ")[0], *line[3:-1]]
        table.add_row(*map(Text, shown))
    console.print(table)
    console.print()
    console.print(Text(caption(result), style="dim"))
    console.print(Text(f"-> {paths['html']}"), soft_wrap=True)
