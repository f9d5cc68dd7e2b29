"""One attack on one network, float against fixed point: models, images, targets, attacks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.criteria import Goal, Targeted, Untargeted
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.units import to_unit
from hwsim.attacks.sheet import Sheet
from hwsim.engine.module import Engine
from hwsim.engine.space import space_of
from hwsim.errors import InputError
from hwsim.models.datasets.dataset import load_dataset
from hwsim.models.datasets.samples import Samples
from hwsim.networks.open import Network
from hwsim.report import budgets
from hwsim.report.plots import Examples
from hwsim.runs.make_attack import Crafter, checked
from hwsim.runs.settings import Request

if TYPE_CHECKING:
    from hwsim.rtl.backend import RtlJudge

#: Most images between two updates of the progress bar and of what an interrupted run keeps.
BATCH = 128
#: The same where the engine runs twice for each pixel of each image.
BATCH_FINITE_DIFFERENCE = 4
#: The same where the Verilog judges.
BATCH_RTL = 4
#: Training images that a decision-based attacker owns.
OWNED = 100


class Experiment:
    """Float network and engine side by side, attacked with the same images on the same grid.

    Raises InputError for an impossible target or number of samples, AttackError for an epsilon or
    an option of the attack that makes no sense. training: images that an attacker may own; those of
    the network's data set unless given.
    """

    def __init__(
        self,
        settings: Request,
        network: Network,
        test: Samples,
        training: Callable[[], Samples] | None = None,
    ) -> None:
        self.settings, self.network = settings, network
        self._training = training or (lambda: load_dataset(network.dataset, "train"))
        self.grid = space_of(network.program)
        # Refused before any work: options and budgets that make no sense.
        self.norm: Norm = checked(settings, self.grid, self.values, self._owned)
        self.test, self.targets = self._choose_targets(test)
        self.inputs, self.labels = network.inputs(self.test), torch.from_numpy(self.test.labels)
        costly = settings.gradient == "finite-difference" and settings.entry.needs_gradient
        self.batch = min(BATCH, settings.entry.batch)
        if costly:
            self.batch = min(self.batch, BATCH_FINITE_DIFFERENCE)
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
        from hwsim.rtl.backend import RtlJudge
        from hwsim.rtl.build import build

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
        if chosen.entry.differentiates == "loss":
            parts += [chosen.probabilities if chosen.loss == "cross-entropy" else chosen.loss]
            parts += [f"temperature-{chosen.temperature}"] if chosen.temperature else []
        parts += [chosen.gradient] if chosen.gradient != "ste" else []
        defaults = {option.name: option.default for option in chosen.entry.options}
        for name, value in chosen.options.items():
            if value != defaults.get(name):
                shown = "+".join(value) if isinstance(value, (list, tuple)) else value
                parts += [f"{name}-{shown}"]
        parts += [f"target-{chosen.target}"] if chosen.target else []
        parts += [chosen.backend] if chosen.backend != "python" else []
        # A configuration may have any name, and a folder may not.
        return re.sub(r"[^A-Za-z0-9._+-]+", "-", "-".join(parts))

    @cached_property
    def crafter(self) -> Crafter:
        """The attacks of this run."""
        return Crafter.of(self.settings, self.grid, self.values, self.engine, self._owned)

    @property
    def values(self) -> int:
        """Values of an image, channels counted apart."""
        return int(np.prod(self.network.program.input_shape))

    @cached_property
    def _owned(self) -> Tensor | None:
        """Training images of a decision-based attacker; None for the others."""
        if self.settings.attack != "decision":
            return None
        learn = self._training()
        return self.network.inputs(learn.take(min(OWNED, len(learn))))

    def _choose_targets(self, test: Samples) -> tuple[Samples, Tensor | None]:
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
            logits = judge(self.network.module, self.grid.snap(self.network.inputs(chosen)))
            logits[torch.arange(samples), torch.from_numpy(chosen.labels)] = float("inf")
            return chosen, logits.argmin(1)
        if not re.fullmatch("[0-9]{1,9}", target) or int(target) >= classes:
            raise InputError(
                f"unknown target {target!r}: choose random, least-likely or a class, "
                f"0 … {classes - 1}"
            )
        left_out = f"images of class {int(target)}, the target, are left out"
        others = test.without(int(target)).take(samples).noted(left_out)
        return others, torch.full((samples,), int(target), dtype=torch.int64)

    def examples(self) -> Examples:
        """Eight images spread over the run, attacked on the engine.

        At the middle ε where it is a largest change, which all pixels get; else at the last.
        """
        count = min(8, len(self.inputs))
        chosen = torch.arange(count) * len(self.inputs) // count
        x, labels = self.grid.snap(self.inputs[chosen]), self.labels[chosen]
        goal: Goal = Untargeted(labels)
        if self.targets is not None:
            goal = Targeted(self.targets[chosen], labels)
        epsilons = self.settings.epsilons
        spread = self.norm == "linf" and epsilons[-1] < math.inf
        position = len(epsilons) // 2 if spread else len(epsilons) - 1
        attack = self.crafter.attacks["engine"]
        made = attack(self.engine, x, goal, epsilon=epsilons[position], batch_size=self.batch)
        answers = {}
        with torch.no_grad():
            on_engine = self.judge or self.engine
            for name, model in (("float", self.network.module), ("engine", on_engine)):
                answers[f"{name}_before"] = model(x).argmax(1).numpy()
                answers[f"{name}_after"] = model(made.adversarial).argmax(1).numpy()
        budget = self._phrase(attack.effective(epsilons[position]))
        return Examples(
            picture(self.grid, x), picture(self.grid, made.adversarial), labels.numpy(), **answers,
            class_names=self.test.class_names, budget=budget,
        )  # fmt: skip

    def _phrase(self, effective: float) -> str:
        return budgets.phrase({"norm": self.norm, "epsilons": [float(f"{effective:.3g}")]}, 0)


def picture(space: Space, inputs: Tensor) -> NDArray[np.float32]:
    """(n, C, H, W) in [0, 1], to be drawn: vectors as sheets of their values, series as (C, L)."""
    images = to_unit(space, inputs)
    if images.shape[2:] == (1, 1):
        images = Sheet(torch.nn.Identity(), images.shape[1:]).fold(images)
    elif images.shape[2] == 1:
        images = images.transpose(1, 2)
    shown: NDArray[np.float32] = images.numpy()
    return shown
