"""Operations grouped into what the engine executes: layers with everything that fuses into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.compiler.operations import F64, Affine, Mac, Op, Pool, Relu
from hwsim.errors import CompileError
from hwsim.program.program import PoolLayer, Shape


@dataclass
class Front:
    """What stands before the first layer: a normalization x · scale + offset, and pools.

    shape: (C, H, W) behind the pools; scale, offset: float64 of that shape.
    """

    shape: Shape
    scale: F64
    offset: F64
    pools: list[PoolLayer] = field(default_factory=list)

    def absorb(self, op: Op) -> None:
        """Take in the next operation. Raises CompileError if it cannot stand here."""
        if isinstance(op, Affine):
            self.scale = self.scale * op.scale.reshape(self.shape)
            self.offset = self.offset * op.scale.reshape(self.shape) + op.offset.reshape(self.shape)
        elif isinstance(op, Relu) and (np.any(self.scale != 1) or np.any(self.offset != 0)):
            raise CompileError(
                f"{op.path}: ReLU directly on the normalized input: put a layer between them"
            )
        elif isinstance(op, Pool):
            scale = _channel_values(op.path, self.scale)
            offset = _channel_values(op.path, self.offset)
            if np.any(scale <= 0):
                raise CompileError(
                    f"{op.path}: pooling after a negative scale of the input does not commute: "
                    "pool first"
                )
            self.pools.append(_pool_layer(op, self.shape))
            self.shape = self.pools[-1].out_shape
            self.scale = np.broadcast_to(scale[:, None, None], self.shape)
            self.offset = np.broadcast_to(offset[:, None, None], self.shape)

    def folded(self, mac: Mac) -> tuple[float, F64]:
        """(scale, offset of each fan-in position) that ``mac`` has to absorb."""
        scale = float(self.scale.flat[0])
        if np.any(self.scale != scale):
            raise CompileError(
                f"{mac.path}: the input is normalized with a different std per channel, which "
                "shared weights cannot absorb: use one std for all channels"
            )
        if scale == 0:
            raise CompileError(f"{mac.path}: the input is multiplied by 0: remove that")
        if not np.any(self.offset):
            return scale, np.zeros(mac.spec.fan_in)
        if not mac.conv:
            return scale, self.offset.reshape(-1)
        if mac.padding:
            raise CompileError(
                f"{mac.path}: an input mean cannot be folded into a padded convolution (its "
                "zeros would stand for the mean): drop the mean, or use padding=0"
            )
        return scale, np.repeat(_channel_values(mac.path, self.offset), mac.kernel**2)


@dataclass
class OpGroup:
    """One layer and what fuses into it: relu((W x + bias) · scale + offset), then the pools.

    mac: a Linear if it is one, even where the module says convolution. in_shape, shape: (C, H, W)
    before the layer and behind the pools. scale, offset: float64 (n_out,). samples: calibration
    values of the output. flat: whether it was flattened.
    """

    mac: Mac
    in_shape: Shape
    shape: Shape
    scale: F64
    offset: F64
    samples: NDArray[np.float32]
    relu: bool = False
    flat: bool = False
    pools: list[PoolLayer] = field(default_factory=list)

    def absorb(self, op: Op) -> None:
        """Take in an operation behind the layer. Raises CompileError if it cannot stand here."""
        if isinstance(op, Relu):
            self.relu = True
        elif isinstance(op, Pool):
            self.pools.append(_pool_layer(op, self.shape))
            self.shape = self.pools[-1].out_shape
        elif isinstance(op, Affine):
            if self.relu or self.pools:
                why = "ReLU cannot be folded"
                if not self.relu:
                    why = "pooling does not commute with a negative scale"
                raise CompileError(
                    f"{op.path}: batch norm or arithmetic after {why}: put it directly behind the "
                    "layer"
                )
            scale = _channel_values(op.path, op.scale.reshape(self.shape))
            offset = _channel_values(op.path, op.offset.reshape(self.shape))
            self.scale, self.offset = self.scale * scale, self.offset * scale + offset
        self.samples = op.samples
        self.flat = len(op.shape) == 1


def group(operations: Sequence[Op], image_shape: Shape) -> tuple[Front, list[OpGroup]]:
    """The stages of a network, the last of which gives the logits. Raises CompileError."""
    front = Front(image_shape, np.ones(image_shape), np.zeros(image_shape))
    stages: list[OpGroup] = []
    for op in operations:
        if isinstance(op, Mac):
            if stages and not stages[-1].relu:
                raise CompileError(
                    f"{stages[-1].mac.path}: a hidden layer must be followed by ReLU before "
                    f"{op.path}"
                )
            stages.append(_stage(op, stages[-1].shape if stages else front.shape))
        elif stages:
            stages[-1].absorb(op)
        else:
            front.absorb(op)
    if not stages:
        raise CompileError("the network has no Linear or Conv2d layer: there is nothing to run")
    _check_output(stages[-1])
    return front, stages


def _stage(mac: Mac, in_shape: Shape) -> OpGroup:
    n, flat = mac.spec.n_out, not mac.conv
    shape: Shape = (n, mac.shape[1], mac.shape[2]) if mac.conv else (n, 1, 1)
    if mac.conv and in_shape[1:] == (mac.kernel, mac.kernel) and mac.padding == 0:
        # As large as its map, it is a Linear: its fan-in runs over (c, y, x) in the same order.
        mac = replace(mac, conv=False, kernel=0, stride=0, padding=0)
    return OpGroup(mac, in_shape, shape, np.ones(n), np.zeros(n), mac.samples, flat=flat)


def _check_output(stage: OpGroup) -> None:
    mac = stage.mac
    if stage.relu or stage.pools or np.any(stage.scale != 1) or np.any(stage.offset != 0):
        raise CompileError(
            f"{mac.path}: the last layer must produce the logits: remove the ReLU, pooling, batch "
            "norm or arithmetic after it"
        )
    if mac.conv or not stage.flat:
        raise CompileError(
            f"{mac.path}: the last layer must be Linear, or an unpadded convolution as large as "
            "its map followed by nn.Flatten"
        )


def _channel_values(path: str, values: F64) -> F64:
    """(C, H, W) -> (C,) for values that are the same all over each channel."""
    first = values[:, 0, 0]
    if np.any(values != first[:, None, None]):
        raise CompileError(
            f"{path}: scales or shifts the pixels of one channel differently: use one value per "
            "channel, and batch norm before nn.Flatten"
        )
    return first


def _pool_layer(op: Pool, shape: Shape) -> PoolLayer:
    channels, height, width = shape
    k, s = op.kernel, op.stride
    return PoolLayer(op.path, shape, (channels, (height - k) // s + 1, (width - k) // s + 1), k, s)
