"""Shadow models: small networks, each trained on a half of the samples, all side by side.

One network's kernels are too short to fill a processor. ``train_batched`` stacks the weights of all
models and takes a step of each at once; ``train_each`` trains one after the other, from the same
numbers and with the same batches, and is what the other is held against.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.attacks.core.checks import check_count, check_number
from hwsim.attacks.core.errors import AttackError

Make = Callable[[], nn.Module]
Progress = Callable[[int, int], None]

#: Of the small network: values that it reads of an image at most, and its hidden layer.
VALUES, HIDDEN = 256, 32


@dataclass(frozen=True)
class ShadowRecipe:
    """Gradient descent with momentum, its rate falling along a half cosine.

    epochs, batch: as usual. rate: the first. seed: of weights and order; model k draws of its own.
    """

    epochs: int = 30
    batch: int = 16
    rate: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self.epochs, "epochs")
        check_count(self.batch, "batch")
        check_count(self.seed, "seed", 0)
        check_number(self.rate, "rate", 0.0)

    def rate_at(self, share: float) -> float:
        """After a share 0 … 1 of all steps."""
        return self.rate * (1 + math.cos(math.pi * share)) / 2


def memberships(samples: int, models: int, seed: int) -> NDArray[np.bool_]:
    """(models, samples): which samples each model is trained on, a half each.

    Models come in pairs with one half each, so that every sample is in half of them. Raises
    AttackError for an odd number of models or of samples.
    """
    check_count(models, "shadow models", 2)
    check_count(samples, "samples", 2)
    if models % 2 or samples % 2:
        raise AttackError(
            f"shadow models come in pairs, on one half of the samples each: {models} models, "
            f"{samples} samples"
        )
    random = np.random.default_rng(seed)
    inside = np.zeros((models, samples), np.bool_)
    for pair in range(0, models, 2):
        inside[pair, random.permutation(samples)[: samples // 2]] = True
        inside[pair + 1] = ~inside[pair]
    return inside


def reduced(x: Tensor) -> Tensor:
    """What ``small_network`` takes of samples (N, …): (N, F) values.

    Images (N, C, H, W) are averaged over 2×2 pixels until they have no more than VALUES.
    """
    while x.ndim == 4 and x[0].numel() > VALUES and min(x.shape[2:]) > 1:
        x = F.avg_pool2d(x, 2)
    return x.flatten(1)


def small_network(features: int, classes: int) -> nn.Sequential:
    """A shadow model where the target's own network would be too dear: 32 wide, on ``reduced``."""
    return nn.Sequential(nn.Linear(features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))


def _made(make: Make, models: int, seed: int) -> list[nn.Module]:
    found = []
    with torch.random.fork_rng(devices=[]):
        for number in range(models):
            torch.manual_seed(1_000_003 * seed + number)
            found.append(make().train())
    for layer in found[0].modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd):
            raise AttackError(
                f"{type(layer).__name__} keeps or draws numbers of its own, so models cannot be "
                "trained side by side: build shadow models without it"
            )
    return found


def _orders(inside: Tensor, recipe: ShadowRecipe, epoch: int) -> Tensor:
    """(K, samples of each) in the order of an epoch."""
    rows = []
    for number, chosen in enumerate(inside):
        seed = (1_000_003 * recipe.seed + number) * 10_007 + epoch
        own = chosen.nonzero()[:, 0]
        rows.append(own[torch.randperm(len(own), generator=torch.Generator().manual_seed(seed))])
    return torch.stack(rows)


def _checked(x: Tensor, y: Tensor, inside: NDArray[np.bool_]) -> Tensor:
    if inside.ndim != 2 or inside.shape[1] != len(x) or len(x) != len(y):
        raise AttackError(
            f"memberships {inside.shape} do not fit {len(x)} samples with {len(y)} labels"
        )
    counts = inside.sum(1)
    if counts.min() < 1 or counts.min() != counts.max():
        raise AttackError("shadow models must be trained on equally many samples each")
    return torch.from_numpy(inside)


def train_batched(
    make: Make,
    x: Tensor,
    y: Tensor,
    inside: NDArray[np.bool_],
    recipe: ShadowRecipe | None = None,
    on_progress: Progress = lambda done, total: None,
) -> list[nn.Module]:
    """K trained networks, in eval mode.

    Parameters
    ----------
    make : callable
        An untrained network, (n, …) -> (n, C) logits, without batch norm or dropout.
    x, y : Tensor
        (N, …) float32 and int64 (N,): the pool.
    inside : array (K, N) of bool
        Which samples each model is trained on, equally many each.
    on_progress : callable
        Told epochs done and in all.

    Raises
    ------
    AttackError
        For memberships that do not fit, and networks that cannot be stacked.
    """
    recipe, chosen = recipe or ShadowRecipe(), _checked(x, y, inside)
    models = _made(make, len(inside), recipe.seed)
    weights, buffers = torch.func.stack_module_state(models)
    weights = {name: _as_gradient(value) for name, value in weights.items()}
    skeleton = copy.deepcopy(models[0]).to("meta")

    def logits(own: dict[str, Tensor], kept: dict[str, Tensor], batch: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(skeleton, (own, kept), (batch,))
        return found

    side_by_side = torch.func.vmap(logits)
    optimizer = _optimizer(list(weights.values()), recipe, True)
    each = int(inside[0].sum())
    steps = -(-each // recipe.batch)
    for epoch in range(recipe.epochs):
        for step, part in enumerate(_orders(chosen, recipe, epoch).split(recipe.batch, 1)):
            _set_rate(optimizer, recipe, epoch * steps + step, steps)
            places = part.flatten()
            batch = x.index_select(0, places).unflatten(0, part.shape)
            found = side_by_side(weights, buffers, batch)
            # The sum of means: each model's gradient is that of its own mean.
            wrong = F.cross_entropy(found.flatten(0, 1), y[places], reduction="sum")
            optimizer.zero_grad()
            (wrong / part.shape[1]).backward()
            optimizer.step()
        on_progress(epoch + 1, recipe.epochs)
    with torch.no_grad():
        for number, model in enumerate(models):
            for name, own in model.named_parameters():
                own.copy_(weights[name][number])
    return [model.eval() for model in models]


def train_each(
    make: Make,
    x: Tensor,
    y: Tensor,
    inside: NDArray[np.bool_],
    recipe: ShadowRecipe | None = None,
) -> list[nn.Module]:
    """The same as ``train_batched`` up to rounding, one network after the other."""
    recipe, chosen = recipe or ShadowRecipe(), _checked(x, y, inside)
    models = _made(make, len(inside), recipe.seed)
    steps = -(-int(inside[0].sum()) // recipe.batch)
    for number, model in enumerate(models):
        optimizer = _optimizer(list(model.parameters()), recipe, False)
        for epoch in range(recipe.epochs):
            order = _orders(chosen, recipe, epoch)[number]
            for step, part in enumerate(order.split(recipe.batch)):
                _set_rate(optimizer, recipe, epoch * steps + step, steps)
                wrong = F.cross_entropy(model(x[part]), y[part])
                optimizer.zero_grad()
                wrong.backward()
                optimizer.step()
    return [model.eval() for model in models]


def _as_gradient(stacked: Tensor) -> Tensor:
    """Matrices (K, out, in) laid out in memory as the products that their gradients are.

    Else every gradient is copied, which took a quarter of the time.
    """
    if stacked.ndim != 3:
        return stacked
    laid = stacked.detach().transpose(1, 2).contiguous().transpose(1, 2)
    return laid.requires_grad_(stacked.requires_grad)


def _optimizer(weights: list[Tensor], recipe: ShadowRecipe, stacked: bool) -> torch.optim.Optimizer:
    # The fused one copies what is not laid out in the usual order; of one network it is faster.
    return torch.optim.SGD(
        weights, recipe.rate, recipe.momentum, weight_decay=recipe.weight_decay, fused=not stacked
    )


def _set_rate(
    optimizer: torch.optim.Optimizer, recipe: ShadowRecipe, step: int, steps: int
) -> None:
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate_at(step / (steps * recipe.epochs))
