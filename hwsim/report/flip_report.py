"""What a search for bits leaves behind: result.json, result.png, report.html, and a screen.

Keys of a result: attack, model, config, bits, dataset, training, versions, command, seconds; what
was asked for: memories, images, k_top, most, stop, batches, samples, target, source, image, others,
protect, what guards the memories, and attacker, what is known of it, null where nothing does;
classes; aimed, images that are to become the target, null without one; searched, the words that may
be flipped, {layer, memory, words, bits, check}; sides, {engine, float}, each a list of searches:

    batch, ended                 reached, most, stuck or caught (hwsim.faults.chase)
    clean, random                {accuracy, success} before, and after as many random flips
    flips                        bits flipped
    steps                        [{loss_before, loss, accuracy, success, flips}], of these
                                 {layer, memory, word, bit, before, after, fault}; a loss is null
                                 where answers are no numbers, accuracy and success where an error
                                 status comes instead
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwsim.report.pages import write_page
from hwsim.report.words import percent

#: Flips that a screen lists.
LISTED = 12
_LOOKS = {"engine": ("#D55E00", "-", "s"), "float": ("#0072B2", "--", "o")}
HEADS = ("attacked", "clean", "flips", "reached", "at the end", "random flips")


def measure(result: Mapping[str, Any]) -> str:
    """What of scores the search is after: ``success`` with a target, else ``accuracy``."""
    return "accuracy" if result["target"] is None else "success"


def goal(result: Mapping[str, Any]) -> str:
    """What the search is to reach, in words."""
    bound = f"{100 * result['stop']:.3g}%"
    if result["target"] is None:
        return f"at most {bound} of the images are right"
    if result["image"] is not None:
        whose = f"image {result['image']} is"
    elif result["source"] is not None:
        whose = f"{bound} of class {result['source']} are"
    else:
        whose = f"{bound} of all other images are"
    return f"{whose} taken for class {result['target']}"


def flips_needed(result: Mapping[str, Any], side: str) -> str:
    """``4.2 (3–6)``: mean and range over the batches; ≥ where a search ended before its goal."""
    searches = result["sides"][side]
    counts = [search["flips"] for search in searches]
    sure = all(search["ended"] == "reached" for search in searches)
    mean = statistics.mean(counts)
    shown = f"{mean:g}" if mean == int(mean) else f"{mean:.1f}"
    text = shown if sure else f"≥ {shown}"
    return text if len(counts) == 1 else f"{text} ({min(counts)}–{max(counts)})"


def headline(result: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    searches = result["sides"]["engine"]
    reached = sum(search["ended"] == "reached" for search in searches)
    bits = sum(part["words"] * part["bits"] for part in result["searched"])
    where = " and ".join(result["memories"])
    found = (
        f"{result['model']}, {result['bits']}-bit engine{_guarded(result)}: "
        f"{flips_needed(result, 'engine')} of "
        f"{bits:,} bits of {where} flipped"
    )
    if reached == len(searches):
        return f"{found} until {goal(result)}"
    caught = sum(search["ended"] == "caught" for search in searches)
    end = f", {caught} ended in an error status" if caught else ""
    return f"{found}; {reached} of {len(searches)} searches went on until {goal(result)}{end}"


def _guarded(result: Mapping[str, Any]) -> str:
    if result["protect"] == "none":
        return ""
    return f" behind {result['protect']}, attacker {result['attacker']}"


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A line a side, as HEADS."""
    key, found = measure(result), []
    for side, searches in result["sides"].items():
        ends = _there(search["steps"][-1][key] for search in searches if search["steps"])
        random = _there(search["random"][key] for search in searches if search["random"])
        reached = sum(search["ended"] == "reached" for search in searches)
        found.append([
            side, percent(searches[0]["clean"][key]), flips_needed(result, side),
            f"{reached} of {len(searches)}", percent(_mean(ends)), percent(_mean(random)),
        ])  # fmt: skip
    return found


def listed(result: Mapping[str, Any], side: str = "engine") -> list[list[str]]:
    """The flips of the first search of a side, a line each."""
    key = measure(result)
    lines: list[list[str]] = []
    for step in result["sides"][side][0]["steps"]:
        for flip in step["flips"]:
            place = "–"
            if fault := flip["fault"]:
                place = f"{fault['memory']}.mem line {fault['line']}, field {fault['field']}"
            lines.append([
                str(len(lines) + 1), flip["layer"], place, str(flip["bit"]), _value(flip["before"]),
                _value(flip["after"]), _loss(step["loss"]), percent(step[key]),
            ])  # fmt: skip
    return lines


def list_heads(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Of ``listed``."""
    return ("", "layer", "place", "bit", "before", "after", "loss", measure(result))


def caption(result: Mapping[str, Any]) -> str:
    """How to read the table."""
    key = measure(result)
    whose = "of all test images" if result["target"] is None else "of the images aimed at"
    if result["image"] is not None:
        whose = "of the image"
    others = ""
    if result["target"] is not None:
        left = [
            search["steps"][-1]["accuracy"]
            for search in result["sides"]["engine"]
            if search["steps"] and search["steps"][-1]["accuracy"] is not None
        ]
        if left:
            others = f" Of the other images the engine still gets {percent(_mean(left))} right."
    batch = f"{result['images']} training images"
    if result["image"] is not None:
        batch = f"this image{f' and {batch}' if result['others'] else ''}"
    return (
        f"{key}: {whose}; {result['samples']:,} test images of {result['dataset']['name']} judge. "
        f"flips: mean (range) over {result['batches']} batch"
        f"{'' if result['batches'] == 1 else 'es'} of {batch}. "
        f"at the end, random flips: {key} behind the search, and behind as many random flips of "
        f"the same memories.{others}"
    )


def png(result: Mapping[str, Any]) -> bytes:
    """Accuracy or success flip by flip, a line for each search."""
    key = measure(result)
    figure = Figure(figsize=(8.2, 4.2), facecolor="white", layout="constrained")
    axes = figure.subplots()
    for side, searches in result["sides"].items():
        color, line, marker = _LOOKS[side]
        for number, search in enumerate(searches):
            flips, scores = [0], [search["clean"][key]]
            for step in search["steps"]:
                if step[key] is None:  # an error status
                    break
                flips.append(flips[-1] + len(step["flips"]))
                scores.append(step[key])
            axes.plot(
                flips, scores, line, color=color, marker=marker, markersize=4, linewidth=1.6,
                label=side if number == 0 else None,
            )  # fmt: skip
    axes.axhline(result["stop"], color="#68717a", linewidth=1, linestyle=":")
    axes.set_title(f"{result['attack']} on {result['model']}", loc="left", fontweight="bold")
    axes.set_xlabel("bits flipped")
    axes.set_ylabel(key)
    axes.set_ylim(-0.03, 1.03)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def write(result: Mapping[str, Any], directory: Path) -> dict[str, Path]:
    """result.json, result.png and report.html; each whole or not at all. Raises InputError."""
    return write_page(
        "flips.html", result, png(result), directory,
        headline=headline(result), heads=HEADS, rows=rows(result), caption=caption(result),
        list_heads=list_heads(result),
        lists={side: listed(result, side) for side in result["sides"]},
    )  # fmt: skip


def render_screen(result: Mapping[str, Any], console: Console, paths: Mapping[str, Path]) -> None:
    """Headline, table, the flips on the engine, and where the files are."""
    console.print(Text(headline(result), style="bold"))
    console.print()
    console.print(_table(HEADS, rows(result)))
    lines = listed(result)
    if lines:
        console.print()
        console.print(_table(list_heads(result), lines[:LISTED]))
    if len(lines) > LISTED:
        console.print(f"… and {len(lines) - LISTED} more in the report", style="dim")
    console.print()
    console.print(Text(caption(result), style="dim"))
    console.print(Text(f"-> {paths['html']}"), soft_wrap=True)


def _table(heads: tuple[str, ...], lines: list[list[str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number in (0, 1) else "right")
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def _there(values: Iterable[float | None]) -> list[float]:
    """Of searches whose images were answered."""
    return [value for value in values if value is not None]


def _mean(values: list[Any]) -> float | None:
    return statistics.mean(values) if values else None


def _value(value: float | str | None) -> str:
    if value is None:
        return "no number"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _loss(value: float | None) -> str:
    # JSON has no infinity: of a result that was read back it is None.
    return "∞" if value is None or value == float("inf") else f"{value:.3g}"
