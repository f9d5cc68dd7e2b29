"""The simulated attacker inside the training: how safe, and how good, is a candidate?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from hwsim.attacks.membership.learned import Fitted, LearnedAttack
from hwsim.attacks.membership.records import Records
from hwsim.attacks.membership.seen import View, observe
from hwsim.training.sparse.settings import Attacker, Settings
from hwsim.training.sparse.sides import Sides

#: Tensors of attackers by ``kind/name``.
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Rating:
    """task: accuracy on the tester's non-members. attack: balanced accuracy of its attacker on
    samples that the attacker did not learn from. state: of the attacker, to go on from. Shares in
    0 … 1.
    """

    task: float
    attack: float
    state: State = field(default_factory=dict, repr=False)

    @property
    def score(self) -> float:
        """TM-score: the higher, the better and the safer. An attack below chance counts as chance:
        it is noise, and whoever turned its answers around would be above.
        """
        return self.task / max(self.attack, 0.5)


class Tester(Protocol):
    """Judges a module. ``state`` is where its next attackers begin; empty before ``prepare``."""

    state: State

    def prepare(self, module: nn.Module) -> None:
        """Let a first attacker learn on the network before its first candidates."""

    def __call__(self, module: nn.Module) -> Rating: ...


class Questioned:
    """A network's answers to a pair, each sample asked once, and attackers that learn from them.

    The first half of both sides is learnt from; the attacker chooses its epoch on a part of that.
    """

    def __init__(self, kind: Attacker, pair: Sides, settings: Settings, seed: int) -> None:
        self.kind, self._settings, self._seed = kind, settings, seed
        self._pair = pair.first(settings.tested)
        half = len(self._pair) // 2
        self._learnt, self._judged = torch.arange(half), torch.arange(half, len(self._pair))

    @property
    def view(self) -> View:
        """What this kind of attacker has to see."""
        return "logits" if self.kind == "bmia" else "white"

    def answers(self, module: nn.Module) -> tuple[Records, Records]:
        """Of members and of others."""
        members, others = (
            observe(module, side.images, side.labels, self.view)
            for side in (self._pair.members, self._pair.others)
        )
        return members, others

    def fit(self, seen: tuple[Records, Records], warm: State) -> Fitted:
        """An attacker that goes on from ``warm``, or begins where that is empty."""
        first, later = self._settings.attack_epochs
        attack = LearnedAttack(self.kind, epochs=later if warm else first, seed=self._seed)
        members, others = (side.at(self._learnt) for side in seen)
        return attack.fit(members, others, _nested(warm) if warm else None)

    def accuracy(self, fitted: Fitted, seen: tuple[Records, Records]) -> float:
        """Balanced accuracy on the second halves."""
        members, others = (side.at(self._judged) for side in seen)
        return fitted.accuracy(members, others)


class AttackTester:
    """Tests by an attacker of the package ``attacks``, which goes on from the last winner's."""

    def __init__(self, kind: Attacker, pair: Sides, settings: Settings, seed: int) -> None:
        self._asked = Questioned(kind, pair, settings, seed)
        self.state: State = {}

    def prepare(self, module: nn.Module) -> None:
        """As Tester has it."""
        self.state = flat(self._asked.fit(self._asked.answers(module), {}))

    def __call__(self, module: nn.Module) -> Rating:
        """As Tester has it."""
        seen = self._asked.answers(module)
        fitted = self._asked.fit(seen, self.state)
        task = float(seen[1].correct.double().mean())
        return Rating(task, self._asked.accuracy(fitted, seen), flat(fitted))


def flat(fitted: Fitted) -> dict[str, Tensor]:
    """The state of an attacker as one mapping."""
    return {
        f"{kind}/{name}": value
        for kind, values in fitted.state.items()
        for name, value in values.items()
    }


def _nested(state: State) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        kind, _, name = key.partition("/")
        found.setdefault(kind, {})[name] = value
    return found
