"""The attack that sees no more than classes: how far does a right answer reach?

Choquette-Choo et al., "Label-only membership inference attacks", ICML 2021: a network is surer
around what it learnt, so its answers there stay right under small changes, translations of images
and noise on anything else. The score is the share of right answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hwsim.attacks.core.checks import check_count, check_number
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.evaluate.roc import Scores

#: (n, …) samples -> int64 (n,) answers.
Ask = Callable[[Tensor], Tensor]
_ASKED = 500


@dataclass(frozen=True)
class LabelOnly:
    """What is asked of each sample beside itself.

    reach: images (N, C, H, W) of more than a pixel are moved by all (dy, dx) with |dy| + |dx| <=
    reach, zeros moving in: 2r² + 2r + 1 queries. noises: of other samples ``draws`` each, Gaussian,
    with these deviations as shares of the range that all samples span, cut off at its ends. seed:
    of the noise, the same for every sample, members or not.
    """

    reach: int = 3
    noises: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2)
    draws: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self.reach, "reach")
        check_count(self.draws, "draws")
        for noise in self.noises:
            check_number(noise, "noise", 0.0, 1.0)

    def score(
        self, ask: Ask, x: Tensor, labels: Tensor, bounds: tuple[float, float] | None = None
    ) -> Scores:
        """(N,) shares of right answers; bounds: of a sample's values, those of x where None."""
        if not 0 < len(x) == len(labels):
            raise AttackError(f"cannot ask for {len(x)} samples with {len(labels)} labels")
        low, high = bounds or (float(x.min()), float(x.max()))
        right = torch.zeros(len(x), dtype=torch.int64)
        asked = 0
        for changed in self._changes(x, low, high):
            parts = [ask(part) for part in changed.split(_ASKED)]
            right += torch.cat(parts) == labels
            asked += 1
        return np.asarray((right.double() / asked).numpy(), np.float64)

    def _changes(self, x: Tensor, low: float, high: float) -> Iterator[Tensor]:
        if x.ndim == 4 and min(x.shape[2:]) > 1:
            reach = self.reach
            padded = F.pad(x, (reach,) * 4)
            for down in range(-reach, reach + 1):
                for right in range(abs(down) - reach, reach - abs(down) + 1):
                    rows = slice(reach + down, reach + down + x.shape[2])
                    yield padded[:, :, rows, reach + right : reach + right + x.shape[3]]
            return
        yield x
        generator = torch.Generator().manual_seed(self.seed)
        for noise in self.noises:
            for _ in range(self.draws):
                drawn = torch.randn(x.shape[1:], generator=generator, dtype=torch.float32)
                yield (x + noise * (high - low) * drawn).clamp(low, high)
