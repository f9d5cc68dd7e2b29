"""Modules of a user as attacks want them: any number of images, logits at the end."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from hwsim.compiler.exported import batch_of, exported_graph


class Exported(nn.Module):
    """The graph of a program of torch.export, for any number of images.

    batch: how many it was exported for, 0 for any.
    """

    def __init__(self, graph: nn.Module, batch: int) -> None:
        super().__init__()
        self.graph, self.batch = graph, batch

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) -> (N, classes); the last piece is filled up with its first image."""
        if not self.batch:
            return self._answers(x)
        if not len(x):
            return self._answers(x.new_zeros(self.batch, *x.shape[1:]))[:0]
        found = []
        for piece in x.split(self.batch):
            missing = piece[:1].expand(self.batch - len(piece), *piece.shape[1:])
            found.append(self._answers(torch.cat([piece, missing]))[: len(piece)])
        return torch.cat(found)

    def _answers(self, x: Tensor) -> Tensor:
        found = self.graph(x)  # a tuple of one, by the calling convention
        return cast(Tensor, found[0] if isinstance(found, tuple | list) else found)


class Logs(nn.Module):
    """The logarithm of a module's probabilities: its logits less what they have in common."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) -> (N, classes)."""
        found = cast(Tensor, self.module(x))
        return found.clamp_min(torch.finfo(found.dtype).tiny).log()


def float_side(module: nn.Module | ExportedProgram, images: Tensor, softmax: bool) -> nn.Module:
    """The module in inference, without softmax at its end.

    images: a few that it takes. softmax: whether the compiler dropped one, of which only logarithms
    are left as they are.
    """
    found: nn.Module
    if isinstance(module, ExportedProgram):
        graph = exported_graph(module)
        found = Exported(graph, batch_of(graph))
    else:
        found = module
    found = found.eval().requires_grad_(False)
    if not softmax:
        return found
    with torch.no_grad():
        seen = found(images[:8])
    shares = bool((seen >= 0).all()) and torch.allclose(
        seen.sum(1), torch.ones(len(seen)), atol=1e-4
    )
    return Logs(found) if shares else found
