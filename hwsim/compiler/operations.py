"""The operations that the engine knows, as float functions: what tracing finds and stages group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hwsim.numbers.hashing import HashSpec, table

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Op:
    """One step of the network.

    path: where it stands in the module. shape: of its output, without the batch axis. samples:
    float32, some of the values that it gave on the calibration images.
    """

    path: str
    shape: tuple[int, ...]
    samples: NDArray[np.float32]

    def apply(self, x: Tensor) -> Tensor:
        """What the operation means, in float: (N, …) -> (N, *shape)."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Mac(Op):
    """A convolution, or a Linear where ``conv`` is false: W x + bias.

    spec: how the weights are shared; real: float64 (K,), the real weights in address order; bias:
    float64 (n_out,). kernel, stride and padding are 0 for a Linear.
    """

    spec: HashSpec
    real: F64
    bias: F64
    conv: bool
    kernel: int = 0
    stride: int = 0
    padding: int = 0

    def apply(self, x: Tensor) -> Tensor:
        address, negative = table(self.spec)
        words = self.real.astype(np.float32)
        weight = torch.from_numpy(np.where(negative, -words[address], words[address]))
        bias = torch.from_numpy(self.bias.astype(np.float32))
        if not self.conv:
            return F.linear(x, weight, bias)
        weight = weight.view(self.spec.n_out, -1, self.kernel, self.kernel)
        return F.conv2d(x, weight, bias, self.stride, self.padding)


@dataclass(frozen=True, eq=False)
class Affine(Op):
    """x · scale + offset, from batch norm or arithmetic; float64, each of ``shape``."""

    scale: F64
    offset: F64

    def apply(self, x: Tensor) -> Tensor:
        return (x * torch.tensor(self.scale) + torch.tensor(self.offset)).to(x.dtype)


class Relu(Op):
    """max(x, 0)."""

    def apply(self, x: Tensor) -> Tensor:
        return F.relu(x)


@dataclass(frozen=True, eq=False)
class Pool(Op):
    """Max-pool without padding."""

    kernel: int
    stride: int

    def apply(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel, self.stride)


class Flatten(Op):
    """(N, C, H, W) -> (N, C·H·W)."""

    def apply(self, x: Tensor) -> Tensor:
        return x.flatten(1)


@dataclass(frozen=True, eq=False)
class Pad(Op):
    """Zeros around a map; the engine has it as padding of a convolution only.

    sides: of (left, right, top, bottom), each at least 0. before: the shape that it takes; samples
    are those of its input, since zeros choose no binary point.
    """

    sides: tuple[int, ...]
    before: tuple[int, ...]

    def apply(self, x: Tensor) -> Tensor:
        return F.pad(x, self.sides)


@dataclass(frozen=True, eq=False)
class Copies(Op):
    """(N, C, 1, 1) -> (N, C, H, W): every pixel of the output is the one of its channel.

    before: the shape that it takes; samples are those of its input.
    """

    before: tuple[int, ...]

    @property
    def count(self) -> int:
        """Copies of each pixel."""
        return self.shape[1] * self.shape[2]

    def apply(self, x: Tensor) -> Tensor:
        return x.expand(-1, *self.shape)
