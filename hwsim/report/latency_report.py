"""What an attack on latency leaves behind: result.json, result.png, report.html, and a screen.

Keys of a result: attack, norm, model, config, bits, dataset, versions, command, seconds; what was
asked for: samples, epsilons, objective, keep_answer, surrogate, density, width, steps, queries,
step_size, seed; effective_epsilons, in whole steps of the input; layers, those whose cycles depend
on the image; worst {cycles, varying, energy}, of an image without a zero; and rows, each a list of
images, the first the clean ones:

    made                 clean, black, grey, white, uniform image, noise, float density, gradient or
                         latency
    epsilon              null where the image owes nothing to the clean one
    cycles, energy       of each image, in its place; energy in nJ
    varying              cycles of the layers that skip
    sponge               nJ by the sponge papers' model of a machine (hwsim.cost.sponge)
    kept                 whether the answer is that to the clean image

All ratios are of an image to the clean one in its place.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwsim.report.pages import write_page
from hwsim.report.plots import Examples, examples_png
from hwsim.report.words import percent

#: Ratios of sparsity attacks, Krithivasan et al. 2020: latency, energy times latency.
PUBLISHED = ((1.12, 1.59), (1.18, 1.99))
HEADS = (
    "images", "ε", "cycles", "ratio", "most", "skipping", "energy", "EDP", "sponge", "answer kept",
)  # fmt: skip
#: 97.5% quantile of the normal distribution.
_Z95 = 1.959963984540054
_LOOKS = {
    "noise": "#68717a", "float density": "#0072B2", "gradient": "#E69F00", "latency": "#D55E00",
}  # fmt: skip


def ratios(result: Mapping[str, Any], row: Mapping[str, Any], what: str) -> NDArray[np.float64]:
    """Of each image to the clean one; what: cycles, energy, sponge, or edp, energy times cycles."""
    return _values(row, what) / _values(result["rows"][0], what)


def _values(row: Mapping[str, Any], what: str) -> NDArray[np.float64]:
    if what == "edp":
        return _values(row, "energy") * _values(row, "cycles")
    return np.asarray(row[what], np.float64)


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean, and half its 95% interval (normal), which is not a number of a single value."""
    if len(values) < 2:
        return float(values.mean()), math.nan
    return float(values.mean()), _Z95 * float(values.std(ddof=1)) / math.sqrt(len(values))


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A line for each list of images, and one for an image without a zero, as HEADS."""
    found = [_line(result, row) for row in result["rows"]]
    clean, worst = result["rows"][0], result["worst"]
    cycles = worst["cycles"] / _values(clean, "cycles")
    energy = worst["energy"] / _values(clean, "energy")
    bound = [f"{one.mean():.3f}" for one in (cycles, energy, cycles * energy)]
    found.append([
        "no zero", "", f"{worst['cycles']:,}", bound[0], f"{cycles.max():.3f}",
        f"{(worst['varying'] / _values(clean, 'varying')).mean():.3f}", *bound[1:], "", "",
    ])  # fmt: skip
    return found


def _line(result: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    epsilon = "" if row["epsilon"] is None else f"{row['epsilon']:.3g}"
    cycles = f"{_values(row, 'cycles').mean():,.0f}"
    if row["made"] == "clean":
        return ["clean", "", cycles, *[""] * (len(HEADS) - 3)]
    mean, half = mean_interval(found := ratios(result, row, "cycles"))
    ratio = f"{mean:.3f}" if math.isnan(half) else f"{mean:.3f} ±{half:.3f}"
    others = [
        f"{ratios(result, row, what).mean():.3f}" for what in ("varying", "energy", "edp", "sponge")
    ]
    kept = percent(float(np.mean(row["kept"]))) if epsilon else ""
    return [row["made"], epsilon, cycles, ratio, f"{found.max():.3f}", *others, kept]


def headline(result: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    row = result["rows"][-1]
    cycles, energy = (ratios(result, row, what).mean() for what in ("cycles", "energy"))
    kept = ", answers kept" if result["keep_answer"] else ""
    return (
        f"{result['model']}, engine “{result['config']}” with zero skipping: within ε = "
        f"{row['epsilon']:.3g}{kept} images take {cycles:.3f} times the cycles and {energy:.3f} "
        "times the energy"
    )


def caption(result: Mapping[str, Any]) -> str:
    """How to read the table."""
    layers = ", ".join(result["layers"])
    search = f"{result['queries']} squares on the counter behind {result['steps']} gradient steps"
    whose = " of the float network" if result["surrogate"] == "float" else ""
    count = result["samples"]
    whole = (
        "Ratios to the clean images, image by image: mean with its 95% interval and most of "
        f"{count:,} test image{'' if count == 1 else 's'} of {result['dataset']['name']}. "
        f"skipping: cycles of the layers that skip zeros, {layers}, alone. EDP: energy times "
        "cycles. sponge: energy as the sponge papers reckon it, all words in DRAM. latency: "
        f"{search}{whose}, towards {result['objective']}; gradient: the steps alone."
    )
    if any(row["made"] == "float density" for row in result["rows"]):
        whole += " float density: as many steps on the float network, chosen without the counter."
    return (
        f"{whole} no zero: the most that an image can cost. Published of sparsity attacks "
        f"(Krithivasan et al. 2020): latency {_from_to(PUBLISHED[0])}, EDP "
        f"{_from_to(PUBLISHED[1])}."
    )


def _from_to(ends: tuple[float, float]) -> str:
    return f"{ends[0]:g}–{ends[1]:g} times"


def png(result: Mapping[str, Any]) -> bytes:
    """Cycles of the images of each kind, against those of the clean ones."""
    lines = [row for row in result["rows"] if row["made"] in _LOOKS]
    others = [row for row in result["rows"] if row["epsilon"] is None and row["made"] != "clean"]
    shown = others + lines
    figure = Figure(figsize=(8.2, 1.4 + 0.36 * len(shown)), facecolor="white", layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(shown):
        color = _LOOKS.get(row["made"], "#1b1f24")
        least, low, middle, high, most = np.percentile(
            ratios(result, row, "cycles"), (0, 25, 50, 75, 100)
        )
        axes.plot([least, most], [-place, -place], color=color, linewidth=1.6)
        axes.plot([least, most], [-place, -place], "|", color=color, markersize=9)
        axes.barh(-place, high - low, left=low, height=0.55, color=color, alpha=0.6)
        axes.plot([middle], [-place], "|", color="#1b1f24", markersize=13, markeredgewidth=1.8)
    names = [
        row["made"] + ("" if row["epsilon"] is None else f", ε = {row['epsilon']:.3g}")
        for row in shown
    ]
    axes.set_yticks([-place for place in range(len(shown))], names)
    axes.axvline(1.0, color="#68717a", linewidth=1, linestyle=":")
    axes.set_xlabel("cycles, as a ratio to the clean image: least, quartiles, median, most")
    axes.set_title(f"{result['attack']} on {result['model']}", loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def write(result: Mapping[str, Any], examples: Examples, directory: Path) -> dict[str, Path]:
    """result.json, result.png and report.html; each whole or not at all. Raises InputError."""
    return write_page(
        "latency.html", result, png(result), directory,
        headline=headline(result), heads=HEADS, rows=rows(result), caption=caption(result),
        examples=base64.b64encode(examples_png(examples)).decode(),
    )  # fmt: skip


def render_screen(result: Mapping[str, Any], console: Console, paths: Mapping[str, Path]) -> None:
    """Headline, table, and where the files are."""
    console.print(Text(headline(result), style="bold"))
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for number, head in enumerate(HEADS):
        table.add_column(head, justify="left" if number in (0, 1) else "right")
    for line in rows(result):
        table.add_row(*map(Text, line))
    console.print(table)
    console.print()
    console.print(Text(caption(result), style="dim"))
    console.print(Text(f"-> {paths['html']}"), soft_wrap=True)
