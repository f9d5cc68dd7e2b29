"""Adversarial sample detection: how well statistics tell attacks, and what knowing them is worth.

For each attack on the engine: images that fool it against clean images, by ROC; then the same
attack by someone who knows the detector and aims below its threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.attacks.core.base import Attack, judge
from hwsim.attacks.core.criteria import Targeted, Untargeted
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.losses import Margin
from hwsim.attacks.evaluate.rates import Rate
from hwsim.attacks.evaluate.roc import auc, curve, threshold
from hwsim.attacks.known import make_attack
from hwsim.engine.module import Engine
from hwsim.engine.space import space_of
from hwsim.errors import InputError
from hwsim.files.content import digest
from hwsim.models.datasets.samples import Samples
from hwsim.networks.open import Network, versions
from hwsim.report import budgets
from hwsim.runs.attack_catalog import ENTRIES
from hwsim.runs.count import fingerprint
from hwsim.runs.detectors import Detector, Guarded, Hiding, Labels, Neighbours, Probabilities
from hwsim.runs.unfinished import keep, kept

#: False alarms that the detector's threshold allows itself on clean calibration images.
FALSE_ALARMS = 0.05
#: Where an attacker who knows aims: the middle of the clean scores, and, failing that, the
#: detector's own threshold.
AIMS = (0.5, 1 - FALSE_ALARMS)
#: Clean training images on which thresholds are chosen.
CALIBRATION = 500

#: Attacks of the study: budget, as a share of the input's range, and options where they are not the
#: catalogue's.
ATTACKS: dict[str, tuple[float, dict[str, Any]]] = {
    "hfgsm": (0.3, {}),
    "pgd": (0.3, {}),
    "jsma": (math.inf, {}),
    "cw-l2": (math.inf, {"steps": 50, "binary_search_steps": 4}),
}

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Victims:
    """The images that the engine gets right, and what the detectors say before any attack.

    x: (N, C, H, W) on the grid. labels: (N,). logits: (N, classes), the engine's. negatives:
    scores (N,) of ``x`` by detector; clean: those of the calibration images.
    """

    x: Tensor
    labels: Tensor
    logits: Tensor
    clean: dict[str, NDArray[np.float64]]
    negatives: dict[str, NDArray[np.float64]]

    @property
    def weight(self) -> float:
        """Mean lead of the first class over the second, in logits."""
        ahead = self.logits.topk(2, 1).values
        return float((ahead[:, 0] - ahead[:, 1]).mean())

    @property
    def goal(self) -> Targeted:
        """The engine's second choice, which is the easiest class to reach."""
        runner_up = self.logits.scatter(1, self.labels[:, None], -torch.inf).argmax(1)
        return Targeted(runner_up, self.labels)


@dataclass
class DetectionStudy:
    """One network under detection; ``run`` gives the result dict that reports show."""

    network: Network
    test: Samples
    train: Samples
    attacks: tuple[str, ...]
    on_progress: Progress = field(default=lambda what, done, total: None)

    def __post_init__(self) -> None:
        if unknown := [name for name in self.attacks if name not in ATTACKS]:
            raise InputError(f"unknown attack {unknown[0]!r}: choose from {', '.join(ATTACKS)}")
        self.grid = space_of(self.network.program)
        self.engine = Engine(self.network.program)
        distance = Probabilities(self.network.module)
        self.detectors: dict[str, Detector] = {
            d.name: d for d in (Neighbours(), distance, Labels(self.network.module))
        }

    @property
    def key(self) -> str:
        """Digest of everything that the rows depend on, the choice of attacks apart."""
        facts = [fingerprint(self.network.program), self.test.digest, self.train.digest]
        settings = [FALSE_ALARMS, AIMS, CALIBRATION, repr(ATTACKS), versions()]
        return digest([*facts, *settings])

    def _kept(self, partial: Path | None) -> dict[str, Any]:
        """The rows of an earlier run of the same study; none where there is nothing usable."""
        try:
            data = kept(partial, self.key) if partial else None
            if data is None:
                return {}
            return {name: data["rows"][name] for name in self.attacks if name in data["rows"]}
        except InputError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError):
            return {}

    def run(self, partial: Path | None = None) -> dict[str, Any]:
        """Everything; InputError where the engine gets no image right.

        partial: keeps the attacks that are done, so that an interrupted study goes on.
        """
        clean = self._scores(
            self.grid.snap(self.network.inputs(self.train.take(self._calibration)))
        )
        x, labels = (
            self.grid.snap(self.network.inputs(self.test)),
            torch.from_numpy(self.test.labels),
        )
        logits = judge(self.engine, x)
        right = logits.argmax(1) == labels
        if not bool(right.any()):
            raise InputError("the engine classifies no image correctly: there is nothing to attack")
        x, labels, logits = x[right], labels[right], logits[right]
        victims = Victims(x, labels, logits, clean, self._scores(x))
        rows = self._kept(partial)
        each = 1 + 2 * len(AIMS)
        total = len(self.attacks) * each
        for number, name in enumerate(self.attacks):
            done = number * each

            def step(what: str) -> None:
                nonlocal done
                self.on_progress(what, done, total)
                done += 1

            if name in rows:
                continue
            rows[name] = self._attack(name, victims, step)
            if partial is not None:
                keep(partial, self.key, {"rows": rows})
        self.on_progress("done", total, total)
        config = self.network.program.config
        return {
            "kind": "detection",
            "model": self.network.name,
            "config": config.name,
            "bits": config.act_w,
            **budgets.input_range(self.grid.bounds),
            "samples": len(self.test),
            "correct": len(x),
            "false_alarms_allowed": FALSE_ALARMS,
            "calibration": self._calibration,
            "dataset": self.test.about,
            "detectors": {name: d.title for name, d in self.detectors.items()},
            "attacks": [rows[name] for name in self.attacks],
            "versions": versions(),
        }  # fmt: skip

    def _budget(self, name: str) -> float:
        """In units of the input."""
        return ATTACKS[name][0] * self.grid.span

    @property
    def _calibration(self) -> int:
        return min(CALIBRATION, len(self.train))

    def _scores(self, x: Tensor) -> dict[str, NDArray[np.float64]]:
        """Of every detector, (N,) each, for images on the grid."""
        parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in self.detectors}
        with torch.inference_mode():
            for piece in x.split(256):
                logits = self.engine(piece)
                for name, detector in self.detectors.items():
                    parts[name].append(detector.score(piece, logits).numpy())
        return {name: np.concatenate(found or [np.zeros(0)]) for name, found in parts.items()}

    def _attack(self, name: str, victims: Victims, step: Callable[[str], None]) -> dict[str, Any]:
        x, labels = victims.x, victims.labels
        clean, negatives = victims.clean, victims.negatives
        budget = self._budget(name)
        step(f"{name}, knowing no detector")
        made = _made(name, self.grid)
        plain = made(self.engine, x, Untargeted(labels), epsilon=budget, batch_size=50).adversarial
        hidden = {
            by: self._hidden(name, by, victims, plain, step)
            for by in ("neighbours", "probabilities")
        }
        row: dict[str, Any] = {
            "attack": name, "norm": made.norm, "budget": budget, "detectors": {},
        }  # fmt: skip
        for detector in self.detectors:
            knowing = hidden["probabilities" if detector == "labels" else detector]
            alarm = threshold(clean[detector], FALSE_ALARMS)
            row["detectors"][detector] = {
                "threshold": alarm,
                "false_alarms": float((negatives[detector] > alarm).mean()),
                "unaware": self._told(detector, plain, labels, negatives, alarm),
                "aware": self._told(detector, knowing, labels, negatives, alarm),
            }
        return row

    def _hidden(
        self, name: str, by: str, victims: Victims, plain: Tensor, step: Callable[[str], None]
    ) -> Tensor:
        """Images by an attacker who knows detector ``by``: of all that fool, the lowest score.

        He has the ``plain`` images too, so that knowing never makes him worse.
        """
        x, labels, clean = victims.x, victims.labels, victims.clean[by]
        goal, images = victims.goal, plain.clone()
        best = self._seen(by, plain, labels)
        left = torch.arange(len(x))
        spread = float(np.quantile(clean, 0.95) - np.quantile(clean, 0.05)) or 1.0
        for aim in AIMS:
            step(f"{name}, knowing {by}, aiming at {100 * aim:.0f}% of the clean images")
            if not len(left):
                continue
            hiding = Hiding(threshold(clean, 1 - aim), spread, victims.weight)
            guarded = Guarded(self.engine, self.detectors[by], hiding)
            made = _made(name, self.grid)
            found = made(guarded, x[left], goal[left], epsilon=self._budget(name), batch_size=50)
            scores = self._seen(by, found.adversarial, labels[left])
            better = scores < best[left]
            images[left[better]] = found.adversarial[better]
            best[left[better]] = scores[better]
            left = left[~found.success]
        return images

    def _seen(self, by: str, images: Tensor, labels: Tensor) -> Tensor:
        """(N,) scores; inf where an image does not fool the engine."""
        fooled = judge(self.engine, images).argmax(1) != labels
        scores = torch.from_numpy(self._scores(images)[by])
        return torch.where(fooled, scores, torch.inf)

    def _told(
        self,
        detector: str,
        images: Tensor,
        labels: Tensor,
        negatives: dict[str, NDArray[np.float64]],
        alarm: float,
    ) -> dict[str, Any]:
        """ROC of the images that fool the engine, and how many do so without an alarm."""
        fooled = (judge(self.engine, images).argmax(1) != labels).numpy()
        scores = self._scores(images)[detector]
        positives, against = scores[fooled], negatives[detector]
        area = auc(positives, against)
        false, true = curve(positives, against) if len(positives) else (np.zeros(0), np.zeros(0))
        success = Rate(int(fooled.sum()), len(fooled))
        unseen = Rate(int((fooled & (scores <= alarm)).sum()), len(fooled))
        return {
            "auc": area.value,
            "interval": area.interval,
            "success": success.value,
            "success_interval": success.interval,
            "undetected": unseen.value,
            "undetected_interval": unseen.interval,
            # The slides' claim is about pairs: higher than that of the image's own original.
            "higher_than_original": float((scores > against)[fooled].mean())
            if fooled.any() else None,
            "roc": {"false": false, "true": true},
        }  # fmt: skip


def _made(name: str, grid: Space) -> Attack:
    entry, (_, options) = ENTRIES[name], ATTACKS[name]
    extra = {"loss": Margin()} if entry.differentiates == "loss" else {}
    return make_attack(entry.name, space=grid, **options, **extra)
