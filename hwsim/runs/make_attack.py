"""From settings to the attack objects that a run crafts with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from hwsim.attacks.core.base import Attack
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.dlr import DLR, TargetedDLR
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.losses import CrossEntropy, Loss, Margin, ProbabilityLoss
from hwsim.attacks.core.rescaled import Rescaled
from hwsim.attacks.known import make_attack
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.runs.settings import Request


@dataclass(frozen=True)
class Crafter:
    """The attacks of one run, made once.

    attacks: by the model that they craft on, ``float`` and ``engine``. counterparts: the same
    attacks on the margin of the logits, which no saturated softmax hides; empty where the attack
    is not naive.
    """

    attacks: Mapping[str, Attack]
    counterparts: Mapping[str, Attack]

    @classmethod
    def of(
        cls,
        request: Request,
        space: Space,
        values: int,
        engine: Engine,
        starting_images: torch.Tensor | None = None,
    ) -> Crafter:
        """What ``request`` asks for, on images of ``values`` values."""

        def made(by: Loss) -> Attack:
            return attack(request, space, values, loss=by, starting_images=starting_images)

        models = {"float": None, "engine": engine}
        return cls(
            {name: made(loss(request, model)) for name, model in models.items()},
            {name: made(Margin()) for name in models} if request.naive else {},
        )


def checked(
    request: Request, space: Space, values: int, starting_images: torch.Tensor | None = None
) -> Norm:
    """The norm of the attack, before any engine is there.

    Raises AttackError and InputError for options and budgets that make no sense.
    """
    trial = attack(
        request, space, values, loss=loss(request, None), starting_images=starting_images
    )
    return trial.norm


def loss(settings: Request, engine: Engine | None) -> Loss:
    """What is differentiated; ``engine``: crafted on it, so its own probabilities are at hand."""
    chosen: Loss
    if settings.loss == "margin":
        chosen = Margin()
    elif settings.loss == "dlr":
        chosen = TargetedDLR() if settings.target else DLR()
    elif settings.probabilities == "engine" and engine is not None:
        chosen = ProbabilityLoss(engine.probabilities)
    else:
        wide = settings.probabilities == "float64"
        chosen = CrossEntropy(dtype=torch.float64 if wide else torch.float32)
    if settings.temperature is None:
        return chosen
    return Rescaled(chosen, temperature=_temperature(settings.temperature))


def _temperature(text: str) -> float | None:
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise InputError(f"temperature {text!r} is neither auto nor a number") from None


def attack(
    settings: Request,
    space: Space,
    values: int,
    *,
    loss: Loss | None = None,
    starting_images: torch.Tensor | None = None,
) -> Attack:
    """The attack on images of ``values`` values; AttackError for options that make no sense."""
    entry = settings.entry
    defaults = {option.name: option.default for option in entry.options}
    options: dict[str, Any] = defaults | dict(settings.options)
    if "max_distortion" in options:
        finite = [e for e in settings.epsilons if e != math.inf]
        if options["max_distortion"] == defaults["max_distortion"] and finite:
            # A budget that was asked for is not cut by a bound that was not.
            share = min(1.0, max(finite) / values)
            options["max_distortion"] = max(options["max_distortion"], share)
    if entry.differentiates == "loss":
        options["loss"] = loss
    if entry.name == "decision":
        options["starting_images"] = starting_images
    made = make_attack(entry.name, space=space, **options)
    for epsilon in settings.epsilons:
        made.effective(epsilon)  # refused before any work
    return made
