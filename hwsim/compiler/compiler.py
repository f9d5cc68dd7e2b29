"""torch.nn.Module + calibration images -> Program: choose binary points, quantize, prove, place."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.compiler.fuse import Front, OpGroup, group
from hwsim.compiler.fx_trace import trace_chain
from hwsim.compiler.operations import F64
from hwsim.compiler.rounding import UnevenChannelsWarning, channel_loss
from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.fixedpoint import (
    activation_frac,
    multiplier_and_shift,
    nearest,
    quantize,
    weight_frac,
)
from hwsim.numbers.hashing import table
from hwsim.program.program import Layer, MacLayer, Program, Shape
from hwsim.program.proof import check


def compile(
    module: nn.Module,
    calibration: Tensor,
    config: EngineConfig | str = "default",
    *,
    provenance: dict[str, Any] | None = None,
) -> Program:
    """Compile a trained network for the engine.

    Parameters
    ----------
    module : torch.nn.Module
        A chain of Conv2d, Linear, their hashed versions, ReLU, MaxPool2d, BatchNorm, Flatten and
        Dropout, in any of torch's spellings, with whatever changes nothing between them. It is
        left as it was. DataParallel, AveragedModel and what torch.compile gives are looked
        through; pruned and parametrized layers have the weights that they compute.
    calibration : torch.Tensor
        Float images (N, C, H, W) in [0, 1] from the training distribution; binary points are
        chosen from them.
    config : EngineConfig or str
        The engine, or the name of a shipped configuration.
    provenance : dict, optional
        Where the network came from; kept in the image.

    Returns
    -------
    Program
        Checked, and the same for the same arguments.

    Raises
    ------
    CompileError
        Naming the module path, for anything that the engine cannot run exactly.

    Warns
    -----
    UnevenChannelsWarning
        Where channels of one layer differ so much that its one binary point loses some of them.
    """
    engine = load_config(config) if isinstance(config, str) else config
    images = checked(calibration)
    shape: Shape = (images.shape[1], images.shape[2], images.shape[3])
    front, stages = group(trace_chain(module, images), shape)
    program = assemble(front, stages, engine, shape, provenance=provenance)
    for stage, layer in zip(stages, program.mac_layers, strict=True):
        if (loss := channel_loss(stage, layer, engine)).is_uneven:
            warnings.warn(loss.told(layer.name), UnevenChannelsWarning, stacklevel=2)
    return program


def assemble(
    front: Front,
    stages: Sequence[OpGroup],
    config: EngineConfig,
    shape: Shape,
    *,
    like: Program | None = None,
    provenance: dict[str, Any] | None = None,
) -> Program:
    """The checked Program of grouped operations on images of ``shape``, (C, H, W).

    like: a Program of the same stages with other weights, whose binary points are taken; without
    one they are chosen for the least error.
    """
    layers: list[Layer] = list(front.pools)
    points: Sequence[MacLayer | None] = like.mac_layers if like else [None] * len(stages)
    gain, offset = input_gain(front, stages, config)
    frac = config.act_w
    for stage, twin in zip(stages, points, strict=True):
        layer = _quantize(stage, config, frac, stage is stages[-1], gain, offset, twin)
        layers += [layer, *stage.pools]
        gain, offset, frac = 1.0, np.zeros(1), layer.fa_out
    program = Program(config, tuple(_uniquely_named(layers)), shape, provenance or {})
    check(program)
    return program


def input_gain(front: Front, stages: Sequence[OpGroup], config: EngineConfig) -> tuple[float, F64]:
    """(gain, offset by fan-in position) of what the first layer sees, gain · a · 2^-A + offset.

    An integer pixel a is worth a / (2^A − 1); the datapath takes it for a · 2^-A.
    """
    scale, offset = front.folded(stages[0].mac)
    return scale * 2.0**config.act_w / config.act_max, offset


def checked(images: Tensor) -> Tensor:
    """Calibration images as float32 on the CPU. Raises CompileError if they are none."""
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        raise CompileError("calibration must be a float tensor of shape (N, C, H, W)")
    if images.numel() == 0:
        raise CompileError(f"calibration holds no images: its shape is {tuple(images.shape)}")
    images = images.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(images).all()):
        raise CompileError("calibration images contain NaN or infinity")
    if float(images.min()) < 0 or float(images.max()) > 1:
        raise CompileError(
            "calibration images must lie in [0, 1]: move a Normalize into the module, where it "
            "is folded"
        )
    return images


def _uniquely_named(layers: list[Layer]) -> list[Layer]:
    """A module used twice stands twice in the program: fc, then fc#2."""
    seen: dict[str, int] = {}
    named = []
    for layer in layers:
        count = seen[layer.name] = seen.get(layer.name, 0) + 1
        if count > 1:
            layer = dataclasses.replace(layer, name=f"{layer.name}#{count}")
        named.append(layer)
    return named


def _quantize(
    stage: OpGroup,
    config: EngineConfig,
    fa_in: int,
    last: bool,
    gain: float,
    offset: F64,
    like: MacLayer | None = None,
) -> MacLayer:
    """Quantize a stage whose layer sees gain · x + offset, offset by fan-in position, for its x.

    like: the same layer with other weights, whose binary points are taken.
    """
    mac, spec = stage.mac, stage.mac.spec
    # Logits are not rescaled, so a network of one layer carries the input gain in its weights.
    folded = gain if last else 1.0
    if like is None:
        address, _ = table(spec)
        counts = np.bincount(address.reshape(-1), minlength=spec.real_weights)
        fw = weight_frac(mac.real * folded, counts, config.wgt_max)
    else:
        fw = like.fw
    none = np.zeros(spec.n_out, np.int32)
    layer = MacLayer(
        name=mac.path, kind="conv" if mac.conv else "fc", in_shape=stage.in_shape,
        out_shape=(spec.n_out, mac.shape[1], mac.shape[2]) if mac.conv else (spec.n_out, 1, 1),
        kernel=mac.kernel, stride=mac.stride, padding=mac.padding, spec=spec,
        weights=quantize(mac.real * folded, fw, config.wgt_max).astype(np.int32), fw=fw,
        fa_in=fa_in, fa_out=fa_in + fw, multiplier=none, shift=none, bias=none.astype(np.int64),
        last=last,
    )  # fmt: skip
    if like is not None:
        layer.share_table(like)
    bias = mac.bias
    if np.any(offset):
        # Of the quantized weights, so that an input equal to the mean still cancels exactly.
        bias = bias + np.ldexp(layer.virtual_weights @ offset, -fw) / folded
    if last:
        words = [nearest(value, fa_in + fw) for value in bias.tolist()]
        done = dataclasses.replace(layer, bias=_int64(mac.path, words))
        done.share_table(layer)
        return done
    fa_out = like.fa_out if like else activation_frac(stage.samples, config.act_w)
    done = _requantized(
        layer, config, stage.scale * gain, bias * stage.scale + stage.offset, fa_out
    )
    done.share_table(layer)
    return done


def _requantized(
    layer: MacLayer, config: EngineConfig, scale: F64, offset: F64, fa_out: int
) -> MacLayer:
    """``layer`` with the post constants for W x · scale + offset, both by channel, at fa_out."""
    bound = layer.accumulator_bound(config.act_max).tolist()
    ratio = np.ldexp(scale, fa_out - layer.fa_in - layer.fw).tolist()
    post = []
    for channel, (r, b, reach) in enumerate(zip(ratio, offset.tolist(), bound, strict=True)):
        found = _requantize(r, b, fa_out, reach, config)
        if found is None and reach == 0:
            found = _requantize(0.0, b, fa_out, 0, config)  # its sums are 0, whatever scales them
        if found is None:
            raise CompileError(
                f"{layer.name}: channel {channel} scales its accumulator by {r:.3g} and adds "
                f"{b:.3g}, which does not fit a {config.mult_w}-bit multiplier and "
                f"{config.acc_w + config.mult_w}-bit bias: check the batch norm and the "
                "calibration images"
            )
        post.append(found)
    m, s, b = zip(*post, strict=True)
    return dataclasses.replace(
        layer, fa_out=fa_out, multiplier=np.array(m, np.int32), shift=np.array(s, np.int32),
        bias=_int64(layer.name, b),
    )  # fmt: skip


def _requantize(
    ratio: float, offset: float, fa_out: int, reach: int, config: EngineConfig
) -> tuple[int, int, int] | None:
    """(m, s, b) of one channel: (acc·m + b) >> s rounds acc·ratio + offset·2^fa_out.

    reach: largest |acc|. Takes the largest shift, hence the finest multiplier, at which nothing
    can overflow; None if there is none.
    """
    width = config.acc_w + config.mult_w
    most = width - 1
    while most >= 0:
        found = multiplier_and_shift(ratio, config.mult_w, most)
        if found is None:
            return None
        m, s = found
        b = nearest(offset, fa_out + s) + ((1 << (s - 1)) if s else 0)
        if reach * abs(m) + abs(b) < 1 << (width - 1):
            return m, s, b
        most = s - 1
    return None


def _int64(path: str, words: Any) -> NDArray[np.int64]:
    if max(abs(word) for word in words) >= 1 << 63:
        raise CompileError(f"{path}: its bias is far too large for its weights: check both")
    return np.array(words, np.int64)
