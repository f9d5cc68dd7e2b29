"""Statistics that should tell adversarial images from clean ones, and a model that hides from them.

``neighbours`` is from the JSMA slides: the sum of squared differences between neighbouring pixels
"is always higher for adversarial samples". ``probabilities`` and ``labels`` ask the float network
and the fixed-point engine, and take their disagreement for a sign of an image near a boundary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

#: Added to distances before their logarithm is taken: two networks that agree to 2^-20.
AGREED = 2.0**-20


class Detector(ABC):
    """A score, higher for images that look adversarial."""

    name: str
    title: str

    @abstractmethod
    def score(self, x: Tensor, logits: Tensor) -> Tensor:
        """(N,) float64 scores of images (N, C, H, W) and the engine's logits for them."""


class Neighbours(Detector):
    """Sum of squared differences between horizontal and vertical neighbours, all channels."""

    name, title = "neighbours", "pixel differences"

    def score(self, x: Tensor, logits: Tensor) -> Tensor:
        """Differentiable by ``x``."""
        # Values of a vector stand in one row, and so do those of a series.
        shape = {2: (1, 1, -1), 3: (x.shape[1], 1, -1)}.get(x.ndim, x.shape[1:])
        wide = x.double().reshape(len(x), *shape)
        across = (wide[..., 1:] - wide[..., :-1]).square().flatten(1).sum(1)
        down = (wide[..., 1:, :] - wide[..., :-1, :]).square().flatten(1).sum(1)
        return across + down


class Probabilities(Detector):
    """ln of the L1 distance between the float network's probabilities and the engine's."""

    name, title = "probabilities", "float–engine distance"

    def __init__(self, float_network: nn.Module) -> None:
        self.float_network = float_network

    def score(self, x: Tensor, logits: Tensor) -> Tensor:
        """Differentiable by ``x`` and ``logits``; at least ln(2^-20)."""
        pair = [torch.softmax(z.double(), 1) for z in (self.float_network(x), logits)]
        return ((pair[0] - pair[1]).abs().sum(1) + AGREED).log()


class Labels(Probabilities):
    """1 where the two answer different classes. Attacked through the probabilities."""

    name, title = "labels", "float–engine answers"

    def score(self, x: Tensor, logits: Tensor) -> Tensor:
        """0 or 1; no gradient."""
        return (self.float_network(x).argmax(1) != logits.argmax(1)).double()


@dataclass(frozen=True)
class Hiding:
    """How an attacker who knows a detector meets it.

    aim: the score to stay below. spread: of the clean scores, which makes scores comparable.
    weight: logits per spread.
    """

    aim: float
    spread: float
    weight: float


class Guarded(nn.Module):
    """The classifier with one more class, ``detected``: Carlini and Wagner, AISec 2017.

    "Adversarial examples are not easily detected", section 3.3: an attack that reaches a class of
    this model has fooled the classifier and stayed below the detector's score, so that any targeted
    attack becomes one that knows the detector. The new logit is max_i z_i + weight · (score −
    aim)/spread (theirs is a product, which wants positive logits).
    """

    def __init__(self, model: nn.Module, detector: Detector, hiding: Hiding) -> None:
        super().__init__()
        self.model, self.detector, self.hiding = model, detector, hiding

    def forward(self, x: Tensor) -> Tensor:
        """(N, classes + 1) logits, the last for ``detected``."""
        logits = self.model(x)
        how = self.hiding
        excess = (self.detector.score(x, logits) - how.aim) / how.spread
        top = logits.amax(1)
        detected = top + (how.weight * excess).to(top.dtype)
        return torch.cat([logits, detected[:, None]], 1)
