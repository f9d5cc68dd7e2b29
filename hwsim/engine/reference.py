"""The slow, obvious oracle: one image at a time, Python integers and fractions, plain loops.

Follows docs/architecture.md (Numbers, Hashing, Gradients). It shares the descriptors of
hwsim.program with the fast paths and none of their arithmetic, so that an agreement between the two
means something. Its parts: ``reference_hash``, ``reference_units``, ``reference_memory``,
``reference_gradient``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.reference_gradient import pulled_back
from hwsim.engine.reference_hash import address_and_sign, virtual_weights, xxh32
from hwsim.engine.reference_lines import execute_lines
from hwsim.engine.reference_memory import execute
from hwsim.engine.reference_units import Map
from hwsim.errors import InputError
from hwsim.program.layers import binary_point
from hwsim.program.program import Program
from hwsim.program.wires import Input

__all__ = [
    "EXP_LUT",
    "Trace",
    "address_and_sign",
    "code",
    "gradient",
    "gradient_and_size",
    "grid",
    "run",
    "softmax_unit",
    "virtual_weights",
    "xxh32",
]


# --- numbers --------------------------------------------------------------------------------------


def code(x: float | Fraction, image: Input, act_w: int) -> int:
    """The code of an input value: floor(x / scale + 1/2) + zero, saturated; exact."""
    step = math.floor(Fraction(x) / image.scale + Fraction(1, 2)) + image.zero
    return min(max(step, 0), 2**act_w - 1 if image.top is None else image.top)


def grid(x: float, act_w: int) -> int:
    """The code of a pixel x in [0, 1]: floor(x · (2^A − 1) + 1/2)."""
    return code(x, Input((1, 1, 1), Fraction(1, 2**act_w - 1)), act_w)


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


# --- forward --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trace:
    """What one inference computed.

    feature_maps: int64 (C, H, W), one per layer, what it wrote; the last holds the logits,
    (F, 1, 1). logits: raw integers, worth v · ``Program.logit_scale``. argmax: the class, first
    maximum wins. probabilities: those of the softmax unit, UQ1.16; where a step of the logits is
    no power of two its shift is 0, and it takes a step for 1/16.
    """

    feature_maps: list[NDArray[np.int64]]
    logits: list[int]
    argmax: int
    probabilities: list[int]


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


def run(program: Program, image: Sequence[Any] | NDArray[Any]) -> Trace:
    """One inference. image: (C, H, W) integers in 0 … 2^ACT_W − 1.

    Raises InputError for an image that is none, and AssertionError, naming layer and neuron, if a
    partial sum leaves ACC_W bits or p leaves ACC_W + MULT_W, or if a layer reads what nobody wrote
    or writes to what it reads: then hwsim.program.proof has a hole. In a program with faults
    (hwsim.faults) sums wrap around instead, and every word is read from its memory.
    """
    pixels = _checked(program, image)
    if program.held is None:
        maps = [step.output for step in execute(program, pixels)]
    else:
        maps = [outcome.output for outcome in execute_lines(program, pixels)]
    logits = [channel[0][0] for channel in maps[-1]]
    point = binary_point(program.logit_scale)
    return Trace(
        feature_maps=[np.array(one, np.int64) for one in maps],
        logits=logits,
        argmax=logits.index(max(logits)),
        probabilities=softmax_unit(logits, 4 if point is None else point),
    )


# --- backward -------------------------------------------------------------------------------------


def gradient(
    program: Program,
    image: Sequence[Any] | NDArray[Any],
    seed_logits: Sequence[Fraction | float],
    *,
    unclamped: bool = False,
) -> NDArray[np.object_]:
    """Straight-through gradient of Σ_k seed_k · logit_k, exact. Liu et al. 2018 eq. 6.

    logit_k is the real value v_k · ``Program.logit_scale``; the gradient is taken by the input
    values x of which the image holds the codes, with da/dx = 1 / ``Program.input.scale``. Local
    slopes and the places where they are 0 are in ``reference_gradient``; ``unclamped`` lets what
    is above ``hi`` pass.

    Returns (C, H, W) Fractions, dtype object. Raises as ``run``, and InputError if the number of
    seeds is not the number of logits.
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
    the second array is the same pull-back, through the same gates and winners, of |seed| by the
    magnitude of every local slope.

    Parameters
    ----------
    program, image, seed_logits, unclamped
        As for ``gradient``.

    Returns
    -------
    gradient, size : (C, H, W) arrays of Fraction, dtype object
        By input values x; |gradient| <= size everywhere, and size is 0 where no path is open.

    Raises
    ------
    InputError
        If the image is none of the program's, or the seeds are not one per logit.
    """
    if program.held is not None:
        raise InputError("the oracle has no gradient of a program with faults")
    if len(seed_logits) != program.classes:
        raise InputError(f"{len(seed_logits)} seeds for {program.classes} classes")
    steps = execute(program, _checked(program, image))
    unit = Fraction(program.logit_scale) / program.input.scale
    seeds = [Fraction(seed) * unit for seed in seed_logits]
    signed = pulled_back(program, steps, seeds, unclamped=unclamped)
    size = pulled_back(program, steps, seeds, unclamped=unclamped, magnitudes=True)
    return np.array(signed, object), np.array(size, object)
