"""Windows of pools: what is behind them, and how large ones become several."""

from __future__ import annotations

from hwsim.compiler.operations import Pair
from hwsim.program.layers import Shape


def behind(shape: Shape, kernel: Pair, stride: Pair) -> Shape:
    """The map behind windows inside ``shape``."""
    sides = [(n - k) // s + 1 for n, k, s in zip(shape[1:], kernel, stride, strict=True)]
    return shape[0], sides[0], sides[1]


def window_steps(
    kernel: Pair, stride: Pair, most: int, at_last: int, padded: bool, whole: Shape | None = None
) -> list[tuple[Pair, Pair]]:
    """Windows that the engine has, one after the other as good as a larger one.

    most: sides of a window; at_last: of one as large as the map. Where there are none, the window
    as it is, which the proof refuses.
    """
    limit = at_last if whole is not None and whole[1:] == kernel else most
    if max(kernel) <= limit or padded or kernel != stride:
        return [(kernel, stride)]
    first = [1, 1]
    for axis, side in enumerate(kernel):
        if side > limit:
            fitting = [d for d in range(2, most + 1) if side % d == 0 and side // d <= limit]
            if not fitting:
                return [(kernel, stride)]
            first[axis] = fitting[0]
    rest = (kernel[0] // first[0], kernel[1] // first[1])
    return [((first[0], first[1]), (first[0], first[1])), (rest, rest)]
