"""The mechanism behind 87.99% -> 4.77%: whose arithmetic makes the gradient vanish, and where.

Gradient inhibition and logits augmentation enlarge the logits. What is asked here: in which layers,
by how much, and through which softmax must they do so before the published number appears, and does
the network then resist an attack that needs no softmax?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from hwsim.studies.grid.campaign import Campaign
from hwsim.studies.grid.outcomes import Outcome, worst
from hwsim.studies.grid.plan import Answers, Plan
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.findings import ADAPTIVE_NOTE, BLIND_NOTE, Findings, number, share
from hwsim.studies.papers.fig3 import RATES
from hwsim.studies.papers.mechanism_grid import (
    HASHNETS,
    KEPT,
    LABELS,
    LOW,
    NETWORKS,
    NONE,
    PAPER,
    PLAIN,
    PUBLISHED,
    SOFTMAX,
    TELLING,
    Pgd,
    Setting,
    appears,
    campaign,
    exists,
    grid,
    rewrites,
    small,
    sure,
)
from hwsim.studies.papers.mechanism_verdicts import verdicts, walls
from hwsim.studies.papers.tau_sweep import LAST

__all__ = ["NETWORKS", "find", "grid"]


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """One row for each setting: naive success, adaptive success, margins, blind images."""
    asked = campaign(plan, present)
    settings = [
        Setting(n, label, machine, softmax)
        for n in present for label in rewrites(n) for machine in plan.names for softmax in SOFTMAX
        if exists(machine, softmax)
    ]  # fmt: skip
    pgd = {
        (one.network, one.rewrite, one.machine): small(asked)
        .outcome(answers, one.line, one.machine)
        .single(0)
        for one in settings
    }
    records = [_record(asked, answers, one, pgd) for one in settings]
    records += _means(plan, present, records)
    rows = [
        [
            LABELS.get(r["network"], "mean"), r["rewrite"], r["machine"], r["softmax"], _paper(r),
            share(r["clean"]), number(r["margin"], 1), share(r["blind"]), share(r["naive"]),
            share(r["step"]), share(r["adaptive"]), share(r["pgd"]),
            "yes" if appears(r) else "",
        ]
        for r in records
    ]  # fmt: skip
    return Findings(
        heads=["rate", "rewrite", "machine", "softmax", "paper", "clean", "margin", "blind",
               "naive", "on margin", "adapt.", f"PGD {TELLING:g}", "low"],
        rows=rows,
        notes=[
            f"Success in % of {asked.samples:,} test images at ε = 0.5, naive by Algorithm 1. "
            "softmax: what is differentiated, float32, float64, float32 clipped to 1e-7 … 1 − 1e-7 "
            "as Keras does, or the engine's 16 bits. margin: of the right class, median, in nats. "
            "×: logits augmentation, which makes every margin that much larger. plain: trained "
            "without dropout, shifts or weight decay, for 4 or 24 epochs. mean: of the HashNets.",
            "on margin: the same attack on the margin of the logits, which no softmax can hide. "
            f"PGD {TELLING:g}: on the margin, at that ε, where an undefended network withstands it "
            "on some images; within 0.5 every image can become the same grey one.",
            f"low: the paper's number, naive success of at most {100 * LOW:g}% with at least "
            f"{100 * KEPT:g}% of the clean accuracy without rewrite. {ADAPTIVE_NOTE}", BLIND_NOTE,
        ],
        verdicts=[*verdicts(records, pgd), walls(plan, present, answers)],
        records=records,
        draw=lambda figure: _draw(figure, plan, [r for r in records if r["network"] in LABELS]),
        size=(9.0, 4.4),
    )  # fmt: skip


def _paper(record: dict[str, Any]) -> str:
    if record["network"] not in PAPER or record["rewrite"] not in (NONE, PUBLISHED):
        return "–"
    return share(PAPER[record["network"]][record["rewrite"] == PUBLISHED])


def _record(asked: Campaign, answers: Answers, one: Setting, pgd: Pgd) -> dict[str, Any]:
    first = "naive" if one.softmax == "float32" else one.softmax
    naive = asked.outcome(answers, one.line, one.machine, first)
    every: list[Outcome] = [naive] + [
        asked.outcome(answers, one.line, one.machine, m) for m in ("margin", "pgd")
    ]
    base = asked.outcome(answers, replace(one, rewrite=NONE).line, one.machine)
    margins = sure(answers, one.line, one.machine)["margins"]
    return {
        "network": one.network,
        "rewrite": one.rewrite,
        "machine": one.machine,
        "softmax": one.softmax,
        "images": naive.images,
        "clean": naive.clean.value,
        "kept": naive.clean.value / base.clean.value,
        "margin": median(margins),
        "blind": naive.blind,
        "naive": naive.escalated(LAST).value,
        "step": every[1].escalated(LAST).value,
        "pgd": pgd[one.network, one.rewrite, one.machine].value,
        "adaptive": worst(every, LAST).value,
    }


def _means(
    plan: Plan, present: Sequence[str], records: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The paper's mean over the HashNets, where all of them are there."""
    if not set(HASHNETS) <= set(present):
        return []
    found = []
    for label in (NONE, PUBLISHED):
        for machine in plan.names:
            for softmax in SOFTMAX:
                some = [
                    r
                    for r in records
                    if r["network"] in HASHNETS
                    and (r["rewrite"], r["machine"], r["softmax"]) == (label, machine, softmax)
                ]
                if some:
                    numbers = [k for k, v in some[0].items() if isinstance(v, float)]
                    mean = {k: sum(r[k] for r in some) / len(some) for k in numbers}
                    found.append(some[0] | {"network": "mean"} | mean)
    return found


def _draw(figure: Figure, plan: Plan, records: Sequence[dict[str, Any]]) -> None:
    looks = figures.styles(SOFTMAX)
    for axes, machine in zip(figures.panels(figure, plan.names), plan.names, strict=True):
        for softmax in SOFTMAX:
            mine = [r for r in records if (r["machine"], r["softmax"]) == (machine, softmax)]
            x = [r["margin"] for r in mine]
            ours = [r for r in mine if r["network"] in RATES]
            axes.plot([r["margin"] for r in ours], [r["naive"] for r in ours], linestyle="",
                      markersize=6, label=f"naive, {softmax}", **looks[softmax])  # fmt: skip
            plain = [r for r in mine if r["network"] in PLAIN]
            axes.plot([r["margin"] for r in plain], [r["naive"] for r in plain], linestyle="",
                      markersize=7, markerfacecolor="white", **looks[softmax])  # fmt: skip
            if softmax == SOFTMAX[0]:
                axes.plot(x, [r["adaptive"] for r in mine], "_", color=figures.INK, markersize=10)
        axes.axhline(PAPER["mean"][1], color=figures.GREY, linestyle="--", linewidth=1)
        axes.set_xscale("log")
        axes.set_xlabel("median margin of clean images, nats", fontsize=9)
        figures.percents(axes)
    figure.axes[0].set_ylabel("success rate at ε = 0.5", fontsize=9)
    figures.legend(figure, figure.axes[-1], [
        figures.stroke("adaptive", linestyle="", marker="_", color=figures.INK, markersize=10),
        figures.stroke("hollow: plain training", linestyle="", marker="o",
                       markerfacecolor="white", color=figures.INK),
        figures.stroke("the paper's 4.77%", linestyle="--"),
    ])  # fmt: skip
    figure.tight_layout(rect=(0, 0.12, 1, 1))
