"""Words of layers: requantization constants of all channels, clamps, windows."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.compiler.operations import F64, Pair, Sides
from hwsim.compiler.requantize import requantize
from hwsim.compiler.scales import ExactNumbers
from hwsim.compiler.stages import Rescaling
from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import MacLayer, Shape, Window


def constants(
    path: str, scale: F64, offset: F64, sums: list[int], reach: list[int], to: ExactNumbers,
    config: EngineConfig,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:  # fmt: skip
    """(m, s, b) of every channel: codes of acc · scale + offset, both (C,), in the numbers ``to``.

    sums: what zero points add to each accumulator; reach: the largest |acc|. Raises CompileError
    for what no constants can express.
    """
    ratios = np.broadcast_to(over(scale, to.scale), offset.shape).tolist()
    post = []
    rows = zip(ratios, offset.tolist(), sums, reach, strict=True)
    for channel, (r, o, zero_sum, most) in enumerate(rows):
        found = requantize(r, o, to.scale, most, config, zero_sum=zero_sum, zero=to.zero)
        if found is None and most == 0:
            # Its sums are 0, whatever scales them.
            found = requantize(0.0, o, to.scale, 0, config, zero=to.zero)
        if found is None:
            raise CompileError(
                f"{path}: channel {channel} scales its accumulator by {r:.3g} and adds "
                f"{o:.3g}, which does not fit a {config.mult_w}-bit multiplier and "
                f"{config.acc_w + config.mult_w}-bit bias: check the batch norm and "
                "the calibration images"
            )
        post.append(found)
    m, s, b = zip(*post, strict=True)
    return np.array(m, np.int32), np.array(s, np.int32), int64(path, b)


def written(
    to: ExactNumbers, config: EngineConfig, post: Rescaling | None = None
) -> dict[str, Any]:
    """Fields of a layer that say what its output codes mean, and where they are clamped."""
    found: dict[str, Any] = dict(scale=float(to.scale), zero=to.zero)
    if post is not None:
        top = config.act_max
        found |= dict(lo=to.code(post.low, top), hi=to.code(post.high, top))
    return found


def window_of(kernel: Pair, stride: Pair, sides: Sides, shape: Shape) -> Window:
    """The window with these places around a map; behind it, only those that a window reaches."""
    left, right, top, bottom = sides
    height, width = Window(kernel, stride, (top, left, bottom, right)).out_sides(*shape[1:])
    bottom = max(0, (height - 1) * stride[0] + kernel[0] - top - shape[1])
    right = max(0, (width - 1) * stride[1] + kernel[1] - left - shape[2])
    return Window(kernel, stride, (top, left, bottom, right))


def with_fields(layer: Any, **fields: Any) -> Any:
    """The layer with other fields, and what it has computed of its weights."""
    done = dataclasses.replace(layer, **fields)
    if isinstance(layer, MacLayer):
        done.share_table(layer)
    return done


def int64(path: str, words: Any) -> NDArray[np.int64]:
    """Words that fit 64 bits. Raises CompileError for others."""
    if max(abs(int(word)) for word in words) >= 1 << 63:
        raise CompileError(f"{path}: its bias is far too large for its weights: check both")
    return np.array(words, np.int64)


def times(gain: float, scale: Fraction) -> float:
    """gain · scale, rounded once where the scale is 1/n or a power of two."""
    return gain * scale.numerator / scale.denominator


def over(values: F64, scale: Fraction) -> F64:
    """values / scale."""
    return values / float(scale.numerator) * float(scale.denominator)


def exponent(scale: Fraction) -> int:
    """e with 2^e the power of two next to a scale: −A for 1/(2^A − 1)."""
    return int(np.floor(np.log2(float(scale))))
