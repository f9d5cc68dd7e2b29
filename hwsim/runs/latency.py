"""The slowest images of an engine that skips zeros, beside those that cost an attacker nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hwsim.attacks.core.noise import Noise
from hwsim.attacks.core.units import as_images, from_unit, to_unit, unit_budget
from hwsim.attacks.latency import Latency, LatencyResult
from hwsim.engine.machine import SkippingMachine
from hwsim.engine.module import Engine
from hwsim.engine.space import space_of
from hwsim.errors import InputError
from hwsim.files.content import digest
from hwsim.models.datasets.samples import Samples
from hwsim.networks.open import Network, versions
from hwsim.report import budgets
from hwsim.report.plots import Examples
from hwsim.runs.count import fingerprint
from hwsim.runs.experiment import picture
from hwsim.runs.float_density import FloatDensity
from hwsim.runs.latency_catalog import NAME, QUERIES, STEPS, WIDTH
from hwsim.runs.unfinished import keep, kept

#: Images between two updates of the bar and of what an interrupted run keeps.
BATCH = 50
#: What is counted of every image.
COUNTED = ("cycles", "varying", "energy", "sponge")
#: One line of the table: who made the image, and within which ε; None of images of no input.
Who = tuple[str, float | None]
Rows = dict[Who, dict[str, list[float]]]


@dataclass(frozen=True)
class LatencyRequest:
    """What a user chose, the network apart.

    epsilons: rising, in units of the input. objective: ``cycles`` or ``energy``. keep_answer: only
    images with the answer of their original count. surrogate: whose gradient is climbed,
    ``engine`` or ``float``. density, width: of ``hwsim.engine.density``. The others are those of
    ``hwsim.attacks.latency.Latency``.
    """

    samples: int
    epsilons: tuple[float, ...]
    objective: str = "cycles"
    keep_answer: bool = False
    surrogate: str = "engine"
    density: str = "sums"
    width: float = WIDTH
    steps: int = STEPS
    queries: int = QUERIES
    step_size: float | None = None
    seed: int = 0
    command: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """All that the counts depend on."""
        return {name: value for name, value in asdict(self).items() if name != "command"}


class LatencyRun:
    """One network, its images, and what is made of them.

    Raises InputError where no cycle depends on the image, and for a surrogate that there is not,
    AttackError for an ε or an option that makes no sense.
    """

    def __init__(self, settings: LatencyRequest, network: Network, test: Samples) -> None:
        self.began = time.perf_counter()
        self.settings, self.network = settings, network
        self.space = space_of(network.program)
        self._attack(settings.keep_answer)
        self.effective = [self._attack(False).effective(e) for e in settings.epsilons]
        self.engine = Engine(network.program)
        self.machine = self._machine(None)
        self._float = self._of_float()
        if settings.surrogate == "float":
            self.machine = self._machine(self._float)
        self.test = test.take(settings.samples)
        self.inputs = self.space.snap(network.inputs(self.test))

    def _of_float(self) -> FloatDensity | None:
        """The float network's density; None where it has none, unless it was asked for."""
        network, chosen = self.network, self.settings
        missing = f"there is no float network of {network.name}" if network.alone else ""
        if not missing:
            try:
                return FloatDensity(
                    network.module, network.program, self.machine.columns, chosen.width
                )
            except InputError as error:
                missing = str(error)
        if chosen.surrogate == "float":
            raise InputError(f"{missing}: leave out --surrogate float")
        return None

    def _machine(self, climb: FloatDensity | None) -> SkippingMachine:
        chosen = self.settings
        return SkippingMachine(
            self.engine,
            chosen.objective,  # type: ignore[arg-type]
            smooth=chosen.density,  # type: ignore[arg-type]
            width=chosen.width,
            climb=climb,
        )

    def _attack(self, keep_answer: bool) -> Latency:
        chosen = self.settings
        return Latency(
            steps=chosen.steps, step_size=chosen.step_size, queries=chosen.queries,
            keep_answer=keep_answer, seed=chosen.seed, space=self.space,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The folder of the run."""
        chosen, config = self.settings, self.network.program.config
        parts = [NAME, self.network.name, config.name]
        parts += [f"{config.act_w}bit"] if config.act_w != 8 else []
        plain = LatencyRequest(chosen.samples, chosen.epsilons)
        for name in plain.facts.keys() - {"samples", "epsilons"}:
            value = getattr(chosen, name)
            if value != getattr(plain, name):
                parts.append(name if value is True else f"{name}-{value}")
        parts[3:] = sorted(parts[3:])
        return re.sub(r"[^A-Za-z0-9._+-]+", "-", "-".join(parts).replace("_", "-"))

    @cached_property
    def key(self) -> str:
        """Digest of everything that the counts depend on."""
        program = self.network.program
        return digest([self.settings.facts, self.test.digest, fingerprint(program), versions()])

    # ------------------------------------------------------------ counting

    def run(self, partial: Path, on_progress: Callable[[int], None] = lambda done: None) -> Rows:
        """Costs of every image of every line, in the order of the images.

        ``partial`` keeps each batch as it is counted; interrupted, the same call goes on there.
        """
        known = self._resumed(partial)
        rows: Rows = {}
        for number, start in enumerate(range(0, len(self.inputs), BATCH)):
            if number == len(known):
                x = self.inputs[start : start + BATCH]
                known.append([[*who, found] for who, found in self._batch(x)])
                keep(partial, self.key, {"batches": known})
            for made, epsilon, found in known[number]:
                row = rows.setdefault((made, epsilon), {name: [] for name in found})
                for name, values in found.items():
                    row[name] += values
            on_progress(min(start + BATCH, len(self.inputs)))
        return rows

    def _batch(self, x: Tensor) -> Iterator[tuple[Who, dict[str, list[float]]]]:
        clean = self.machine.costs(x)

        def counted(who: Who, images: Tensor) -> tuple[Who, dict[str, list[float]]]:
            costs = self.machine.costs(images)
            found = {name: getattr(costs, name).tolist() for name in COUNTED}
            return who, found | {"kept": (costs.answers == clean.answers).tolist()}

        yield counted(("clean", None), x)
        for level, name in ((0.0, "black"), (0.5, "grey"), (1.0, "white")):
            yield counted((name, None), self._unit(torch.full_like(self._seen(x), level), x))
        noise = Noise(x, self.settings.seed)
        noise.shape = tuple(self._seen(x).shape[1:])
        yield counted(("uniform image", None), self._unit(noise.uniform(0.0, 1.0), x))
        share = noise.uniform()
        for epsilon, effective in zip(self.settings.epsilons, self.effective, strict=True):
            radius = unit_budget("linf", self.space, effective) if effective else 0.0
            drawn = (self._seen(x) + radius * share).clamp(0.0, 1.0)
            yield counted(("noise", epsilon), self._unit(drawn, x))
            if self._float is not None:
                blind = self._attack(False)
                blind.queries = 0
                found = blind(self._float, x, epsilon=epsilon)
                yield counted(("float density", epsilon), found.images)
            made = self._attacked(x, epsilon)
            yield counted(("gradient", epsilon), made.before)
            yield counted((NAME, epsilon), made.images)

    def _attacked(self, x: Tensor, epsilon: float) -> LatencyResult:
        return self._attack(self.settings.keep_answer)(self.machine, x, epsilon=epsilon)

    def _seen(self, x: Tensor) -> Tensor:
        return to_unit(self.space, x)

    def _unit(self, images: Tensor, x: Tensor) -> Tensor:
        """Images of the unit box as the network takes them, on its grid."""
        return from_unit(self.space, self.space.unit.snap(as_images(images)), x)

    def _resumed(self, partial: Path) -> list[list[Any]]:
        """What an interrupted run with the same key has counted."""
        try:
            data = kept(partial, self.key)
            batches = [] if data is None else list(data["batches"])
            for batch in batches:
                for _, _, found in batch:
                    _ = [len(found[name]) for name in (*COUNTED, "kept")]
            return batches
        except InputError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError):
            return []  # nothing usable is kept: start anew

    # ------------------------------------------------------------ result

    def result(self, rows: Rows) -> dict[str, Any]:
        """What result.json holds and hwsim.report.latency_report shows; see there."""
        program, chosen = self.network.program, self.settings
        worst = self.machine.worst
        return {
            "attack": NAME,
            "norm": "linf",
            "model": self.network.name,
            "config": program.config.name,
            "bits": program.config.act_w,
            **budgets.input_range(self.space.bounds),
            **chosen.facts,
            "effective_epsilons": self.effective,
            "layers": [program.layers[one.layer].name for one in self.machine.columns],
            "worst": {name: getattr(worst, name)[0] for name in COUNTED if name != "sponge"},
            "rows": [
                {"made": made, "epsilon": epsilon, **found}
                for (made, epsilon), found in rows.items()
            ],
            "dataset": self.test.about,
            "versions": versions(),
            "command": chosen.command,
            "seconds": time.perf_counter() - self.began,
        }

    def examples(self) -> Examples:
        """Eight images spread over the run, at its largest ε."""
        count = min(8, len(self.inputs))
        chosen = torch.arange(count) * len(self.inputs) // count
        x, epsilon = self.inputs[chosen], self.settings.epsilons[-1]
        made = self._attacked(x, epsilon).images
        answers: dict[str, Any] = {}
        with torch.no_grad():
            for name, model in (("float", self.network.module), ("engine", self.engine)):
                answers[f"{name}_before"] = model(x).argmax(1).numpy()
                answers[f"{name}_after"] = model(made).argmax(1).numpy()
        return Examples(
            picture(self.space, x), picture(self.space, made), self.test.labels[chosen.numpy()],
            **answers, class_names=self.test.class_names, budget=f"ε = {epsilon:g}",
        )  # fmt: skip
