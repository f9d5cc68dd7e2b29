"""Operations that the engine has no unit for, folded into the layers that can absorb them exactly.

Zeros around a map become padding of the convolution behind them; copies of a pixel become sums of
the weights that read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwsim.compiler.operations import Copies, Flatten, Mac, Op, Pad, Relu
from hwsim.errors import CompileError
from hwsim.numbers.hashing import HashSpec


def folded(operations: Sequence[Op]) -> list[Op]:
    """The same function without Pad and Copies.

    Raises CompileError, naming the path, where one of them cannot be folded exactly.
    """
    done: list[Op] = []
    pending: Pad | Copies | None = None
    for op in operations:
        if pending is None:
            if isinstance(op, Pad | Copies):
                pending = op
            else:
                done.append(op)
        elif isinstance(op, Relu):
            # It commutes: 0 stays 0, and copies stay copies.
            done.append(Relu(op.path, pending.before, np.maximum(pending.samples, 0)))
            pending = replace(pending, samples=done[-1].samples)
        elif isinstance(pending, Pad):
            if isinstance(op, Pad):
                sides = tuple(a + b for a, b in zip(pending.sides, op.sides, strict=True))
                pending = replace(pending, shape=op.shape, sides=sides)
            else:
                done.append(_padded(pending, op))
                pending = None
        elif isinstance(op, Flatten):
            done.append(Flatten(op.path, (pending.before[0],), pending.samples))
        else:
            done.append(_summed(pending, op))
            pending = None
    if pending is not None:
        raise _homeless(pending, "the end of the network")
    return done


def _homeless(op: Pad | Copies, behind: str) -> CompileError:
    if isinstance(op, Pad):
        return CompileError(
            f"{op.path}: zeros around the map before {behind}: the engine pads convolutions only: "
            "put it directly before one, or remove it"
        )
    count = op.count
    return CompileError(
        f"{op.path}: repeats each pixel {count} times before {behind}, which only an unhashed "
        f"Linear behind nn.Flatten can absorb: remove it, and give the next layer a {count}th of "
        "its inputs"
    )


def _padded(pad: Pad, op: Op) -> Mac:
    """The convolution ``op`` with the zeros of ``pad``."""
    if not isinstance(op, Mac) or not op.conv:
        raise _homeless(pad, op.path)
    left, right, top, bottom = (side + op.padding for side in pad.sides)
    _, height, width = pad.before
    reached = tuple((n + 2 * left - op.kernel) // op.stride + 1 for n in (height, width))
    # Zeros behind the last window are never read: there any number is as good as ``left``.
    if left != top or reached != op.shape[1:]:
        raise CompileError(
            f"{pad.path}: with the padding of {op.path}, {left} zeros to the left, {right} to the "
            f"right, {top} above and {bottom} below: the engine pads all four sides alike: use "
            "the same number on each, with an odd kernel"
        )
    return replace(op, padding=left)


def _summed(copies: Copies, op: Op) -> Mac:
    """The Linear ``op`` on single pixels: the weights that read copies of one are added."""
    if not isinstance(op, Mac) or op.conv or op.spec.scheme != "dense":
        raise _homeless(copies, op.path)
    n_out, channels = op.spec.n_out, copies.before[0]
    real = op.real.reshape(channels, copies.count, n_out).sum(1).reshape(-1)
    return replace(op, spec=HashSpec("dense", n_out, channels, real.size), real=real)
