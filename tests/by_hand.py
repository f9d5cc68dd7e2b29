"""Layers and programs small enough to follow by hand, for tests of the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    Shape,
    Window,
)
from hwsim.program.program import Program
from hwsim.program.wires import Place, Wire

#: 4-bit activations (0 … 15) keep every number in the head.
TINY = load_config("tiny").replace(act_w=4, wgt_w=8, mult_w=16)
#: 8-bit ones where nothing is to be clamped.
WIDE = TINY.replace(act_w=8)

Post = tuple[int, int, int]  # m, s, b


def mac(
    source: Shape,
    weights: list[list[int]],
    *,
    kernel: int = 0,
    stride: int = 1,
    padding: int = 0,
    window: Window | None = None,
    post: Post | None = None,
    bias: int = 0,
    fw: int = 0,
    fa: int = 4,
    act_w: int = 4,
    **more: Any,
) -> MacLayer:
    """A dense layer with weights [i][j]: fc without kernel or window, last without post."""
    matrix = np.array(weights, np.int32)
    n_out, fan_in = matrix.shape
    window = window or (Window.square(kernel, stride, padding) if kernel else None)
    size = window.out_sides(*source[1:]) if window else (1, 1)
    m, s, b = post or (0, 0, bias)
    kind = "conv" if window else "fc"
    fields: dict[str, Any] = dict(
        name=kind, kind=kind, in_shape=source, out_shape=(n_out, *size), window=window,
        spec=HashSpec("dense", n_out, fan_in, n_out * fan_in), weights=matrix.T.ravel(),
        multiplier=np.full(n_out, m, np.int32), shift=np.full(n_out, s, np.int32),
        bias=np.full(n_out, b, np.int64), last=post is None, weight_scale=np.array([2.0**-fw]),
        scale=2.0**-4 if post else 2.0 ** -(fa + fw), hi=2**act_w - 1,
    )  # fmt: skip
    return MacLayer(**fields | more)


def pool(source: Shape, window: Window) -> PoolLayer:
    return PoolLayer("pool", source, (source[0], *window.out_sides(*source[1:])), window)


def average(source: Shape, window: Window, post: Post | None = None, **more: Any) -> AverageLayer:
    """The last layer without post, with ``bias``."""
    m, s, b = post or (0, 0, more.pop("bias", 0))
    fields: dict[str, Any] = dict(
        multiplier=np.array([m], np.int32), shift=np.array([s], np.int32),
        bias=np.array([b], np.int64), last=post is None, scale=2.0**-4, hi=255,
    )  # fmt: skip
    target = (source[0], *window.out_sides(*source[1:]))
    return AverageLayer("average", source, target, window, **fields | more)


def affine(source: Shape, *posts: Post, last: bool = False, **more: Any) -> AffineLayer:
    """One post a channel."""
    m, s, b = zip(*posts, strict=True)
    fields: dict[str, Any] = dict(scale=2.0**-4, hi=255, last=last)
    return AffineLayer(
        "affine", source, np.array(m, np.int32), np.array(s, np.int32), np.array(b, np.int64),
        **fields | more,
    )  # fmt: skip


def add(source: Shape, m1: int, m2: int, shift: int = 0, bias: int = 0, **more: Any) -> AddLayer:
    fields: dict[str, Any] = dict(scale=2.0**-4, hi=255)
    return AddLayer(
        "add", source, np.array([m1, m2], np.int32), np.array([shift], np.int32),
        np.array([bias], np.int64), **fields | more,
    )  # fmt: skip


def lut(source: Shape, table: Sequence[int]) -> LutLayer:
    return LutLayer("lut", source, np.array(table, np.int32), scale=2.0**-4)


def total(source: Shape) -> MacLayer:
    """The last layer of a test about another: one logit, the sum of all codes."""
    return mac(source, [[1] * (source[0] * source[1] * source[2])])


def net(*layers: Layer, **changes: Any) -> Program:
    """A chain on the engine of 4-bit activations, or with some of it changed."""
    config = TINY.replace(**changes) if changes else TINY
    return Program.chain(config, layers, layers[0].in_shape)


def behind(layer: Layer, **changes: Any) -> Program:
    """A layer that is not the last, and the sum of what it writes."""
    return net(layer, total(layer.out_shape), **{"act_w": 8, **changes})


def reads(*sources: int | tuple[int, int], to: int | tuple[int, int] | None = None) -> Wire:
    """A wire of maps, or of (map, first channel)."""

    def place(one: int | tuple[int, int]) -> Place:
        return Place(*one) if isinstance(one, tuple) else Place(one)

    return Wire(tuple(map(place, sources)), None if to is None else place(to))


def column(*values: int) -> np.ndarray:
    """A vector as an image."""
    return np.array(values, np.int64).reshape(-1, 1, 1)
