"""The JSMA slides' second defense: train with samples that a DCGAN made, then attack by JSMA.

The slides name the defense and give no number. Two readings are tried: the generated digits are
learnt as they are, and they are learnt attacked, as adversarial training does with real ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hwsim.attacks.evaluate.rates import Rate
from hwsim.models.gan import files
from hwsim.studies.grid.gan_rows import METHODS
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.findings import Findings, share
from hwsim.studies.papers.gan_lines import GanLine
from hwsim.studies.papers.gan_verdicts import verdicts
from hwsim.studies.runner import machines
from hwsim.studies.runner.machines import Subject

#: What is trained anew: its architecture, on its data set.
NETWORK = "lenet5"
NETWORKS = (NETWORK,)
#: Of the slides: random targets, at most this share of the values.
DISTORTION = 0.145
#: Training images, and of those that are learnt from in all: full and quick.
REAL, PASSES = 3000, (18_000, 6_000)
#: Share of a batch that adversarial training attacks, as JSMA takes most of its time.
SHARE = 0.25
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Training:
    """What a network learnt from. copies: real images over REAL. quick: in quick studies, too."""

    generated: bool = False
    attacked: bool = False
    copies: int = 1
    quick: bool = True


TRAININGS = {
    "real": Training(),
    "real + GAN": Training(generated=True),
    "2 × real": Training(copies=2, quick=False),
    "JSMA": Training(attacked=True),
    "JSMA + GAN": Training(attacked=True, generated=True),
}


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every training with every seed; with generated images, with the seeds of the generators that
    are there.
    """
    learn = machines.dataset(machines.card(NETWORK).dataset, "train")
    real = min(REAL, len(learn) // 2)
    seeds = SEEDS[:1] if plan.quick else SEEDS
    return [
        Point(
            {"training": name, "seed": seed},
            "hwsim.studies.grid.gan_rows:trained",
            {
                "subject": Subject(
                    NETWORK, "fixed", (), plan.bits[0], plan.config
                ).parameters(),
                "bits": list(plan.bits), "real": real * one.copies,
                "generated": _generator(seed) if one.generated else None,
                "adversarial": (
                    {"attack": "jsma", "epsilon": DISTORTION, "share": SHARE}
                    if one.attacked else None
                ),
                "passes": PASSES[plan.quick], "seed": seed, "tested": min(2000, _tests()),
                "attacked": plan.images(60, 20), "distortion": DISTORTION,
                "steps": 30 if plan.quick else 60,
            },
            3.0 if one.attacked else 1.0,
        )
        for name, one in TRAININGS.items()
        if one.quick or not plan.quick
        for seed in seeds
        if not one.generated or _there(seed)
    ]  # fmt: skip


def _there(seed: int) -> bool:
    """Whether there is a generator of that seed."""
    return f"mnist-dcgan-s{seed}" in files.names()


def _generator(seed: int) -> Mapping[str, Any]:
    """The one of that seed, as a row asks for it."""
    name = f"mnist-dcgan-s{seed}"
    return {"name": name, "digest": files.load(files.place(name)).digest}


def _tests() -> int:
    return len(machines.dataset(machines.card(NETWORK).dataset, "test"))


def _lines(answers: Answers) -> dict[str, GanLine]:
    found = {}
    for name in TRAININGS:
        rows = {s: row for s in SEEDS for row in answers.of(training=name, seed=s)}
        if rows:
            found[name] = GanLine(name, tuple(rows), list(rows.values()))
    return found


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Accuracy, JSMA's success and what it changes, a training a line."""
    lines = _lines(answers)
    names = plan.names
    some = next(iter(lines.values())).rows[0]
    return Findings(
        heads=["trained on", "machine", "accuracy", "JSMA", "changed", "on logits",
               "adapt.", "σ-zero"],
        rows=[
            [
                name, m, _spread(one.accuracy(m), 1), _rates(one.success(m, METHODS[0])),
                _spread(one.changed(m, METHODS[0]), 1),
                _mean([rate.value for rate in one.success(m, METHODS[1])]),
                _rates(one.adaptive(m)), _mean(one.changed(m, METHODS[2])),
            ]
            for name, one in lines.items()
            for m in plan.names
        ],
        notes=[
            f"LeNet-5, trained on {REAL:,} images of MNIST or twice as many, in as many steps. "
            "GAN: as many generated images beside the real ones, of a DCGAN of the same seed that "
            f"learnt from the same {REAL:,}. JSMA: {100 * SHARE:g}% of each batch is attacked as "
            f"it is learnt, generated images too. Mean of {len(next(iter(lines.values())).rows)} "
            f"seeds [least–largest], in %; accuracy of {some['tested']:,} test images.",
            f"JSMA: random targets, at most {100 * DISTORTION:g}% of the values, on "
            f"{some['attacked']} test images, of which those count that are classified correctly. "
            "changed: share of the values, mean over successes; σ-zero: the same of that attack. "
            "on logits: JSMA on their Jacobian instead of the probabilities'. adapt.: adaptive, "
            "any of both and of σ-zero, which is bound to no saliency map and may lower values "
            "too, within as many values. "
            "The slides give 97.10% and 4.44% without a defense, and no number with one.",
        ],
        verdicts=verdicts(plan, lines),
        records=[
            {
                "training": name, "seed": seed, "machine": m, "accuracy": one.accuracy(m)[at],
                **{
                    key: value
                    for method in METHODS
                    for key, value in (
                        (method, one.success(m, method)[at].value),
                        (f"{method} changed", one.changed(m, method)[at]),
                    )
                },
                "adaptive": one.adaptive(m)[at].value,
            }
            for name, one in lines.items()
            for at, seed in enumerate(one.seeds)
            for m in names
        ],
        draw=lambda figure: _draw(figure, plan, lines),
        size=(10.0, 3.8),
    )  # fmt: skip


def _rates(rates: Sequence[Rate]) -> str:
    return _spread([rate.value for rate in rates])


def _mean(values: Sequence[float]) -> str:
    """``63.2``, in %."""
    return _spread([float(np.mean(values))])


def _spread(values: Sequence[float], digits: int = 0) -> str:
    """``63.2 [60–66]``: mean, least, largest in %; a dash where there is nothing to average."""
    if any(math.isnan(value) for value in values):
        return "–"
    mean = share(float(np.mean(values)))
    if min(values) == max(values):
        return mean
    return f"{mean} [{100 * min(values):.{digits}f}–{100 * max(values):.{digits}f}]"


def _draw(figure: Figure, plan: Plan, lines: Mapping[str, GanLine]) -> None:
    titles = ("accuracy, %", "JSMA succeeds, %", "values JSMA changes, %")
    figure.set_facecolor("white")
    panels = [figures.plain(axes) for axes in figure.subplots(1, len(titles))]
    looks = figures.styles(plan.names)
    for place, one in enumerate(lines.values()):
        for number, m in enumerate(plan.names):
            at = place + 0.2 * (number - (len(plan.names) - 1) / 2)
            look = {**looks[m], "linestyle": "", "markersize": 5}
            found = (
                one.accuracy(m), [rate.value for rate in one.success(m, METHODS[0])],
                one.changed(m, METHODS[0]),
            )  # fmt: skip
            for axes, values in zip(panels, found, strict=True):
                axes.plot([at] * len(values), [100 * v for v in values], **look)
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
        axes.set_xticks(range(len(lines)), list(lines), rotation=35, ha="right", fontsize=8)
    figures.legend(
        figure, panels[0], [figures.stroke(m, **{**looks[m], "linestyle": ""}) for m in plan.names]
    )
    figure.tight_layout(rect=(0, 0.1, 1, 1))
