"""The slow, obvious oracle: one image at a time, Python integers and fractions, plain loops.

Follows docs/architecture.md (Numbers, Hashing, Gradients). It shares the descriptors of
hwsim.program.program with the fast paths and none of their arithmetic, so that an agreement
between the two means something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InputError
from hwsim.numbers.hashing import HashSpec
from hwsim.program.program import Layer, MacLayer, PoolLayer, Program

Map = list[list[list[int]]]  # [channel][row][column]
Flow = list[list[list[Fraction]]]  # a gradient by each place of a map
Tap = tuple[int, int, int, int]  # fan-in position j, and the channel, row, column it reads


# --- hashing --------------------------------------------------------------------------------------


def xxh32(data: bytes, seed: int) -> int:
    """xxHash32 of 4 or 8 bytes: the specification's path for inputs below 16 bytes."""
    if len(data) % 4 or len(data) >= 16:
        raise ValueError(f"only whole words below 16 bytes are hashed here, got {len(data)} bytes")
    state = (seed + 374761393 + len(data)) % 2**32
    for start in range(0, len(data), 4):
        lane = int.from_bytes(data[start : start + 4], "little")
        state = (state + lane * 3266489917) % 2**32
        state = (state << 17 | state >> 15) % 2**32
        state = state * 668265263 % 2**32
    state = (state ^ state >> 15) * 2246822519 % 2**32
    state = (state ^ state >> 13) * 3266489917 % 2**32
    return state ^ state >> 16


def address_and_sign(spec: HashSpec, i: int, j: int) -> tuple[int, int]:
    """(real weight that virtual weight (i, j) reads, +1 or -1)."""
    if spec.scheme == "dense":
        return j * spec.n_out + i, 1
    u = xxh32(i.to_bytes(4, "little") + j.to_bytes(4, "little"), spec.seed)
    sign = -1 if u % 2 else 1
    if spec.scheme == "xxh32":
        return u * spec.real_weights >> 32, sign
    banks = spec.hash_banks
    line = u * (spec.real_weights // banks) >> 32
    rotation = xxh32(j.to_bytes(4, "little"), spec.seed ^ 0x85EBCA6B)
    return line * banks + (i + rotation) % banks, sign


@lru_cache(maxsize=8)
def _index(spec: HashSpec) -> list[list[tuple[int, int]]]:
    """[i][j] -> (address, sign); kept, because a batch asks for the same layers again."""
    return [[address_and_sign(spec, i, j) for j in range(spec.fan_in)] for i in range(spec.n_out)]


def _virtual_weights(layer: MacLayer) -> list[list[int]]:
    words = layer.weights.tolist()
    return [[sign * words[address] for address, sign in row] for row in _index(layer.spec)]


# --- numbers --------------------------------------------------------------------------------------


def grid(x: float, act_w: int) -> int:
    """The activation of a pixel x in [0, 1]: floor(x · (2^A − 1) + 1/2), without any rounding."""
    return math.floor(Fraction(x) * (2**act_w - 1) + Fraction(1, 2))


def _exp_lut() -> tuple[int, ...]:
    with localcontext() as context:
        context.prec = 60  # no entry but n = 0 is near an integer: e^(−n/16) is irrational
        return tuple(int(65536 * (Decimal(-n) / 16).exp()) for n in range(256))


#: EXP_LUT[n] = floor(65536 · e^(−n/16)).
EXP_LUT = _exp_lut()


def softmax_unit(logits: Sequence[int], logit_frac: int) -> list[int]:
    """UQ1.16 probabilities of integer logits worth z · 2^-logit_frac."""
    shift = logit_frac - 4
    exps = []
    for z in logits:
        lead = max(logits) - z
        sixteenths = lead >> shift if shift >= 0 else lead << -shift
        exps.append(EXP_LUT[min(sixteenths, 255)])
    return [(e << 16) // sum(exps) for e in exps]


def _fits(value: int, bits: int) -> bool:
    return -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)


# --- geometry -------------------------------------------------------------------------------------


def _taps(layer: MacLayer, y: int, x: int) -> list[Tap]:
    """What output pixel (y, x) reads. Zero padding contributes nothing and is left out."""
    channels, height, width = layer.in_shape
    taps, j = [], 0
    if layer.kind == "fc":
        for c in range(channels):
            for row in range(height):
                for column in range(width):
                    taps.append((j, c, row, column))
                    j += 1
        return taps
    for c in range(channels):
        for ky in range(layer.kernel):
            for kx in range(layer.kernel):
                row = y * layer.stride + ky - layer.padding
                column = x * layer.stride + kx - layer.padding
                if 0 <= row < height and 0 <= column < width:
                    taps.append((j, c, row, column))
                j += 1
    return taps


def _first_maximum(layer: PoolLayer, plane: list[list[int]], y: int, x: int) -> tuple[int, int]:
    """(row, column) of the largest value of a pooling window, the first in row-major order."""
    best = (y * layer.stride, x * layer.stride)
    for row in range(y * layer.stride, y * layer.stride + layer.kernel):
        for column in range(x * layer.stride, x * layer.stride + layer.kernel):
            if plane[row][column] > plane[best[0]][best[1]]:
                best = (row, column)
    return best


# --- forward --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trace:
    """What one inference computed.

    feature_maps: int64 (C, H, W), one per layer; the last holds the logits, (classes, 1, 1).
    logits: raw integers, worth v · 2^-logit_frac. argmax: the class, first maximum wins.
    probabilities: those of the softmax unit, UQ1.16.
    """

    feature_maps: list[NDArray[np.int64]]
    logits: list[int]
    argmax: int
    probabilities: list[int]


@dataclass(frozen=True)
class _Step:
    """One layer of one inference; ``wide`` is p = acc·m + b of every output (empty for a pool)."""

    layer: Layer
    source: Map
    wide: Map
    output: Map


def _accumulate(
    layer: MacLayer, i: int, row: list[int], taps: list[Tap], a: Map, acc_w: int
) -> int:
    low, high = -(2 ** (acc_w - 1)), 2 ** (acc_w - 1) - 1
    acc = 0
    for j, c, y, x in taps:
        acc += row[j] * a[c][y][x]
        if not low <= acc <= high:
            raise AssertionError(f"{layer.name}: neuron {i}: partial sum {acc} exceeds ACC_W")
    return acc


def _mac(program: Program, layer: MacLayer, source: Map) -> _Step:
    config = program.config
    acc_bits, p_bits = int(config.acc_w), config.acc_w + config.mult_w
    weights = _virtual_weights(layer)
    multiplier, shift, bias = layer.multiplier.tolist(), layer.shift.tolist(), layer.bias.tolist()
    channels, height, width = layer.out_shape
    wide = [[[0] * width for _ in range(height)] for _ in range(channels)]
    output = [[[0] * width for _ in range(height)] for _ in range(channels)]
    for y in range(height):
        for x in range(width):
            taps = _taps(layer, y, x)
            for i in range(channels):
                acc = _accumulate(layer, i, weights[i], taps, source, acc_bits)
                if layer.last:
                    p = v = acc + bias[i]
                    bits = acc_bits
                else:
                    p = acc * multiplier[i] + bias[i]
                    v = min(max(p >> shift[i], 0), config.act_max)
                    bits = p_bits
                if not _fits(p, bits):
                    raise AssertionError(f"{layer.name}: neuron {i}: {p} exceeds {bits} bits")
                wide[i][y][x], output[i][y][x] = p, v
    return _Step(layer, source, wide, output)


def _pool(layer: PoolLayer, source: Map) -> _Step:
    channels, height, width = layer.out_shape
    output = [[[0] * width for _ in range(height)] for _ in range(channels)]
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                row, column = _first_maximum(layer, source[c], y, x)
                output[c][y][x] = source[c][row][column]
    return _Step(layer, source, [], output)


def _checked(program: Program, image: Any) -> Map:
    array = np.asarray(image)
    if array.shape != program.input_shape:
        raise InputError(f"the image has shape {array.shape}, expected {program.input_shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"the image must hold integers, got {array.dtype}: grid it first")
    if array.min() < 0 or array.max() > program.config.act_max:
        raise InputError(f"a pixel is outside 0 … {program.config.act_max}")
    pixels: Map = array.tolist()
    return pixels


def _execute(program: Program, image: Any) -> list[_Step]:
    steps: list[_Step] = []
    a = _checked(program, image)
    for layer in program.layers:
        steps.append(_pool(layer, a) if isinstance(layer, PoolLayer) else _mac(program, layer, a))
        a = steps[-1].output
    return steps


def run(program: Program, image: Sequence[Any] | NDArray[Any]) -> Trace:
    """One inference. image: (C, H, W) integers in 0 … 2^ACT_W − 1.

    Raises InputError for an image that is none, and AssertionError, naming layer and neuron, if a
    partial sum leaves ACC_W bits or p leaves ACC_W + MULT_W: then hwsim.program.proof has a hole.
    """
    steps = _execute(program, image)
    logits = [channel[0][0] for channel in steps[-1].output]
    return Trace(
        feature_maps=[np.array(step.output, np.int64) for step in steps],
        logits=logits,
        argmax=logits.index(max(logits)),
        probabilities=softmax_unit(logits, program.logit_frac),
    )


# --- backward (docs/architecture.md, Gradients: `ste`) --------------------------------------------


def gradient(
    program: Program,
    image: Sequence[Any] | NDArray[Any],
    seed_logits: Sequence[Fraction | float],
    *,
    unclamped: bool = False,
) -> NDArray[np.object_]:
    """Straight-through gradient of Σ_k seed_k · logit_k, exact. Liu et al. 2018 eq. 6.

    logit_k is the real value v_k · 2^-(fa+fw); the gradient is taken by the pixels x in [0, 1] of
    which the image holds the integers a, with da/dx = 2^A − 1. Every hidden output has the local
    slope m · 2^-s where p − rounding > 0 and p >> s <= 2^A − 1, else 0; ``unclamped`` drops the
    second condition. A pool passes to the first maximum of its integers in row-major order.

    Returns (C, H, W) Fractions, dtype object. Raises as ``run``, and InputError if the number of
    seeds is not the number of classes.
    """
    return gradient_and_size(program, image, seed_logits, unclamped=unclamped)[0]


def gradient_and_size(
    program: Program,
    image: Sequence[Any] | NDArray[Any],
    seed_logits: Sequence[Fraction | float],
    *,
    unclamped: bool = False,
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """``gradient``, and beside it the sum of the magnitudes of the terms that it is a sum of.

    A gradient is a sum over all paths from a logit to the pixel, and may cancel to any small part
    of its terms. What an implementation with rounding can be held to is a share of their size, so
    the second array is the same pull-back, through the same gates and winners, of |seed| by |w| and
    |m| · 2^-s.

    Parameters
    ----------
    program, image, seed_logits, unclamped
        As for ``gradient``.

    Returns
    -------
    gradient, size : (C, H, W) arrays of Fraction, dtype object
        By pixels x in [0, 1]; |gradient| <= size everywhere, and size is 0 where no path is open.

    Raises
    ------
    InputError
        If the image is none of the program's, or the seeds are not one per class.
    """
    if len(seed_logits) != program.classes:
        raise InputError(f"{len(seed_logits)} seeds for {program.classes} classes")
    unit = Fraction(2) ** -program.logit_frac
    seeds = [Fraction(seed) * unit for seed in seed_logits]
    steps = _execute(program, image)
    signed = _pulled_back(program, steps, [[[g]] for g in seeds], unclamped, _itself)
    size = _pulled_back(program, steps, [[[abs(g)]] for g in seeds], unclamped, abs)
    top = program.config.act_max
    return np.array(signed, object) * top, np.array(size, object) * top


def _itself(factor: Any) -> Any:
    return factor


def _pulled_back(
    program: Program, steps: list[_Step], flow: Flow, unclamped: bool, of: Callable[[Any], Any]
) -> Flow:
    """``flow`` at the logits taken to the pixels by ``of`` every factor: itself, or its size."""
    for step in reversed(steps):
        if isinstance(step.layer, PoolLayer):
            flow = _pool_backward(step.layer, step.source, flow)
        else:
            if not step.layer.last:
                flow = _post_backward(program, step.layer, step.wide, flow, unclamped, of)
            flow = _mac_backward(step.layer, flow, of)
    return flow


def _zeros(layer: Layer) -> Flow:
    channels, height, width = layer.in_shape
    return [[[Fraction(0)] * width for _ in range(height)] for _ in range(channels)]


def _pool_backward(layer: PoolLayer, source: Map, flow: Flow) -> Flow:
    result = _zeros(layer)
    for c, plane in enumerate(flow):
        for y, line in enumerate(plane):
            for x, g in enumerate(line):
                row, column = _first_maximum(layer, source[c], y, x)
                result[c][row][column] += g
    return result


def _post_backward(
    program: Program,
    layer: MacLayer,
    wide: Map,
    flow: Flow,
    unclamped: bool,
    of: Callable[[Any], Any],
) -> Flow:
    multiplier, shift = layer.multiplier.tolist(), layer.shift.tolist()

    def passes(p: int, s: int) -> bool:
        rounding = 2 ** (s - 1) if s > 0 else 0
        return p - rounding > 0 and (unclamped or p >> s <= program.config.act_max)

    return [
        [
            [
                g * of(Fraction(multiplier[i], 2 ** shift[i]))
                if passes(p, shift[i])
                else Fraction(0)
                for g, p in zip(gradients, line, strict=True)
            ]
            for gradients, line in zip(flow[i], wide[i], strict=True)
        ]
        for i in range(layer.n_out)
    ]


def _mac_backward(layer: MacLayer, flow: Flow, of: Callable[[Any], Any]) -> Flow:
    weights = _virtual_weights(layer)
    result = _zeros(layer)
    for y in range(layer.out_shape[1]):
        for x in range(layer.out_shape[2]):
            taps = _taps(layer, y, x)
            for i in range(layer.n_out):
                g = flow[i][y][x]
                if g:
                    for j, c, row, column in taps:
                        result[c][row][column] += of(weights[i][j]) * g
    return result
