"""Liu et al. 2018, section II.B: real weights and hash index together take ~20% of the memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from hwsim.report.words import memory
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.claims import Verdict, holds
from hwsim.studies.judge.findings import Findings
from hwsim.studies.papers.fig3 import RATES

NETWORKS = tuple(RATES)
PAPER = 0.20
#: What "~20%" may mean.
ABOUT = (0.15, 0.25)
#: Width of the original weights that the paper most likely counts in.
FLOAT = 32


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """The memory of every rate, at every width."""
    return [
        Point(
            {"network": network, "machine": machine},
            "hwsim.studies.grid.weight_rows:storage",
            {"subject": subject.parameters()},
        )
        for network in present
        for machine, subject in plan.machines(network)
        if subject.side == "fixed"
    ]


def shares(row: dict[str, Any], width: int) -> dict[str, float]:
    """index_sram and hash as shares of the dense network, all weights ``width`` bits wide."""
    layers = row["layers"]
    dense = sum(layer["virtual"] for layer in layers) * width
    real = sum(layer["real"] for layer in layers) * width
    index = sum(layer["virtual"] * layer["index"] for layer in layers)
    return {"index_sram": (real + index) / dense, "hash": real / dense}


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Shares of the dense network, with the index stored and with it computed."""
    found = {
        (n, bits): answers.of(network=n, machine=f"{bits}-bit")[0]
        for n in present
        for bits in plan.bits
    }
    records, rows = [], []
    for (network, bits), row in found.items():
        cells = [RATES[network], f"{bits}-bit"]
        for width in (bits, FLOAT):
            both = shares(row, width)
            for way in ("index_sram", "hash"):
                records.append({
                    "network": network, "rate": RATES[network], "word_bits": width, "way": way,
                    "share": both[way], "cycles": row["cycles"], "energy_nj": row["energy_nj"],
                    "dense_bits": row["bits"]["dense"] * width // bits,
                })  # fmt: skip
            cells += [f"{100 * both['index_sram']:.1f}", f"{100 * both['hash']:.1f}"]
        allocated = row["allocated"]
        cells += [
            memory(row["bits"]["dense"]),
            f"{100 * allocated['index_sram'] / allocated['dense']:.0f}",
        ]
        rows.append([*cells[:2], "20" if RATES[network] != "1" else "–", *cells[2:]])
    return Findings(
        heads=["rate", "words", "paper", "stored index", "hashed", "stored, float32",
               "hashed, float32", "dense", "stored, as allocated"],
        rows=rows,
        notes=[
            "% of the dense network's weight memory. stored: real weights and ⌈log2 K⌉ + 1 index "
            "bits for each virtual weight; hashed: real weights only, indices computed on the fly. "
            "float32: both with 32-bit weights, as the paper's software has them. as allocated: "
            "index fields as wide as this engine's memories make them.",
            *_limit(plan, present, found),
            "No attack, so no adaptive counterpart.",
        ],
        verdicts=_verdicts(plan, present, found),
        records=records,
        draw=lambda figure: _draw(figure, plan, present, found),
    )  # fmt: skip


def _verdicts(
    plan: Plan, present: Sequence[str], found: dict[tuple[str, int], Any]
) -> list[Verdict]:
    hashed = [n for n in present if n != NETWORKS[0]]
    low, high = ABOUT
    verdicts = []
    first = plan.bits[0]
    for width, words in ((FLOAT, "32-bit weights"), (first, f"{first}-bit weights")):
        for way, name in (("index_sram", "index stored"), ("hash", "index computed")):
            value = {n: shares(found[n, first], width)[way] for n in hashed}
            verdicts.append(
                holds(
                    f"weights and index cost ~20% of the original ({words}, {name})",
                    "~20%",
                    [(RATES[n], low <= v <= high) for n, v in value.items()],
                    ", ".join(f"{RATES[n]} {100 * v:.1f}%" for n, v in value.items()),
                )
            )
    return verdicts


def _limit(plan: Plan, present: Sequence[str], found: dict[tuple[str, int], Any]) -> list[str]:
    """What 20% would allow, in real weights a layer."""
    if NETWORKS[-1] not in present:
        return []
    row = found[NETWORKS[-1], plan.bits[0]]
    # Left of the 20% for the index of a 32-bit weight, less its sign.
    bits = math.floor((PAPER - shares(row, FLOAT)["hash"]) * FLOAT) - 1
    kept = max(layer["real"] for layer in row["layers"])
    return [
        f"At {RATES[NETWORKS[-1]]} and 32-bit weights, 20% would leave {bits} address bits for "
        f"each virtual weight, enough for {2**bits} real weights a layer; the largest layer has "
        f"{kept:,}."
    ]


def _draw(
    figure: Figure, plan: Plan, present: Sequence[str], found: dict[tuple[str, int], Any]
) -> None:
    bits = plan.bits[0]
    widths = (bits, FLOAT)
    hashed = [n for n in present if n != NETWORKS[0]]
    for axes, width in zip(
        figures.panels(figure, [f"{w}-bit weights" for w in widths]), widths, strict=True
    ):
        places = range(len(hashed))
        values = [shares(found[n, bits], width) for n in hashed]
        real = [v["hash"] for v in values]
        axes.bar(places, real, 0.6, color=figures.COLORS[0], label="real weights (index computed)")
        axes.bar(places, [v["index_sram"] - v["hash"] for v in values], 0.6, bottom=real,
                 color="#e8a778", hatch="//", edgecolor="white", label="stored index")  # fmt: skip
        axes.axhline(1.0, color=figures.INK, linewidth=1, label="dense network")
        axes.axhline(PAPER, color=figures.GREY, linewidth=1.4, linestyle="--",
                     label="the paper's ~20%")  # fmt: skip
        axes.set_xticks(list(places), [RATES[n] for n in hashed])
        axes.set_xlabel("compression rate", fontsize=9)
    figures.percents(figure.axes[0], 0, 2.8)
    figure.axes[0].set_ylabel("of the dense weight memory", fontsize=9)
    figures.legend(figure, figure.axes[0])
    figure.tight_layout(rect=(0, 0.1, 1, 1))
