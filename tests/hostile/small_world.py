"""What killed commands work on: a data folder, a network, a study, all of them tiny.

``register`` makes them known by name in a process, as if hwsim came with them; not in one whose
networks and studies other tests look at.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from hwsim.models.architectures import ARCHITECTURES
from hwsim.models.recipe import Recipe
from hwsim.models.specs import SPECS, Spec
from hwsim.studies import index
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge.findings import Findings
from hwsim.studies.runner.task import Task
from tests.study_rows import squares

#: Of the architecture, the network and the study.
NAME = "killed"
#: Of a study whose rows take a while.
SLOW = "slow"
TRAIN, TEST = 64, 40
SPEC = Spec(NAME, recipe=Recipe(epochs=6, batch=16, lr=0.02, shift=0))
#: The functions of the study's rows.
ROWS = ["hwsim.studies.grid.attack_rows:accuracy", "hwsim.studies.grid.attack_rows:attack"]


def network() -> nn.Module:
    """A convolution between two pools, and a layer: 144 weights and 480."""
    return nn.Sequential(
        nn.MaxPool2d(2), nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4),
        nn.Flatten(), nn.Linear(16 * 9, 10),
    )  # fmt: skip


def data(folder: Path) -> None:
    """Digits that are none: ten patterns, each with its own noise, in the files of MNIST."""
    noise = np.random.default_rng(18)
    patterns = np.kron(noise.integers(0, 200, (10, 7, 7)), np.ones((4, 4)))
    folder.mkdir(parents=True)
    for prefix, count in (("train", TRAIN), ("t10k", TEST)):
        labels = np.arange(count) % 10
        images = np.clip(patterns[labels] + noise.normal(0, 40, (count, 28, 28)), 0, 255)
        head = struct.pack(">IIII", 0x803, count, 28, 28)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(head + images.astype("u1").tobytes())
        head = struct.pack(">II", 0x801, count)
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(head + labels.astype("u1").tobytes())


class SmallStudy(ModuleType):
    """What a module of hwsim.studies.papers offers: twelve rows, of the float network and of the
    engine.
    """

    NETWORKS = (NAME,)

    @staticmethod
    def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
        """Accuracy and two attacks on two parts of the images."""
        found = []
        for machine, subject in plan.machines(NAME):
            for start in (0, 10):
                part = [start, start + 10]
                common = {"subject": subject.parameters(), "samples": 20, "part": part}
                fields = {"machine": machine, "part": start}
                found.append(Point(fields | {"what": "clean"}, ROWS[0], common))
                for name in ("hfgsm", "fgsm"):
                    more = {**common, "name": name, "budgets": [0.1, 0.3]}
                    found.append(Point(fields | {"what": name}, ROWS[1], more))
        return found

    @staticmethod
    def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
        """The rows as they are."""
        records = [_flat(answer.fields | {"row": str(answer.row)}) for answer in answers.found]
        return Findings(
            heads=["machine", "part", "what", "row"],
            rows=[[str(value) for value in record.values()] for record in records],
            notes=["a study for tests"], verdicts=[], records=records, draw=_draw,
        )  # fmt: skip


@dataclass(frozen=True)
class SlowPoint(Point):
    """A row that sleeps, and reads nothing."""

    def task(self) -> Task:
        return Task(self.function, self.parameters)


class SlowStudy(SmallStudy):
    """Squares, each slow enough that whoever computes it can be killed meanwhile; a file named by
    LOG has a line for each that was computed.
    """

    NETWORKS = ("mnist-cnn-h64",)
    LOG = "HWSIM_TEST_LOG"

    @staticmethod
    def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
        """As many as --samples."""
        found: list[Point] = []
        for task in squares(plan.samples or 10, Path(os.environ[SlowStudy.LOG]), 0.2):
            fields = {"machine": "none", "part": task.parameters["x"], "what": "square"}
            found.append(SlowPoint(fields, task.function, task.parameters))
        return found


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: fields[key] for key in ("machine", "part", "what", "row")}


def _draw(figure: Figure) -> None:
    figure.subplots().plot([0, 1])


class SmallEntry(index.StudyEntry):
    """A study whose module is no file."""

    @property
    def module(self) -> ModuleType:
        return SlowStudy(SLOW) if self.name == SLOW else SmallStudy(NAME)


def register() -> None:
    """Make all of it known in this process, for good."""
    ARCHITECTURES[NAME] = network
    SPECS[NAME] = SPEC
    for name in (NAME, SLOW):
        index.STUDIES[name] = SmallEntry(name, "A study for tests", "nowhere")
