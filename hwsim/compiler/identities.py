"""What changes nothing: one table of spellings, each with the condition under which it does not.

Whatever is added to the operations that tracing may meet and drop belongs here, nowhere else.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.ao.quantization import FakeQuantizeBase, ObserverBase

from hwsim.compiler.context import Context, numbers
from hwsim.compiler.operations import Affine, Average, Op, Pad, Pool
from hwsim.compiler.read_ops import dropout_is_active

# --- conditions ---------------------------------------------------------------------------------


def _always(at: Context) -> bool:
    return True


def _same_shape(at: Context) -> bool:
    """For what keeps the order of the values, so that only the shape could change."""
    return at.shape == at.before and at.same_batch


def _still_float(at: Context) -> bool:
    """A type or device that keeps float32 values as they are."""
    return at.dtype in (torch.float32, torch.float64)


def _switched_off(at: Context) -> bool:
    return not bool(at.module.fake_quant_enabled[0])


def _no_dropout(at: Context) -> bool:
    return not dropout_is_active(at)


def _one_pixel_windows(at: Context) -> bool:
    """Windows of one pixel, one for each pixel."""
    given = at.given("kernel_size", "stride", "padding")
    divisor = at.given("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad",
                       "divisor_override").get("divisor_override")  # fmt: skip
    ones = all(numbers(given.get(name)) <= {1} for name in ("kernel_size", "stride"))
    return ones and divisor in (None, 1) and _same_shape(at)


def _same_size(at: Context) -> bool:
    """An interpolation by 1. A factor that only rounds to the same size moves pixels."""
    given = at.given("size", "scale_factor")
    return _same_shape(at) and numbers(given.get("scale_factor")) <= {1}


def _no_sides(at: Context) -> bool:
    given = at.given("padding", "pad")
    return numbers(given.get("padding")) | numbers(given.get("pad")) == {0} and _same_shape(at)


def _one_group(at: Context) -> bool:
    return bool(at.given("groups").get("groups") == 1)


def _reduces_ones(at: Context) -> bool:
    """A mean, sum or maximum over axes of size 1 that are kept; the batch axis is none of them."""
    dims = numbers(at.given("dim").get("dim"))
    batch = {0, -len(at.before) - 1}
    return _same_shape(at) and bool(dims) and not dims & batch


def _whole_slices(at: Context) -> bool:
    """Indexing that takes everything; the batch axis whatever its length."""
    index = at.args[1] if isinstance(at.args[1], tuple) else (at.args[1],)
    plain = all(part is Ellipsis or isinstance(part, slice) for part in index)
    return plain and index[0] in (Ellipsis, slice(None)) and _same_shape(at)


# --- the table ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    """Spellings that change nothing if ``holds``."""

    holds: Callable[[Context], bool]
    modules: tuple[type[nn.Module], ...] = ()
    functions: tuple[Any, ...] = ()
    methods: tuple[str, ...] = ()
    aten: tuple[str, ...] = ()


IDENTITIES = (
    Identity(
        _always,
        (
            nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
            nn.FeatureAlphaDropout, ObserverBase,
        ),
        (torch.clone, torch.detach),
        ("contiguous", "clone", "detach", "requires_grad_"),
        ("lift_fresh_copy", "lift_fresh", "alias", "detach", "clone"),
    ),
    Identity(
        _still_float, (), (), ("float", "double", "to", "type", "type_as", "cpu"), ("to_copy",)
    ),
    Identity(_switched_off, (FakeQuantizeBase,)),
    Identity(
        _no_dropout,
        (),
        (
            F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout,
            F.feature_alpha_dropout, torch.dropout,
        ),
        (),
        ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "native_dropout"),
    ),
    Identity(
        _same_shape,
        (nn.Flatten, nn.Unflatten),
        (torch.flatten, torch.reshape, torch.squeeze),
        ("view", "reshape", "flatten", "squeeze", "unflatten", "view_as", "expand", "expand_as",
         "repeat"),
    ),
    Identity(
        _one_pixel_windows,
        (nn.AvgPool2d, nn.MaxPool2d, nn.AvgPool1d, nn.MaxPool1d),
        (F.avg_pool2d, F.max_pool2d, torch.max_pool2d, F.avg_pool1d, F.max_pool1d),
        (),
        ("avg_pool2d", "max_pool2d", "avg_pool1d", "max_pool1d"),
    ),
    Identity(
        _same_shape,
        (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d),
        (F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.adaptive_avg_pool1d),
        (),
        ("adaptive_avg_pool2d", "adaptive_avg_pool1d"),
    ),
    Identity(
        _reduces_ones,
        (),
        (torch.mean, torch.amax, torch.amin, torch.sum),
        ("mean", "amax", "amin", "sum"),
    ),
    Identity(
        _same_size,
        (nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d),
        (F.interpolate, F.upsample),
        (),
        ("upsample_nearest2d", "upsample_bilinear2d"),
    ),
    # With a factor beyond 1 the number of channels changes.
    Identity(_same_shape, (nn.PixelShuffle, nn.PixelUnshuffle), (F.pixel_shuffle,)),
    Identity(_one_group, (nn.ChannelShuffle,), (F.channel_shuffle,)),
    Identity(
        _no_sides,
        (nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d,
         nn.CircularPad2d, nn.ZeroPad1d, nn.ConstantPad1d),
        (F.pad,),
        (),
        ("pad", "constant_pad_nd"),
    ),
    Identity(_whole_slices, (), (operator.getitem,)),
    Identity(_same_shape, (), (), ("narrow",), ("slice", "view", "unsafe_view")),
)  # fmt: skip


def changes_nothing(at: Context) -> bool:
    """Whether a node of the chain gives what it takes, for any image."""
    for row in IDENTITIES:
        if at.module is not None:
            known = isinstance(at.module, row.modules)
        elif isinstance(at.node.target, torch._ops.OpOverload):
            known = at.called in row.aten or at.called in row.methods
        elif at.node.op == "call_method":
            known = str(at.node.target) in row.methods
        else:
            known = at.node.target in row.functions
        if known and row.holds(at):
            return True
    return False


def is_neutral(op: Op) -> bool:
    """Whether an operation, however it was spelt, has numbers that change nothing."""
    if isinstance(op, Affine):
        return bool(np.all(op.scale == 1) and np.all(op.offset == 0))
    if isinstance(op, Pool):
        return op.kernel == op.stride == (1, 1)
    if isinstance(op, Average):
        return op.kernel == op.stride == (1, 1) and op.divisor == 1
    return isinstance(op, Pad) and not any(op.sides)
