"""Vectors and series as sheets of two dimensions, for attacks that think in squares."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Sheet(nn.Module):
    """A model that is shown its inputs (C, H, W) folded, so that both sides are above one.

    A vector (F, 1, 1) becomes one sheet (1, a, b) of its values, row by row, a map with a side of
    one, such as a series, a sheet for each channel. What is left over of a sheet is 0, and read by
    nobody. An image stays as it is.
    """

    def __init__(self, model: nn.Module, shape: torch.Size) -> None:
        super().__init__()
        self.model, self.shape = model, shape
        # The model's own modules are in the mode that others want of them.
        self.training = False
        channels, height, width = shape
        self.folds = min(height, width) < 2
        self.sheets = 1 if height == width == 1 else channels
        self.values = math.prod(shape) // self.sheets
        side = max(2, math.ceil(math.sqrt(self.values)))
        self.sides = (side, max(2, math.ceil(self.values / side))) if self.folds else shape[1:]

    def fold(self, x: Tensor) -> Tensor:
        """(N, sheets, a, b) from inputs of the model."""
        if not self.folds:
            return x
        flat = x.reshape(len(x), self.sheets, self.values)
        rest = math.prod(self.sides) - self.values
        return nn.functional.pad(flat, (0, rest)).reshape(len(x), self.sheets, *self.sides)

    def unfold(self, sheets: Tensor) -> Tensor:
        """Inputs of the model from (N, sheets, a, b)."""
        if not self.folds:
            return sheets
        return sheets.flatten(2)[:, :, : self.values].reshape(len(sheets), *self.shape)

    def forward(self, sheets: Tensor) -> Tensor:
        """The model's logits."""
        answer: Tensor = self.model(self.unfold(sheets))
        return answer
