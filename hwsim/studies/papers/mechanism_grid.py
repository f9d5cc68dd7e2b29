"""What the mechanism is asked of: networks, rewrites, softmaxes, and the attacks on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.campaign import Campaign, Line, Method, margin_suite, telling
from hwsim.studies.grid.plan import Answers, Plan, Point
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


def exists(machine: str, softmax: str | None) -> bool:
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
    attacks = [p for p in asked.points() if exists(p.fields["machine"], p.fields["method"])]
    return [*attacks, *small(asked).points(), *sure]


def sure(answers: Answers, line: str, machine: str) -> Row:
    """How sure a machine is of clean images: margins and leads."""
    (row,) = answers.of(line=line, machine=machine, what="leads")
    return row


def appears(record: dict[str, Any]) -> bool:
    """The paper's number, in a network that still works."""
    return bool(record["naive"] <= LOW and record["kept"] >= KEPT)
