"""The post-processing of a stage, by the loop of units/post*.py that is fastest for its words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.stages import Post, Stage
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.vectors import LANES
from hwsim.units import post as post_unit
from hwsim.units import post_add, post_away, post_vectors, post_wrap

#: Types of sums that fit 32 bits: float32 holds integers below 2^24 only.
NARROW = (np.float32, np.int32, np.uint8)


def requantize(
    stage: Stage, post: Post, sums: NDArray[Any], out: NDArray[Any], state: NDArray[Any] | None
) -> None:
    """Codes, and state bytes where there is a place for them, of exact sums and a fused pool."""
    m, b, s = post.multiplier, post.bias, post.shift
    if post.away is not None:
        marks = np.empty(out.shape, np.uint8) if state is None else state
        post_away.requantize_pool(
            sums, m, b, s, post.threshold, post.away, post.lo, post.hi, stage.kernel, stage.stride,
            out, marks,
        )  # fmt: skip
        return
    narrow = sums.dtype in NARROW
    if stage.pool is None and narrow and out.dtype == np.uint8:
        acc, codes = sums.reshape(-1), out.reshape(-1)
        if state is None:
            post_vectors.requantize_bytes(acc, post.words, post.lo, post.hi, codes)
        else:
            flat_state = state.reshape(-1)
            post_vectors.requantize_bytes_state(
                acc, post.words, post.lo, post.hi, codes, flat_state
            )
        return
    if stage.pool is None and narrow:
        channels = out.shape[3]
        flat, target = sums.reshape(-1, channels), out.reshape(-1, channels)
        if state is None:
            post_unit.requantize(flat, post.narrow, b, s, post.lo, post.hi, target)
            return
        post_unit.requantize_state(
            flat, post.narrow, b, s, post.threshold, post.lo, post.hi, target,
            state.reshape(-1, channels),
        )  # fmt: skip
        return
    bytes_out = out.dtype == np.uint8
    if state is None and pools_vectors(stage, post, out.shape[3]) and narrow and bytes_out:
        post_vectors.requantize_pool_bytes(
            sums, post.words, post.lo, post.hi, stage.kernel, stage.stride, out
        )
        return
    if state is None:
        post_unit.requantize_pool(
            sums, m, b, s, post.lo, post.hi, stage.kernel, stage.stride, post.negative, out
        )
        return
    post_unit.requantize_pool_state(
        sums, m, b, s, post.threshold, post.lo, post.hi, stage.kernel, stage.stride, out, state
    )


def pools_vectors(stage: Stage, post: Post, channels: int) -> bool:
    """Whether the winners of a stage's windows may be found among vectors of so many channels."""
    return stage.pool is not None and channels % LANES == 0 and not post.negative


def add(
    post: Post, sources: list[NDArray[Any]], out: NDArray[Any], state: NDArray[Any] | None
) -> None:
    """The same of an addition: of the two maps that it reads."""
    one, two = sources
    (m1, m2), b, s = post.multiplier.tolist(), int(post.bias[0]), int(post.shift[0])
    limit = int(post.threshold[0])
    if post.away is not None:
        marks = np.empty(out.shape, np.uint8) if state is None else state
        post_away.add(one, two, m1, m2, b, s, limit, post.away, post.lo, post.hi, out, marks)
        return
    if state is None and out.dtype == np.uint8:
        # ravel, unlike reshape, leaves no steps over the channels of other parts of a map.
        flat = one.ravel(), two.ravel()
        post_add.add_bytes(*flat, post.words, m1, m2, b, s, post.lo, post.hi, out.reshape(-1))
        return
    if state is None:
        post_add.add(one, two, m1, m2, b, s, post.lo, post.hi, out)
        return
    post_add.add_state(one, two, m1, m2, b, s, limit, post.lo, post.hi, out, state)


def requantize_wrapping(
    config: EngineConfig,
    post: Post,
    sources: list[NDArray[Any]],
    out: NDArray[Any],
    state: NDArray[Any] | None,
) -> None:
    """A stage whose sums may leave their widths; sources: its sums, or the two maps of an add."""
    m, b, s, limit = post.multiplier, post.bias, post.shift, post.threshold
    marks = np.empty(out.shape, np.uint8) if state is None else state
    rest = (
        post_wrap.spare_bits(config), post.away is not None, post.away or 0, post.lo, post.hi, out,
        marks,
    )  # fmt: skip
    if len(sources) == 2:
        one, two = sources
        post_wrap.add(one, two, m[0], m[1], b[0], s[0], limit[0], *rest)
    else:
        post_wrap.requantize(sources[0].astype(np.int64), m, b, s, limit, *rest)
