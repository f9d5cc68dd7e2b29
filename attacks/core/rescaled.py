"""Any loss at another temperature, so that it lives where float32 does not underflow.

Gupta & Ajanthan, "Improved gradient-based adversarial attacks for quantized networks", AAAI 2022:
quantized networks seem robust because saturated softmax gradients vanish; logits times β bring
them back without changing any answer. A network whose weights were enlarged on purpose
(gradient inhibition) is the same case.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hwsim.attacks.core.checks import check_number
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.losses import Loss, SourceLoss


class Rescaled(SourceLoss):
    """``loss`` of the logits divided by a temperature; it has no gradient of its own.

    temperature: fixed, > 0, or None: chosen for each example and each call so that
    (z_max − z_min)/T = ln((classes − 1)(1 − rho)/rho), 6.8 for 10 classes and rho = 0.01. Then
    the winner's probability is at most 1 − rho (their bound on β, taken for each example instead
    of the data set) and no class has less than 0.0001, so nothing underflows however large the
    logits. Examples whose logits are all equal are left alone.

    The direction of a margin's gradient does not change, that of cross-entropy does. Values at
    an automatic temperature do not compare from image to image.
    """

    def __init__(self, loss: Loss, *, temperature: float | None = None, rho: float = 0.01) -> None:
        if temperature is not None:
            check_number(temperature, "temperature", above=0.0)
            if temperature == math.inf:
                raise AttackError("an infinite temperature makes all logits equal: choose less")
        check_number(rho, "rho", above=0.0, most=0.5)
        self.loss, self.temperature, self.rho = loss, temperature, rho

    def scale(self, logits: Tensor) -> Tensor:
        """(N, 1) factors 1/T, without a gradient."""
        if self.temperature is not None:
            return torch.full_like(logits[:, :1], 1 / self.temperature)
        classes = logits.shape[1]
        if self.rho >= (classes - 1) / classes:
            raise AttackError(
                f"rho must be below {(classes - 1) / classes:g} with {classes} classes, "
                f"got {self.rho:g}"
            )
        low, high = logits.detach().double().aminmax(dim=1, keepdim=True)
        wanted = math.log((classes - 1) * (1 - self.rho) / self.rho)
        spread = high - low
        return torch.where(spread > 0, wanted / spread, torch.ones_like(spread)).to(logits.dtype)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(N,) losses."""
        return self.loss(logits * self.scale(logits), labels)

    def between(self, logits: Tensor, targets: Tensor, sources: Tensor) -> Tensor:
        """(N,) losses of a targeted goal, whether the wrapped loss asks for the source or not."""
        scaled = logits * self.scale(logits)
        if isinstance(self.loss, SourceLoss):
            return self.loss.between(scaled, targets, sources)
        return self.loss(scaled, targets)
