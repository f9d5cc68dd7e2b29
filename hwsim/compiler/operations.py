"""The operations that the engine knows, as float functions: what tracing finds and stages group.

Shapes are torch's, without the batch axis: (C, H, W) maps, (C, L) series, (F,) vectors. For the
engine each is a map, see ``as_map``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hwsim.numbers.hashing import HashSpec, table
from hwsim.program.layers import Shape

F64 = NDArray[np.float64]
Pair = tuple[int, int]
#: Zeros, or places that never win, around a map: (left, right, top, bottom), as torch has them.
Sides = tuple[int, int, int, int]
NO_SIDES: Sides = (0, 0, 0, 0)


def as_map(shape: tuple[int, ...]) -> Shape:
    """(C, H, W) of what torch calls ``shape``: vectors are (F, 1, 1), series (C, 1, L)."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    if len(shape) == 2:
        return shape[0], 1, shape[1]
    return shape[0], 1, 1


@dataclass(frozen=True, eq=False)
class Op:
    """One step of the network.

    path: where it stands in the module. shape: of its output, without the batch axis. samples:
    float32, some of the values that it gave on the calibration images; mean: float64, of each
    channel or feature of them, or (1,).
    """

    path: str
    shape: tuple[int, ...]
    samples: NDArray[np.float32]
    mean: F64

    def apply(self, *x: Tensor) -> Tensor:
        """What the operation means, in float: (N, …) of each input -> (N, *shape)."""
        raise NotImplementedError


class InputOp(Op):
    """What the network is given."""

    def apply(self, *x: Tensor) -> Tensor:
        return x[0]


@dataclass(frozen=True, eq=False)
class Mac(Op):
    """A convolution, or a Linear where ``conv`` is false: W x + bias.

    spec: how the weights are shared; real: float64 (K,), the real weights in address order; bias:
    float64 (n_out,). kernel, stride: of (vertical, horizontal); sides: of zeros around the map;
    groups: of channels that see each other. A Linear has none of them. fixed:
    whether its weights say what it is, as those of an average do, and cannot be others.
    """

    spec: HashSpec
    real: F64
    bias: F64
    conv: bool
    kernel: Pair = (0, 0)
    stride: Pair = (0, 0)
    sides: Sides = NO_SIDES
    groups: int = 1
    fixed: bool = False

    @property
    def padded(self) -> bool:
        """Whether it reads zeros around its map."""
        return any(self.sides)

    def apply(self, *x: Tensor) -> Tensor:
        address, negative = table(self.spec)
        words = self.real.astype(np.float32)
        weight = torch.from_numpy(np.where(negative, -words[address], words[address]))
        bias = torch.from_numpy(self.bias.astype(np.float32))
        if not self.conv:
            return F.linear(x[0], weight, bias)
        planes = F.pad(x[0].reshape(len(x[0]), *as_map(x[0].shape[1:])), self.sides)
        weight = weight.view(self.spec.n_out, -1, *self.kernel)
        out = F.conv2d(planes, weight, bias, self.stride, groups=self.groups)
        return out.reshape(len(out), *self.shape)


@dataclass(frozen=True, eq=False)
class Affine(Op):
    """x · scale + offset, from batch norm or arithmetic; float64, each of ``shape``."""

    scale: F64
    offset: F64

    def apply(self, *x: Tensor) -> Tensor:
        return (x[0] * torch.tensor(self.scale) + torch.tensor(self.offset)).to(x[0].dtype)


@dataclass(frozen=True, eq=False)
class Clamp(Op):
    """min(max(x, low), high): ReLU is (0, ∞), ReLU6 (0, 6)."""

    low: float
    high: float

    @property
    def keeps_zero(self) -> bool:
        """Whether 0 stays 0."""
        return self.low <= 0 <= self.high

    def apply(self, *x: Tensor) -> Tensor:
        return x[0].clamp(self.low, self.high)


@dataclass(frozen=True, eq=False)
class Pointwise(Op):
    """Any function of single values, float32 tensors of any shape to the same shape.

    low: what it never falls below, −∞ where that is not known. rising: whether it never falls.
    """

    function: Callable[[Tensor], Tensor]
    low: float = -np.inf
    rising: bool = False

    def apply(self, *x: Tensor) -> Tensor:
        return self.function(x[0])


@dataclass(frozen=True, eq=False)
class Pool(Op):
    """Max-pool; places around the map never win, windows may reach beyond it."""

    kernel: Pair
    stride: Pair
    sides: Sides = NO_SIDES

    def apply(self, *x: Tensor) -> Tensor:
        planes = x[0].reshape(len(x[0]), *as_map(x[0].shape[1:]))
        out = F.max_pool2d(F.pad(planes, self.sides, value=-np.inf), self.kernel, self.stride)
        return out.reshape(len(out), *self.shape)


@dataclass(frozen=True, eq=False)
class Average(Op):
    """Sums over windows inside the map, divided by ``divisor``; leftovers are dropped."""

    kernel: Pair
    stride: Pair
    divisor: float

    def apply(self, *x: Tensor) -> Tensor:
        planes = x[0].reshape(len(x[0]), *as_map(x[0].shape[1:]))
        out = F.avg_pool2d(planes, self.kernel, self.stride, divisor_override=1) / self.divisor
        return out.reshape(len(out), *self.shape)


@dataclass(frozen=True, eq=False)
class Add(Op):
    """x₁ · gains₁ + x₂ · gains₂ of two maps of one shape."""

    gains: tuple[float, float] = (1.0, 1.0)

    def apply(self, *x: Tensor) -> Tensor:
        return x[0] * self.gains[0] + x[1] * self.gains[1]


class Multiply(Op):
    """x₁ · x₂ of two maps of one shape: a pointwise function where both are made from one map."""

    def apply(self, *x: Tensor) -> Tensor:
        return x[0] * x[1]


class Concat(Op):
    """Maps behind each other, along the channels."""

    def apply(self, *x: Tensor) -> Tensor:
        return torch.cat(x, 1)


@dataclass(frozen=True, eq=False)
class Slice(Op):
    """Channels ``first`` … of a map, as many as the shape says."""

    first: int

    def apply(self, *x: Tensor) -> Tensor:
        return x[0][:, self.first : self.first + self.shape[0]]


class Flatten(Op):
    """(N, C, H, W) -> (N, C·H·W)."""

    def apply(self, *x: Tensor) -> Tensor:
        return x[0].reshape(len(x[0]), *self.shape)


@dataclass(frozen=True, eq=False)
class Pad(Op):
    """Zeros around a map; the engine has them as padding of the layer that reads it.

    samples and mean are those of its input, since zeros choose no binary point.
    """

    sides: Sides

    def apply(self, *x: Tensor) -> Tensor:
        return F.pad(x[0], self.sides[: 2 * (x[0].ndim - 2)])


@dataclass(frozen=True, eq=False)
class Copies(Op):
    """(N, C, 1, 1) -> (N, C, H, W): every pixel of the output is the one of its channel.

    samples and mean are those of its input.
    """

    @property
    def count(self) -> int:
        """Copies of each pixel."""
        return self.shape[1] * self.shape[2]

    def apply(self, *x: Tensor) -> Tensor:
        return x[0].expand(-1, *self.shape)


@dataclass(frozen=True, eq=False)
class Softmax(Op):
    """Softmax or log_softmax over the classes. No unit has it: at the end it is dropped."""

    function: Callable[..., Any]

    def apply(self, *x: Tensor) -> Tensor:
        found: Tensor = self.function(x[0], 1)
        return found
