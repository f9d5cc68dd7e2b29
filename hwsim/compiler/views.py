"""Views: what an operation sees of a map, and what of that may stand in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim.compiler.operations import F64, Op, Slice
from hwsim.compiler.stages import Samples, View
from hwsim.errors import CompileError
from hwsim.program.layers import Shape


def seen_by(op: Op, view: View) -> View:
    """The view as an operation that leaves the map alone sees it."""
    return replace(view, path=op.path, samples=op.samples, raw=raw_of(view, op.samples))


def raw_of(view: View, samples: Samples) -> Samples:
    """What stands in the map where a view's values are ``samples``."""
    uniform = view.uniform
    if uniform is None or uniform[0] == 0:
        return view.raw
    if uniform == (1.0, 0.0):
        return samples
    return ((samples - uniform[1]) / uniform[0]).astype(np.float32)


def bare(view: View) -> View:
    """The map itself, without what waits."""
    return view if view.plain else replace(view, scale=None, offset=None, samples=view.raw)


def sliced(op: Slice, view: View) -> View:
    """Some channels of a view. Raises CompileError for a cut inside a flattened channel."""
    plane = view.shape[1] * view.shape[2] if view.flat else 1
    first, rest = divmod(op.first, plane)
    count, more = divmod(op.shape[0], plane)
    if rest or more:
        raise CompileError(
            f"{op.path}: cuts a flattened map of {view.shape} inside a channel: cut channels"
        )
    found = replace(seen_by(op, view), first=view.first + first, shape=(count, *view.shape[1:]))
    if view.plain:
        return found
    channels = slice(first, first + count)
    scale, offset = (np.broadcast_to(v, (view.shape[0], *v.shape[1:])) for v in view.factors)
    return replace(found, scale=scale[channels], offset=offset[channels], raw=view.raw)


def compact(values: F64, shape: Shape) -> F64:
    """(C, 1, 1) where the values, one for each of ``shape``, are the same all over a channel."""
    full = values.reshape(shape)
    first = full[:, :1, :1]
    return np.ascontiguousarray(first) if np.all(full == first) else full


def by_channel(view: View, values: F64) -> F64:
    """(C,) of values for a view that are the same all over each channel."""
    if values.shape[1:] != (1, 1):
        raise CompileError(
            f"{view.path}: scales or shifts the pixels of one channel differently: use one value "
            "per channel, and batch norm before nn.Flatten"
        )
    return np.broadcast_to(values.reshape(-1), view.shape[:1]).copy()
