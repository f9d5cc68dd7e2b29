"""Batches that can be asked for in any order: a trial looks ahead, and a killed run comes back."""

from __future__ import annotations

import torch
from torch import Tensor

from hwsim.errors import InputError
from hwsim.models.loop import shifted
from hwsim.models.recipe import Recipe
from hwsim.training.sparse.sides import Labelled

#: Apart from one another: seeds of epochs, steps, masks and candidates.
STRIDE = 1_000_003


def seed_of(*parts: int) -> int:
    """One seed for torch from several numbers, 0 … 2^63 − 1."""
    found = 0
    for part in parts:
        found = (found * STRIDE + part) % (2**63 - 1)
    return found


class Batches:
    """The batches of a recipe: a random order for each epoch, shifts and mirrors for each step.

    steps: of an epoch. total: of all epochs.
    """

    def __init__(self, learn: Labelled, recipe: Recipe) -> None:
        if not len(learn):
            raise InputError("cannot train on 0 samples")
        if learn.images.ndim != 4 and (recipe.shift or recipe.flip):
            raise InputError("only images (N, C, H, W) can be shifted and mirrored")
        self._learn, self._recipe = learn, recipe
        self.steps = -(-len(learn) // recipe.batch)
        self.total = self.steps * recipe.epochs
        self._orders: dict[int, Tensor] = {}

    def at(self, progress: int) -> tuple[Tensor, Tensor]:
        """Samples and labels of step ``progress`` of the whole training."""
        epoch, step = divmod(progress, self.steps)
        recipe = self._recipe
        if epoch not in self._orders:
            generator = torch.Generator().manual_seed(seed_of(recipe.seed, epoch, 1))
            self._orders = {epoch: torch.randperm(len(self._learn), generator=generator)}
        chosen = self._orders[epoch][step * recipe.batch : (step + 1) * recipe.batch]
        x, labels = self._learn.images[chosen], self._learn.labels[chosen]
        generator = torch.Generator().manual_seed(seed_of(recipe.seed, progress, 2))
        if recipe.shift:
            x = shifted(x, recipe.shift, generator)
        if recipe.flip:
            mirror = torch.rand(len(x), generator=generator, dtype=torch.float32) < 0.5
            x = torch.where(mirror[:, None, None, None], x.flip(3), x)
        return x, labels

    def draw(self, *seeds: int) -> tuple[Tensor, Tensor]:
        """A batch of its own, without shifts, for the gradient that a candidate grows by."""
        generator = torch.Generator().manual_seed(seed_of(self._recipe.seed, *seeds, 3))
        count = min(self._recipe.batch, len(self._learn))
        chosen = torch.randperm(len(self._learn), generator=generator)[:count]
        return self._learn.images[chosen], self._learn.labels[chosen]
