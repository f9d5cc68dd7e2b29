"""What a class-pair study leaves behind: result.json, result.png, report.html, and the screen.

The result is a plain dict, see JsmaStudy.result: shares are fractions, null where nothing counts.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from hwsim.files.output import write_together
from hwsim.report.html import render_page
from hwsim.report.pages import FILES, prepare_run_directory
from hwsim.report.schema import to_json
from hwsim.report.words import percent


def write_study(result: Mapping[str, Any], directory: Path | str) -> dict[str, Path]:
    """Write the three files into ``directory``, each whole or not at all; return their paths.

    Raises InputError.
    """
    # Here and not above: matplotlib takes longer to load than most commands take to run.
    from hwsim.report.heatmaps import curves_png, heatmaps_png

    folder = prepare_run_directory(directory)
    paths = {kind: folder / name for kind, name in FILES.items()}
    whole = heatmaps_png(result)
    # On a page two columns at a time can be read.
    pictures = {
        "success": heatmaps_png(result, ["success_by_pair", "distortion_by_pair"]),
        "hardness": heatmaps_png(result, ["hardness", "distance"]),
        "curves": curves_png(result),
    }
    page = render_page(
        "jsma_study.html",
        result,
        png={name: base64.b64encode(data).decode() for name, data in pictures.items()},
        rows=rows(result),
        headline=headline(result),
        extremes={name: extremes(result, name) for name in result["machines"]},
    )
    write_together(paths, {"png": whole, "html": page.encode(), "json": to_json(result).encode()})
    return paths


def rows(result: Mapping[str, Any]) -> list[tuple[str, list[str], str]]:
    """(quantity, one cell a machine, published) of the table that every output shows."""
    machines, published = result["machines"].values(), result["published"]
    low, high = published["distortion"]
    return [
        ("correct without attack", [percent(m["clean"], 2) for m in machines], "–"),
        ("searches", [f"{m['searches']:,}" for m in machines], "270,000"),
        (
            f"success at Υ = {percent(published['max_distortion'])}",
            [percent(m["success"], 2) for m in machines],
            percent(published["success"], 2),
        ),
        (
            "mean distortion of successes",
            [percent(m["distortion"], 2) for m in machines],
            f"{100 * low:.2f}–{percent(high, 2)}",
        ),
        (
            "success at the largest Υ, " + percent(next(iter(machines))["levels"][-1]),
            [percent(m["success_by_level"][-1], 2) for m in machines],
            "–",
        ),
    ]


def headline(result: Mapping[str, Any]) -> str:
    """The finding in a sentence."""
    floats, engine = (result["machines"][name] for name in ("float", "engine"))
    return (
        f"With at most 14.5% of the values changed, JSMA turns {percent(floats['success'])} of the "
        f"class pairs' images into their target on the float network and "
        f"{percent(engine['success'])} on the fixed-point engine, changing "
        f"{percent(floats['distortion'])} and {percent(engine['distortion'])} of the values where "
        "it succeeds."
    )


def extremes(result: Mapping[str, Any], machine: str) -> str:
    """Which classes are easy and hard to leave and to reach, in words."""
    import numpy as np

    table = np.array(result["machines"][machine]["success_by_pair"], dtype=float)
    names = result["classes"]
    if np.isnan(table).all():
        return "no image was classified correctly"
    known = np.ma.masked_invalid(table)
    leave, reach = known.mean(1), known.mean(0)
    return (
        f"easiest to leave {names[leave.argmax()]} ({percent(float(leave.max()))}), hardest "
        f"{names[leave.argmin()]} ({percent(float(leave.min()))}); easiest to reach "
        f"{names[reach.argmax()]} ({percent(float(reach.max()))}), hardest "
        f"{names[reach.argmin()]} ({percent(float(reach.min()))})"
    )


def render_study(result: Mapping[str, Any], console: Console, paths: Mapping[str, Path]) -> None:
    """Print a study: the table beside the published numbers, the extremes, the files."""
    title = f"JSMA on {result['model']}: every class to every other"
    console.print(Rule(Text(title, style="bold"), align="left", style="dim"))
    console.print(Text(headline(result)))
    if note := result["dataset"]["note"]:
        console.print(Text(f"! Data: {note}", style="bold red"))
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False)
    for column, head in enumerate(("", *result["machines"], "published")):
        table.add_column(head, justify="left" if column == 0 else "right")
    for what, cells, published in rows(result):
        table.add_row(what, *cells, published)
    console.print(table)
    console.print(Text("published: Papernot et al. 2016, another network", style="dim"))
    for name in result["machines"]:
        console.print(Text(f"{name}: {extremes(result, name)}"))
    for kind in ("html", "png", "json"):
        console.print(Text(str(paths[kind]), style="green"))
