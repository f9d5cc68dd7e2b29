"""What an attacker has seen of a network's answers to samples, whoever computed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from hwsim.attacks.core.errors import AttackError

#: What the numbers of ``Records.outputs`` are.
OutputsAre = Literal["logits", "probabilities"]
#: Half of the last bit of a 16-bit probability: nothing is taken for less likely.
LEAST = 2.0**-17


@dataclass(frozen=True, eq=False)
class Records:
    """N samples with their true classes and what a network answered; None is what was not seen.

    labels: int64 (N,), true classes. answers: int64 (N,), the network's. classes: C. outputs:
    float32 (N, C), logits or, as ``outputs_are`` says, probabilities. losses: float64 (N,), the
    cross-entropy. features: float32 (N, F), the last layer's input, and residuals: float32 (N, C),
    softmax − one-hot: their outer product is the loss's gradient by the last layer's weight.
    cycles: int64 (N, L), of the layers whose time depends on the sample.

    Raises AttackError where they are not of equally many samples.
    """

    labels: Tensor
    answers: Tensor
    classes: int
    outputs: Tensor | None = None
    outputs_are: OutputsAre = "logits"
    losses: Tensor | None = None
    features: Tensor | None = None
    residuals: Tensor | None = None
    cycles: Tensor | None = None

    def __post_init__(self) -> None:
        for name, value in self._tensors().items():
            if len(value) != len(self.labels):
                raise AttackError(
                    f"{name} are of {len(value)} samples, labels of {len(self.labels)}"
                )
        if (self.features is None) != (self.residuals is None):
            raise AttackError("a gradient needs both factors, features and residuals")

    def __len__(self) -> int:
        return len(self.labels)

    def _tensors(self) -> dict[str, Tensor]:
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}

    def at(self, index: Tensor) -> Records:
        """Those of an index (M,), int64 or bool."""
        parts = {name: value[index] for name, value in self._tensors().items()}
        return Records(classes=self.classes, outputs_are=self.outputs_are, **parts)

    def behind(self, other: Records) -> Records:
        """These and then the other's, of which the same must have been seen."""
        return self.joined([other])

    def joined(self, others: Sequence[Records]) -> Records:
        """The same of several others, one after the other."""
        every = [self._tensors(), *(other._tensors() for other in others)]
        alike = all(
            (one.classes, one.outputs_are) == (self.classes, self.outputs_are) for one in others
        )
        if not alike or any(one.keys() != every[0].keys() for one in every):
            raise AttackError("these samples were seen otherwise than those: query both alike")
        parts = {name: torch.cat([one[name] for one in every]) for name in every[0]}
        return Records(classes=self.classes, outputs_are=self.outputs_are, **parts)

    @property
    def correct(self) -> Tensor:
        """bool (N,): answered with the true class."""
        return self.answers == self.labels

    @property
    def gradients(self) -> Tensor | None:
        """float32 (N, C, F) of the loss by the last layer's weight, made when it is asked for."""
        if self.features is None or self.residuals is None:
            return None
        return self.residuals[:, :, None] * self.features[:, None, :]

    def log_probabilities(self) -> Tensor:
        """float64 (N, C); of probabilities at least ln 2^-17. AttackError where none were seen."""
        if self.outputs is None:
            raise AttackError("only the class was seen: this attack needs logits or probabilities")
        wide = self.outputs.double()
        if self.outputs_are == "logits":
            return F.log_softmax(wide, 1)
        return wide.clamp(min=LEAST).log()

    def log_odds(self, of: Tensor | None = None) -> Tensor:
        """float64 (N,): ln(p / (1 − p)) of a class each, int64 (N,), the true one where None.

        Of logits z_k − ln Σ exp z_j over the others, so that nothing saturates where 1 − p is below
        the last bit of p; of 16-bit probabilities both parts are at least 2^-17.
        """
        place = (self.labels if of is None else of)[:, None]
        if self.outputs is None:
            raise AttackError("only the class was seen: this attack needs logits or probabilities")
        wide = self.outputs.double()
        own = wide.gather(1, place)[:, 0]
        if self.outputs_are == "probabilities":
            others = wide.scatter(1, place, 0.0).sum(1)
            return own.clamp(min=LEAST).log() - others.clamp(min=LEAST).log()
        return own - wide.scatter(1, place, -torch.inf).logsumexp(1)
