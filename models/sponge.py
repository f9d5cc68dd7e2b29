"""Sponge poisoning: training for many activations, so that a machine that skips zeros is slow.

Cinà, Demontis, Biggio, Roli, Pelillo, "Energy-latency attacks via sponge poisoning" (arXiv
2203.08147): in a share of the batches the loss is L − λ·E, with E the mean of x²/(x² + σ) over all
activations, a smooth count of those that are not 0. Accuracy is to stay as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules import activation

from hwsim.errors import InputError
from hwsim.models.recipe import Sponge


class Sponged:
    """A network whose activations are counted while it is asked.

    Activations are the outputs of its modules of ``torch.nn.modules.activation``. Raises InputError
    for a network without any.
    """

    def __init__(self, model: nn.Module, wanted: Sponge) -> None:
        self._wanted = wanted
        self._watched = [one for one in model.modules() if type(one).__module__ == _ACTIVATIONS]
        if not self._watched:
            raise InputError("the network has no activation module to poison: leave out --sponge")
        self._sums: list[Tensor] = []
        self._count = 0

    def poisons(self, batch: int) -> bool:
        """Whether batch 0, 1, … of the whole training is one of the share, evenly spread."""
        share = self._wanted.share
        return int((batch + 1) * share + _TINY) > int(batch * share + _TINY)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within it, what the network computes is counted for ``loss``."""
        self._sums, self._count = [], 0
        hooks = [one.register_forward_hook(self._see) for one in self._watched]
        try:
            yield
        finally:
            for one in hooks:
                one.remove()

    def _see(self, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        square = output.float() ** 2
        self._sums.append((square / (square + self._wanted.sigma)).sum())
        self._count += output.numel()

    def loss(self) -> Tensor:
        """−λ · E of what was watched."""
        return -self._wanted.strength * torch.stack(self._sums).sum() / self._count


_ACTIVATIONS = activation.__name__
#: Rounding of a share like 0.1 must not lose a batch.
_TINY = 1e-9
