"""The mechanism behind 87.99% -> 4.77%: whose arithmetic makes the gradient vanish, and where.

Gradient inhibition and logits augmentation enlarge the logits. What is asked here: in which layers,
by how much, and through which softmax must they do so before the published number appears, and does
the network then resist an attack that needs no softmax?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from hwsim.attacks.evaluate.cross import Rate
from hwsim.studies.grid.campaign import Campaign, Line, Method, margin_suite, telling
from hwsim.studies.grid.outcomes import Outcome, worst
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.claims import Pair, Verdict, holds
from hwsim.studies.judge.findings import ADAPTIVE_NOTE, BLIND_NOTE, Findings, number, share
from hwsim.studies.judge.softmax_limits import below, least
from hwsim.studies.papers.fig3 import RATES
from hwsim.studies.papers.tau_sweep import EPSILONS, LAST, rewrite
from hwsim.studies.runner.task import Row

DENSE, *HASHNETS = RATES
DEEPEST = HASHNETS[-1]
#: The axis of training: nothing holds their margins back, neither dropout, shifts nor decay.
PLAIN = {
    "mnist-cnn-plain-e4": "1 plain e4",
    "mnist-cnn-plain": "1 plain e24",
    "mnist-cnn-h64-plain-e4": "1/64 plain e4",
    "mnist-cnn-h64-plain": "1/64 plain e24",
}
#: Of PLAIN, the less trained and the more.
LENGTHS = (
    ("mnist-cnn-plain-e4", "mnist-cnn-plain"),
    ("mnist-cnn-h64-plain-e4", "mnist-cnn-h64-plain"),
)
LABELS = RATES | PLAIN
HASHED = {*HASHNETS, *LENGTHS[1]}
NETWORKS = tuple(LABELS)
NONE, PUBLISHED = "none", "τ 0.1 last"
#: Rewrites by label. Augmentation scales every margin alike, further than training takes them.
REWRITES = {
    NONE: rewrite(0.0),
    PUBLISHED: rewrite(0.1),
    "τ 0.5 last": rewrite(0.5),
    "τ 0.1 fc": ("inhibition=0.1@fc",),
    "τ 0.5 fc": ("inhibition=0.5@fc",),
    "τ 0.1 all": ("inhibition=0.1@all",),
    "×8": ("augmentation=8@last",),
    "×64": ("augmentation=64@last",),
}
#: Softmax that the attacker differentiates; see measures.clipped.
SOFTMAX = ("float32", "float64", "clipped", "engine")
#: The paper's numbers without and with inhibition: uncompressed, mean of the HashNets.
PAPER = {DENSE: (0.9581, 0.0124), "mean": (0.8799, 0.0477)}
#: "the paper's number appears": success no higher than this.
LOW = 0.10
#: "as undefended": success without inhibition no lower than this.
HIGH = 0.80
#: "accuracy is kept": correct answers no fewer than this share of what they were.
KEPT = 0.98
#: At which PGD tells networks apart: see ``campaign.telling``.
TELLING = 0.1
SAMPLES = (1000, 40)


#: (network, rewrite, machine) -> what PGD fools at the telling ε.
Pgd = Mapping[tuple[str, str, str], Rate]


@dataclass(frozen=True)
class Setting:
    """One row: a network, a rewrite, a machine, a softmax."""

    network: str
    rewrite: str
    machine: str
    softmax: str

    @property
    def line(self) -> str:
        return f"{LABELS[self.network]} {self.rewrite}"


def rewrites(network: str) -> list[str]:
    """All of them for the ends of the paper's range; for the others what its means are of."""
    return list(REWRITES) if network in (DENSE, DEEPEST) else [NONE, PUBLISHED]


def campaign(plan: Plan, present: Sequence[str]) -> Campaign:
    """Naive FGSM through float32, the margin and PGD; the other softmaxes beside them."""
    others = {p: Method("hfgsm", probabilities=p) for p in SOFTMAX[1:]}
    lines = [
        Line(f"{LABELS[n]} {label}", n, REWRITES[label]) for n in present for label in rewrites(n)
    ]
    suite = margin_suite(plan, (LAST,))
    return Campaign(plan, lines, Method("hfgsm"), suite | others, EPSILONS, plan.images(*SAMPLES))


def small(asked: Campaign) -> Campaign:
    """PGD on every line where not every image falls anyway."""
    return telling(asked.plan, asked.lines, TELLING, asked.samples)


def _exists(machine: str, softmax: str | None) -> bool:
    """The float network has no probability unit."""
    return not (machine == "float" and softmax == "engine")


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Attacks, and how sure the machines are of clean images."""
    asked = campaign(plan, present)
    sure = [
        Point(
            {"line": line.label, "machine": machine, "what": "leads"},
            "hwsim.studies.grid.attack_rows:leads",
            {"subject": subject.parameters(), "samples": asked.samples, "part": [0, 1]},
            asked.samples,
        )
        for line in asked.lines
        for machine, subject in plan.machines(line.network, *line.apply)
    ]  # fmt: skip
    attacks = [p for p in asked.points() if _exists(p.fields["machine"], p.fields["method"])]
    return [*attacks, *small(asked).points(), *sure]


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """One row for each setting: naive success, adaptive success, margins, blind images."""
    asked = campaign(plan, present)
    settings = [
        Setting(n, label, machine, softmax)
        for n in present for label in rewrites(n) for machine in plan.names for softmax in SOFTMAX
        if _exists(machine, softmax)
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
            "yes" if _appears(r) else "",
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
        verdicts=[*_verdicts(records, pgd), _walls(plan, present, answers)],
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
    margins = _sure(answers, one.line, one.machine)["margins"]
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


def _sure(answers: Answers, line: str, machine: str) -> Row:
    (row,) = answers.of(line=line, machine=machine, what="leads")
    return row


def _walls(plan: Plan, present: Sequence[str], answers: Answers) -> Verdict:
    """Whether one saturating softmax, whichever, could give the paper's pairs."""
    cases, ours = [], []
    for network in present:
        start, end = PAPER["mean" if network in HASHED else DENSE]
        for machine in plan.names:
            before, after = (
                _sure(answers, Setting(network, rewrite, machine, "").line, machine)["leads"]
                for rewrite in (NONE, PUBLISHED)
            )
            wall = least(before, start)
            left = below(after, wall)
            cases.append((f"{LABELS[network]} {machine}", left <= end))
            ours.append(f"{LABELS[network]} {machine} {share(left)}% at {number(wall, 0)} nats")
    return holds(
        "(ours) some softmax, saturating at whatever lead, leaves as many images a gradient "
        "undefended as the paper fools, and at τ = 0.1 no more than it fools then",
        "95.81% and 1.24%, HashNets 87.99% and 4.77%", cases, "; ".join(ours),
    )  # fmt: skip


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


def _appears(record: dict[str, Any]) -> bool:
    """The paper's number, in a network that still works."""
    return bool(record["naive"] <= LOW and record["kept"] >= KEPT)


def _name(record: dict[str, Any]) -> str:
    where = f"{LABELS.get(record['network'], 'mean')} {record['machine']}"
    return f"{where} {record['softmax']}"


def _place(record: dict[str, Any]) -> tuple[str, ...]:
    return record["network"], record["machine"], record["softmax"]


def _collapse(
    claim: str, paper: str, softmax: str, records: Sequence[dict[str, Any]],
    plain: dict[tuple[str, ...], dict[str, Any]],
) -> Verdict:  # fmt: skip
    """Whether τ = 0.1 brings success from HIGH to LOW through a softmax, in every record."""
    mine = [r for r in records if r["softmax"] == softmax]
    return holds(
        f"{claim}: {softmax} softmax", paper,
        [(_name(r), plain[_place(r)]["naive"] >= HIGH and r["naive"] <= LOW) for r in mine],
        "; ".join(
            f"{_name(r)} {share(plain[_place(r)]['naive'])} to {share(r['naive'])}" for r in mine
        ),
    )  # fmt: skip


def _verdicts(records: Sequence[dict[str, Any]], pgd: Pgd) -> list[Verdict]:
    plain = {_place(r): r for r in records if r["rewrite"] == NONE}
    stated = [r for r in records if r["rewrite"] == PUBLISHED and r["network"] in PAPER]
    longest = [n for _, n in LENGTHS]
    trained = [r for r in records if r["rewrite"] == PUBLISHED and r["network"] in longest]
    low = [r for r in records if _appears(r)]
    fallen = [r for r in records if plain[_place(r)]["naive"] - r["naive"] >= 0.10]
    names = [f"{_name(r)}, {r['rewrite']} ({share(r['naive'])}%)" for r in low]
    listed = "; ".join(names[:4]) + (f"; {len(names) - 4} more" if len(names) > 4 else "")
    falls = f"from at least {100 * HIGH:g}% to at most {100 * LOW:g}%"
    collapse = [
        _collapse(
            f"τ = 0.1 on the last layer brings success {falls}, uncompressed and mean of the "
            "HashNets", "95.81% to 1.24%, 87.99% to 4.77%", softmax, stated, plain,
        )
        for softmax in SOFTMAX
    ]  # fmt: skip
    collapse += [
        _collapse(
            f"(ours) trained for long without regularization, τ = 0.1 on the last layer brings "
            f"success {falls}, uncompressed and 1/64", "–", softmax, trained, plain,
        )
        for softmax in SOFTMAX
    ]  # fmt: skip
    return [
        *collapse,
        _margins(plain),
        holds(
            "(ours) some setting that keeps the accuracy brings the paper's number",
            "–", [("any setting", bool(low))], listed or "none",
        ),
        holds(
            f"(ours) where it appears, the same one step on the margin restores success (at least "
            f"{100 * HIGH:g}%): the gradient was hidden", "–",
            [(f"{_name(r)}, {r['rewrite']}", r["step"] >= HIGH) for r in low],
            f"least {share(min(r['step'] for r in low))}%" if low else "–",
        ),
        _robust(fallen, pgd),
    ]  # fmt: skip


def _robust(fallen: Sequence[dict[str, Any]], pgd: Pgd) -> Verdict:
    """Whether a defense that seems to work protects where an attack can fail."""
    cases, ours = [], []
    for network, label, machine in dict.fromkeys(
        (r["network"], r["rewrite"], r["machine"]) for r in fallen if r["network"] in LABELS
    ):
        pair = Pair("", pgd[network, label, machine], pgd[network, NONE, machine])
        what = f"{LABELS[network]} {machine}, {label}"
        cases.append((what, pair.state != "confirmed"))
        ours.append((pair.difference, what))
    most = f"most: {max(ours)[1]}, {100 * max(ours)[0]:.1f} points" if ours else "–"
    return holds(
        "(ours) wherever the naive success falls by 10 points or more, so that a defense seems to "
        f"work, PGD on the margin at ε = {TELLING:g} is not seen to succeed less often than on the "
        "undefended network (95%)", "–", cases, most,
    )  # fmt: skip


def _margins(plain: dict[tuple[str, ...], dict[str, Any]]) -> Verdict:
    """Whether training on widens margins."""
    cases = [
        (f"{LABELS[long]} {m}", plain[short, m, s]["margin"], record["margin"])
        for short, long in LENGTHS
        for (n, m, s), record in plain.items()
        if n == long and s == SOFTMAX[0] and (short, m, s) in plain
    ]
    return holds(
        "(ours) training on, without regularization, widens the median margin", "–",
        [(what, before < after) for what, before, after in cases],
        "; ".join(f"{what} {number(a, 1)} to {number(b, 1)}" for what, a, b in cases),
    )  # fmt: skip


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
