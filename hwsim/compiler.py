"""torch.nn.Module + calibration images -> Program: choose binary points, quantize, prove, place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.config import EngineConfig, load_config
from hwsim.errors import CompileError
from hwsim.fixedpoint import (
    activation_frac,
    multiplier_and_shift,
    quantize,
    round_half_up,
    weight_frac,
)
from hwsim.hashing import HashSpec, table
from hwsim.program import Layer, MacLayer, PoolLayer, Program, Shape
from hwsim.proof import check
from hwsim.tracing import Op, is_hashed, trace_chain

F64 = NDArray[np.float64]


@dataclass
class _Stage:
    """One Linear or convolution with everything that fuses into its requantization."""

    mac: Op
    input: Op | None
    in_shape: Shape
    scale: F64 = field(default_factory=lambda: np.ones(1))  # per output channel, from batch norm
    offset: F64 = field(default_factory=lambda: np.zeros(1))
    relu: bool = False
    pools: list[Op] = field(default_factory=list)
    output: Op | None = None


def compile(
    module: nn.Module,
    calibration: Tensor,
    config: EngineConfig | str = "default",
    *,
    provenance: dict[str, Any] | None = None,
) -> Program:
    """Compile a trained network for the engine.

    module: a chain of Conv2d, Linear, their hashed versions, ReLU, MaxPool2d, BatchNorm, Flatten
    and Dropout, in any of torch's spellings. calibration: float32 images (N, C, H, W) in [0, 1]
    from the training distribution; binary points are chosen from them. config: an EngineConfig or
    the name of a shipped one. Returns a checked Program. Raises CompileError, naming the module
    path, for anything the engine cannot run exactly.
    """
    engine = load_config(config) if isinstance(config, str) else config
    _check_calibration(calibration)
    operations = trace_chain(module, calibration.to(torch.float32))
    shape: Shape = tuple(calibration.shape[1:])  # type: ignore[assignment]
    front, scale, offset, stages = _stages(operations, shape)
    layers: list[Layer] = list(front)
    frac = engine.act_w
    for position, stage in enumerate(stages):
        last = position == len(stages) - 1
        gain, shift = np.ones(1), np.zeros(1)
        if position == 0:
            _check_normalization(stage, scale, offset)
            gain = scale * 2.0**engine.act_w / engine.act_max
            shift = offset
        layer = _quantize(stage, engine, frac, last, gain, shift)
        layers.append(layer)
        frac = layer.fa_out
        map_shape = layer.out_shape
        for op in stage.pools:
            layers.append(_pool_layer(op, map_shape))
            map_shape = layers[-1].out_shape
    program = Program(engine, tuple(layers), shape, provenance or {})
    check(program)
    return program


def _check_calibration(images: Tensor) -> None:
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        raise CompileError("calibration must be a float tensor of shape (N, C, H, W)")
    if len(images) == 0:
        raise CompileError("calibration holds no images")
    if not bool(torch.isfinite(images).all()):
        raise CompileError("calibration images contain NaN or infinity")
    if float(images.min()) < 0 or float(images.max()) > 1:
        raise CompileError(
            "calibration images must lie in [0, 1]: move a Normalize into the module, where it "
            "is folded"
        )


def _stages(operations: list[Op], shape: Shape) -> tuple[list[PoolLayer], F64, F64, list[_Stage]]:
    """Group operations: (pools before the first layer, input scale and offset, stages)."""
    front: list[PoolLayer] = []
    scale, offset = np.ones(1), np.zeros(1)
    stages: list[_Stage] = []
    current_shape = shape
    previous: Op | None = None
    for op in operations:
        stage = stages[-1] if stages else None
        if op.kind == "mac":
            if stage is not None and not stage.relu:
                raise CompileError(
                    f"{stage.mac.path}: a hidden layer must be followed by ReLU before {op.path}"
                )
            stages.append(_Stage(op, previous, current_shape))
        elif op.kind == "affine":
            if stage is not None:
                raise CompileError(
                    f"{op.path}: arithmetic between layers cannot run on the engine: only a "
                    "normalization of the input is folded"
                )
            scale, offset = scale * op.scale, offset * op.scale + op.offset
        elif op.kind == "pool":
            if stage is None:
                front.append(_pool_layer(op, current_shape))
            else:
                stage.pools.append(op)
        elif op.kind == "norm":
            _fold_norm(stage, op)
        elif op.kind == "relu" and stage is not None:
            stage.relu = True
        elif op.kind == "relu" and (np.any(scale != 1) or np.any(offset != 0)):
            raise CompileError(f"{op.path}: ReLU directly on the normalized input")
        if len(op.shape) == 3:
            current_shape = op.shape  # type: ignore[assignment]
        elif op.kind == "mac":
            current_shape = (op.shape[0], 1, 1)
        if stages:
            stages[-1].output = op
        previous = op
    if not stages:
        raise CompileError("the network has no Linear or Conv2d layer")
    final = stages[-1]
    if final.relu or final.pools or np.any(final.scale != 1) or np.any(final.offset != 0):
        raise CompileError(
            f"{final.mac.path}: the last layer must produce the logits: remove the ReLU, pooling "
            "or batch norm after it"
        )
    return front, scale, offset, stages


def _fold_norm(stage: _Stage | None, op: Op) -> None:
    if stage is None:
        raise CompileError(f"{op.path}: batch norm on the input: put it after a layer")
    if stage.relu:
        raise CompileError(
            f"{op.path}: batch norm after ReLU cannot be folded: put it between layer and ReLU"
        )
    if stage.pools:
        raise CompileError(
            f"{op.path}: batch norm after pooling does not commute with a negative scale: "
            "put it before the pooling"
        )
    norm = op.module
    if norm.running_mean is None:
        raise CompileError(f"{op.path}: batch norm without running statistics")
    mean = norm.running_mean.double().numpy()
    deviation = np.sqrt(norm.running_var.double().numpy() + norm.eps)
    gamma = norm.weight.detach().double().numpy() if norm.affine else np.ones_like(mean)
    beta = norm.bias.detach().double().numpy() if norm.affine else np.zeros_like(mean)
    slope = gamma / deviation
    stage.scale = stage.scale * slope
    stage.offset = stage.offset * slope + beta - mean * slope


def _check_normalization(stage: _Stage, scale: F64, offset: F64) -> None:
    if np.unique(scale).size > 1:
        raise CompileError(
            f"{stage.mac.path}: the input is normalized with a different std per channel, which "
            "shared weights cannot absorb: use one std for all channels"
        )
    if scale.flat[0] <= 0:
        raise CompileError(f"{stage.mac.path}: the input normalization must have a positive std")
    padding = getattr(stage.mac.module, "padding", 0)
    padded = any(padding) if isinstance(padding, tuple) else padding != 0
    if np.any(offset != 0) and padded:
        raise CompileError(
            f"{stage.mac.path}: an input mean cannot be folded into a padded convolution (its "
            "zeros would stand for the mean): drop the mean, or use padding=0"
        )


def _pool_layer(op: Op, shape: Shape) -> PoolLayer:
    kernel, stride = op.pool
    channels, height, width = shape
    if kernel > min(height, width):
        raise CompileError(f"{op.path}: a {kernel}x{kernel} window does not fit {height}x{width}")
    out = (channels, (height - kernel) // stride + 1, (width - kernel) // stride + 1)
    return PoolLayer(op.path, shape, out, kernel, stride)


def _geometry(stage: _Stage) -> tuple[str, int, int, int]:
    """(kind, kernel, stride, padding) of a stage's layer."""
    module, path = stage.mac.module, stage.mac.path
    if len(stage.mac.shape) == 1:
        if stage.input is not None and len(stage.input.shape) == 3:
            raise CompileError(f"{path}: Linear on an unflattened feature map: add nn.Flatten")
        return "fc", 0, 0, 0
    if not hasattr(module, "kernel_size"):
        raise CompileError(f"{path}: Linear on an unflattened feature map: add nn.Flatten")
    if getattr(module, "groups", 1) != 1 or set(_pair(getattr(module, "dilation", 1))) != {1}:
        raise CompileError(f"{path}: grouped or dilated convolutions cannot run on the engine")
    if getattr(module, "padding_mode", "zeros") != "zeros" or isinstance(module.padding, str):
        raise CompileError(f"{path}: only a number of zeros may be given as padding")
    numbers = []
    for name in ("kernel_size", "stride", "padding"):
        pair = _pair(getattr(module, name))
        if len(set(pair)) != 1:
            raise CompileError(f"{path}: {name} must be the same on both axes, got {pair}")
        numbers.append(pair[0])
    return "conv", numbers[0], numbers[1], numbers[2]


def _pair(value: Any) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _real_weights(stage: _Stage) -> tuple[HashSpec, F64]:
    """The layer's sharing and its float ROM words, in address order."""
    module = stage.mac.module
    weight = module.weight.detach().double().numpy()
    if not np.isfinite(weight).all():
        raise CompileError(f"{stage.mac.path}: weights contain NaN or infinity")
    if is_hashed(module):
        return module.spec, weight.reshape(-1)
    matrix = weight.reshape(len(weight), -1)
    spec = HashSpec("dense", matrix.shape[0], matrix.shape[1], matrix.size)
    return spec, matrix.T.reshape(-1)


def _quantize(
    stage: _Stage, config: EngineConfig, fa_in: int, last: bool, gain: F64, shift: F64
) -> MacLayer:
    """Quantize one stage; the layer sees gain · x + shift instead of its input x."""
    path = stage.mac.path
    kind, kernel, stride, padding = _geometry(stage)
    spec, real = _real_weights(stage)
    if last:
        # Logits are not rescaled, so a single-layer network carries the input gain in its weights.
        real = real * gain
    address, negative = table(spec)
    counts = np.bincount(address.reshape(-1), minlength=spec.real_weights)
    fw = weight_frac(real, counts, config.wgt_max)
    words = quantize(real, fw, config.wgt_max).astype(np.int32)

    module = stage.mac.module
    bias = np.zeros(spec.n_out)
    if module.bias is not None:
        bias = module.bias.detach().double().numpy().copy()
    virtual = np.where(negative, -words[address], words[address]).astype(np.float64)
    if np.any(shift != 0):
        # shift is per input channel; the fan-in runs channel by channel.
        per_input = np.broadcast_to(shift, (stage.in_shape[0],))
        per_fan_in = np.repeat(per_input, spec.fan_in // stage.in_shape[0])
        scale_back = gain if last else np.ones(1)
        bias += np.ldexp(virtual @ per_fan_in, -fw) / scale_back
    out_shape: Shape = (
        (spec.n_out, 1, 1) if kind == "fc" else stage.mac.shape  # type: ignore[assignment]
    )
    common = dict(
        name=path, kind=kind, in_shape=stage.in_shape, out_shape=out_shape, kernel=kernel,
        stride=stride, padding=padding, spec=spec, weights=words, fw=fw, fa_in=fa_in,
    )  # fmt: skip
    none = np.zeros(spec.n_out, np.int32)
    if last:
        fixed = round_half_up(np.ldexp(bias, fa_in + fw))
        return MacLayer(
            **common, fa_out=fa_in + fw, multiplier=none, shift=none, bias=fixed, last=True
        )
    assert stage.output is not None
    fa_out = activation_frac(np.maximum(stage.output.samples, 0), config.act_w)
    scale = np.broadcast_to(stage.scale, (spec.n_out,))
    offset = np.broadcast_to(bias * stage.scale + stage.offset, (spec.n_out,))
    bound = config.act_max * np.maximum(
        np.maximum(virtual, 0).sum(1), np.maximum(-virtual, 0).sum(1)
    )
    post = [
        _requantize(path, c, float(scale[c] * gain.flat[0]), float(offset[c]), int(bound[c]),
                    fa_in + fw, fa_out, config)
        for c in range(spec.n_out)
    ]  # fmt: skip
    m, s, b = (np.array(column) for column in zip(*post, strict=True))
    return MacLayer(
        **common, fa_out=fa_out, multiplier=m.astype(np.int32), shift=s.astype(np.int32),
        bias=b.astype(np.int64), last=False,
    )  # fmt: skip


def _requantize(
    path: str, channel: int, scale: float, offset: float, bound: int, frac_acc: int, frac_out: int,
    config: EngineConfig,
) -> tuple[int, int, int]:  # fmt: skip
    """(m, s, b) of one channel: (acc·m + b) >> s rounds (acc·2^-frac_acc·scale + offset)·2^frac_out.

    Takes the largest shift, hence the finest multiplier, for which nothing can overflow.
    """
    width = config.acc_w + config.mult_w
    ratio = np.ldexp(scale, frac_out - frac_acc)
    limit = width - 1
    while limit >= 0:
        found = multiplier_and_shift(float(ratio), config.mult_w, limit)
        if found is None:
            break
        m, s = found
        b = int(np.floor(np.ldexp(offset, frac_out + s) + 0.5)) + ((1 << (s - 1)) if s else 0)
        if bound * abs(m) + abs(b) < 1 << (width - 1):
            return m, s, b
        limit = s - 1
    raise CompileError(
        f"{path}: channel {channel} scales by {ratio:.3g} (offset {offset:.3g}), which does not "
        f"fit a {config.mult_w}-bit multiplier and {width}-bit bias"
    )
