"""Gradients between stages: parts that are scaled, added and gated in one pass where they are read.

A map's gradient is a list of them, in the order in which its readers gave them. What a convolution
gave in bfloat16 stays so until then: its next reader widens it, which rounds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
#: Of bfloat16, the upper half of a float32.
Bits = NDArray[np.uint16]
Pair = tuple[int, int]
ONE = np.float32(1)


@dataclass(frozen=True, eq=False)
class Flow:
    """A part of the gradient at a map.

    values: (N, H, W, C) contiguous, float32 or uint16, the bits of bfloat16. factor: what each has
    to be multiplied by. own: whether nobody else holds ``values``, so that they may be written to.
    """

    values: NDArray[Any]
    factor: np.float32 = ONE
    own: bool = False

    def full(self) -> F32:
        """What it is worth, float32; its own ``values`` where they are."""
        wide = widened(self.values) if self.values.dtype == np.uint16 else self.values
        return wide if self.factor == ONE else wide * self.factor

    def raw(self) -> tuple[NDArray[Any], np.uint32, np.float32]:
        """Flat bits, how far they have to be shifted to be those of a float32, and the factor."""
        flat = self.values.reshape(-1)
        if flat.dtype == np.uint16:
            return flat, np.uint32(16), self.factor
        return flat.view(np.uint32), np.uint32(0), self.factor


def total(flows: Sequence[Flow]) -> F32:
    """The sum in order, float32; the values of a single one themselves where they are it."""
    return reduce(np.add, (flow.full() for flow in flows))


def joined(flows: Sequence[Flow], more: Flow) -> list[Flow]:
    """One more behind one or two or none, in two at most: a map may have many readers."""
    return [*flows, more] if len(flows) < 2 else [Flow(total(flows), own=True), more]


def gated(flows: Sequence[Flow], state: NDArray[np.uint8], mask: int, narrow: bool) -> NDArray[Any]:
    """The sum of one or two where ``state`` has all bits of ``mask``, 0 elsewhere.

    state: of the same shape. narrow: rounded to bfloat16, half to even, as its bits (uint16);
    float32 otherwise.
    """
    out = np.empty(state.shape, np.uint16 if narrow else np.uint32)
    gates, flat = state.reshape(-1), out.reshape(-1)
    if len(flows) == 1:
        _gate(*flows[0].raw(), gates, mask, narrow, flat)
    else:
        first, second = flows
        _gate_sum(*first.raw(), *second.raw(), gates, mask, narrow, flat)
    return out if narrow else out.view(np.float32)


def apart(kernel: Pair, stride: Pair) -> bool:
    """Whether windows share no place."""
    return kernel[0] <= stride[0] and kernel[1] <= stride[1]


def unpooled(
    flows: Sequence[Flow],
    state: NDArray[np.uint8],
    mask: int,
    kernel: Pair,
    stride: Pair,
    sides: Pair,
    narrow: bool,
) -> NDArray[Any]:
    """As ``gated`` behind a max-pool whose windows are ``apart``: to the winner of each, else 0.

    state: of what the pool gave, (N, OH, OW, C); its low four bits are the winner's place in the
    window, row by row. mask: of the bits above. sides: height and width of what comes out.
    """
    count, out_h, out_w, channels = state.shape
    shape = (count, *sides, channels)
    whole = kernel == stride and sides == (out_h * stride[0], out_w * stride[1])
    out = (np.empty if whole else np.zeros)(shape, np.uint16 if narrow else np.uint32)
    flow = flows[0] if len(flows) == 1 else Flow(total(flows))
    values, shift, factor = flow.raw()
    _unpool(values.reshape(state.shape), shift, factor, state, mask, kernel, stride, narrow, out)
    return out if narrow else out.view(np.float32)


def widened(bits: Bits) -> F32:
    """bfloat16 as float32, exactly."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


@njit(nogil=True, cache=True)
def _stored(value, narrow):  # type: ignore[no-untyped-def]
    """Bits of a float32, or of the bfloat16 nearest to it."""
    bits = np.float32(value).view(np.uint32)
    if not narrow:
        return bits
    if bits & np.uint32(0x7FFFFFFF) > np.uint32(0x7F800000):
        return np.uint32(0x7FC0)  # rounding could carry not-a-number into the sign
    up = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return np.uint32(bits + up) >> np.uint32(16)


@njit(nogil=True, cache=True)
def _gate(values, shift, factor, state, mask, narrow, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        value = np.uint32(np.uint32(values[i]) << shift).view(np.float32) * factor
        passed = value if state[i] & mask == mask else np.float32(0)
        out[i] = _stored(passed, narrow)


@njit(nogil=True, cache=True)
def _gate_sum(  # type: ignore[no-untyped-def]
    values, shift, factor, others, other_shift, other_factor, state, mask, narrow, out
):
    for i in range(out.size):
        value = np.uint32(np.uint32(values[i]) << shift).view(np.float32) * factor
        other = np.uint32(np.uint32(others[i]) << other_shift).view(np.float32) * other_factor
        passed = value + other if state[i] & mask == mask else np.float32(0)
        out[i] = _stored(passed, narrow)


@njit(nogil=True, cache=True)
def _unpool(  # type: ignore[no-untyped-def]
    values, shift, factor, state, mask, kernel, stride, narrow, out
):
    images, out_h, out_w, channels = state.shape
    rows, columns = kernel
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                given, codes = values[n, y, x], state[n, y, x]
                for dy in range(rows):
                    for dx in range(columns):
                        winner = mask | (dy * columns + dx)
                        target = out[n, y * stride[0] + dy, x * stride[1] + dx]
                        for c in range(channels):
                            bits = np.uint32(np.uint32(given[c]) << shift)
                            won = codes[c] & (mask | 15) == winner
                            passed = bits.view(np.float32) * factor if won else np.float32(0)
                            target[c] = _stored(passed, narrow)
