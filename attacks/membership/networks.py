"""The attackers of SafeCompress as networks: black box, white box (arXiv 2208.05969, 2401.00996).

Widths, dropout and the convolution are those of the published code; the number of classes and the
width of the last layer follow the target. Ours is what goes in: ln p of each class, whether logits
or probabilities were seen, standardized by numbers of the attacker's own samples. Of bare logits
the black box learns far less from a few hundred members.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.membership.records import Records

#: Share of inputs that the white box drops.
DROPOUT = 0.2


class Attacker(nn.Module):
    """Records (N) -> (N,) logits, above 0 for members; differentiable in what was seen."""

    def __init__(self, like: Records) -> None:
        super().__init__()
        for name, value in self._inputs(like).items():
            width = value.shape[1]
            self.register_buffer(f"{name}_middle", torch.zeros(width))
            self.register_buffer(f"{name}_spread", torch.ones(width))

    def standardize(self, records: Records) -> None:
        """Every column of what goes in to mean 0 and deviation 1 on these records."""
        for name, value in self._inputs(records).items():
            spread = value.std(0, correction=0)
            cast(Tensor, getattr(self, f"{name}_middle")).copy_(value.mean(0))
            cast(Tensor, getattr(self, f"{name}_spread")).copy_(
                torch.where(spread > 1e-12, spread, torch.ones_like(spread))
            )

    def _scaled(self, records: Records) -> dict[str, Tensor]:
        return {
            name: (value - getattr(self, f"{name}_middle")) / getattr(self, f"{name}_spread")
            for name, value in self._inputs(records).items()
        }

    def _inputs(self, records: Records) -> dict[str, Tensor]:
        """By name, float32 (N, columns). What was not seen is not there: of the class alone its
        one-hot code stands for outputs; cycles are further columns of them.
        """
        if records.outputs is None:
            outputs = F.one_hot(records.answers, records.classes).float()
        else:
            outputs = records.log_probabilities().float()
        if records.cycles is not None:
            outputs = torch.cat([outputs, records.cycles.float()], 1)
        return {"outputs": outputs}


def _signed(records: Records) -> Tensor:
    """The true class in ±1, float32 (N, C)."""
    return 2.0 * F.one_hot(records.labels, records.classes).float() - 1.0


def _stack(widths: Sequence[int], last: bool = True) -> list[nn.Module]:
    """Linear layers of these widths with ReLUs between them, and one behind where ``last``."""
    layers: list[nn.Module] = []
    for before, width in pairwise(widths):
        layers += [nn.Linear(before, width), nn.ReLU()]
    return layers if last else layers[:-1]


class BlackBox(Attacker):
    """BMIA: outputs 1024-512-64, the class in ±1 512-64, joined 256-64-1 (Nasr et al. 2018)."""

    def __init__(self, like: Records) -> None:
        super().__init__(like)
        columns = self._inputs(like)["outputs"].shape[1]
        self.outputs = nn.Sequential(*_stack([columns, 1024, 512, 64]))
        self.label = nn.Sequential(*_stack([like.classes, 512, 64]))
        self.joined = nn.Sequential(*_stack([128, 256, 64, 1], last=False))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)

    def forward(self, records: Records) -> Tensor:
        """(N,) logits."""
        seen = self.outputs(self._scaled(records)["outputs"])
        found: Tensor = self.joined(torch.cat([seen, self.label(_signed(records))], 1))
        return found[:, 0]


class WhiteBox(Attacker):
    """WMIA: outputs, loss, class and the last layer's gradient, joined 256-128-64-1.

    Outputs, loss and class go through 128-64 each, the gradient through a 5×5 convolution, batch
    norm, a 2×2 pool and 256-128-64.

    Raises AttackError where loss and gradient were not seen.
    """

    gradient_size: Tensor

    def __init__(self, like: Records) -> None:
        if like.features is None or like.losses is None:
            raise AttackError("the white box looks at losses and gradients: view them as white")
        super().__init__(like)
        columns = self._inputs(like)["outputs"].shape[1]
        cells = (like.classes // 2) * (like.features.shape[1] // 2)
        self.register_buffer("gradient_size", torch.ones(()))
        self.outputs = self._branch(columns)
        self.loss = self._branch(1)
        self.label = self._branch(like.classes)
        self.convolution = _OuterConvolution()
        self.gradient = nn.Sequential(
            nn.BatchNorm2d(1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(DROPOUT),
            nn.Linear(cells, 256), nn.ReLU(), nn.Dropout(DROPOUT),
            *_stack([256, 128, 64], last=False),
        )  # fmt: skip
        self.joined = nn.Sequential(
            nn.Dropout(DROPOUT), nn.Linear(256, 256), nn.ReLU(), nn.Dropout(DROPOUT),
            nn.Linear(256, 128), nn.ReLU(), nn.Dropout(DROPOUT), *_stack([128, 64, 1], last=False),
        )  # fmt: skip

    @staticmethod
    def _branch(columns: int) -> nn.Sequential:
        return nn.Sequential(nn.Dropout(DROPOUT), *_stack([columns, 128, 64], last=False))

    def _inputs(self, records: Records) -> dict[str, Tensor]:
        found = super()._inputs(records)
        assert records.losses is not None
        found["loss"] = records.losses.float()[:, None]
        return found

    def standardize(self, records: Records) -> None:
        """As of every attacker; the gradient is divided by its root mean square."""
        super().standardize(records)
        assert records.features is not None
        assert records.residuals is not None
        # ‖r·fᵀ‖² = ‖r‖²‖f‖²: without making the products.
        squares = records.residuals.square().sum(1) * records.features.square().sum(1)
        cells = records.residuals.shape[1] * records.features.shape[1]
        size = (squares.mean() / cells).sqrt()
        self.gradient_size.copy_(torch.where(size > 1e-12, size, torch.ones_like(size)))

    def forward(self, records: Records) -> Tensor:
        """(N,) logits."""
        scaled = self._scaled(records)
        assert records.features is not None
        assert records.residuals is not None
        features = F.dropout(records.features / self.gradient_size, DROPOUT, self.training)
        parts = [
            self.outputs(scaled["outputs"]), self.loss(scaled["loss"]),
            self.label(_signed(records)),
            self.gradient(self.convolution(records.residuals, features)),
        ]  # fmt: skip
        found: Tensor = self.joined(torch.cat(parts, 1))
        return found[:, 0]


class _OuterConvolution(nn.Conv2d):
    """A 5×5 convolution of r·fᵀ, which is not made: (N, C), (N, F) -> (N, 1, C, F).

    Its sums are Σ_ij k_ij r(c + i) f(d + j), of shifted factors. So the dropout in front of it,
    which the published code draws for each cell, is drawn for each column f.
    """

    def __init__(self) -> None:
        super().__init__(1, 1, 5, padding=2)

    def forward(self, rows: Tensor, columns: Tensor) -> Tensor:  # type: ignore[override]
        """What ``nn.Conv2d`` makes of rows[:, None, :, None] * columns[:, None, None, :]."""
        shifted = [F.pad(factor, (2, 2)).unfold(1, 5, 1) for factor in (rows, columns)]
        # Contiguous: a product of overlapping views took ten times as long.
        made = (shifted[0] @ self.weight[0, 0]) @ shifted[1].transpose(1, 2).contiguous()
        assert self.bias is not None
        return made[:, None] + self.bias
