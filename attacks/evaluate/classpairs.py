"""Which class is easily turned into which: success, distortion, hardness, adversarial distance.

Papernot et al., EuroS&P 2016, section V. Every source image is driven to each other class by one
search at the largest Υ; what a smaller Υ would have reached is a beginning of the same search.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.attacks.core.base import Progress, judge
from hwsim.attacks.core.checks import as_inputs, check_batch_size
from hwsim.attacks.core.criteria import Targeted, Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.labels import Labels, as_labels
from hwsim.attacks.greedy import REACHED
from hwsim.attacks.jsma import JSMA
from hwsim.attacks.saliency import jacobian, saliency

#: Υ of Papernot's hardness measure, as shares of all values.
HARDNESS_LEVELS = (0.003, 0.013, 0.026, 0.051, 0.077, 0.102, 0.128, 0.255, 0.383)
#: Υ of their success table.
HEADLINE = 0.145

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClassPairs:
    """Counts for L levels of Υ, S source and T = S target classes; those of two sets add up.

    levels: rising. values: M. images: (S,) source images; each was driven to every other class.
    success: (L, S, T) searches that reached the target within Υ. changed: (L, S, T) values changed
    by these. spent: (L, S, T) values changed by all searches, successful or not. closed: (S, T)
    sum of the adversarial distance A(X, t).
    """

    levels: tuple[float, ...]
    values: int
    images: Array
    success: Array
    changed: Array
    spent: Array
    closed: Array

    def __add__(self, other: ClassPairs) -> ClassPairs:
        if self.levels != other.levels or self.success.shape != other.success.shape:
            raise AttackError("two class-pair counts of different levels or classes do not add up")
        sums = {k: getattr(self, k) + getattr(other, k) for k in self._arrays()}
        return ClassPairs(self.levels, self.values, **sums)

    @classmethod
    def _arrays(cls) -> list[str]:
        return [f.name for f in fields(cls) if f.name not in ("levels", "values")]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and lists for JSON."""
        arrays = {name: getattr(self, name).tolist() for name in self._arrays()}
        return {"levels": list(self.levels), "values": self.values, **arrays}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ClassPairs:
        """What ``as_dict`` wrote. Raises LookupError, TypeError or ValueError for anything else."""
        arrays = {name: np.asarray(data[name], dtype=np.float64) for name in cls._arrays()}
        found = cls(tuple(map(float, data["levels"])), int(data["values"]), **arrays)
        classes = len(found.images)
        shape = (len(found.levels), classes, classes)
        if any(getattr(found, k).shape != shape for k in ("success", "changed", "spent")):
            raise ValueError("class-pair counts of a wrong shape")
        return found

    # ---------------------------------------------------------------- shares; NaN: nothing counted

    @property
    def tries(self) -> Array:
        """(S, T) searches: the images of the source class, none on the diagonal."""
        classes = len(self.images)
        return np.where(np.eye(classes, dtype=bool), 0.0, self.images[:, None])

    def rate(self, level: int) -> Array:
        """(S, T) success at a level."""
        return _share(self.success[level], self.tries)

    def distortion(self, level: int) -> Array:
        """(S, T) mean share of values changed, over the successful searches."""
        return _share(self.changed[level], self.success[level]) / self.values

    def overall(self, level: int) -> tuple[float, float]:
        """Success, and distortion of the successful searches, over all pairs."""
        wins = float(self.success[level].sum())
        return (
            float(_share(np.array(wins), np.array(self.tries.sum()))),
            float(_share(np.array(self.changed[level].sum()), np.array(wins))) / self.values,
        )

    def hardness(self) -> Array:
        """(S, T): H(s, t) ≈ Σ_k (τ_{k+1} − τ_k)(ε_{k+1} + ε_k)/2, trapezoids over HARDNESS_LEVELS.

        τ_k: success at Υ_k; ε_k: mean distortion there of all searches, those that failed included.
        The sum says nothing where no search succeeded at any Υ: NaN.
        """
        chosen = [k for k, level in enumerate(self.levels) if level in HARDNESS_LEVELS]
        rates = np.stack([self.rate(k) for k in chosen])
        means = np.stack([_share(self.spent[k], self.tries) for k in chosen]) / self.values
        area = (np.diff(rates, axis=0) * (means[1:] + means[:-1]) / 2).sum(0)
        return np.where(rates[-1] > 0, area, np.nan)

    def distance(self) -> Array:
        """(S, T): mean of A(X, t), the share of values that raise no saliency towards t."""
        return _share(self.closed, self.tries)


def _share(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def adversarial_distance(model: nn.Module, inputs: Tensor, *, batch_size: int = 64) -> Tensor:
    """(N, classes) float64: A(X, t) = 1 − (1/M) Σ_i 1[S⁺(X, t)[i] > 0]; 1 is far."""
    parts = []
    for rows in jacobian(model, inputs, chunk=batch_size):
        salient = saliency(rows, rows - rows.sum(1, keepdim=True), "product") > 0.0
        parts.append(1.0 - salient.double().mean(2))
    return torch.cat(parts)


def class_pairs(
    attack: JSMA,
    model: nn.Module,
    inputs: Tensor,
    labels: Labels,
    *,
    levels: Sequence[float] = (*HARDNESS_LEVELS[:7], HEADLINE, *HARDNESS_LEVELS[7:]),
    batch_size: int = 16,
    start: int = 0,
    progress: Progress | None = None,
) -> Iterator[ClassPairs]:
    """Drive every correctly classified input to each other class; yields one batch after another.

    attack: its max_distortion is the largest level. levels: rising Υ. batch_size: source images at
    a time; each is searched classes − 1 times. start: images done by an earlier run, a multiple of
    batch_size. Raises AttackError.
    """
    inputs = as_inputs(inputs, attack.space)
    check_batch_size(batch_size)
    labels = as_labels(labels, "labels")
    Untargeted(labels).check(len(inputs))
    if not levels or list(levels) != sorted(set(levels)) or levels[-1] != attack.max_distortion:
        raise AttackError(
            "levels must rise and end with the attack's max_distortion, "
            f"{attack.max_distortion:g}, got {list(levels)}"
        )
    limits = [attack.iterations(inputs[0].numel(), level) for level in levels]

    def batches() -> Iterator[ClassPairs]:
        for first in range(start, len(inputs), batch_size):
            x = attack.space.snap(inputs[first : first + batch_size])
            yield _one_batch(attack, model, x, labels[first : first + batch_size], levels, limits)
            if progress is not None:
                progress(min(first + batch_size, len(inputs)), len(inputs))

    return batches()


def _one_batch(
    attack: JSMA,
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    levels: Sequence[float],
    limits: Sequence[int],
) -> ClassPairs:
    clean = judge(model, x)
    classes, values = clean.shape[1], x[0].numel()
    right = clean.argmax(1) == labels
    x, labels = x[right], labels[right]
    images = np.bincount(labels.numpy(), minlength=classes).astype(np.float64)
    table = np.zeros((3, len(levels), classes, classes))
    closed = np.zeros((classes, classes))
    if len(x):
        far = adversarial_distance(model, x).cpu().numpy()
        np.add.at(closed, labels.numpy(), far)
        source = labels.repeat_interleave(classes - 1)
        hop = torch.arange(1, classes).repeat(len(labels))
        target = (source + hop) % classes
        search = attack.search(model, x.repeat_interleave(classes - 1, 0), Targeted(target, source))
        search.images(math.inf)
        for k, limit in enumerate(limits):
            won = (search.ending == REACHED) & (search.iterations <= limit)
            moved = search.changed_after(limit)
            for counts, add in zip(table, (won.long(), moved * won, moved), strict=True):
                np.add.at(counts[k], (source.numpy(), target.numpy()), add.numpy())
    np.fill_diagonal(closed, 0.0)
    success, changed, spent = table
    return ClassPairs(tuple(levels), values, images, success, changed, spent, closed)
