"""Which weights live: drawn, killed by magnitude, grown at random or where the gradient is large.

As in-time over-parametrization has it (Liu et al., ICML 2021), whose schedule SafeCompress takes:
every update kills a share of the smallest living weights of each layer and lets as many dead ones
grow, from 0. A weight may come back in the same update. Masks are bool, of the weight's shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

Masks = dict[str, Tensor]
Tensors = Mapping[str, Tensor]


def drawn(shapes: Mapping[str, torch.Size], counts: Mapping[str, int], seed: int) -> Masks:
    """Masks with ``counts`` living weights of each layer, uniformly at random."""
    generator = torch.Generator().manual_seed(seed)
    found: Masks = {}
    for name, shape in shapes.items():
        flat = torch.zeros(math.prod(shape), dtype=torch.bool)
        flat[torch.randperm(len(flat), generator=generator)[: counts[name]]] = True
        found[name] = flat.view(shape)
    return found


def killed(weights: Tensors, masks: Tensors, rate: float) -> tuple[Masks, dict[str, int]]:
    """Masks without the smallest ``rate`` of each layer's living weights, and how many died.

    Ties go to the higher address. One weight of a layer always stays.
    """
    found: Masks = {}
    died: dict[str, int] = {}
    for name, mask in masks.items():
        alive = mask.reshape(-1).nonzero().reshape(-1)
        gone = min(int(len(alive) * rate), len(alive) - 1)
        magnitude = weights[name].detach().reshape(-1)[alive].abs()
        flat = mask.reshape(-1).clone()
        flat[alive[magnitude.argsort(stable=True)[:gone]]] = False
        found[name], died[name] = flat.view(mask.shape), gone
    return found, died


def grown_at_random(masks: Tensors, counts: Mapping[str, int], generator: torch.Generator) -> Masks:
    """Masks with ``counts`` more living weights in each layer, drawn among the dead."""
    scores = {
        name: torch.rand(mask.shape, generator=generator, dtype=torch.float64)
        for name, mask in masks.items()
    }
    return grown(masks, counts, scores)


def grown(masks: Tensors, counts: Mapping[str, int], scores: Tensors) -> Masks:
    """Masks with ``counts`` more living weights in each layer: the dead with the highest scores.

    scores: of the weights' shapes, such as magnitudes of the dense gradient (RigL, Evci et al.
    2020). Ties go to the lower address.
    """
    found: Masks = {}
    for name, mask in masks.items():
        dead = (~mask.reshape(-1)).nonzero().reshape(-1)
        order = scores[name].reshape(-1)[dead].argsort(descending=True, stable=True)
        flat = mask.reshape(-1).clone()
        flat[dead[order[: counts[name]]]] = True
        found[name] = flat.view(mask.shape)
    return found


def largest(weights: Tensors, masks: Tensors, count: int) -> Masks:
    """The ``count`` living weights of largest magnitude of all layers together.

    The largest of each layer stays whatever its magnitude, so that no layer is emptied.
    """
    flat = {
        name: weights[name].detach().reshape(-1).abs().where(mask.reshape(-1), -1.0)
        for name, mask in masks.items()
    }
    for values in flat.values():
        values[values.argmax()] = math.inf
    joined = torch.cat(list(flat.values()))
    keep = torch.zeros(len(joined), dtype=torch.bool)
    keep[joined.argsort(descending=True, stable=True)[:count]] = True
    keep &= joined >= 0
    parts = keep.split([len(values) for values in flat.values()])
    return {name: part.view(masks[name].shape) for name, part in zip(flat, parts, strict=True)}


def density(masks: Tensors) -> float:
    """Living weights by all weights."""
    living = sum(int(mask.sum()) for mask in masks.values())
    return living / sum(mask.numel() for mask in masks.values())


def death_rate(progress: float, first: float, last: float) -> float:
    """Cosine from ``first`` at progress 0 to ``last`` at 1."""
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2
