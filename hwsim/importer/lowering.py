"""Integer steps -> a Program: the file's integers in the engine's memories, scales as m, s, b."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.compiler.naming import uniquely_named
from hwsim.compiler.requantize import multiplier_bits, requantize, requantize_sum
from hwsim.errors import CompileError
from hwsim.importer import kernel_words
from hwsim.importer.kernel_words import Kernel
from hwsim.importer.steps import IntegerStep, IntegerSteps, Value
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec
from hwsim.program.geometry import MAX_AVERAGE
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    Window,
)
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.program.wires import Input, Place, Wire, image_first

#: Ways of rounding that differ from the engine's in ties only.
_NEAREST = ("even", "even-behind-zero", "away", "toward", "kernel")
Words = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]


@dataclasses.dataclass(frozen=True, eq=False)
class Lowered:
    """A Program, and which of its maps hold what the file calls by name.

    values: by the file's name of a tensor, the map and its first channel.
    """

    program: Program
    values: dict[str, tuple[Value, Place]]


def lower(
    steps: IntegerSteps,
    config: EngineConfig,
    provenance: dict[str, Any] | None = None,
    kernel: Kernel | None = None,
) -> Lowered:
    """The checked Program of a network's steps.

    Parameters
    ----------
    steps : IntegerSteps
        In the order of execution.
    config : EngineConfig
        Whose words are wide enough for the file's integers; ``fitting`` gives one.
    provenance : dict, optional
        Where the file came from; notes are added.
    kernel : str, optional
        Of TFLite, which every layer rounds as; ``config`` is one of ``kernel_words.engine_of``.

    Raises
    ------
    CompileError
        Naming the layer, for what does not fit the engine.
    """
    layers = [_layer(step, config, kernel) for step in steps.steps]
    numbers: dict[Value, int] = {steps.input: 0}

    def place(value: Value) -> Place:
        root, channel = value.place
        return Place(numbers.setdefault(root, len(numbers)), channel)

    wires = [
        Wire(tuple(map(place, step.sources)), place(step.target) if step.target else None)
        for step in steps.steps
    ]
    codes = steps.input.codes
    image = Input(steps.input.shape, codes.scale, codes.zero + codes.shift)
    about = dict(provenance or {})
    notes = [*about.get("notes", []), *steps.notes, *map(_summing, filter(too_large, steps.steps))]
    if notes:
        about["notes"] = notes
    whole = image_first(image.shape, uniquely_named(layers), wires)
    program = Program.graph(config, *whole, image, about)
    check(program)
    moved = len(whole[0]) - len(layers)
    values = {}
    for value in [steps.input, *(step.target for step in steps.steps)]:
        while value is not None:
            if value.tensor:
                spot = place(value)
                number = spot.map if value is steps.input else spot.map + moved
                values[value.tensor] = value, Place(number, spot.channel)
            value = value.parent[0] if value.parent else None
    return Lowered(program, values)


def fitting(steps: IntegerSteps, config: EngineConfig) -> tuple[EngineConfig, list[str]]:
    """The configuration with words as wide as the file's integers, and what had to grow."""
    values = [steps.input, *(step.target for step in steps.steps if step.target)]
    levels = max(value.codes.levels for value in values)
    reach = max(
        (int(np.abs(s.weights).max()) for s in steps.steps if s.weights is not None), default=0
    )
    # Zero points that lie outside of the codes need their place, too.
    changes = {
        "act_w": max(config.act_w, (levels - 1).bit_length()),
        "wgt_w": max(config.wgt_w, reach.bit_length() + 1),
    }
    changes = {name: bits for name, bits in changes.items() if bits != getattr(config, name)}
    if not changes:
        return config, []
    told = [
        f"{name} is {bits} here, {getattr(config, name)} in configuration {config.name}: the "
        "file's integers need it"
        for name, bits in changes.items()
    ]
    return config.replace(**changes, name=config.name), told


# --- layers ---------------------------------------------------------------------------------------


def _layer(step: IntegerStep, config: EngineConfig, kernel: Kernel | None) -> Layer:
    if step.kind in ("conv", "fc"):
        return _mac(step, config, kernel)
    shape = step.sources[0].shape
    if step.kind == "pool":
        assert step.window is not None
        assert step.target is not None
        window = reaching(step.window, shape)
        return PoolLayer(step.name, shape, step.target.shape, window)
    if step.kind == "average":
        return _mac(summed(step), config, kernel) if too_large(step) else _average(step, config)
    if step.kind == "output":
        words = np.full(shape[0], -code(step.sources[0]), np.int64)
        none = np.zeros(shape[0], np.int32)
        return AffineLayer(
            f"{step.name}/answers",
            shape,
            none,
            none,
            words,
            last=True,
            scale=float(step.ratio[0]),
            hi=config.act_max,
        )
    assert step.target is not None
    if step.kind == "affine":
        zero = code(step.sources[0])
        m, s, b = _words(step, [zero] * shape[0], [config.act_max] * shape[0], config, kernel)
        return AffineLayer(step.name, shape, m, s, b, last=False, **_written(step))
    if step.kind == "add":
        return _add(step, config, kernel)
    table = step.table() + step.target.codes.shift
    # Codes beyond the file's own are never read; they continue its last one.
    table = np.concatenate([table, np.full(config.act_max + 1 - len(table), table[-1])])
    fields = {k: v for k, v in _written(step).items() if k in ("scale", "zero")}
    return LutLayer(step.name, shape, table.astype(np.int32), **fields)


def too_large(step: IntegerStep) -> bool:
    """Whether a step averages a whole map that no window of the engine spans."""
    window = step.window
    if step.kind != "average" or window is None or max(window.kernel) <= MAX_AVERAGE:
        return False
    return window.kernel == step.sources[0].shape[1:]


def summed(step: IntegerStep) -> IntegerStep:
    """The same average as a fully connected layer whose weights are ones: exact, in one step."""
    channels, height, width = step.sources[0].shape
    ones = np.repeat(np.eye(channels, dtype=np.int32), height * width, axis=1)
    ratio = step.ratio * channels if len(step.ratio) == 1 else step.ratio
    return dataclasses.replace(step, kind="average", weights=ones, ratio=ratio)


def _summing(step: IntegerStep) -> str:
    return (
        f"{step.name}: {step.operator} over more than {MAX_AVERAGE} x {MAX_AVERAGE} pixels is a "
        "fully connected layer of ones here"
    )


def _mac(step: IntegerStep, config: EngineConfig, kernel: Kernel | None) -> MacLayer:
    weights, source = step.weights, step.sources[0]
    assert weights is not None
    matrix = weights.reshape(len(weights), -1)
    count, fan_in = matrix.shape
    window = reaching(step.window, source.shape) if step.kind == "conv" and step.window else None
    none = np.zeros(count, np.int32)
    steps = np.array([float(one) for one in step.steps])
    if step.target is None:
        # A logit is worth one step of a weight times one of the input, and nothing between.
        steps = np.array([float(step.ratio[0] / source.codes.scale)])
    shape = (count, *(window.out_sides(*source.shape[1:]) if window else (1, 1)))
    layer = MacLayer(
        name=step.name,
        kind="conv" if window else "fc",
        in_shape=source.shape,
        out_shape=shape,
        window=window,
        spec=HashSpec("dense", count, fan_in, count * fan_in),
        weights=_dense(matrix),
        multiplier=none,
        shift=none,
        bias=none.astype(np.int64),
        last=step.target is None,
        weight_scale=steps,
        groups=step.groups,
        scale=1.0,
        hi=config.act_max,
        fill=code(source) if window and any(window.padding) else 0,
    )
    bias = step.bias if step.bias is not None else np.zeros(count, np.int64)
    through = layer.virtual_weights.sum(1, dtype=np.int64) * code(source)
    sums = [int(zero) - int(own) for zero, own in zip(through, bias, strict=True)]
    if step.target is None:
        unit = step.ratio[0]
        words = [_answer(step, one, unit) - zero for one, zero in _each(step, sums)]
        return _with(layer, bias=np.array(words, np.int64), scale=float(unit))
    reach = layer.accumulator_bound(config.act_max).tolist()
    m, s, b = _words(step, sums, reach, config, kernel)
    return _with(layer, multiplier=m, shift=s, bias=b, **_written(step))


def _answer(step: IntegerStep, offset: Fraction, unit: Fraction) -> int:
    """The whole number next to an offset; below it where only the sign counts."""
    if step.bipolar:
        return int(offset // unit)
    return int((offset / unit + Fraction(1, 2)) // 1)


def _average(step: IntegerStep, config: EngineConfig) -> AverageLayer:
    assert step.window is not None
    shape = step.sources[0].shape
    # Of a single window the stride is any: a column at stride 1 is read in one cycle.
    stride = tuple(
        1 if kernel == side else one
        for kernel, one, side in zip(step.window.kernel, step.window.stride, shape[1:], strict=True)
    )
    window = Window(step.window.kernel, (stride[0], stride[1]))
    none = np.zeros(1, np.int32)
    layer = AverageLayer(
        step.name,
        shape,
        (shape[0], *window.out_sides(*shape[1:])),
        window,
        none,
        none,
        none.astype(np.int64),
        last=step.target is None,
        scale=1.0,
        hi=config.act_max,
    )
    zero = code(step.sources[0]) * window.size
    if step.target is None:
        word = _answer(step, step.offset[0], step.ratio[0]) - zero
        return _with(layer, bias=np.array([word], np.int64), scale=float(step.ratio[0]))
    m, s, b = _words(step, [zero], [config.act_max * window.size], config)
    return _with(layer, multiplier=m, shift=s, bias=b, **_written(step))


def _add(step: IntegerStep, config: EngineConfig, kernel: Kernel | None) -> AddLayer:
    target = step.target
    assert target is not None
    one, two = (gain / target.codes.scale for gain in step.ratio)
    zeros = code(step.sources[0]), code(step.sources[1]), code(target)
    offset = step.offset[0] + lowered_by(step)
    found = (
        requantize_sum((one, two), offset, target.codes.scale, zeros, config)
        if kernel is None else kernel_words.addition(step, zeros, config)
    )  # fmt: skip
    if found is None:
        raise _does_not_fit(step, 0, config)
    (m, n), s, b = found
    return AddLayer(
        step.name,
        step.sources[0].shape,
        np.array([m, n], np.int32),
        np.array([s], np.int32),
        np.array([b], np.int64),
        **_written(step),
    )


def _words(
    step: IntegerStep,
    sums: list[int],
    reach: list[int],
    config: EngineConfig,
    kernel: Kernel | None = None,
) -> Words:
    """(m, s, b) of every channel."""
    assert step.target is not None
    codes, found = step.target.codes, []
    if step.bipolar:
        return _signs(step, sums)
    if step.kind == "average" and step.rounding == "kernel":
        away = _away(step, reach[0], config)
        if away is not None:
            alike = [np.full(len(sums), word, np.int64) for word in away]
            return alike[0].astype(np.int32), alike[1].astype(np.int32), alike[2]
    if kernel is not None and step.kind != "average":
        return _arrays(kernel_words.words(step, sums, reach, config, code(step.target), kernel))
    ratios = step.ratio if len(step.ratio) > 1 else step.ratio * len(sums)
    for channel, ((offset, zero_sum), most) in enumerate(
        zip(_each(step, sums), reach, strict=True)
    ):
        ratio = ratios[channel] / codes.scale
        one = requantize(
            ratio, offset, codes.scale, most, config, zero_sum=zero_sum, zero=code(step.target)
        )
        if one is None and most == 0:
            one = _constant(step, ratio, offset, zero_sum, config)
        if one is None:
            raise _does_not_fit(step, channel, config)
        found.append(one)
    return _arrays(found)


def _arrays(rows: Sequence[tuple[int, int, int]]) -> Words:
    m, s, b = zip(*rows, strict=True)
    return np.array(m, np.int32), np.array(s, np.int32), np.array(b, np.int64)


def _away(step: IntegerStep, reach: int, config: EngineConfig) -> tuple[int, int, int] | None:
    """(m, s, b) of TFLite's averages: codes in, codes out, halves away from the code that is 0.

    A multiplier a little larger than 1/n, around q = 0, carries every half away from there and
    nothing else, as long as what it adds to the largest mean stays below the distance of the next
    number that is no half. None where the multiplier is too narrow for that.
    """
    source, target = step.sources[0].codes, step.target
    assert step.window is not None
    assert target is not None
    if source != target.codes or step.post_moves:
        return None
    n, zero = step.window.size, source.shift
    most = max(abs(source.low), abs(source.high))
    width, limit = config.acc_w + config.mult_w, (1 << (multiplier_bits(config) - 1)) - 1
    for s in range(width - 1, 0, -1):
        m = (1 << s) // n + 1
        b = (zero << s) + (1 << (s - 1)) - n * zero * m
        if m > limit or reach * m + abs(b) >= 1 << (width - 1):
            continue
        more = Fraction(n * m, 1 << s) - 1
        return (m, s, b) if most * more < Fraction(1, n if n % 2 == 0 else 2 * n) else None
    return None


def _constant(
    step: IntegerStep, ratio: Fraction, offset: Fraction, zero_sum: int, config: EngineConfig
) -> tuple[int, int, int] | None:
    """Of a channel whose sums are 0: its bias alone."""
    assert step.target is not None
    codes = step.target.codes
    value = offset / codes.scale - zero_sum * ratio
    edge = Fraction(1 << 20)
    value = min(max(value, -edge), edge)
    return requantize(
        Fraction(0), value * codes.scale, codes.scale, 0, config, zero=code(step.target)
    )


def _signs(step: IntegerStep, sums: list[int]) -> Words:
    """1 where (acc + bias) · ratio + offset >= 0, else 0: clamp(acc + b, 0, 1), exact."""
    ratios = step.ratio if len(step.ratio) > 1 else step.ratio * len(sums)
    m, b = [], []
    for (offset, zero_sum), ratio in zip(_each(step, sums), ratios, strict=True):
        if ratio == 0:
            m.append(0)
            b.append(int(offset >= 0))
        elif ratio > 0:
            m.append(1)
            b.append(int(offset / ratio // 1) - zero_sum + 1)
        else:
            m.append(-1)
            b.append(int(offset / -ratio // 1) + zero_sum + 1)
    return np.array(m, np.int32), np.zeros(len(m), np.int32), np.array(b, np.int64)


def _does_not_fit(step: IntegerStep, channel: int, config: EngineConfig) -> CompileError:
    return CompileError(
        f"{step.name}: {step.operator} scales channel {channel} by a factor that does not fit a "
        f"{config.mult_w}-bit multiplier and {config.acc_w + config.mult_w}-bit words: choose a "
        "configuration with a larger mult_w, or check the scales of the file"
    )


# --- words ----------------------------------------------------------------------------------------


def code(value: Value) -> int:
    """The engine's code of real 0 in a map."""
    return value.codes.zero + value.codes.shift


def reaching(window: Window, shape: tuple[int, int, int]) -> Window:
    """The window with padding at bottom and right only as far as windows reach."""
    top, left, _, _ = window.padding
    height, width = window.out_sides(*shape[1:])
    bottom = max(0, (height - 1) * window.stride[0] + window.kernel[0] - top - shape[1])
    right = max(0, (width - 1) * window.stride[1] + window.kernel[1] - left - shape[2])
    return dataclasses.replace(window, padding=(top, left, bottom, right))


def _written(step: IntegerStep) -> dict[str, Any]:
    assert step.target is not None
    codes = step.target.codes
    low, high = step.bounds
    return dict(
        scale=float(codes.scale),
        zero=codes.zero + codes.shift,
        lo=low + codes.shift,
        hi=high + codes.shift,
    )


def _each(step: IntegerStep, sums: list[int]) -> Sequence[tuple[Fraction, int]]:
    """What is added to each channel, in real numbers and in units of its accumulator."""
    offsets = step.offset if len(step.offset) > 1 else step.offset * len(sums)
    return [(one + lowered_by(step), zero) for one, zero in zip(offsets, sums, strict=True)]


def lowered_by(step: IntegerStep) -> Fraction:
    """What makes rounding to the nearest, ties up, of the file's way to round."""
    if step.target is None or step.rounding in _NEAREST or step.bipolar:
        return Fraction(0)
    if step.rounding == "floor" or (step.rounding == "trunc" and step.low >= 0):
        return -step.target.codes.scale / 2
    raise CompileError(
        f"{step.name}: {step.operator} rounds by {step.rounding}: the engine rounds to the nearest "
        "or down: quantize with ROUND or FLOOR"
    )


def _dense(matrix: NDArray[Any]) -> NDArray[np.int32]:
    """Words in address order: weight (i, j) of (n_out, fan_in) stands at j · n_out + i."""
    return np.ascontiguousarray(matrix.T, np.int32).reshape(-1)


def _with(layer: Any, **fields: Any) -> Any:
    done = dataclasses.replace(layer, **fields)
    if isinstance(layer, MacLayer):
        done.share_table(layer)
    return done
