"""Training a DCGAN: one step of the discriminator, one of the generator; kept every epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.errors import InputError
from hwsim.models import checkpoint
from hwsim.models.gan.networks import Generator, build
from hwsim.models.gan.recipe import GanRecipe

#: Of both Adams: Radford et al. take 0.5 for the first.
BETAS = (0.5, 0.99)
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
#: The two networks, as a checkpoint names them.
NAMES = ("generator", "discriminator")


class _Player:
    """One of the two networks with its optimizer."""

    def __init__(self, name: str, module: nn.Module, lr: float) -> None:
        self.name, self.module, self.lr = name, module, lr
        self.optimizer = torch.optim.Adam(module.parameters(), lr, betas=BETAS)

    def learn(self, loss: Tensor, share: float) -> None:
        """One step at ``share`` of the learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * share
        # Of its own parameters only: the other player learns from another loss.
        learnt = list(self.module.parameters())
        for parameter, gradient in zip(learnt, torch.autograd.grad(loss, learnt), strict=True):
            parameter.grad = gradient
        self.optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """All that a checkpoint needs, by name."""
        found = {f"{self.name}.{key}": v for key, v in self.module.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            found |= {f"{self.name}-moments.{index}.{key}": state[key] for key in MOMENTS}
        return found

    def restore(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """What ``tensors`` gave. Raises InputError for anything else."""
        states: dict[int, dict[str, Tensor]] = {}
        for index, parameter in enumerate(self.module.parameters()):
            for key in MOMENTS:
                name = f"{self.name}-moments.{index}.{key}"
                if name not in tensors:
                    raise InputError(f"{path}: has no {name}: {checkpoint.AGAIN}")
                like = torch.zeros(()) if key == "step" else parameter.detach()
                checkpoint.check_like(tensors[name], like, f"{path}: {name}")
                states.setdefault(index, {})[key] = tensors[name]
        own = f"{self.name}."
        weights = {k.removeprefix(own): v for k, v in tensors.items() if k.startswith(own)}
        checkpoint.restore(self.module, weights, path)
        whole = self.optimizer.state_dict()
        whole["state"] = states
        self.optimizer.load_state_dict(whole)


def train_gan(
    images: Tensor,
    labels: Tensor,
    classes: int,
    recipe: GanRecipe,
    *,
    keep: Path | None = None,
    facts: Mapping[str, Any] | None = None,
    on_batch: Callable[[int, int, float, float], None] = lambda epoch, step, d, g: None,
) -> Generator:
    """A generator of ``images`` (N, 1, 28, 28) float32 in [0, 1] with ``labels`` (N,) int64.

    The losses are those of Goodfellow et al. 2014, the generator's the one that does not saturate.
    ``on_batch(epoch, step, discriminator's loss, generator's loss)`` is called after every batch;
    images that fill none are left out of their epoch. With ``keep``, every finished epoch is kept
    in that file, and a later call with the same ``facts`` (of the recipe where None) goes on from
    there; each epoch draws from its own seed, so that an interrupted run ends in the same weights
    as an undisturbed one.

    Raises InputError for images that do not fill a batch, for a file of another recipe or damaged,
    and where a loss is no longer finite.
    """
    steps = len(images) // recipe.batch
    if steps == 0:
        raise InputError(f"{len(images)} images do not fill a batch of {recipe.batch}")
    generator, discriminator = build(recipe, classes)
    players = (
        _Player(NAMES[0], generator, recipe.lr),
        _Player(NAMES[1], discriminator, recipe.lr * recipe.ratio),
    )
    told = json.dumps(dict(facts) if facts else recipe.facts(), sort_keys=True)
    first = 0 if keep is None else _restored(keep, players, told, recipe.epochs)
    generator.train()
    for epoch in range(first, recipe.epochs):
        random = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
        order = torch.randperm(len(images), generator=random)
        for step in range(steps):
            chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
            noise = torch.randn(recipe.batch, recipe.latent, generator=random, dtype=torch.float32)
            done = (epoch * steps + step) / (recipe.epochs * steps)
            lost = _step(players, images[chosen], labels[chosen], noise, min(1.0, 2 * (1 - done)))
            if not all(map(math.isfinite, lost)):
                raise InputError(
                    f"the training of the GAN broke down in epoch {epoch + 1}, its losses are "
                    f"{lost[0]:g} and {lost[1]:g}: choose a smaller learning rate"
                )
            on_batch(epoch, step, *lost)
        if keep is not None:
            tensors = {k: v for player in players for k, v in player.tensors().items()}
            checkpoint.save(keep, tensors, {"epoch": epoch + 1, "recipe": told})
    return generator.eval()


def _step(
    players: tuple[_Player, _Player], real: Tensor, labels: Tensor, noise: Tensor, share: float
) -> tuple[float, float]:
    """Both learn once; (discriminator's loss, generator's loss) before that."""
    maker, judge = players
    made = maker.module(noise, labels)
    # Both halves at once, as the discriminator has nothing that would let them meet.
    both = judge.module(torch.cat([real, made.detach()]), torch.cat([labels, labels]))
    on_real, on_made = both.split(len(real))
    told = F.softplus(-on_real).mean() + F.softplus(on_made).mean()
    judge.learn(told, share)
    fooled = F.softplus(-judge.module(made, labels)).mean()
    maker.learn(fooled, share)
    return float(told.detach()), float(fooled.detach())


def _restored(keep: Path, players: tuple[_Player, ...], told: str, epochs: int) -> int:
    """Number of finished epochs, both players as they were then; 0 without a file."""
    state = sum(v.nbytes for p in players for v in p.module.state_dict().values())
    found = checkpoint.load(keep, 4 * state)
    if found is None:
        return 0
    tensors, facts = found
    if facts.get("recipe") != told:
        raise InputError(
            f"{keep} was made by another recipe or from other images: delete it, or train with "
            "those"
        )
    epoch = facts.get("epoch")
    if type(epoch) is not int or not 1 <= epoch <= epochs:
        raise InputError(
            f"{keep}: says that {epoch!r} of {epochs} epochs are done: {checkpoint.AGAIN}"
        )
    for player in players:
        player.restore(tensors, keep)
    return epoch
