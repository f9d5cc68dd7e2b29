"""The mechanism behind 87.99% -> 4.77%: whose arithmetic makes the gradient vanish, and where.

Gradient inhibition and logits augmentation enlarge the logits. What is asked here: in which layers,
by how much, and through which softmax must they do so before the published number appears, and does
the network then resist an attack that needs no softmax?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from hwsim.studies import figures
from hwsim.studies.amplitudes import merged
from hwsim.studies.campaign import Campaign, Line, Method, margin_suite
from hwsim.studies.claims import Verdict, holds
from hwsim.studies.fig3 import RATES
from hwsim.studies.findings import ADAPTIVE_NOTE, BLIND_NOTE, Findings, number, share
from hwsim.studies.inhibition import EPSILONS, LAST
from hwsim.studies.measures import QUANTILES
from hwsim.studies.outcomes import Outcome, worst
from hwsim.studies.plan import Answers, Plan, Point

NETWORKS = ("mnist-cnn", "mnist-cnn-h64")
#: Rewrites by label. Augmentation stands in for training on: it scales every margin alike.
REWRITES = {
    "none": (),
    "τ 0.1 last": ("inhibition=0.1@last",),
    "τ 0.5 last": ("inhibition=0.5@last",),
    "τ 0.1 fc": ("inhibition=0.1@fc",),
    "τ 0.5 fc": ("inhibition=0.5@fc",),
    "τ 0.1 all": ("inhibition=0.1@all",),
    "×8": ("augmentation=8@last",),
    "×64": ("augmentation=64@last",),
}
PRECISIONS = ("float32", "float64", "engine")
#: What the paper reports, as the mean of the HashNets and for the uncompressed network.
PAPER = {NETWORKS[0]: 0.0124, NETWORKS[1]: 0.0477}
#: "the paper's number appears": success no higher than this.
LOW = 0.10
#: "accuracy is kept": correct answers no fewer than this share of what they were.
KEPT = 0.98
#: "success is restored": the adaptive success is no lower than this.
RESTORED = 0.90
SAMPLES = (1000, 40)


@dataclass(frozen=True)
class Setting:
    """One row: a network, a rewrite, a machine, a softmax."""

    network: str
    rewrite: str
    machine: str
    precision: str


def campaign(plan: Plan, present: Sequence[str]) -> Campaign:
    """Naive FGSM through float32, the margin and PGD; the other precisions beside them."""
    suite = margin_suite(plan, (LAST,))
    others = {p: Method("fgsm", probabilities=p) for p in PRECISIONS[1:]}
    lines = [
        Line(f"{RATES[n]} {label}", n, apply) for n in present for label, apply in REWRITES.items()
    ]
    return Campaign(plan, lines, Method("fgsm"), suite | others, EPSILONS, plan.images(*SAMPLES))


def _exists(fields: Any) -> bool:
    """The float network has no probability unit."""
    return not (fields["machine"] == "float" and fields.get("method") == "engine")


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Attacks, and the margins of clean images."""
    asked = campaign(plan, present)
    margins = [
        Point(
            {"line": line.label, "machine": machine, "what": "margins"},
            "hwsim.studies.measures:gradients",
            {
                "subject": subject.parameters(), "samples": asked.samples, "part": [0, 1],
                "probabilities": "float32",
            },
            3 * asked.samples,
        )
        for line in asked.lines
        for machine, subject in plan.machines(line.network, *line.apply)
    ]  # fmt: skip
    return [*(p for p in asked.points() if _exists(p.fields)), *margins]


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """One row for each setting: naive success, adaptive success, margins, blind images."""
    asked = campaign(plan, present)
    settings = [
        Setting(n, rewrite, machine, precision)
        for n in present for rewrite in REWRITES for machine in plan.names
        for precision in PRECISIONS
        if _exists({"machine": machine, "method": precision})
    ]  # fmt: skip
    records = [_record(asked, answers, one) for one in settings]
    rows = [
        [
            RATES[r["network"]], r["rewrite"], r["machine"], r["precision"],
            share(PAPER[r["network"]]) if r["rewrite"] == "τ 0.1 last" else "–",
            share(r["clean"]), number(r["margin"], 1), share(r["blind"]), share(r["naive"]),
            share(r["adaptive"]), "yes" if _appears(r) else "",
        ]
        for r in records
    ]  # fmt: skip
    return Findings(
        heads=["rate", "rewrite", "machine", "softmax", "paper", "clean", "margin", "blind",
               "naive", "adapt.", "paper's number"],
        rows=rows,
        notes=[
            f"Success in % of {asked.samples:,} test images at ε = 0.5, naive by Algorithm 1, "
            "float32, float64 or the engine's 16-bit softmax differentiated. margin: of the right "
            "class, median, in nats. ×: logits augmentation, which makes every margin that much "
            "larger, as training on does.",
            f"paper's number: naive success at most {100 * LOW:g}% with at least {100 * KEPT:g}% "
            f"of the clean accuracy of τ = 0 kept. {ADAPTIVE_NOTE}", BLIND_NOTE,
        ],
        verdicts=_verdicts(records),
        records=records,
        draw=lambda figure: _draw(figure, plan, records),
        size=(9.0, 4.4),
    )  # fmt: skip


def _record(asked: Campaign, answers: Answers, one: Setting) -> dict[str, Any]:
    label = f"{RATES[one.network]} {one.rewrite}"
    first = "naive" if one.precision == "float32" else one.precision
    naive = asked.outcome(answers, label, one.machine, first)
    every: list[Outcome] = [naive] + [
        asked.outcome(answers, label, one.machine, m) for m in ("margin", "pgd")
    ]
    base = asked.outcome(answers, f"{RATES[one.network]} none", one.machine)
    row = merged(answers.of(line=label, machine=one.machine, what="margins"))
    success, most = naive.escalated(LAST), worst(every, LAST)
    return {
        "network": one.network,
        "rewrite": one.rewrite,
        "machine": one.machine,
        "precision": one.precision,
        "images": naive.images,
        "clean": naive.clean.value,
        "kept": naive.clean.value / base.clean.value,
        "margin": float(row["margins"][QUANTILES.index(0.5)]),
        "blind": naive.blind,
        "naive": success.value,
        "naive_low": success.interval[0],
        "naive_high": success.interval[1],
        "adaptive": most.value,
        "adaptive_low": most.interval[0],
        "adaptive_high": most.interval[1],
    }


def _appears(record: dict[str, Any]) -> bool:
    """The paper's number, in a network that still works."""
    return bool(record["naive"] <= LOW and record["kept"] >= KEPT)


def _name(record: dict[str, Any]) -> str:
    where = f"{RATES[record['network']]} {record['machine']}, {record['rewrite']}"
    return f"{where}, {record['precision']} ({share(record['naive'])}%)"


def _verdicts(records: Sequence[dict[str, Any]]) -> list[Verdict]:
    low = [r for r in records if _appears(r)]
    stated = [r for r in records if r["rewrite"] == "τ 0.1 last"]
    names = [_name(r) for r in low]
    listed = "; ".join(names[:4]) + (f"; {len(names) - 4} more" if len(names) > 4 else "")
    undefended = {(r["network"], r["machine"]): r for r in records if r["rewrite"] == "none"}
    return [
        holds(
            f"τ = 0.1 on the last layer brings success to at most {100 * LOW:g}%",
            "4.77% (1.24% uncompressed)",
            [(_name(r), r["naive"] <= LOW) for r in stated],
        ),
        holds(
            "(ours) some setting that keeps the accuracy brings the paper's number",
            "–", [("any setting", bool(low))], listed or "none",
        ),
        holds(
            f"(ours) where it appears, the adaptive attack still succeeds (at least "
            f"{100 * RESTORED:g}%): the gradient is hidden, the network no more robust", "–",
            [(_name(r), r["adaptive"] >= RESTORED) for r in low],
            ", ".join(f"{share(r['adaptive'])}%" for r in low[:6]),
        ),
        holds(
            "(ours) wherever naive success falls by 10 points or more, so that a defense seems to "
            f"work, the adaptive one stays at {100 * RESTORED:g}% or more", "–",
            [
                (_name(r), r["adaptive"] >= RESTORED)
                for r in records
                if undefended[r["network"], r["machine"]]["naive"] - r["naive"] >= 0.10
            ],
        ),
    ]  # fmt: skip


def _draw(figure: Figure, plan: Plan, records: Sequence[dict[str, Any]]) -> None:
    looks = figures.styles(PRECISIONS)
    for axes, machine in zip(figures.panels(figure, plan.names), plan.names, strict=True):
        for precision in PRECISIONS:
            mine = [r for r in records if (r["machine"], r["precision"]) == (machine, precision)]
            x = [r["margin"] for r in mine]
            axes.plot(x, [r["naive"] for r in mine], linestyle="", markersize=6,
                      label=f"naive, {precision}", **looks[precision])  # fmt: skip
            if precision == "float32":
                axes.plot(x, [r["adaptive"] for r in mine], "_", color=figures.INK, markersize=10)
        axes.axhline(PAPER[NETWORKS[1]], color=figures.GREY, linestyle="--", linewidth=1)
        axes.set_xscale("log")
        axes.set_xlabel("median margin of clean images, nats", fontsize=9)
        figures.percents(axes)
    figure.axes[0].set_ylabel("success rate at ε = 0.5", fontsize=9)
    figures.legend(figure, figure.axes[-1], [
        figures.stroke("adaptive", linestyle="", marker="_", color=figures.INK, markersize=10),
        figures.stroke("the paper's 4.77%", linestyle="--"),
    ])  # fmt: skip
    figure.tight_layout(rect=(0, 0.12, 1, 1))
