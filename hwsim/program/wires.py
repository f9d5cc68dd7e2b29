"""Maps and wires: which map a layer reads and writes, and where maps stand in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from hwsim.program.layers import Layer, PoolLayer, Shape, Window


@dataclass(frozen=True)
class Input:
    """The image: a value x becomes the code ⌊x / scale + ½⌋ + zero, saturated.

    shape: (C, H, W); vectors are (F, 1, 1), series (C, 1, L). scale: what a step of a code is
    worth, exactly; 1/(2^ACT_W − 1) for pixels in [0, 1]. top: the largest code that an image may
    have; None for all that ACT_W bits hold. Files whose input has fewer codes than the engine's
    pins say so, since no image of theirs holds more.
    """

    shape: Shape
    scale: Fraction
    zero: int = 0
    top: int | None = None

    def last(self, act_max: int) -> int:
        """The largest code, of 0 … act_max."""
        return act_max if self.top is None else self.top

    def bounds(self, act_max: int) -> tuple[Fraction, Fraction]:
        """The values of code 0 and of the largest code."""
        return -self.zero * self.scale, (self.last(act_max) - self.zero) * self.scale


@dataclass(frozen=True)
class FeatureMap:
    """A map in the activation memory: its shape and its first line."""

    shape: Shape
    line: int


@dataclass(frozen=True)
class Place:
    """Neighbouring channels of a map, from ``channel`` on; how many, the layer says."""

    map: int
    channel: int = 0


@dataclass(frozen=True)
class Wire:
    """What a layer reads and writes; the last layer writes nothing."""

    sources: tuple[Place, ...]
    target: Place | None


def plane_lines(shape: Shape, cols: int) -> int:
    """Lines of one channel of a map: rows, each in whole lines of ``cols`` codes."""
    return shape[1] * math.ceil(shape[2] / cols)


def map_lines(shape: Shape, cols: int) -> int:
    """Lines of a map."""
    return shape[0] * plane_lines(shape, cols)


def chain_wires(layers: Sequence[Layer]) -> tuple[Wire, ...]:
    """Each layer reads what the one before it wrote; map 0 is the image."""
    end = len(layers) - 1
    return tuple(
        Wire((Place(number),), None if number == end else Place(number + 1))
        for number in range(len(layers))
    )


def map_shapes(image: Shape, layers: Sequence[Layer], wires: Sequence[Wire]) -> tuple[Shape, ...]:
    """Shapes of all maps, number by number: map 0 is the image, others hold what is written."""
    shapes: dict[int, Shape] = {0: image}
    for layer, wire in zip(layers, wires, strict=True):
        if wire.target is None:
            continue
        channels, height, width = layer.out_shape
        before = shapes.get(wire.target.map, (0, height, width))
        end = max(before[0], wire.target.channel + channels)
        shapes[wire.target.map] = (end, *before[1:])
    return tuple(shapes[number] for number in sorted(shapes))


def image_first(
    image: Shape, layers: Sequence[Layer], wires: Sequence[Wire]
) -> tuple[tuple[Layer, ...], tuple[Wire, ...]]:
    """The same network with a first layer that reads the whole image.

    The engine learns from its first instruction which image to expect. Where that is about some of
    the channels only, a copy of the image, a max-pool over single pixels, stands in front, and
    everybody reads the copy.
    """
    if layers[0].in_shape == image:
        return tuple(layers), tuple(wires)
    copy = PoolLayer("image", image, image, Window((1, 1)))

    def moved(place: Place) -> Place:
        return Place(place.map + 1, place.channel)

    behind = [
        Wire(tuple(map(moved, wire.sources)), moved(wire.target) if wire.target else None)
        for wire in wires
    ]
    return (copy, *layers), (Wire((Place(0),), Place(1)), *behind)


def image_copy(layers: Sequence[Layer], wires: Sequence[Wire]) -> int | None:
    """The map that holds a copy of the image, as ``image_first`` makes it; None without one."""
    first, wire = layers[0], wires[0]
    copies = isinstance(first, PoolLayer) and first.window == Window((1, 1))
    if not copies or wire.target is None or wire.target.channel:
        return None
    return wire.target.map
