"""Bit flips that break a network: dense and hashed, in weights and in stored indices.

Published are numbers of flips until a dense ResNet-20 answers at most 11% of CIFAR-10 (Rakin et al.
2019, and what users of their script report). Of hashed networks and of indices nobody says
anything.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.claims import Verdict, holds
from hwsim.studies.judge.findings import Findings, number, share
from hwsim.studies.papers.fig3 import RATES
from hwsim.studies.runner.machines import Subject

#: MNIST by rate, then what there is of CIFAR-10, dense and shared.
CIFAR = {"resnet20": "ResNet-20, 1", "resnet20-h16": "ResNet-20, 1/16"}
LABELS = {**{name: f"MNIST, {rate}" for name, rate in RATES.items()}, **CIFAR}
NETWORKS = tuple(LABELS)
HASHED = tuple(name for name in NETWORKS if "-h" in name)
#: As published: batch, words looked at in each layer, where the search stops.
IMAGES, K_TOP, STOP = 128, 100, 0.11
#: Flips after which a search gives up.
MOST = 40
#: Batches.
SEEDS = (5, 2)
#: Mean flips of ResNet-20 by width, and what two standard deviations of them leave room for.
PUBLISHED = {8: 28.0, 6: 29.3, 4: 40.8}
ROOM = 2 * 4.5
#: Accuracy that a network is said to have lost when it answers half.
HALF = 0.5


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every network and width, words and where there are any indices, batch by batch."""
    points = []
    for network in present:
        for bits in plan.bits:
            subject = Subject(network, "fixed", (), bits, plan.config)
            for memory in ("weights", "index") if network in HASHED else ("weights",):
                points += _points(plan, network, f"{bits}-bit", subject, subject, memory)
        first = Subject(network, "fixed", (), plan.bits[0], plan.config)
        on_float = Subject(network, "float", (), plan.bits[0])
        points += _points(plan, network, "float", on_float, first, "weights")[:1]
    return points


def _points(
    plan: Plan, network: str, machine: str, subject: Subject, engine: Subject, memory: str
) -> list[Point]:
    return [
        Point(
            {"network": network, "machine": machine, "memory": memory, "seed": seed},
            "hwsim.studies.grid.flip_rows:search",
            {
                "subject": subject.parameters(), "engine": engine.parameters(), "memory": memory,
                "seed": seed, "images": IMAGES, "samples": plan.images(500, 200), "k_top": K_TOP,
                "most": 10 if plan.quick else MOST, "stop": STOP,
            },
            20.0 if network in CIFAR else 1.0,
        )
        for seed in range(SEEDS[plan.quick])
    ]  # fmt: skip
