"""What a producer can still do: affine steps and clamps that go into the stage before."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from hwsim.compiler.operations import F64
from hwsim.compiler.stages import (
    AddStage,
    AffineStage,
    AverageStage,
    ConcatStage,
    LutStage,
    MacStage,
    PlannedStage,
    PoolStage,
    Rescaling,
    View,
)

_POSTED = (MacStage, AffineStage, AverageStage, AddStage)


def _open(view: View) -> bool:
    """Whether nobody else reads the map, so that its producer may do more."""
    return view.map.producer is not None and view.plain and view.whole and not view.map.shared


def absorb_affine(view: View, scale: F64, offset: F64) -> bool:
    """Let the producer of a view do x · scale + offset, float64 (C,); False if it cannot."""
    if not _affine_fits(view, scale, offset):
        return False
    _do_affine(view, scale, offset)
    return True


def _affine_fits(view: View, scale: F64, offset: F64) -> bool:
    if not _open(view):
        return False
    stage = view.map.producer
    if isinstance(stage, _POSTED):
        return stage.post.takes(scale, offset)
    if isinstance(stage, PoolStage):
        # Only a rising function commutes with the largest of several.
        return bool(np.all(scale > 0)) and _affine_fits(stage.sources[0], scale, offset)
    if isinstance(stage, ConcatStage):
        return all(
            _affine_fits(member, scale[part], offset[part]) for member, part in _parts(stage)
        )
    if isinstance(stage, LutStage):
        return bool(np.all(scale == scale[0]) and np.all(offset == offset[0]))
    return False


def _do_affine(view: View, scale: F64, offset: F64) -> None:
    stage = view.map.producer
    assert stage is not None
    if isinstance(stage, _POSTED):
        stage.post.affine(scale, offset)
    elif isinstance(stage, PoolStage):
        _do_affine(stage.sources[0], scale, offset)
    elif isinstance(stage, LutStage):
        s, o = float(scale[0]), float(offset[0])
        low = view.map.low
        stage.functions.append(lambda x: x * s + o)
        view.map.low = low * s + o if s > 0 else -math.inf
        return
    else:
        assert isinstance(stage, ConcatStage)
        for member, part in _parts(stage):
            _do_affine(member, scale[part], offset[part])
    view.map.low, view.map.high = bounded(stage)


def absorb_clamp(view: View, low: float, high: float) -> bool:
    """Let the producer of a view clamp to low … high; False if it cannot."""
    if not _clamp_fits(view):
        return False
    _do_clamp(view, low, high)
    return True


def _clamp_fits(view: View) -> bool:
    if not _open(view):
        return False
    stage = view.map.producer
    if isinstance(stage, PoolStage):
        return _clamp_fits(stage.sources[0])
    if isinstance(stage, ConcatStage):
        return all(map(_clamp_fits, stage.sources))
    return True


def _do_clamp(view: View, low: float, high: float) -> None:
    stage = view.map.producer
    assert stage is not None
    if isinstance(stage, _POSTED):
        stage.post.clamp(low, high)
    elif isinstance(stage, LutStage):

        def clamped(x: Tensor) -> Tensor:
            return x.clamp(low, high)

        stage.functions.append(clamped)
        view.map.low, view.map.high = max(view.map.low, low), min(view.map.high, high)
        return
    else:
        for source in stage.sources:
            _do_clamp(source, low, high)
    view.map.low, view.map.high = bounded(stage)


def _parts(stage: ConcatStage) -> list[tuple[View, slice]]:
    """The sources of a concatenation, and their channels in it."""
    found, first = [], 0
    for member in stage.sources:
        found.append((member, slice(first, first + member.shape[0])))
        first += member.shape[0]
    return found


def bounded(stage: PlannedStage) -> tuple[float, float]:
    """What the values that a stage writes are never below and never above."""
    reach = [(view.map.low, view.map.high) for view in stage.sources]
    if isinstance(stage, PoolStage | ConcatStage):
        return min(low for low, _ in reach), max(high for _, high in reach)
    if isinstance(stage, MacStage):
        return stage.post.low, stage.post.high
    if isinstance(stage, AverageStage):
        size = stage.kernel[0] * stage.kernel[1]
        return _behind(stage.post, reach[0][0] * size, reach[0][1] * size)
    if isinstance(stage, AffineStage):
        return _behind(stage.post, *reach[0])
    if isinstance(stage, AddStage):
        ends = [_scaled(*bounds, gain) for bounds, gain in zip(reach, stage.gains, strict=True)]
        return _behind(stage.post, ends[0][0] + ends[1][0], ends[0][1] + ends[1][1])
    return -math.inf, math.inf


def _scaled(low: float, high: float, gain: float) -> tuple[float, float]:
    if gain == 0:
        return 0.0, 0.0
    ends = low * gain, high * gain
    return min(ends), max(ends)


def _behind(post: Rescaling, low: float, high: float) -> tuple[float, float]:
    ends = [
        (bounds[0] + o, bounds[1] + o)
        for s, o in zip(post.scale.tolist(), post.offset.tolist(), strict=True)
        for bounds in [_scaled(low, high, s)]
    ]
    lowest, highest = min(one for one, _ in ends), max(two for _, two in ends)
    return (
        min(max(lowest, post.low), post.high),
        min(max(highest, post.low), post.high),
    )
