"""Sixteen numbers at once inside numba's loops: what its vectorizer does not find by itself.

It gives up on a loop whose stores might meet its loads in more than a few ways, which is every
convolution that keeps several pixels in registers. Here the registers are values of the language.
LLVM makes of them what the processor has, on any processor.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.errors import TypingError

#: What numba calls with a typing context that callers do not pass: no type of Python's.
intrinsic: Any = extending.intrinsic

#: Numbers in a vector.
LANES = 16
_LLVM = {
    types.float32: ir.FloatType(),
    types.int32: ir.IntType(32),
    types.int64: ir.IntType(64),
    types.uint8: ir.IntType(8),
}
_FLOATS, _WORDS, _LONGS, _BYTES = (ir.VectorType(one, LANES) for one in _LLVM.values())


class Vector(types.Type):
    """LANES numbers of one type, a value in a register."""

    def __init__(self, element: Any) -> None:
        self.element = element
        super().__init__(f"Vector({element})")


FLOATS, WORDS, BYTES = Vector(types.float32), Vector(types.int32), Vector(types.uint8)


@extending.register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, ir.VectorType(_LLVM[kind.element], LANES))


def _place(context: Any, builder: Any, kind: Any, array: Any, first: Any) -> Any:
    """Where LANES elements of a flat contiguous array begin."""
    data = context.make_array(kind)(context, builder, array).data
    vector = ir.VectorType(_LLVM[kind.dtype], LANES)
    return builder.bitcast(builder.gep(data, [first]), vector.as_pointer())


def _check(array: Any) -> None:
    """Refuses, while numba compiles, what is not flat and contiguous: steps are not looked at."""
    if array.ndim != 1 or array.layout != "C":
        raise TypingError(f"vectors are read and written in flat contiguous arrays, not {array}")


def _bytes(kind: Any) -> int:
    return int(kind.dtype.bitwidth) // 8


def _spread(builder: Any, value: Any) -> Any:
    """One number in all lanes."""
    kind = ir.VectorType(value.type, LANES)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    nowhere = ir.Constant(kind, ir.Undefined)
    return builder.shuffle_vector(one, nowhere, ir.Constant(_WORDS, [0] * LANES))


def _clamped(builder: Any, value: Any, lo: Any, hi: Any) -> Any:
    ordered = isinstance(value.type.element, ir.FloatType)
    compare = builder.fcmp_ordered if ordered else builder.icmp_signed
    value = builder.select(compare(">", value, lo), value, lo)
    return builder.select(compare("<", value, hi), value, hi)


def _any(builder: Any, lanes: Any) -> Any:
    """Whether a condition holds in some lane."""
    mask = ir.IntType(LANES)
    return builder.icmp_unsigned("!=", builder.bitcast(lanes, mask), mask(0))


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
    name = f"llvm.fma.v{LANES}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


@intrinsic
def load(typing: Any, array: Any, first: Any) -> Any:
    """LANES elements of a flat contiguous array from ``first`` on; nobody checks the bounds."""

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = signature.args[0]
        value = builder.load(_place(context, builder, kind, *given))
        value.align = _bytes(kind)
        return value

    _check(array)
    return Vector(array.dtype)(array, types.intp), code


@intrinsic
def store(typing: Any, array: Any, first: Any, value: Any) -> Any:
    """``value`` to LANES elements of a flat contiguous array of its type; bounds as ``load``."""

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = signature.args[0]
        written = builder.store(given[2], _place(context, builder, kind, *given[:2]))
        written.align = _bytes(kind)
        return context.get_dummy_value()

    _check(array)
    if not isinstance(value, Vector) or value.element != array.dtype:
        return None
    return types.void(array, types.intp, value), code


@intrinsic
def zeros(typing: Any) -> Any:
    """LANES zeros, float32."""
    return FLOATS(), lambda context, builder, signature, given: ir.Constant(_FLOATS, [0.0] * LANES)


@intrinsic
def as_floats(typing: Any, value: Any) -> Any:
    """Integers as float32; bytes exactly, words rounded to nearest."""

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        element = signature.args[0].element
        if element == types.float32:
            return given[0]
        convert = builder.uitofp if element == types.uint8 else builder.sitofp
        return convert(given[0], _FLOATS)

    return FLOATS(value), code


@intrinsic
def as_bytes(typing: Any, value: Any) -> Any:
    """The low byte of each word."""
    if value != WORDS:
        return None
    return BYTES(value), lambda context, builder, signature, given: builder.trunc(given[0], _BYTES)


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a · b + c, float32, rounded once."""
    if not a == b == c == FLOATS:
        return None
    return FLOATS(a, b, c), lambda context, builder, signature, given: _fma(builder, *given)


@intrinsic
def largest(typing: Any, one: Any, two: Any) -> Any:
    """The larger of each lane, words or floats."""

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        ordered = signature.args[0] == FLOATS
        compare = builder.fcmp_ordered if ordered else builder.icmp_signed
        return builder.select(compare(">", *given), *given)

    if one != two or one not in (FLOATS, WORDS):
        return None
    return one(one, two), code


@intrinsic
def floors(typing: Any, value: Any, factor: Any, low: Any, high: Any, lo: Any, hi: Any) -> Any:
    """⌊clamp(value · factor + low, lo, hi)⌋, and whether ``high`` in place of low gives another.

    Float32; lo and hi not negative. (words, differ).
    """

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        value, factor, low, high, lo, hi = given
        lo, hi = _spread(builder, lo), _spread(builder, hi)
        one, two = (
            builder.fptosi(_clamped(builder, _fma(builder, value, factor, c), lo, hi), _WORDS)
            for c in (low, high)
        )
        differ = _any(builder, builder.icmp_signed("!=", one, two))
        return context.make_tuple(builder, signature.return_type, [one, differ])

    pair = types.Tuple((WORDS, types.boolean))
    if not value == factor == low == high == FLOATS:
        return None
    return pair(value, factor, low, high, types.float32, types.float32), code


def _product(builder: Any, kind: Any, acc: Any, multiplier: Any, bias: Any) -> Any:
    """acc · multiplier + bias in 64 bits, of acc that fits 32."""
    if kind == FLOATS:
        acc = builder.fptosi(acc, _WORDS)
    elif kind == BYTES:
        acc = builder.zext(acc, _WORDS)
    wide = builder.mul(builder.sext(acc, _LONGS), builder.sext(multiplier, _LONGS))
    return builder.add(wide, bias)


@intrinsic
def requantized(
    typing: Any, acc: Any, multiplier: Any, bias: Any, shift: Any, lo: Any, hi: Any
) -> Any:
    """clamp((acc · multiplier + bias) >> shift, lo, hi) in 64 bits, as bytes.

    acc: integers of 32 bits, as bytes, words or floats.
    """

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        acc, multiplier, bias, shift, lo, hi = given
        p = _product(builder, signature.args[0], acc, multiplier, bias)
        raw = builder.ashr(p, builder.sext(shift, _LONGS))
        out = _clamped(builder, raw, _spread(builder, lo), _spread(builder, hi))
        return builder.trunc(out, _BYTES)

    return BYTES(acc, multiplier, bias, shift, types.int64, types.int64), code


@intrinsic
def requantized_state(
    typing: Any, acc: Any, multiplier: Any, bias: Any, shift: Any, threshold: Any, lo: Any, hi: Any
) -> Any:
    """``requantized``, and bytes of 16 where the product is above ``threshold`` + 32 where its
    shifted value is not above hi.
    """

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        acc, multiplier, bias, shift, threshold, lo, hi = given
        p = _product(builder, signature.args[0], acc, multiplier, bias)
        raw = builder.ashr(p, builder.sext(shift, _LONGS))
        lo, hi = _spread(builder, lo), _spread(builder, hi)
        out = builder.trunc(_clamped(builder, raw, lo, hi), _BYTES)
        none = ir.Constant(_BYTES, [0] * LANES)
        marks = [
            builder.select(holds, ir.Constant(_BYTES, [mark] * LANES), none)
            for holds, mark in (
                (builder.icmp_signed(">", p, threshold), 16),
                (builder.icmp_signed("<=", raw, hi), 32),
            )
        ]
        return context.make_tuple(builder, signature.return_type, [out, builder.or_(*marks)])

    pair = types.UniTuple(BYTES, 2)
    return pair(acc, multiplier, bias, shift, threshold, types.int64, types.int64), code
