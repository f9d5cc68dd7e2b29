"""Iterative pruning of the real weights with masked fine-tuning between the rounds.

"Defend NN against adversarial attacks" slides, M1 and C1: each round zeroes 10% of the nonzero
weights of every fully connected layer and 5% of those of every convolution, and trains the rest.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hwsim.defenses.float_layers import layers_of, weights_of
from hwsim.defenses.pruning_rounds import Masks, Round, plan, rounds
from hwsim.errors import InputError
from hwsim.models import checkpoint

#: Trains the network in place after round ``number``; zeros stay zero by ``held``.
Retrain = Callable[[nn.Module, Round], None]


def prune_and_retrain(
    module: nn.Module,
    compression: float,
    retrain: Retrain,
    *,
    state: Path | None = None,
    facts: dict[str, Any] | None = None,
) -> Round:
    """Prune all layers of ``module`` in place, round by round; returns the last round.

    retrain(module, round): called after every round, while the zeros are held. state: a file that
    keeps the network after every finished round, for a later call with the same facts to go on
    from. Raises InputError for a compression that cannot be reached, and for a state file that is
    damaged or belongs to something else.
    """
    remaining(module, compression)  # refused now rather than after all the rounds that there are
    names = [name for name, _ in layers_of(module)]
    keeper = _Keeper(state, facts or {}) if state else None
    done = keeper.load(module) if keeper else None
    if done is not None and done.compression >= compression:
        return done
    before = done.number if done else 0
    schedule = rounds(_values(module, names), dict(layers_of(module)), compression)
    found = next(schedule)
    while True:
        now, masks = dataclasses.replace(found[0], number=found[0].number + before), found[1]
        with held(module, masks):
            retrain(module, now)
        if keeper:
            keeper.save(module, now)
        try:
            found = schedule.send(_values(module, names))
        except StopIteration:
            return now


def remaining(module: nn.Module, compression: float) -> list[Round]:
    """The rounds that are left to do. Raises InputError for what cannot be reached."""
    kinds = dict(layers_of(module))
    values = _values(module, list(kinds))
    nonzero = {name: int(np.count_nonzero(value)) for name, value in values.items()}
    sizes = {name: value.size for name, value in values.items()}
    return plan(sizes, nonzero, kinds, compression)


@contextmanager
def held(module: nn.Module, masks: Masks) -> Iterator[None]:
    """Within it, the weights that ``masks`` leaves out are 0 and get no gradient.

    An optimizer that starts within, like that of ``hwsim.models.loop.train``, never moves them: its
    moments and its decay of a 0 are 0.
    """
    hooks = []
    for weight, keep in zip(weights_of(module, list(masks)), masks.values(), strict=True):
        mask = torch.from_numpy(keep).view_as(weight)
        with torch.no_grad():
            weight.mul_(mask)
        hooks.append(weight.register_hook(partial(torch.mul, mask)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _values(module: nn.Module, names: list[str]) -> dict[str, NDArray[np.float32]]:
    weights = zip(names, weights_of(module, names), strict=True)
    return {name: weight.detach().reshape(-1).numpy().copy() for name, weight in weights}


class _Keeper:
    """The network after a round, in one file, replaced whole (see hwsim.models.checkpoint)."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path, self.facts = path, json.dumps(facts, sort_keys=True)

    def save(self, module: nn.Module, now: Round) -> None:
        facts = {"facts": self.facts, "round": dataclasses.asdict(now)}
        checkpoint.save(self.path, module.state_dict(), facts)

    def load(self, module: nn.Module) -> Round | None:
        state = sum(value.nbytes for value in module.state_dict().values())
        found = checkpoint.load(self.path, state)
        if found is None:
            return None
        tensors, facts = found
        if facts.get("facts") != self.facts:
            raise InputError(f"{self.path} was made with other options: delete it, or use those")
        try:
            done = Round(**facts["round"])
            sound = done.number >= 1 and done.compression >= 1.0
        except (KeyError, TypeError):
            sound = False
        if not sound:
            raise InputError(f"{self.path}: names no round: {checkpoint.AGAIN}")
        checkpoint.restore(module, tensors, self.path)
        return done
