"""Exact rewrites of weight words: rational arithmetic, overflow policy, proof, history.

A rewrite says what each word becomes in its present LSBs, as an exact rational; here it is rounded
half up once, fitted into the word, and the post constants follow: those of a moved binary point,
and what the bias holds of the weights where the code of real 0 is not 0. Addresses and signs (the
index ROM) are never touched.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import CompileError, InputError
from hwsim.program.layers import Layer, MacLayer
from hwsim.program.program import Program
from hwsim.program.proof import check

OnOverflow = Literal["error", "saturate", "rescale"]
ON_OVERFLOW: tuple[str, ...] = get_args(OnOverflow)
HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Scaling:
    """What a rewrite does to one layer, exactly.

    word: present word, and what an LSB of it is worth -> new value in present LSBs. bias: factor
    of the bias. point: how many bits the binary point may at least move under ``rescale``; 0 unless
    all words are scaled by a common factor, of which it is ⌊log2⌋.
    """

    word: Callable[[int, Fraction], Fraction]
    bias: Fraction = Fraction(1)
    point: int = 0


def check_policy(on_overflow: str) -> None:
    """Raise InputError for anything but error, saturate, rescale."""
    if on_overflow not in ON_OVERFLOW:
        raise InputError(
            f"unknown overflow policy {on_overflow!r}: choose {', '.join(ON_OVERFLOW)}"
        )


def rewrite(
    program: Program,
    names: list[str],
    scaling: Callable[[MacLayer], Scaling],
    record: dict[str, Any],
    on_overflow: OnOverflow = "error",
) -> Program:
    """``program`` with the layers ``names`` rewritten and one more entry of its history.

    on_overflow: for words beyond the weight width. ``error`` refuses; ``saturate`` clips and
    counts; ``rescale`` moves the layer's binary point by as many whole bits as fit, so that every
    word keeps its value to half an LSB of the new point. record: what the history is to say,
    beside the counts. Raises InputError for an overflow that is not allowed and where the result
    could overflow the accumulator or the requantizer.
    """
    check_policy(on_overflow)
    limit = program.config.wgt_max
    layers: list[Layer] = []
    rows: dict[str, Any] = {}
    for layer, sources in zip(program.layers, program.numbers, strict=True):
        if isinstance(layer, MacLayer) and layer.name in names:
            what, zero = record["rewrite"], sources[0].zero
            layer, row = _layer(layer, scaling(layer), limit, on_overflow, what, zero)
            rows[layer.name] = row
        layers.append(layer)
    entry = record | {"on_overflow": on_overflow, "layers": rows}
    return finish(program, tuple(layers), entry)


def finish(program: Program, layers: tuple[Layer, ...], entry: dict[str, Any]) -> Program:
    """``program`` with new layers, proved again, and ``entry`` at the end of its history."""
    entry = entry | {"repeated": repeated(program, entry["rewrite"], list(entry["layers"]))}
    done = program.replace(layers=layers, history=(*program.history, entry))
    try:
        check(done)
    except CompileError as error:
        raise InputError(f"{entry['rewrite']} cannot be applied: {error}") from None
    return done


def repeated(program: Program, rewrite: str, names: list[str]) -> list[str]:
    """Layers among ``names`` that this rewrite has touched before."""
    before = {
        name
        for entry in program.history
        if entry.get("rewrite") == rewrite
        for name in entry.get("layers", ())
    }
    return [name for name in names if name in before]


def _layer(
    layer: MacLayer, scaling: Scaling, limit: int, on_overflow: str, what: str, zero: int
) -> tuple[MacLayer, dict[str, Any]]:
    steps, of_word = _steps(layer, what)
    kinds, place, count = np.unique(
        np.stack([layer.weights, of_word]), axis=1, return_inverse=True, return_counts=True
    )
    values = [scaling.word(int(word), steps[step]) for word, step in kinds.T]
    move = _move(values, scaling.point, limit) if on_overflow == "rescale" else 0
    words = [math.floor(value / Fraction(2) ** move + HALF) for value in values]
    beyond = np.array([abs(word) > limit for word in words])
    saturated = int(count[beyond].sum())
    if saturated and on_overflow == "error":
        peak = max(abs(word) for word in words)
        raise InputError(
            f"{layer.name}: {what} moves {saturated} of {layer.weights.size} words beyond "
            f"±{limit} (up to {peak}): choose --on-overflow rescale or saturate"
        )
    fitted = np.array([max(-limit, min(limit, word)) for word in words], np.int32)
    new = with_weights(layer, fitted[place.reshape(-1)], zero, move, scaling.bias)
    return new, counts(layer, new, saturated, move)


def _steps(layer: MacLayer, what: str) -> tuple[list[Fraction], NDArray[np.int64]]:
    """What an LSB of a word may be worth, and which of these each word (K,) has.

    Raises InputError where rows of different steps share their words.
    """
    scales, of_row = np.unique(layer.weight_scale, return_inverse=True)
    steps = [Fraction(scale) for scale in scales.tolist()]
    if len(steps) == 1:
        return steps, np.zeros(layer.weights.size, np.int64)
    if layer.spec.scheme != "dense":
        raise InputError(
            f"{layer.name}: {what} needs to know what a word is worth, which is another number in "
            "each of the rows that share it: compile the layer with one step for all rows"
        )
    # A dense layer's words stand row by row at each input.
    return steps, of_row.reshape(-1)[np.arange(layer.weights.size) % layer.n_out]


def counts(before: MacLayer, after: MacLayer, saturated: int = 0, moved: int = 0) -> dict[str, Any]:
    """What a rewrite did to one layer: words in all, changed, saturated, zero afterwards.

    moved: bits by which the binary point of its words went down.
    """
    return {
        "words": int(after.weights.size),
        "changed": int((before.weights != after.weights).sum()),
        "saturated": saturated,
        "zero": int((after.weights == 0).sum()),
        "moved": moved,
    }


def _move(values: list[Fraction], least: int, limit: int) -> int:
    """The least number of bits, >= least, by which the point moves so that all words fit."""
    peak = max(abs(value) for value in values)
    move = least
    # Half up, so that a negative value may be one half larger.
    while peak / Fraction(2) ** move > limit and any(
        abs(math.floor(v / Fraction(2) ** move + HALF)) > limit for v in values
    ):
        move += 1
    return move


def offset(layer: MacLayer, zero: int) -> list[int]:
    """What each bias holds beside the real bias, (out_c,): zero points and rounding.

    zero: zero point of the input map, whose −zero · ΣW · m is in the bias (−zero · ΣW in the last
    layer, which rounds nothing and has logits around 0). Python integers: a bias may use 64 bits.
    """
    sums = layer.virtual_weights.sum(1, dtype=np.int64).tolist()
    if layer.last:
        return [-zero * total for total in sums]
    rows = zip(
        sums, layer.multiplier.tolist(), layer.shift.tolist(), layer.rounding.tolist(), strict=True
    )
    return [(layer.zero << s) + half - zero * total * m for total, m, s, half in rows]


def with_weights(
    layer: MacLayer,
    words: NDArray[np.int32],
    zero: int,
    move: int = 0,
    bias: Fraction = Fraction(1),
) -> MacLayer:
    """The layer with other words, its binary point ``move`` bits down, its bias times ``bias``.

    zero: zero point of its input. Hidden layers take the move in the shift of the requantizer; the
    last one in what a step of the logits is worth.
    """
    factor = bias / Fraction(2) ** move
    worth = layer.weight_scale * 2.0**move
    after = dataclasses.replace(layer, weights=words, weight_scale=worth)
    if layer.last:
        after = dataclasses.replace(after, scale=layer.scale * 2.0**move)
    elif move:
        shift = layer.shift - move
        if int(shift.min()) < 0:
            raise InputError(
                f"{layer.name}: the binary point would move by {move} bits, its requantizer "
                f"shifts by only {int(layer.shift.min())}: choose --on-overflow saturate or a "
                "smaller value"
            )
        after = dataclasses.replace(after, shift=shift.astype(np.int32))
    rows = zip(layer.bias.tolist(), offset(layer, zero), offset(after, zero), strict=True)
    moved = [math.floor((b - old) * factor + HALF) + new for b, old, new in rows]
    return dataclasses.replace(after, bias=_int64(layer.name, moved))


def _int64(name: str, words: list[int]) -> NDArray[np.int64]:
    if max(abs(word) for word in words) >= 1 << 63:
        raise InputError(f"{name}: the bias would leave 64 bits: choose a smaller value")
    return np.array(words, np.int64)
