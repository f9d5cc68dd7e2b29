"""A network cut behind a layer: what follows is a network again, whose input is that layer's map.

Only where one map is all that the rest reads: inside a residual block two are alive, and there is
no such cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from hwsim.engine.module import Engine
from hwsim.program.layers import Layer
from hwsim.program.program import Numbers, Program
from hwsim.program.wires import Input, Place, Wire


@dataclass(frozen=True)
class Tail:
    """What follows a cut. depth: its name, unique in the network. map: which of
    ``Engine.feature_maps`` it reads, None for the image. program: what follows, a network."""

    depth: str
    map: int | None
    program: Program


def tails(engine: Engine) -> Iterator[Tail]:
    """The whole network, then what is behind each stage.

    A pool that the engine computes together with the layer before it belongs to that layer's stage,
    as in Engine.feature_maps; the depth is named after what ends the stage, and numbered where
    several layers have that name.
    """
    program = engine.program
    yield Tail("input", None, program)
    position = 0
    seen: Counter[str] = Counter()
    for number, stage in enumerate(engine.datapath.stages[:-1]):
        position += 2 if stage.pool else 1
        seen[stage.name] += 1
        again = f" ({seen[stage.name]})" if seen[stage.name] > 1 else ""
        tail = _behind(program, position)
        if tail is not None:
            yield Tail(f"after {stage.name}{again}", number, tail)


def _behind(program: Program, position: int) -> Program | None:
    """Layers from ``position`` on, if all that they read of the others is one whole map."""
    layers, wires = program.layers[position:], program.wires[position:]
    written = [wire.target.map for wire in wires if wire.target is not None]
    read = [place.map for wire in wires for place in wire.sources]
    alive = {number for number in read if number not in written}
    early = {wire.target.map for wire in program.wires[:position] if wire.target is not None}
    # A map that is written on both sides of the cut is alive, too.
    if len(alive) != 1 or early & set(written) & set(read):
        return None
    start = alive.pop()
    meaning = _meaning(program, position, start)
    whole = _channels(layers, wires, start) == set(range(program.maps[start].shape[0]))
    if meaning is None or not whole:
        return None
    names = {start: 0}
    for number in written:
        names.setdefault(number, len(names))
    image = Input(program.maps[start].shape, Fraction(meaning.scale), meaning.zero)
    return program.replace(
        layers=layers,
        input=image,
        wires=tuple(_renamed(wire, names) for wire in wires),
        maps=tuple(program.maps[number] for number in names),
    )


def _meaning(program: Program, position: int, number: int) -> Numbers | None:
    """What the codes of a map mean to all who read it from ``position`` on."""
    found = {
        numbers
        for wire, read in list(zip(program.wires, program.numbers, strict=True))[position:]
        for place, numbers in zip(wire.sources, read, strict=True)
        if place.map == number
    }
    return found.pop() if len(found) == 1 else None


def _channels(layers: tuple[Layer, ...], wires: tuple[Wire, ...], number: int) -> set[int]:
    """Channels of a map that anyone of ``layers`` reads."""
    return {
        place.channel + c
        for layer, wire in zip(layers, wires, strict=True)
        for place in wire.sources
        if place.map == number
        for c in range(layer.in_shape[0])
    }


def _renamed(wire: Wire, names: dict[int, int]) -> Wire:
    sources = tuple(Place(names[place.map], place.channel) for place in wire.sources)
    target = wire.target
    return Wire(sources, None if target is None else Place(names[target.map], target.channel))
