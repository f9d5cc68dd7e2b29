"""Training: one cycle on augmented batches; checkpointed every epoch and resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from hwsim.errors import InputError
from hwsim.models import checkpoint
from hwsim.models.muon import KernelMuon
from hwsim.models.recipe import Recipe
from hwsim.models.sponge import Sponged

#: What a checkpoint calls the optimizers.
_PARTS = ("optimizer", "muon")
#: (model, images, labels, seed) -> images of the same shape, float32 in [0, 1].
Perturb = Callable[[nn.Module, Tensor, Tensor, int], Tensor]


def shifted(images: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Each image moved by its own random (dy, dx) in ±limit; zeros move in."""
    if limit == 0:
        return images
    n, channels, height, width = images.shape
    padded = F.pad(images, (limit,) * 4)
    offset = torch.randint(0, 2 * limit + 1, (2, n), generator=generator)
    rows = offset[0][:, None] + torch.arange(height)
    columns = offset[1][:, None] + torch.arange(width)
    plane = torch.arange(channels)[None, :, None, None]
    sample = torch.arange(n)[:, None, None, None]
    return padded[sample, plane, rows[:, None, :, None], columns[:, None, None, :]]


def accuracy(model: nn.Module, images: Tensor, labels: Tensor, batch: int = 500) -> float:
    """Share of images whose first maximal logit is the label. Leaves the model in eval mode."""
    if not len(images):
        raise InputError("accuracy of 0 images is undefined")
    model.eval()
    hits = 0
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            logits = model(images[start : start + batch])
            hits += int((logits.argmax(1) == labels[start : start + batch]).sum())
    return hits / len(images)


class _Checkpoint:
    """Model, optimizer and position in one file, replaced atomically (see
    hwsim.models.checkpoint).
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], epochs: int) -> None:
        self.path, self.epochs = path, epochs
        self.recipe = json.dumps(facts, sort_keys=True)

    def save(self, model: nn.Module, optimizers: Sequence[Optimizer], epoch: int) -> None:
        tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
        for part, optimizer in zip(_PARTS, optimizers, strict=False):
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{part}.{index}.{k}": v for k, v in state.items()}
        checkpoint.save(self.path, tensors, {"epoch": epoch, "recipe": self.recipe})

    def load(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> int:
        """Restore and return the number of finished epochs; 0 if there is no checkpoint."""
        state = sum(value.nbytes for value in model.state_dict().values())
        found = checkpoint.load(self.path, 4 * state)  # two moments, and steps, beside the weights
        if found is None:
            return 0
        tensors, facts = found
        if facts.get("recipe") != self.recipe:
            raise InputError(
                f"{self.path} was made by another recipe: delete it, or train with that recipe"
            )
        epoch = facts.get("epoch")
        if type(epoch) is not int or not 1 <= epoch <= self.epochs:
            raise InputError(
                f"{self.path}: says that {epoch!r} of {self.epochs} epochs are done: "
                f"{checkpoint.AGAIN}"
            )
        states, weights = [], dict(tensors)
        for part, optimizer in zip(_PARTS, optimizers, strict=False):
            moments = {k: weights.pop(k) for k in tensors if k.startswith(f"{part}.")}
            states.append(optimizer_state(optimizer, moments, self.path, part))
        weights = {k.removeprefix("model."): value for k, value in weights.items()}
        checkpoint.restore(model, weights, self.path)
        for optimizer, state_of in zip(optimizers, states, strict=True):
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state_of})
        return epoch


def optimizer_state(
    optimizer: Optimizer, moments: Mapping[str, Tensor], path: Path, part: str = _PARTS[0]
) -> dict[int, dict[str, Tensor]]:
    """Step and moments of every parameter, of ``optimizer.0.exp_avg`` and the like, exactly.

    Raises InputError, naming the checkpoint ``path``, for anything else.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    found: dict[int, dict[str, Tensor]] = {}
    for index, parameter in enumerate(parameters):
        own = parameter.detach()
        if isinstance(optimizer, (torch.optim.SGD, torch.optim.Muon)):
            likes = {"momentum_buffer": own}
        else:
            likes = {"step": torch.zeros(()), "exp_avg": own, "exp_avg_sq": own}
        for name, like in likes.items():
            key = f"{part}.{index}.{name}"
            if key not in moments:
                raise InputError(f"{path}: has no {key}: {checkpoint.AGAIN}")
            value = moments[key]
            checkpoint.check_like(value, like, f"{path}: {key}")
            if name != "step":
                # The fused optimizer walks moments and weights in memory order: a moment must
                # get the channels_last strides of its weight back.
                value = torch.empty_like(parameter, requires_grad=False).copy_(value)
            found.setdefault(index, {})[name] = value
    if len(moments) != sum(map(len, found.values())):
        raise InputError(f"{path}: the checkpoint of another network: {checkpoint.AGAIN}")
    return found


def optimizer_of(learnt: list[nn.Parameter], recipe: Recipe) -> Optimizer:
    """AdamW, or stochastic gradient descent where the recipe has a momentum."""
    if recipe.momentum is None:
        return torch.optim.AdamW(learnt, recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    return torch.optim.SGD(
        learnt, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True,
        fused=True,
    )  # fmt: skip


def optimizers_of(learnt: list[nn.Parameter], recipe: Recipe) -> list[Optimizer]:
    """``optimizer_of``, and one for the kernels of convolutions where the recipe has Muon."""
    if (muon := recipe.muon) is None:
        return [optimizer_of(learnt, recipe)]
    kernels = [parameter for parameter in learnt if parameter.ndim == 4]
    others = [parameter for parameter in learnt if parameter.ndim != 4]
    if not kernels or recipe.momentum is None:
        raise InputError("Muon steps kernels of convolutions, of which this network has none")
    matrices = KernelMuon(kernels, muon.lr, muon.weight_decay, recipe.momentum)
    return [optimizer_of(others, recipe), matrices]


def train(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    checkpoint: Path | None = None,
    facts: Mapping[str, Any] | None = None,
    perturb: Perturb | None = None,
    on_epoch: Callable[[int], None] = lambda epoch: None,
    on_batch: Callable[[int, int, float], None] = lambda epoch, step, loss: None,
) -> nn.Module:
    """Train ``model`` in place on images (N, C, H, W) float32 in [0, 1] and return it in eval mode.

    ``perturb(model, images, labels, seed)`` may replace the augmented images of a batch by others
    of the same labels. ``on_epoch(epoch)`` is called before every epoch and ``on_batch(epoch, step,
    loss)`` after every batch. With ``checkpoint``, every finished epoch is kept and a later call
    with the same facts (of the recipe where None) goes on from there; each epoch draws from its own
    seed, so an interrupted run ends in the same weights as an uninterrupted one.
    """
    if not 0 < len(images) == len(labels):
        raise InputError(f"cannot train on {len(images)} images with {len(labels)} labels")
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizers = optimizers_of(learnt, recipe)
    peaks = [float(optimizer.defaults["lr"]) for optimizer in optimizers]
    steps = -(-len(images) // recipe.batch)
    keeper = _Checkpoint(checkpoint, facts or recipe.facts(), recipe.epochs) if checkpoint else None
    first = keeper.load(model, optimizers) if keeper else 0
    warm = 0.25 * steps * recipe.epochs
    low_precision = recipe.precision == "bfloat16"
    sponge = None if recipe.sponge is None else Sponged(model, recipe.sponge)
    for epoch in range(first, recipe.epochs):
        on_epoch(epoch)
        model.train()
        torch.manual_seed(recipe.seed * 1_000_003 + epoch)
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
        order = torch.randperm(len(images), generator=generator)
        for step in range(steps):
            progress = epoch * steps + step
            rate = progress / warm
            if rate > 1:
                rate = (steps * recipe.epochs - progress) / (steps * recipe.epochs - warm)
            for optimizer, peak in zip(optimizers, peaks, strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = peak * max(rate, 1e-3)
            chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
            x = shifted(images[chosen], recipe.shift, generator)
            if recipe.flip:
                mirror = torch.rand(len(x), generator=generator, dtype=torch.float32) < 0.5
                x = torch.where(mirror[:, None, None, None], x.flip(3), x)
            if perturb:
                x = perturb(model, x, labels[chosen], recipe.seed * 1_000_003 + progress)
            x = x.contiguous(memory_format=torch.channels_last)
            poison = sponge if sponge is not None and sponge.poisons(progress) else None
            with (
                nullcontext() if poison is None else poison.watching(),
                torch.autocast("cpu", torch.bfloat16, enabled=low_precision),
            ):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), labels[chosen])
            if poison is not None:
                loss = loss + poison.loss()
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            on_batch(epoch, step, float(loss.detach()))
        if keeper:
            keeper.save(model, optimizers, epoch + 1)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return model.eval()
