"""What a killed compression leaves: everything of its last finished epoch, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from hwsim.errors import InputError
from hwsim.models import checkpoint
from hwsim.models.allocation import allocation, reallocated
from hwsim.models.loop import optimizer_state
from hwsim.training.sparse.learner import Learner

#: Bytes of attackers beside a network: three of the largest have less.
ATTACKERS = 1 << 28

History = list[dict[str, Any]]


@dataclass(frozen=True)
class Finished:
    """epoch: finished ones. history: an entry for each update. states: of attackers, by name.
    stopped: whether the training ended there.
    """

    epoch: int
    history: History = field(default_factory=list)
    states: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    stopped: bool = False


class Keeper:
    """The file of one compression, replaced whole (see hwsim.models.checkpoint).

    facts: what identifies the compression; a file with other facts is refused.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], epochs: int) -> None:
        self.path, self.epochs = path, epochs
        self.facts = json.dumps(facts, sort_keys=True)

    def save(self, learner: Learner, done: Finished) -> None:
        tensors = {f"model.{k}": v for k, v in learner.module.state_dict().items()}
        tensors |= {f"mask.{k}": v for k, v in learner.masks.items()}
        for index, state in learner.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
        for name, values in done.states.items():
            tensors |= {f"attacker.{name}.{k}": v for k, v in values.items()}
        found = {
            "epoch": done.epoch, "history": done.history, "facts": self.facts,
            "stopped": done.stopped, "words": allocation(learner.module),
        }  # fmt: skip
        checkpoint.save(self.path, tensors, found)

    def load(self, learner: Learner) -> tuple[Learner, Finished] | None:
        """The learner as it was, and what was done; None without a file.

        Raises InputError for a file that is damaged, or of something else.
        """
        state = sum(value.nbytes for value in learner.module.state_dict().values())
        found = checkpoint.load(self.path, 8 * state + ATTACKERS)
        if found is None:
            return None
        tensors, facts = found
        if facts.get("facts") != self.facts:
            raise InputError(f"{self.path} was made with other options: delete it, or use those")
        epoch, history = facts.get("epoch"), facts.get("history")
        sound = isinstance(history, list) and all(isinstance(entry, dict) for entry in history)
        if type(epoch) is not int or not 1 <= epoch <= self.epochs or not sound:
            raise InputError(
                f"{self.path}: says that {epoch!r} of {self.epochs} epochs are done: "
                f"{checkpoint.AGAIN}"
            )
        learner = self._resized(learner, facts.get("words"))
        parts = _by_kind(tensors)
        self._masks(learner, parts.get("mask", {}))
        moments = {f"optimizer.{k}": v for k, v in parts.get("optimizer", {}).items()}
        values = optimizer_state(learner.optimizer, moments, self.path)
        checkpoint.restore(learner.module, parts.get("model", {}), self.path)
        whole = learner.optimizer.state_dict()
        whole["state"] = values
        learner.optimizer.load_state_dict(whole)
        states: dict[str, dict[str, Tensor]] = {}
        for key, value in parts.get("attacker", {}).items():
            name, _, rest = key.partition(".")
            states.setdefault(name, {})[rest] = value
        stopped = facts.get("stopped") is True
        return learner, Finished(epoch, list(history or []), states, stopped)

    def _resized(self, learner: Learner, words: Any) -> Learner:
        now = allocation(learner.module)
        sound = isinstance(words, dict) and words.keys() == now.keys()
        if not sound or not all(type(v) is int and 0 < v < 2**32 for v in words.values()):
            raise InputError(f"{self.path}: the checkpoint of another network: {checkpoint.AGAIN}")
        if sum(words.values()) != sum(now.values()):
            raise InputError(f"{self.path}: has other words in all: {checkpoint.AGAIN}")
        return learner if words == now else learner.replaced(reallocated(learner.module, words))

    def _masks(self, learner: Learner, masks: dict[str, Tensor]) -> None:
        if masks.keys() != learner.masks.keys():
            raise InputError(f"{self.path}: the checkpoint of another network: {checkpoint.AGAIN}")
        for name, like in learner.masks.items():
            checkpoint.check_like(masks[name], like, f"{self.path}: mask of {name}")
        # Not the difference to the masks at the beginning: dead weights are 0 in the file.
        own = learner.masks
        learner.masks = {}
        # In the order of layers, in which growth draws; a file has an order of its own.
        learner.mask({name: masks[name] for name in own})


def _by_kind(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """``model.0.weight`` -> {"model": {"0.weight": …}}."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        found.setdefault(kind, {})[name] = value
    return found
