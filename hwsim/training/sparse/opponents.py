"""Attackers that the training works against: a term that rewards what they take for non-members.

MMIA-SafeCompress: cross-entropy − 0.1 · BCE of the black and the white box, after plain epochs.
Adversarial regularization (Nasr, Shokri and Houmansadr, "Machine learning with membership privacy
using adversarial regularization", CCS 2018) is the same with the black box alone: of its gain only
ln h(x) of the members depends on the network that learns, which is −BCE. Attackers and network take
turns, an epoch each; the attackers learn from the tester's samples.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.attacks.membership.seen import View, seen_of, watched
from hwsim.training.sparse.settings import Attacker, Settings
from hwsim.training.sparse.sides import Sides
from hwsim.training.sparse.tester import Questioned, State, flat


class AttackersTerm:
    """−strength · BCE of attackers on a batch of members, differentiable in the network."""

    def __init__(self, networks: Iterable[nn.Module], view: View, strength: float) -> None:
        self._networks = [network.eval().requires_grad_(False) for network in networks]
        self._view, self._strength = view, strength

    def forward(self, module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits, and what the white box needs beside them."""
        return watched(module, x, self._view == "white")

    def __call__(self, logits: Tensor, features: Tensor | None, labels: Tensor) -> Tensor:
        """A scalar."""
        seen = seen_of(logits, labels, self._view, features)
        losses = [F.softplus(-network(seen)).mean() for network in self._networks]
        return -self._strength * torch.stack(losses).mean()


class Opponents:
    """The attackers of one training; ``state`` is where they go on."""

    def __init__(
        self, kind: Attacker, pair: Sides, settings: Settings, seed: int, strength: float
    ) -> None:
        self._asked, self._strength = Questioned(kind, pair, settings, seed), strength
        self.state: State = {}

    def learn(self, module: nn.Module) -> AttackersTerm:
        """The term for the next epoch, of attackers of the network as it is now."""
        fitted = self._asked.fit(self._asked.answers(module), self.state)
        self.state = flat(fitted)
        return AttackersTerm(fitted.networks.values(), self._asked.view, self._strength)
