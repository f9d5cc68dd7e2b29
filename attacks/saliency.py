"""Forward derivatives and adversarial saliency maps.

Papernot et al., "The limitations of deep learning in adversarial settings", EuroS&P 2016, and
Liu et al. 2018, eq. 7. F are the logits (or, as in Papernot's first version, the probabilities).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from hwsim.attacks.core.checks import check_logits
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.inference import at_inference

#: What F stands for.
Output = Literal["logits", "probabilities"]
#: How one value is scored: |∂F_t| (Liu et al. 2018, eq. 7) or ∂F_t·|Σ∂F_o| (Papernot et al.).
Score = Literal["target", "product"]


@contextmanager
def differentiating(model: nn.Module) -> Iterator[None]:
    """Gradients by the input on, also inside a caller's no_grad or inference_mode."""
    with torch.inference_mode(False), torch.enable_grad(), at_inference(model):
        yield


def forward(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """A leaf with the values of ``x`` and the (N, classes) logits that hang on it."""
    leaf = x.detach().clone().requires_grad_(True)
    logits = model(leaf)
    check_logits(logits, len(x))
    if not logits.requires_grad:
        raise AttackError("the model gives no gradient by its input: let it judge, not craft")
    return leaf, logits


def derivatives(
    leaf: Tensor, logits: Tensor, classes: Tensor, output: Output = "logits"
) -> tuple[Tensor, Tensor]:
    """∇F_c and Σ_{o≠c} ∇F_o of each example, both (N, M), by vector-Jacobian products.

    logits: two products; the second has a seed of its own, 1 for every o ≠ c, for ∇ΣF − ∇F_c costs
    the same and cancels digits. probabilities: p sums to 1, so the second is the first negated, and
    ∇p_c = p_c(1 − p_c)·∇(z_c − ln Σ_{o≠c} e^{z_o}). The positive factor, which no saliency map can
    tell and which underflows where the network is sure, is left out: one product, never masked.
    """
    own = torch.zeros_like(logits).scatter_(1, classes[:, None], 1.0)
    if output == "logits":
        return _product(leaf, logits, own, keep=True), _product(leaf, logits, 1.0 - own)
    others = logits.detach().masked_fill(own > 0.0, -torch.inf).softmax(1)
    odds = _product(leaf, logits, own - others)
    return odds, -odds


def _product(leaf: Tensor, logits: Tensor, seed: Tensor, keep: bool = False) -> Tensor:
    (found,) = torch.autograd.grad(logits, leaf, seed, retain_graph=keep, allow_unused=True)
    if found is None:
        raise AttackError("the model gives no gradient by its input: let it judge, not craft")
    if not bool(torch.isfinite(found).all()):
        raise AttackError("the gradient by the input is not finite: its saliency means nothing")
    return found.flatten(1)


def saliency(u: Tensor, v: Tensor, score: Score) -> Tensor:
    """S of every value, >= 0, shaped as u and v: 0 where u < 0 or v <= 0.

    u = ∇F_t and v = −Σ_{o≠t} ∇F_o for the map that raises values towards t (S⁺, eq. 7); both
    negated for the map that lowers them (S⁻). Eq. 7 leaves Σ∇F_o = 0 open: here it is rejected,
    like 0 in Papernot's product. float64, which no product of two float32 underflows.
    """
    if score not in get_args(Score):
        raise AttackError(f"unknown score {score!r}: choose from {', '.join(get_args(Score))}")
    u, v = u.double(), v.double()
    return (u if score == "target" else u * v).masked_fill((u < 0.0) | (v <= 0.0), 0.0)


def jacobian(model: nn.Module, inputs: Tensor, *, chunk: int = 64) -> Iterator[Tensor]:
    """(n, classes, M) derivatives of every logit, for chunks of at most ``chunk`` inputs.

    For studies of all targets at one image, where one product a class costs less than two a
    target; an attack needs only ``derivatives``.
    """
    for x in inputs.split(chunk):
        with differentiating(model):
            leaf, logits = forward(model, x)
            seeds = torch.eye(logits.shape[1]).to(logits)
            rows = [_product(leaf, logits, seed.expand_as(logits), keep=True) for seed in seeds]
        yield torch.stack(rows, 1)
