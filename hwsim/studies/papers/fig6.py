"""Liu et al. 2018, Fig. 6: the range of weights grows with compression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from hwsim.studies.grid.attack_rows import QUANTILES
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.grid.weight_rows import BIN, BINS
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.claims import Verdict, holds
from hwsim.studies.judge.findings import Findings, number
from hwsim.studies.papers.fig3 import RATES

NETWORKS = tuple(RATES)
#: Growth of the range that the paper reads off its figure, and what "~" may mean: half to 1.5.
PAPER = {"mnist-cnn-h16": 2.0, "mnist-cnn-h64": 4.0}
#: Quantile of |w| that stands for the range: the very largest weight is one weight.
RANGE = QUANTILES.index(0.999)


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """The weights of every network, float and quantized."""
    return [
        Point(
            {"network": network, "machine": machine},
            "hwsim.studies.grid.weight_rows:weights",
            {"subject": subject.parameters()},
        )
        for network in present
        for machine, subject in plan.machines(network)
    ]


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Range by layer, and how it grew against the uncompressed network."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {
        (n, m): answers.of(network=n, machine=m)[0]["layers"] for n in present for m in plan.names
    }
    dense = NETWORKS[0]

    def growth(network: str, machine: str, layer: int, what: str = "range") -> float | None:
        if dense not in present:
            return None
        mine, base = found[network, machine][layer], found[dense, machine][layer]
        if what == "std":
            return float(mine["std"] / base["std"])
        return float(mine["quantiles"][RANGE] / base["quantiles"][RANGE])

    rows, records = [], []
    for (network, machine), layers in found.items():
        for place, layer in enumerate(layers):
            published = PAPER.get(network) if layer["name"] == "all" else None
            rows.append([
                RATES[network], machine, layer["name"], layer["kind"],
                number(published, 0), number(growth(network, machine, place), 2),
                number(growth(network, machine, place, "std"), 2),
                number(layer["quantiles"][RANGE], 3), number(layer["quantiles"][-1], 3),
                number(layer["std"], 4), number(100 * layer["zero"] / layer["count"], 2),
            ])  # fmt: skip
            records.append({
                "network": network, "rate": RATES[network], "machine": machine,
                "layer": layer["name"], "kind": layer["kind"], "count": layer["count"],
                "range": layer["quantiles"][RANGE], "largest": layer["quantiles"][-1],
                "std": layer["std"], "zero": layer["zero"],
                "growth": growth(network, machine, place),
            })  # fmt: skip
    return Findings(
        heads=["rate", "machine", "layer", "kind", "paper ×", "range ×", "std ×", "range",
               "largest", "std", "zero %"],
        rows=rows,
        notes=[
            "range: 99.9% of the virtual weights lie within ±range; ×: against the uncompressed "
            "network. zero: words that inhibition cannot move. No attack, so no adaptive "
            "counterpart.",
        ],
        verdicts=[_verdict(plan, present, growth)],
        records=records,
        draw=lambda figure: _draw(figure, plan, present, found),
    )  # fmt: skip


def _verdict(plan: Plan, present: Sequence[str], growth: Any) -> Verdict:
    some = [n for n in PAPER if n in present and NETWORKS[0] in present]
    conditions, ours = [], []
    for network in some:
        for machine in plan.names:
            value = growth(network, machine, -1)
            inside = 0.5 * PAPER[network] <= value <= 1.5 * PAPER[network]
            conditions.append((f"{RATES[network]} {machine}", inside))
            ours.append(f"{RATES[network]} {machine} {value:.2f}×")
    claim = "the range of all weights grows ~2× at 1/16 and ~4× at 1/64 (± half of it)"
    return holds(claim, "2×, 4×", conditions, ", ".join(ours))


def _draw(
    figure: Figure, plan: Plan, present: Sequence[str],
    found: dict[tuple[str, str], list[dict[str, Any]]],
) -> None:  # fmt: skip
    shown = [n for n in (NETWORKS[0], *PAPER) if n in present]
    looks = figures.styles([RATES[n] for n in NETWORKS])
    edges = [BIN * (k - BINS / 2) for k in range(BINS + 1)]
    for axes, machine in zip(figures.panels(figure, plan.names), plan.names, strict=True):
        for network in shown:
            axes.stairs(
                found[network, machine][-1]["histogram"], edges, linewidth=1.6,
                label=RATES[network], color=looks[RATES[network]]["color"],
            )  # fmt: skip
        axes.set_yscale("log")
        axes.set_xlabel("weight", fontsize=9)
    figure.axes[0].set_ylabel(f"share of virtual weights in {BIN:g}", fontsize=9)
    figures.legend(figure, figure.axes[0])
    figure.tight_layout(rect=(0, 0.08, 1, 1))
