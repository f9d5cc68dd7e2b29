"""Layers with weights, and what they can take of the affine operations before and behind them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hwsim.compiler.operations import Mac
from hwsim.compiler.stages import AverageStage, MacStage, Map, PlannedStage, Rescaling, View
from hwsim.compiler.views import bare, by_channel
from hwsim.errors import CompileError


def mac_stage(op: Mac, mac: Mac, view: View, image: Map, step: float) -> MacStage | None:
    """The stage of a layer, with what waits at its source inside; None if it cannot take that.

    op: as it was traced; mac: a Linear where it is one. image: the map of the input, with codes
    ``step`` apart.
    """
    spec, groups = mac.spec, mac.groups
    nothing = np.zeros((groups, spec.fan_in))
    post = Rescaling.nothing(spec.n_out)
    if view.plain:
        return MacStage(op.path, (view,), mac, op, post, 1.0, None, nothing)
    plain = bare(view)
    scale, offset = view.factors
    if mac.conv:
        factors = [by_channel(view, values)[:, None] for values in (scale, offset)]
        shape = (view.shape[0], spec.fan_in * groups // view.shape[0])
        full = [np.broadcast_to(values, shape) for values in factors]
    else:
        full = [np.broadcast_to(values, view.shape) for values in (scale, offset)]
    columns, shifts = (v.reshape(groups, spec.fan_in) for v in full)
    gain, fill = float(columns.flat[0]), 0.0
    same = bool(np.all(columns == gain))
    if view.map is image and same and gain == 0:
        raise CompileError(f"{mac.path}: the input is multiplied by 0: remove that")
    if mac.padded and np.any(shifts):
        # Zeros stand for the mean: the code next to it is as good, where there is one.
        mean = float(shifts.flat[0])
        if not (view.map is image and same and np.all(shifts == mean)):
            return None
        fill = -mean / gain
        if not image.low - step / 2 <= fill <= image.high + step / 2:
            return None
    if same:
        return MacStage(op.path, (plain,), mac, op, post, gain, None, shifts, fill)
    if spec.scheme != "dense":
        return None
    rows = np.repeat(np.arange(groups), spec.n_out // groups)
    matrix = mac.real.reshape(spec.fan_in, spec.n_out)
    # What a column multiplied by 0 adds is constant.
    dead = np.where(columns == 0, shifts, 0.0)
    bias = mac.bias + (matrix * dead[rows].T).sum(0)
    inner = np.divide(shifts, columns, out=np.zeros_like(columns), where=columns != 0)
    real = (matrix * columns[rows].T).reshape(-1)
    mac = replace(mac, real=real, bias=bias)
    return MacStage(op.path, (plain,), mac, op, post, 1.0, columns, inner)


def may_end(stage: PlannedStage) -> bool:
    """Whether a stage can hand out the logits itself, which are not rescaled."""
    if isinstance(stage, AverageStage):
        size = stage.kernel[0] * stage.kernel[1]
        plain = math.isclose(stage.post.scale[0] * size, 1, rel_tol=1e-12)
        return plain and not stage.post.clamps
    if not isinstance(stage, MacStage) or stage.post.clamps:
        return False
    scale = stage.post.scale
    return stage.mac.spec.scheme == "dense" or bool(np.all(scale == scale[0]) and scale[0] > 0)


def into_weights(stage: MacStage) -> None:
    """Let the weights have what requantization would have: of dense layers each row its own."""
    post, mac = stage.post, stage.mac
    if post.is_nothing or mac.spec.scheme != "dense":
        return
    real = (mac.real.reshape(mac.spec.fan_in, mac.spec.n_out) * post.scale).reshape(-1)
    stage.mac = replace(mac, real=real, bias=mac.bias * post.scale + post.offset)
    stage.rows, stage.post = post.scale, Rescaling.nothing(mac.spec.n_out)
