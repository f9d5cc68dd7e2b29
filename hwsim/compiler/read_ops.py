"""Functions of single values, and what only moves them: from a call to its operation.

A builder returns NotImplemented for what the engine cannot run. What changes nothing does not come
here: see identities.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from hwsim.compiler.context import Context
from hwsim.compiler.operations import (
    Clamp,
    Concat,
    Flatten,
    Mac,
    Op,
    Pad,
    Pointwise,
    Pool,
    Slice,
    Softmax,
)
from hwsim.compiler.read_layers import dense
from hwsim.errors import CompileError

# --- functions of single values -----------------------------------------------------------------

#: What some functions never fall below, and which of them never fall.
_LOW = {"sigmoid": 0.0, "hardsigmoid": 0.0, "softplus": 0.0, "exp": 0.0, "abs": 0.0, "sqrt": 0.0,
        "square": 0.0, "tanh": -1.0, "logsigmoid": -np.inf}  # fmt: skip
_RISING = {"sigmoid", "hardsigmoid", "softplus", "exp", "tanh", "logsigmoid", "elu", "celu", "selu",
           "softsign"}  # fmt: skip


def relu(at: Context) -> Op:
    """max(x, 0)."""
    return Clamp(*at.seen, 0.0, math.inf)


def clamp(at: Context) -> Any:
    """A clamp, or a leaky ReLU or threshold whose numbers make it one."""
    name = at.called.replace("_", "").lower()
    if name in ("relu6",):
        return Clamp(*at.seen, 0.0, 6.0)
    if name in ("hardtanh",):
        given = {"min_val": -1.0, "max_val": 1.0} | at.given("min_val", "max_val")
        low, high = given["min_val"], given["max_val"]
    elif name == "leakyrelu":
        slope = {"negative_slope": 0.01} | at.given("negative_slope")
        return relu(at) if slope["negative_slope"] == 0 else pointwise(at)
    elif name == "threshold":
        given = at.given("threshold", "value")
        zero = given.get("threshold") == 0 and given.get("value") == 0
        return relu(at) if zero else pointwise(at)
    else:
        names = {"clampmin": ("min",), "clampmax": ("max",)}.get(name, ("min", "max"))
        given = at.given(*names)
        low, high = given.get("min"), given.get("max")
    low = -math.inf if low is None else low
    high = math.inf if high is None else high
    if not all(isinstance(bound, int | float) for bound in (low, high)):
        return NotImplemented
    if math.isnan(low) or math.isnan(high) or low > high:
        return NotImplemented
    return Clamp(*at.seen, float(low), float(high))


def pointwise(at: Context) -> Any:
    """Any other function of single values; its own code computes the table."""
    if at.before != at.shape or len(at.sources) != 1:
        return NotImplemented
    slope = at.module.weight if isinstance(at.module, nn.PReLU) else at.given("weight").get(
        "weight", 0
    )  # fmt: skip
    if isinstance(slope, Tensor) and slope.numel() != 1 and "prelu" in at.called.lower():
        raise CompileError(
            f"{at.path}: PReLU with {slope.numel()} slopes is a function a channel: use one slope "
            "(num_parameters=1)"
        )
    name = at.called.replace("_", "").lower()
    return Pointwise(*at.seen, _function(at), _LOW.get(name, -np.inf), name in _RISING)


def _function(at: Context) -> Any:
    """What a node computes, as a function of the one activation that it takes."""

    def function(x: Tensor) -> Tensor:
        def filled(argument: Any) -> Any:
            return fx.map_arg(argument, lambda n: x)

        args, kwargs = filled(at.args), dict(filled(at.kwargs))
        for name in ("inplace",):
            if name in kwargs:
                kwargs[name] = False
        with torch.no_grad():
            if at.module is not None:
                found = at.module(x.clone())
            elif at.node.op == "call_method":
                found = getattr(args[0].clone(), str(at.node.target))(*args[1:], **kwargs)
            else:
                target: Any = at.node.target
                found = target(*args, **kwargs)
        result: Tensor = found
        return result

    return lambda x: function(x.clone())


def softmax(at: Context) -> Any:
    """Softmax or log_softmax over the features of a vector."""
    dim = at.given("dim").get("dim")
    if len(at.before) != 1 or dim is None or dim % 2 != 1 or at.before != at.shape:
        return NotImplemented
    logarithm = "log" in at.called.lower()
    return Softmax(*at.seen, torch.log_softmax if logarithm else torch.softmax)


# --- what moves values --------------------------------------------------------------------------


def flatten(at: Context) -> Op:
    """Any reshape that keeps the batch and flattens the rest; axes of size 1 may stay behind."""
    count = (int(np.prod(at.before)),)
    if not at.same_batch or at.shape[:1] != count or set(at.shape[1:]) > {1}:
        raise CompileError(
            f"{at.path}: reshapes {at.before} to {at.shape}: only flattening to (N, features) is "
            "supported"
        )
    return Flatten(*at.seen)


def pad(at: Context) -> Any:
    """Zeros around a map."""
    given = at.given("pad", "mode", "value")
    if at.module is not None:
        given |= at.given("padding", "value")
        given["pad"] = given["padding"]
    sides = list(given["pad"]) if isinstance(given["pad"], list | tuple) else [given["pad"]] * 2
    sides += [0] * (4 - len(sides))
    if given.get("mode") not in (None, "constant") or given.get("value") or any(sides[6:]):
        return NotImplemented
    if any(sides[4:]) and len(at.before) == 3:
        return NotImplemented if any(sides[:4]) else _more_channels(at, *map(int, sides[4:6]))
    if min(sides) < 0:
        raise CompileError(f"{at.path}: cuts the map off: use a convolution with less padding")
    if len(at.before) == 2 and any(sides[2:]):
        return NotImplemented
    left, right, top, bottom = (int(side) for side in sides[:4])
    return Pad(*at.seen_before, (left, right, top, bottom))


def _more_channels(at: Context, before: int, behind: int) -> Any:
    """Channels of zeros around a map, as shortcuts of a ResNet have them: a convolution."""
    channels = at.before[0]
    if min(before, behind) < 0:
        return NotImplemented
    matrix = np.eye(before + channels + behind, channels, -before)
    spec, real = dense(matrix)
    none, one = np.zeros(len(matrix)), (1, 1)
    return Mac(*at.seen, spec, real, none, True, one, one, fixed=True)


def concat(at: Context) -> Any:
    """Maps or vectors behind each other along their channels or features."""
    given = {"dim": 0} | at.given("dim", "axis")
    dim = given.get("axis", given["dim"]) if "axis" in at.kwargs else given["dim"]
    listed = at.args[0] if at.args else at.kwargs.get("tensors")
    if not isinstance(listed, list | tuple) or len(listed) != len(at.sources):
        raise CompileError(
            f"{at.path}: concatenates a constant: add its channels to the layer before"
        )
    if not isinstance(dim, int) or dim % at.axes != 1:
        raise CompileError(
            f"{at.path}: concatenates along axis {dim}: the engine concatenates channels (axis 1)"
        )
    return Concat(*at.seen)


def part(at: Context, first: int) -> Op:
    """Channels from ``first`` on of what was split."""
    return Slice(*at.seen, first)


def sliced(at: Context) -> Any:
    """Neighbouring channels, or every n-th row and column, of a map."""
    steps = _slices(at)
    if steps is None or steps[0] != slice(None) or not at.same_batch:
        return NotImplemented
    if len(steps) != at.axes or len(at.shape) != len(at.before):
        return NotImplemented
    axes = [one.indices(n) for one, n in zip(steps[1:], at.before, strict=True)]
    changed = [axis for axis, n in zip(axes, at.before, strict=True) if axis != (0, n, 1)]
    if len(changed) and axes[0] == (0, at.before[0], 1):
        if any(start or step < 1 for start, _, step in axes):
            return NotImplemented
        stride = [step for _, _, step in axes[1:]]
        every = [len(range(0, n, step)) for n, step in zip(at.before[1:], stride, strict=True)]
        if every != list(at.shape[1:]):
            return NotImplemented  # rows or columns are cut off
        pair = [1] * (2 - len(stride)) + stride
        return Pool(*at.seen, (1, 1), (pair[0], pair[1]))
    start, _, step = axes[0]
    if len(changed) != 1 or step != 1:
        return NotImplemented
    return Slice(*at.seen, start)


def _slices(at: Context) -> list[slice] | None:
    """A slice for each axis, the batch included; None for any other index."""
    whole = slice(None)
    if at.called == "getitem":
        index = list(at.args[1]) if isinstance(at.args[1], tuple) else [at.args[1]]
        if index.count(Ellipsis) > 1:
            return None
        if Ellipsis in index:
            where = index.index(Ellipsis)
            index[where : where + 1] = [whole] * (at.axes - len(index) + 1)
        if not all(isinstance(one, slice) for one in index):
            return None
        return [*index, *[whole] * (at.axes - len(index))]
    if at.called == "narrow":
        given = at.given("dim", "start", "length")
        one = slice(given["start"], given["start"] + given["length"])
    elif at.called == "slice":
        given = at.given("dim", "start", "end", "step")
        one = slice(given.get("start"), given.get("end"), given.get("step"))
    else:
        return None
    found = [whole] * at.axes
    found[given["dim"] % at.axes] = one
    return found if found[0] == whole or one.indices(1 << 30)[0] else [whole, *found[1:]]


def dropout_is_active(at: Context) -> bool:
    """Whether a functional dropout drops; fx bakes in the flag of the call, or its default."""
    default = at.node.target in (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)
    given = at.given("p", "training")
    return bool(given.get("training", given.get("train", default)))


def dropout(at: Context) -> Op:
    """A functional dropout that drops; one that does not is an identity."""
    raise CompileError(f"{at.path}: dropout is active at inference: pass training=self.training")
