"""What a flipped bit is to achieve: a number of a batch's logits that grows with it.

Untargeted (BFA, Rakin 2019): the mean cross-entropy of the answers that were given before.
Targeted (T-BFA, Rakin 2020): the same of a target class, negated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Objective:
    """Σ weight · cross-entropy(logits, label) of a batch, which the attacker raises.

    labels: int64 (N,). weights: float64 (N,): positive drives an image away from its label,
    negative towards it.
    """

    labels: I64
    weights: F64

    @classmethod
    def away(cls, labels: I64) -> Objective:
        """Untargeted: away from these answers."""
        return cls(labels, np.full(len(labels), 1 / len(labels)))

    @classmethod
    def towards(cls, target: int, count: int, keep: I64 | None = None) -> Objective:
        """``count`` images to one class; those that follow in the batch keep their labels."""
        others = np.zeros(0, np.int64) if keep is None else keep
        labels = np.concatenate([np.full(count, target, np.int64), others])
        weights = [np.full(count, -1 / count), np.full(len(others), -1 / max(1, len(others)))]
        return cls(labels, np.concatenate(weights))

    def value(self, logits: F64) -> float:
        """Of real logits (N, classes), float64.

        An answer that is no number is as far from every label as can be: away from it that is +∞,
        towards it −∞.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            shifted = logits - logits.max(1, keepdims=True)
            losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(logits)), self.labels]
            losses = np.where(np.isfinite(logits).all(1), losses, np.inf)
            total = float((self.weights * losses).sum())
        return -np.inf if np.isnan(total) else total

    def slope(self, logits: F64) -> F64:
        """Its gradient by the logits, (N, classes); 0 for an image whose answer is no number."""
        finite = np.isfinite(logits).all(1, keepdims=True)
        sound = np.where(finite, logits, 0.0)
        shares = np.exp(sound - sound.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        shares[np.arange(len(logits)), self.labels] -= 1
        return np.where(finite, self.weights[:, None] * shares, 0.0)
