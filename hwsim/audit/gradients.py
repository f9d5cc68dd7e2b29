"""Where a loss has no gradient, or only half of one, though the network is not flat."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hwsim.attacks.core.base import input_gradient, judge
from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.core.dlr import DLR
from hwsim.attacks.core.losses import CrossEntropy, Loss, Margin, ProbabilityLoss
from hwsim.attacks.core.rescaled import Rescaled
from hwsim.audit.evidence import GradientEvidence
from hwsim.engine.module import Engine

#: The loss of the naive attacker.
NAIVE = "ce-float32"
#: −ln p of the label with p from the engine's own unit. A 16-bit probability is exactly 1 from a
#: lead of 11 nats, so this loss blinds the attacker of any confident network: it is shown, but it
#: can raise no flag about the network.
CHIP = "ce-16bit"
#: Losses that a softmax cannot blind.
ADAPTIVE = ("margin", "dlr", "ce-rescaled")
LOSSES = (NAIVE, "ce-float64", CHIP, *ADAPTIVE)


def make_loss(name: str, engine: Engine) -> Loss:
    """A fresh loss object by its name in ``LOSSES``."""
    makers: dict[str, Callable[[], Loss]] = {
        NAIVE: CrossEntropy,
        "ce-float64": lambda: CrossEntropy(dtype=torch.float64),
        CHIP: lambda: ProbabilityLoss(engine.probabilities),
        "margin": Margin,
        "dlr": DLR,
        "ce-rescaled": lambda: Rescaled(CrossEntropy()),
    }
    return makers[name]()


def usable_losses(classes: int) -> tuple[str, ...]:
    """All of ``LOSSES`` that are defined for so many classes."""
    return tuple(name for name in LOSSES if name != "dlr" or classes >= 3)


def true_seed(logits: Tensor, labels: Tensor) -> Tensor:
    """Direction of cross-entropy's gradient by the logits, (N, classes) float64, unrounded.

    p − onehot is proportional to e^z of the other classes, and minus their sum for the label: of
    the leading other class taken as 1, nothing underflows and nothing cancels.
    """
    own = labels[:, None]
    others = logits.double().scatter(1, own, -torch.inf)
    powers = (others - others.amax(1, keepdim=True)).exp()
    return powers.scatter(1, own, -powers.sum(1, keepdim=True))


def examine(engine: Engine, inputs: Tensor, labels: Tensor, name: str) -> GradientEvidence:
    """One loss on the clean images."""
    loss, goal = make_loss(name, engine), Untargeted(labels)
    gradient, logits = input_gradient(engine, inputs, goal, loss)
    flat = gradient.flatten(1)
    sizes = flat[flat != 0].abs().double().log10()
    quantiles: list[float | None] = [None, None, None]
    if len(sizes):
        # torch.quantile refuses more than 16 million values.
        ordered = sizes.sort().values
        quantiles = [float(ordered[round(q * (len(ordered) - 1))]) for q in (0.05, 0.5, 0.95)]
    no_winner, cosine = 0, None
    if name.startswith("ce-") and name != "ce-rescaled":
        z = judge(engine, inputs).requires_grad_()
        with torch.enable_grad():
            (seed,) = torch.autograd.grad(loss(z, labels).sum(), z)
        lost = seed.gather(1, labels[:, None]).flatten() == 0
        no_winner = int(lost.sum())
        pair = torch.nn.functional.cosine_similarity(
            _unit(seed.double()), _unit(true_seed(logits, labels))
        )
        cosine = float(pair.mean())
    return GradientEvidence(
        loss=name,
        zero_images=int((flat == 0).all(1).sum()),
        zero_pixels=float((flat == 0).double().mean()),
        no_winner=no_winner,
        cosine=cosine,
        log10_size=quantiles,
    )


def _unit(seed: Tensor) -> Tensor:
    """Scaled so that the largest entry is ±1: a seed of 1e-40 has a direction too."""
    largest = seed.abs().amax(1, keepdim=True)
    return torch.where(largest > 0, seed / largest, seed)
