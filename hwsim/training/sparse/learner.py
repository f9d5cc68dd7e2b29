"""A network as it is trained sparsely: module, masks and optimizer, copied for each candidate."""

from __future__ import annotations

import copy
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.defenses.float_layers import layers_of, weights_of
from hwsim.models.copying import copied
from hwsim.models.loop import optimizer_of
from hwsim.models.recipe import Recipe
from hwsim.training.sparse.batches import seed_of
from hwsim.training.sparse.masks import Masks


class Term(Protocol):
    """What is added to the loss of a step; see hwsim.training.sparse.opponents."""

    def forward(self, module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits, and what the term needs beside them."""

    def __call__(self, logits: Tensor, features: Tensor | None, labels: Tensor) -> Tensor: ...


class Learner:
    """A module with masks (none where every weight may learn) and the optimizer of both.

    Weights outside the masks are 0 and stay it: they get no gradient, their moments are 0, and the
    decay of a 0 is 0.
    """

    def __init__(self, module: nn.Module, masks: Masks, recipe: Recipe) -> None:
        self.module, self.recipe = module, recipe
        self.optimizer = optimizer_of([*module.parameters()], recipe)
        self.masks: Masks = {}
        self.mask(masks)

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """The weight of each layer, real weights where it is hashed."""
        names = [name for name, _ in layers_of(self.module)]
        return dict(zip(names, weights_of(self.module, names), strict=True))

    def mask(self, masks: Masks) -> None:
        """Let other weights live. The dead, and those that come to life, begin at 0."""
        weights = self.weights
        with torch.no_grad():
            for name, mask in masks.items():
                weight = weights[name]
                stays = mask & self.masks[name] if name in self.masks else mask
                weight.mul_(stays)
                for key, value in self.optimizer.state.get(weight, {}).items():
                    if key != "step":
                        value.mul_(stays)
        self.masks = dict(masks)
        self._held = [(weights[name], mask.to(weights[name])) for name, mask in masks.items()]

    def copy(self) -> Learner:
        """Shares nothing with this one."""
        twin = Learner(copied(self.module), {}, self.recipe)
        twin.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        twin.mask({name: mask.clone() for name, mask in self.masks.items()})
        return twin

    def replaced(self, module: nn.Module) -> Learner:
        """The same training of ``module``, which has this one's layers; moments go over to those
        parameters that kept their shape, others begin without.
        """
        twin = Learner(module, {}, self.recipe)
        old = dict(self.module.named_parameters())
        for name, parameter in module.named_parameters():
            before = self.optimizer.state.get(old[name])
            if before:
                fits = parameter.shape == old[name].shape
                twin.optimizer.state[parameter] = {
                    key: value.clone() if fits or key == "step" else torch.zeros_like(parameter)
                    for key, value in before.items()
                }
        return twin

    def step(
        self, x: Tensor, labels: Tensor, progress: int, total: int, term: Term | None = None
    ) -> float:
        """Learn one batch, step ``progress`` of ``total``; the loss."""
        recipe, module = self.recipe, self.module
        # Dropout of a step is the same for every candidate, and after a resumption.
        torch.manual_seed(seed_of(recipe.seed, progress, 4))
        module.train()
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr * rate(progress / total)
        low = recipe.precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            logits, features = (module(x), None) if term is None else term.forward(module, x)
        loss = F.cross_entropy(logits.float(), labels)
        if term is not None:
            loss = loss + term(logits.float(), features, labels)
        self.optimizer.zero_grad()
        loss.backward()
        for weight, mask in self._held:
            if weight.grad is not None:
                weight.grad.mul_(mask)
        self.optimizer.step()
        return float(loss.detach())

    def dense_gradient(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Magnitude of the loss's gradient by every weight, dead ones included; nothing changes.

        In eval mode: statistics of batch norms and dropout are left alone.
        """
        self.module.eval()
        weights = self.weights
        loss = F.cross_entropy(self.module(x), labels)
        found = torch.autograd.grad(loss, list(weights.values()))
        return {name: value.abs() for name, value in zip(weights, found, strict=True)}


def rate(progress: float) -> float:
    """Of the learning rate at this share of all steps: 1, after half 0.1, after 3/4 0.01."""
    if progress < 0.5:
        return 1.0
    return 0.1 if progress < 0.75 else 0.01
