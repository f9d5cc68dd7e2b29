"""One attack on one network, float against fixed point: from settings to the result dict."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from attacks.base import Attack, judge
from attacks.criteria import Goal, Targeted, Untargeted
from attacks.errors import AttackError
from attacks.evaluate import Rate, Tally, cross_evaluate
from attacks.fgsm import FGSM
from attacks.grid import Grid
from attacks.losses import CrossEntropy, Loss, ProbabilityLoss
from hwsim.engine import Engine
from hwsim.errors import InputError
from hwsim.networks import Network, pixels, versions
from hwsim.plots import Examples
from hwsim.program import Program
from hwsim.report import PAIRS, write_json
from hwsim.timing import TimingReport, analyze
from models.data import Dataset

if TYPE_CHECKING:
    from hwsim.rtl_backend import RtlJudge

#: Generator behind each name; the h names are Liu et al.'s for the same step on the Engine.
ATTACKS: dict[str, type[Attack]] = {"fgsm": FGSM, "hfgsm": FGSM}

#: Images between two updates of the progress bar and of what an interrupted run keeps.
BATCH = 128
#: The same where the engine runs twice for each pixel of each image.
BATCH_FINITE_DIFFERENCE = 4
#: The same where the Verilog judges.
BATCH_RTL = 4


@dataclass(frozen=True)
class Settings:
    """What a user chose, the network apart.

    model: as typed. epsilons: rising, in 0 … 1. probabilities: ``float32``, ``float64`` or
    ``engine``, whose float network is attacked through float32. gradient: a mode of Engine.
    target: None, ``random``, ``least-likely`` or a class number as text. backend: who judges as
    the engine, ``python`` or ``rtl``; gradients are always the Python engine's. command: what
    reproduces the run; counts do not depend on it, nor on model, which only names the network.
    """

    attack: str
    model: str
    epsilons: tuple[float, ...]
    samples: int
    probabilities: str = "float32"
    gradient: str = "ste"
    target: str | None = None
    command: str = ""
    backend: str = "python"


@dataclass(frozen=True)
class Estimate:
    """What the Verilog has to do, from its first image: cycles an image, judgements left, speed.

    judgements: images times (1 + 2 for each epsilon), crafted on float and on the engine; fewer
    where images coincide, more where Algorithm 1 begins at a wrong answer.
    """

    cycles: int
    judgements: int
    images: int
    epsilons: int
    cycles_per_second: float
    workers: int

    @property
    def seconds(self) -> float:
        return self.judgements * self.cycles / self.cycles_per_second / self.workers

    def __str__(self) -> str:
        return (
            f"{self.images:,} images x (1 clean + 2 x {self.epsilons} attacked) = "
            f"{self.judgements:,} judgements x {self.cycles:,} cycles at "
            f"{self.cycles_per_second:,.0f} cycles/s on {self.workers} cores: about "
            f"{_time(self.seconds)}"
        )


class Experiment:
    """Float network and engine side by side, attacked with the same images on the same grid.

    Raises InputError for an impossible target or number of samples, AttackError for an epsilon
    below one step of the input grid.
    """

    def __init__(self, settings: Settings, network: Network, test: Dataset) -> None:
        self.began = time.perf_counter()
        self.settings, self.network = settings, network
        self.grid = Grid.of_bits(network.program.config.act_w)
        for epsilon in settings.epsilons:
            self.grid.step(epsilon)  # an epsilon below one step is refused before any work
        self.test, self.targets = self._choose_targets(test)
        self.inputs, self.labels = pixels(self.test), torch.from_numpy(self.test.labels)
        costly = settings.gradient == "finite-difference"
        self.batch = BATCH_FINITE_DIFFERENCE if costly else BATCH
        if settings.backend == "rtl":
            self.batch = min(self.batch, BATCH_RTL)

    @cached_property
    def engine(self) -> Engine:
        """The fixed-point side; made when it is first needed, after all else has been checked."""
        return Engine(self.network.program, gradient=self.settings.gradient)  # type: ignore[arg-type]

    @cached_property
    def judge(self) -> RtlJudge | None:
        """The Verilog, where it judges; compiled here, if this configuration never was."""
        if self.settings.backend != "rtl":
            return None
        from hwsim.rtl import build
        from hwsim.rtl_backend import RtlJudge

        build(self.network.program.config)
        return RtlJudge(self.network.program)

    def close(self) -> None:
        """End the simulations of the Verilog, if there are any."""
        # Asked for by name, it would be made.
        if (judge := self.__dict__.get("judge")) is not None:
            judge.close()

    @property
    def name(self) -> str:
        """The folder of the run: what was attacked, how, and on which engine."""
        chosen, config = self.settings, self.network.program.config
        parts = [chosen.attack, self.network.name, config.name]
        parts += [f"{config.act_w}bit"] if config.act_w != 8 else []
        parts += [chosen.probabilities]
        parts += [chosen.gradient] if chosen.gradient != "ste" else []
        parts += [f"target-{chosen.target}"] if chosen.target else []
        parts += [chosen.backend] if chosen.backend != "python" else []
        # A configuration may have any name, and a folder may not.
        return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts))

    def _loss(self, crafted_on: str) -> Loss:
        kind = self.settings.probabilities
        if kind == "engine" and crafted_on == "engine":
            return ProbabilityLoss(self.engine.probabilities)
        return CrossEntropy(dtype=torch.float64 if kind == "float64" else torch.float32)

    def _attack(self, crafted_on: str) -> Attack:
        generator = ATTACKS[self.settings.attack]
        return generator(loss=self._loss(crafted_on), space=self.grid)

    def _choose_targets(self, test: Dataset) -> tuple[Dataset, Tensor | None]:
        """Test images and their targets; where one class is the target, its images are left out."""
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
            logits = judge(self.network.module, self.grid.snap(pixels(chosen)))
            logits[torch.arange(samples), torch.from_numpy(chosen.labels)] = float("inf")
            return chosen, logits.argmin(1)
        if not re.fullmatch("[0-9]{1,9}", target) or int(target) >= classes:
            raise InputError(
                f"unknown target {target!r}: choose random, least-likely or a class, "
                f"0 … {classes - 1}"
            )
        left_out = f"images of class {int(target)}, the target, are left out"
        note = f"{test.note}; {left_out}" if test.note else left_out
        others = replace(test.without(int(target)), note=note).take(samples)
        return others, torch.full((samples,), int(target), dtype=torch.int64)

    @cached_property
    def key(self) -> str:
        """Digest of everything that the counts depend on."""
        chosen = {k: v for k, v in asdict(self.settings).items() if k not in ("command", "model")}
        facts = [chosen, self.batch, self.test.digest, fingerprint(self.network.program)]
        if self.judge is not None:
            from hwsim.rtl import build

            # Named by its content: other Verilog, other judge.
            facts.append(build(self.network.program.config).name)
        text = json.dumps([*facts, versions()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def count(
        self, partial: Path, on_progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Tally:
        """All counts; ``partial`` keeps finished batches, so that an interrupted run goes on.

        on_progress(images done, images in all). Raises InputError where ``partial`` cannot be
        written; what it holds of another run, or in part, is not used.
        """
        total = len(self.inputs)
        tally = self._resumed(partial)
        start = tally.samples if tally else 0
        on_progress(start, total)
        if tally is not None and start == total:
            return tally
        models = {"float": self.network.module, "engine": self.engine}
        if self.judge is not None:
            models["rtl"] = self.judge
        batches = cross_evaluate(
            models,
            self.inputs,
            self.labels,
            attack={name: self._attack(name) for name in ("float", "engine")},
            epsilons=self.settings.epsilons,
            targets=self.targets,
            judge_only=[name for name in models if name == "rtl"],
            batch_size=self.batch,
            start=start,
            progress=on_progress,
        )
        for counted in batches:
            batch = counted if self.judge is None else _judged_by_rtl(counted)
            tally = batch if tally is None else tally + batch
            known = {} if self.judge is None else {"judged": self.judge.known}
            write_json({"key": self.key, "tally": tally.as_dict(), **known}, partial)
        assert tally is not None
        return tally

    def _resumed(self, partial: Path) -> Tally | None:
        """The counts of an earlier run with the same key; None unless they can be added to."""
        try:
            data = json.loads(partial.read_text(encoding="utf-8"))
            if data["key"] != self.key:
                return None
            tally = Tally.from_dict(data["tally"])
            done, total = int(tally.samples), len(self.inputs)
            whole = done == total or done % self.batch == 0
            usable = whole and done == tally.samples and 0 < done <= total
            _shares(tally)
            if not usable or tally.epsilons != self.settings.epsilons:
                return None
            if self.judge is not None:
                known = {str(key): list(map(int, row)) for key, row in data["judged"].items()}
                if any(len(row) != self.network.program.classes for row in known.values()):
                    return None
                self.judge.known |= known
            return tally
        except (OSError, ValueError, LookupError, TypeError, AttributeError, AttackError):
            return None  # nothing usable is kept: start anew

    def estimate(self, partial: Path) -> Estimate | None:
        """Judges one image and says how long the Verilog will take; None if nothing is left."""
        tally = self._resumed(partial)
        start = tally.samples if tally else 0
        left, epsilons = len(self.inputs) - start, len(self.settings.epsilons)
        if self.judge is None or left == 0:
            return None
        judge(self.judge, self.grid.snap(self.inputs[start : start + 1]))
        cycles, seconds = self.judge.simulated
        if not cycles:  # an image that an earlier one was equal to
            return None
        return Estimate(
            cycles=cycles,
            judgements=left * (1 + 2 * epsilons),
            images=left,
            epsilons=epsilons,
            cycles_per_second=cycles / seconds,
            workers=self.judge.workers,
        )

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
            on_engine = self.judge or self.engine
            for name, model in (("float", self.network.module), ("engine", on_engine)):
                answers[f"{name}_before"] = model(x).argmax(1).numpy()
                answers[f"{name}_after"] = model(result.adversarial).argmax(1).numpy()
        return Examples(
            x.numpy(), result.adversarial.numpy(), labels.numpy(), **answers,
            class_names=self.test.class_names, epsilon=self.grid.effective(epsilon),
        )  # fmt: skip

    def result(self, tally: Tally) -> dict[str, Any]:
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
            "backend": chosen.backend,
            **({} if self.judge is None else {"judged": self._judged()}),
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
            "seconds": time.perf_counter() - self.began,
        }

    def _judged(self) -> dict[str, int]:
        assert self.judge is not None
        images = len(self.judge.known)
        logits = images * self.network.program.classes
        # A difference would have ended the run.
        return {"images": images, "logits": logits, "equal": logits, "differences": 0}


def _judged_by_rtl(tally: Tally) -> Tally:
    """A tally of float, engine and rtl with the counts of judge rtl in the place of the engine's.

    Crafted on the engine stays: that is where the gradients come from.
    """
    judges = {"float": "float", "engine": "rtl"}
    pairs = {pair: f"{craft}_{judges[by]}" for pair, (craft, by) in PAIRS.items()}
    return replace(
        tally,
        correct={name: tally.correct[by] for name, by in judges.items()},
        escalated_total={name: tally.escalated_total[by] for name, by in judges.items()},
        success={pair: tally.success[own] for pair, own in pairs.items()},
        success_escalated={pair: tally.success_escalated[own] for pair, own in pairs.items()},
    )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def fingerprint(program: Program) -> str:
    """SHA-256 of what a program computes, the float weights it came from, and its rewrites."""
    origin = program.provenance.get("weights_sha256")
    facts = [program.config.model_dump(), program.input_shape, origin, program.history]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for layer in program.layers:
        for part in fields(layer):
            value = getattr(layer, part.name)
            words = isinstance(value, np.ndarray)
            digest.update(value.tobytes() if words else f"{part.name}={value!r};".encode())
    return digest.hexdigest()


def _rates(counts: tuple[int, ...], of: int, part: str) -> list[Any]:
    """``value`` or ``interval`` of each count; None where there is nothing to count on."""
    return [getattr(Rate(count, of), part) if of else None for count in counts]


def _shares(tally: Tally) -> dict[str, Any]:
    def table(
        counts: Mapping[str, tuple[int, ...]], of: Mapping[str, int], part: str
    ) -> dict[str, Any]:
        return {pair: _rates(counts[pair], of[by], part) for pair, (_, by) in PAIRS.items()}

    def named(counts: Mapping[str, int]) -> dict[str, int]:
        return {"float": counts["float"], "fixed": counts["engine"]}

    single, escalated = tally.success, tally.success_escalated
    return {
        "epsilons": list(tally.epsilons),
        "effective_epsilons": list(tally.effective_epsilons),
        "clean": {"float": tally.clean("float").value, "fixed": tally.clean("engine").value},
        "denominator": named(tally.correct),
        "success": table(single, tally.correct, "value"),
        "interval": table(single, tally.correct, "interval"),
        "success_escalated": table(escalated, tally.escalated_total, "value"),
        "interval_escalated": table(escalated, tally.escalated_total, "interval"),
        "denominator_escalated": named(tally.escalated_total),
        "zero_gradient": {name: tally.zero_gradient_share(name) for name in ("float", "engine")},
    }


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
            "bank_conflicts": timing.bank_conflicts,
        },
    }
