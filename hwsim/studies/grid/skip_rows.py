"""Rows about time: what a network's zeros save, tell and cost on an engine that skips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwsim.attacks.core.grid import Grid
from hwsim.attacks.latency import Latency
from hwsim.cost.timing import analyze
from hwsim.engine.machine import SkippingMachine
from hwsim.engine.module import Engine
from hwsim.networks.open import pixels
from hwsim.runs import guessers
from hwsim.runs.information import information
from hwsim.studies.runner import machines as subjects
from hwsim.studies.runner.machines import Subject
from hwsim.studies.runner.task import Row, version

#: Images whose cycles are counted together.
BATCH = 250


@version(1)
def skipping(
    subject: Mapping[str, Any], samples: int, attacked: int, epsilon: float, seed: int
) -> Row:
    """Cycles of test images, how well they tell the class, and what an attack makes of them.

    samples: images that are timed. attacked: the first of them, whose cycles are then raised within
    ``epsilon``. The row: plain (cycles without skipping), cycles (mean, p5, p95), accuracy (share,
    of the network), columns {fc, conv}: share issued of the layers that skip, None of none; layers
    and total: {right, asked, chance, bits, low, high}, of who sees the cycles of every layer or of
    the whole; attack, uniform: cycles of each attacked image over its own before, of the latency
    attack and of uniform noise of the same size.
    """
    one = Subject.of(subject)
    described = subjects.card(one.network)
    data = subjects.dataset(described.dataset, "test").take(samples)
    program = subjects.program(one).skipping()
    engine = Engine(program)
    x, labels = pixels(data), np.asarray(data.labels, np.int64)
    counted = [engine.counters(x[at : at + BATCH]) for at in range(0, len(x), BATCH)]
    cycles = np.concatenate([found["cycles"] for found in counted])
    compute = np.concatenate([found["compute"] for found in counted]).mean(0)
    answers = np.concatenate(
        [engine.integer_logits(x[at : at + BATCH]).numpy() for at in range(0, len(x), BATCH)]
    ).argmax(1)
    slowest = analyze(program).layers
    total = cycles.sum(1).astype(np.float64)
    random = np.random.default_rng(seed)
    p5, p95 = np.percentile(total, (5, 95))
    return {
        "plain": analyze(program.skipping(False)).cycles,
        "cycles": {"mean": float(total.mean()), "p5": float(p5), "p95": float(p95)},
        "accuracy": float((answers == labels).mean()),
        "columns": {
            kind: _share(
                [
                    (compute[number], layer.compute)
                    for number, layer in enumerate(slowest)
                    if layer.kind == kind and np.ptp(cycles[:, number])
                ]
            )
            for kind in ("fc", "conv")
        },
        "layers": _told(cycles.astype(np.float64), labels, seed, random),
        "total": _told(total[:, None], labels, seed, random),
        **_attacked(engine, x[:attacked], one.grid, epsilon, seed),
    }


def _share(pairs: list[tuple[float, int]]) -> float | None:
    if not pairs:
        return None
    return float(sum(issued for issued, _ in pairs) / sum(most for _, most in pairs))


def _told(
    seen: np.ndarray[Any, np.dtype[np.float64]],
    labels: np.ndarray[Any, np.dtype[np.int64]],
    seed: int,
    random: np.random.Generator,
) -> dict[str, float]:
    guessed = guessers.guessing(seen, labels, seed)
    known = information(seen, labels, random)
    rate = guessed.best.rate
    return {
        "right": rate.successes, "asked": rate.total, "chance": guessed.chance.value,
        "bits": known.value, "low": known.interval[0], "high": known.interval[1],
    }  # fmt: skip


def _attacked(engine: Engine, x: Tensor, grid: Grid, epsilon: float, seed: int) -> Row:
    """Cycles of each image over those of its original, of the attack and of noise."""
    machine = SkippingMachine(engine)
    found = Latency(seed=seed, space=grid)(machine, x, epsilon=epsilon)
    clean = found.clean.numpy()
    noise = np.random.default_rng(seed).uniform(-epsilon, epsilon, tuple(x.shape))
    noisy = grid.snap((x + torch.from_numpy(noise.astype(np.float32))).clamp(0, 1))
    return {
        "attack": (found.cost.numpy() / clean).tolist(),
        "uniform": ((engine.cycles(noisy).sum(1) + 1) / clean).tolist(),
    }
