"""The accumulators of any weighted layer: padding written, groups apart, by proved kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine.depthwise import Depthwise
from hwsim.engine.depthwise_lanes import DepthwiseLanes, fills_vectors
from hwsim.engine.forms import even, group_of, is_depthwise, surround
from hwsim.engine.kernel_proof import Checked
from hwsim.engine.kernels import Kernel
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import MacLayer

#: Kernels whose sums take 8 bytes; those of the others take 4.
WIDE = ("float64", "int64")


class Sums:
    """Called with maps (N, H, W, C) it gives exact sums (N, OH, OW, n_out).

    Thread-safe. fallen: whether a kernel was given up on this CPU. lanes: what computes codes as
    well, without sums in memory, where there is such a kernel.
    """

    def __init__(self, layer: MacLayer, config: EngineConfig, trusted: frozenset[Kernel]) -> None:
        self.layer, self._form = layer, even(layer)
        self.ways: list[Checked] = []
        self._own: Depthwise | None = None
        self.lanes: DepthwiseLanes | None = None
        if is_depthwise(layer) and fills_vectors(layer, config.act_max):
            self.lanes = DepthwiseLanes(layer)
        elif is_depthwise(layer):
            self._own = Depthwise(self._form, config.act_max)
        elif layer.groups > 1:
            groups = (group_of(self._form, number) for number in range(layer.groups))
            self.ways = [Checked(one, config, trusted) for one in groups]
        else:
            self.ways = [Checked(self._form, config, trusted)]

    @property
    def fallen(self) -> bool:
        return any(way.fallen for way in self.ways)

    @property
    def word(self) -> int:
        """Bytes of a sum with the kernels that are in use now."""
        if self._own is not None:
            return 8
        return 8 if any(way.way.kernel in WIDE for way in self.ways) else 4

    def __call__(self, maps: NDArray[Any]) -> NDArray[Any]:
        if self.lanes is not None:
            return self.lanes.sums(maps)
        source = as_nchw(maps if self._form is self.layer else surround(self.layer, maps))
        if self._own is not None:
            return self._own(source)
        if len(self.ways) == 1:
            return self.ways[0](source)
        width = source.shape[1] // len(self.ways)
        parts = [
            way(source[:, start : start + width])
            for way, start in zip(self.ways, range(0, source.shape[1], width), strict=True)
        ]
        return np.concatenate(parts, 3)


def as_nchw(maps: NDArray[Any]) -> Tensor:
    """A channels-last torch view of an (N, H, W, C) array; no copy."""
    return torch.from_numpy(maps).permute(0, 3, 1, 2)
