"""Modules of a user as attacks want them: any number of images, logits at the end."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from hwsim.compiler.exported import batch_of, exported_graph


class FixedBatch(nn.Module):
    """A graph that was exported for ``batch`` images, for any number of them."""

    def __init__(self, graph: nn.Module, batch: int) -> None:
        super().__init__()
        self.graph, self.batch = graph, batch

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) -> (N, classes); the last piece is filled up with its first image."""
        found = []
        for piece in x.split(self.batch):
            filled = torch.cat([piece, piece[:1].expand(self.batch - len(piece), *piece.shape[1:])])
            found.append(self.graph(filled)[: len(piece)])
        return torch.cat(found) if found else self.graph(x.new_zeros(self.batch, *x.shape[1:]))[:0]


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
    found: nn.Module = module if isinstance(module, nn.Module) else exported_graph(module)
    if isinstance(module, ExportedProgram):
        graph = exported_graph(module)
        count = batch_of(graph)
        found = FixedBatch(graph, count) if count else graph
    found = found.eval().requires_grad_(False)
    if not softmax:
        return found
    with torch.no_grad():
        seen = found(images[:8])
    shares = bool((seen >= 0).all()) and torch.allclose(
        seen.sum(1), torch.ones(len(seen)), atol=1e-4
    )
    return Logs(found) if shares else found
