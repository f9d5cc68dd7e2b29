"""Exact rewrites of weight words: rational arithmetic, overflow policy, proof, history.

A rewrite says what each word becomes in units of the layer's present LSB, 2^-fw, as an exact
rational; here it is rounded half up once, fitted into the word, and the post constants follow a
moved binary point. Addresses and signs (the index ROM) are never touched.
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
from hwsim.program.program import Layer, MacLayer, Program
from hwsim.program.proof import check

OnOverflow = Literal["error", "saturate", "rescale"]
ON_OVERFLOW: tuple[str, ...] = get_args(OnOverflow)
HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Scaling:
    """What a rewrite does to one layer, exactly.

    word: present word -> new value in present LSBs. bias: factor of the bias. point: how many
    bits the binary point may at least move under ``rescale``; 0 unless all words are scaled by a
    common factor, of which it is ⌊log2⌋.
    """

    word: Callable[[int], Fraction]
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
    for layer in program.layers:
        if isinstance(layer, MacLayer) and layer.name in names:
            layer, row = _layer(layer, scaling(layer), limit, on_overflow, record["rewrite"])
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
    layer: MacLayer, scaling: Scaling, limit: int, on_overflow: str, what: str
) -> tuple[MacLayer, dict[str, Any]]:
    distinct, place, count = np.unique(layer.weights, return_inverse=True, return_counts=True)
    values = [scaling.word(int(word)) for word in distinct]
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
    new = _moved(dataclasses.replace(layer, weights=fitted[place.reshape(-1)]), move, scaling.bias)
    return new, counts(layer, new, saturated)


def counts(before: MacLayer, after: MacLayer, saturated: int = 0) -> dict[str, Any]:
    """What a rewrite did to one layer: words in all, changed, saturated, zero afterwards."""
    return {
        "words": int(after.weights.size),
        "changed": int((before.weights != after.weights).sum()),
        "saturated": saturated,
        "zero": int((after.weights == 0).sum()),
        "fw": [before.fw, after.fw],
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


def _moved(layer: MacLayer, move: int, bias: Fraction) -> MacLayer:
    """The layer with its binary point ``move`` bits down and its bias times ``bias``.

    Hidden layers take the move in the shift of the requantizer; the last one in the binary point
    of the logits.
    """
    if move == 0 and bias == 1:
        return layer
    factor = bias / Fraction(2) ** move
    point = layer.fw - move
    if layer.last:
        words = [math.floor(int(b) * factor + HALF) for b in layer.bias]
        return dataclasses.replace(
            layer, fw=point, fa_out=layer.fa_in + point, bias=_int64(layer.name, words)
        )
    shift = layer.shift - move
    if int(shift.min()) < 0:
        raise InputError(
            f"{layer.name}: the binary point would move by {move} bits, its requantizer shifts by "
            f"only {int(layer.shift.min())}: choose --on-overflow saturate or a smaller value"
        )
    after = dataclasses.replace(layer, fw=point, shift=shift.astype(np.int32))
    # Python integers: a bias may use all 64 bits.
    rows = zip(layer.bias.tolist(), layer.rounding.tolist(), after.rounding.tolist(), strict=True)
    words = [math.floor((b - half) * factor + HALF) + new for b, half, new in rows]
    return dataclasses.replace(after, bias=_int64(layer.name, words))


def _int64(name: str, words: list[int]) -> NDArray[np.int64]:
    if max(abs(word) for word in words) >= 1 << 63:
        raise InputError(f"{name}: the bias would leave 64 bits: choose a smaller value")
    return np.array(words, np.int64)
