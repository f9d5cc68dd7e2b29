"""Muon for convolutions: torch's optimizer of matrices, on kernels seen as matrices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def matrix(kernel: Tensor) -> Tensor:
    """(outputs, inputs, h, w) in channels_last as (outputs, h · w · inputs) in the same memory."""
    return kernel.permute(0, 2, 3, 1).flatten(1)


class KernelMuon(torch.optim.Muon):
    """Steps of ``kernels`` (outputs, inputs, h, w), which lie in memory as channels_last.

    A step goes along the nearest orthogonal matrix to the momentum, so that all directions of a
    kernel learn alike (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural
    networks"). Its parameters are views of the kernels.
    """

    def __init__(self, kernels: list[nn.Parameter], lr: float, decay: float, momentum: float):
        views = [nn.Parameter(matrix(kernel.detach())) for kernel in kernels]
        for kernel, view in zip(kernels, views, strict=True):
            if kernel.data_ptr() != view.data_ptr():
                raise ValueError("kernels must lie in memory as channels_last")
        super().__init__(views, lr, decay, momentum)
        self.kernels, self.views = kernels, views

    def step(self, closure: Any = None) -> Any:
        """One step of every kernel that has a gradient."""
        for kernel, view in zip(self.kernels, self.views, strict=True):
            view.grad = None if kernel.grad is None else matrix(kernel.grad)
        return super().step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the kernels, too."""
        super().zero_grad(set_to_none)
        for kernel in self.kernels:
            kernel.grad = None
