"""One attack on one network, float against fixed point: from settings to the result dict."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks.base import FixedBudgetAttack
from attacks.criteria import Goal, Targeted, Untargeted
from attacks.evaluate import Rate, Tally, cross_evaluate
from attacks.fgsm import FGSM
from attacks.grid import Grid
from attacks.losses import CrossEntropy, Loss, ProbabilityLoss
from hwsim.engine import Engine
from hwsim.errors import InputError
from hwsim.networks import Network, pixels, versions
from hwsim.plots import Examples
from hwsim.report import PAIRS, write_json
from hwsim.timing import TimingReport, analyze
from models.data import Dataset

#: Generator behind each name; the h names are Liu et al.'s for the same step on the Engine.
ATTACKS: dict[str, type[FixedBudgetAttack]] = {"fgsm": FGSM, "hfgsm": FGSM}
PROBABILITIES = ("float32", "float64", "engine")
BATCH = 256


@dataclass(frozen=True)
class Settings:
    """What a user chose. target: None, ``random``, ``least-likely`` or a class number as text."""

    attack: str
    model: str
    epsilons: tuple[float, ...]
    samples: int
    config: str = "default"
    bits: int | None = None
    probabilities: str = "float32"
    gradient: str = "ste"
    target: str | None = None
    command: str = ""


class Experiment:
    """Float network and engine side by side, attacked with the same images on the same grid."""

    def __init__(self, settings: Settings, network: Network, test: Dataset) -> None:
        self.settings, self.network = settings, network
        self.engine = Engine(network.program, gradient=settings.gradient)  # type: ignore[arg-type]
        self.grid = Grid.of_bits(network.program.config.act_w)
        for epsilon in settings.epsilons:
            self.grid.step(epsilon)  # an epsilon below one step is refused before any work
        self.test, self.targets = self._choose_targets(test)
        self.inputs, self.labels = pixels(self.test), torch.from_numpy(self.test.labels)

    def _loss(self, crafted_on: str) -> Loss:
        kind = self.settings.probabilities
        if kind == "engine" and crafted_on == "engine":
            return ProbabilityLoss(self.engine.probabilities)
        return CrossEntropy(dtype=torch.float64 if kind == "float64" else torch.float32)

    def _attack(self, crafted_on: str) -> FixedBudgetAttack:
        generator = ATTACKS[self.settings.attack]
        return generator(loss=self._loss(crafted_on), space=self.grid)

    def _choose_targets(self, test: Dataset) -> tuple[Dataset, Tensor | None]:
        """The test images of the run, and their targets; a fixed class leaves its own images out."""
        target, samples = self.settings.target, self.settings.samples
        classes = self.network.program.classes
        if target is None:
            return test.take(samples), None
        if target == "random":
            chosen = test.take(samples)
            hop = np.random.default_rng(0).integers(1, classes, samples)
            return chosen, torch.from_numpy((chosen.labels + hop) % classes)
        if target == "least-likely":
            chosen = test.take(samples)
            with torch.no_grad():
                logits = self.network.module(self.grid.snap(pixels(chosen)))
            logits[torch.arange(samples), torch.from_numpy(chosen.labels)] = float("inf")
            return chosen, logits.argmin(1)
        if not target.isdecimal() or int(target) >= classes:
            raise InputError(
                f"unknown target {target!r}: choose random, least-likely or a class 0 … {classes - 1}"
            )
        others = test.without(int(target))
        return others.take(samples), torch.full((samples,), int(target), dtype=torch.int64)

    @property
    def key(self) -> str:
        """Digest of everything that the counts depend on."""
        provenance = {k: v for k, v in self.network.program.provenance.items() if k != "versions"}
        chosen = {k: v for k, v in asdict(self.settings).items() if k != "command"}
        facts = [chosen, self.test.digest, provenance, versions()]
        text = json.dumps(facts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def count(self, partial: Path, on_progress: Callable[[int, int], None]) -> Tally:
        """All counts; ``partial`` keeps finished batches, so that an interrupted run goes on."""
        tally = _resume(partial, self.key)
        start = tally.samples if tally else 0
        if tally is not None and start >= len(self.inputs):
            return tally
        on_progress(start, len(self.inputs))
        batches = cross_evaluate(
            {"float": self.network.module, "engine": self.engine},
            self.inputs,
            self.labels,
            attack={name: self._attack(name) for name in ("float", "engine")},
            epsilons=self.settings.epsilons,
            targets=self.targets,
            batch_size=BATCH,
            start=start,
            progress=on_progress,
        )
        for batch in batches:
            tally = batch if tally is None else tally + batch
            write_json({"key": self.key, "tally": tally.as_dict()}, partial)
        assert tally is not None
        return tally

    def examples(self) -> Examples:
        """Eight images spread over the run, attacked on the engine at the middle ε."""
        count = min(8, len(self.inputs))
        chosen = torch.arange(count) * len(self.inputs) // count
        x, labels = self.grid.snap(self.inputs[chosen]), self.labels[chosen]
        goal: Goal = Untargeted(labels)
        if self.targets is not None:
            goal = Targeted(self.targets[chosen], labels)
        epsilon = self.settings.epsilons[len(self.settings.epsilons) // 2]
        result = self._attack("engine")(self.engine, x, goal, epsilon=epsilon)
        answers = {}
        with torch.no_grad():
            for name, model in (("float", self.network.module), ("engine", self.engine)):
                answers[f"{name}_before"] = model(x).argmax(1).numpy()
                answers[f"{name}_after"] = model(result.adversarial).argmax(1).numpy()
        return Examples(
            x.numpy(), result.adversarial.numpy(), labels.numpy(), **answers,
            class_names=self.test.class_names, epsilon=self.grid.effective(epsilon),
        )  # fmt: skip

    def result(self, tally: Tally, seconds: float) -> dict[str, Any]:
        """The dict that hwsim.report describes."""
        config, chosen = self.network.program.config, self.settings
        timing = analyze(self.network.program)
        return {
            "attack": chosen.attack,
            "model": chosen.model,
            "config": config.name,
            "bits": config.act_w,
            "samples": tally.samples,
            "targeted": chosen.target or False,
            "probabilities": chosen.probabilities,
            "gradient": chosen.gradient,
            "dataset": {
                "name": self.test.name,
                "source": self.test.source,
                "note": self.test.note,
                "digest": self.test.digest,
            },
            **_shares(tally),
            **_costs(timing),
            "versions": versions(),
            "command": chosen.command,
            "seconds": seconds,
        }


def _shares(tally: Tally) -> dict[str, Any]:
    def table(rates: Callable[[str, str], list[Rate]], part: str) -> dict[str, Any]:
        return {
            pair: [getattr(rate, part) for rate in rates(craft, by)]
            for pair, (craft, by) in PAIRS.items()
        }

    return {
        "epsilons": list(tally.epsilons),
        "effective_epsilons": list(tally.effective_epsilons),
        "clean": {"float": tally.clean("float").value, "fixed": tally.clean("engine").value},
        "denominator": {"float": tally.correct["float"], "fixed": tally.correct["engine"]},
        "success": table(tally.rates, "value"),
        "interval": table(tally.rates, "interval"),
        "success_escalated": table(tally.escalated_rates, "value"),
        "interval_escalated": table(tally.escalated_rates, "interval"),
        "denominator_escalated": {
            "float": tally.escalated_total["float"],
            "fixed": tally.escalated_total["engine"],
        },
        "zero_gradient": {
            name: tally.zero_gradient_share(name) for name in ("float", "engine")
        },
    }  # fmt: skip


def _costs(timing: TimingReport) -> dict[str, Any]:
    report = timing.to_dict()
    return {
        "cycles": timing.cycles,
        "energy_nj": report["energy_nj"],
        "memory_bits": timing.memory_bits,
        "timing": {
            "cycles": timing.cycles,
            "clock_mhz": timing.config.clock_mhz,
            "microseconds": timing.seconds * 1e6,
            "utilization": timing.utilization,
            "stalls": timing.stalls,
        },
    }


def _resume(partial: Path, key: str) -> Tally | None:
    try:
        data = json.loads(partial.read_text(encoding="utf-8"))
        if data["key"] != key:
            return None
        return Tally.from_dict(data["tally"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # nothing usable is kept: start anew


def run(
    settings: Settings,
    network: Network,
    test: Dataset,
    partial: Path,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, Any], Examples]:
    """Count, draw and cost one experiment."""
    began = time.perf_counter()
    experiment = Experiment(settings, network, test)
    tally = experiment.count(partial, on_progress)
    examples = experiment.examples()
    return experiment.result(tally, time.perf_counter() - began), examples
