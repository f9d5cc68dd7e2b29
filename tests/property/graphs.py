"""Random graphs: layers and their wires grown block by block, as people's networks are.

``Sketch`` holds what is there so far. Maps that are written piece by piece, a concatenation, are
sketched as maps of their own that later become a part of another.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import AddLayer, Layer, Pair, PoolLayer
from hwsim.program.program import Numbers
from hwsim.program.wires import Input, Place, Wire
from tests.property.layer_draws import (
    CHANNELS,
    Source,
    adds,
    affines,
    averages,
    convs,
    fcs,
    luts,
    pools,
)
from tests.property.words import Draw, pick

#: Layers at which a graph stops growing, and channels at which it stops concatenating.
LAYERS, WIDEST = 10, 3 * CHANNELS
#: Blocks within blocks.
DEPTH = 2


@dataclass(frozen=True)
class Node(Source):
    """Channels that may be read: those of ``shape`` from channel ``first`` of a map on."""

    map: int = 0
    first: int = 0


@dataclass
class Sketch:
    """Layers in an order in which they may run, and what they read and write, by first maps.

    parents: of a map that became a part of another, that map and its first channel there. nodes:
    what was ever handed on, for skips over any distance. tables: those of the luts so far. sizes:
    channels of every map.
    """

    config: EngineConfig
    layers: list[Layer] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    parents: dict[int, tuple[int, int]] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    tables: list[np.ndarray] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, config: EngineConfig, image: Input) -> Sketch:
        """Nothing but the image, ``nodes[0]``."""
        sketch = cls(config)
        sketch.nodes.append(Node(image.shape, Numbers(float(image.scale), image.zero), image=True))
        sketch.sizes.append(image.shape[0])
        return sketch

    @property
    def full(self) -> bool:
        return len(self.layers) >= LAYERS

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.layers)}"

    def append(self, layer: Layer, *sources: Node, last: bool = False) -> Node:
        """A layer behind ``sources``; what it writes."""
        places = tuple(Place(node.map, node.first) for node in sources)
        self.layers.append(layer)
        self.wires.append(Wire(places, None if last else Place(len(self.sizes))))
        meaning = sources[0].numbers
        if not isinstance(layer, PoolLayer):
            meaning = Numbers(layer.scale, layer.zero)
        return self._added(Node(layer.out_shape, meaning, map=len(self.sizes)))

    def _added(self, node: Node) -> Node:
        self.sizes.append(node.shape[0])
        self.nodes.append(node)
        return node

    def free(self, node: Node) -> bool:
        """Whether a node is a map of its own, that can become a part of another."""
        whole = node.shape[0] == self.sizes[node.map]
        return whole and node.map != 0 and node.map not in self.parents

    def joined(self, parts: list[Node]) -> Node:
        """One map that the ``parts``, whole maps of one meaning, are neighbouring channels of."""
        start = 0
        for part in parts:
            self.parents[part.map] = (len(self.sizes), start)
            start += part.shape[0]
        return self._added(
            Node((start, *parts[0].shape[1:]), parts[0].numbers, map=len(self.sizes))
        )

    def resolved(self, place: Place) -> Place:
        """A place by the map that really is there."""
        number, channel = place.map, place.channel
        while number in self.parents:
            number, start = self.parents[number]
            channel += start
        return Place(number, channel)

    def graph(self, mixed: int) -> tuple[list[Layer], list[Wire]]:
        """Layers and wires, maps numbered as they are written.

        mixed: seed of another order in which they may run; 0 keeps that of their making.
        """
        wires = [
            Wire(
                tuple(self.resolved(place) for place in wire.sources),
                None if wire.target is None else self.resolved(wire.target),
            )
            for wire in self.wires
        ]
        order = _order(self.layers, wires, mixed)
        names = {0: 0}
        for number in order:
            target = wires[number].target
            if target is not None:
                names.setdefault(target.map, len(names))
        named = [_renamed(wires[number], names) for number in order]
        return [self.layers[number] for number in order], named


def _renamed(wire: Wire, names: dict[int, int]) -> Wire:
    sources = tuple(Place(names[place.map], place.channel) for place in wire.sources)
    target = wire.target
    return Wire(sources, None if target is None else Place(names[target.map], target.channel))


def _order(layers: list[Layer], wires: list[Wire], mixed: int) -> list[int]:
    """Numbers of the layers so that each comes behind those that write what it reads."""
    needs: list[set[int]] = []
    for reader, wire in zip(layers, wires, strict=True):
        needs.append(
            {
                number
                for number, (writer, other) in enumerate(zip(layers, wires, strict=True))
                for place in wire.sources
                if other.target is not None
                and other.target.map == place.map
                and other.target.channel < place.channel + reader.in_shape[0]
                and place.channel < other.target.channel + writer.out_shape[0]
            }
        )
    noise = np.random.default_rng(mixed)
    done: list[int] = []
    while len(done) < len(layers):
        ready = [n for n in range(len(layers)) if n not in done and needs[n] <= set(done)]
        done.append(int(noise.choice(ready)) if mixed else ready[0])
    return done


# --- blocks -------------------------------------------------------------------------------------


def _layer(draw: Draw, sketch: Sketch, node: Node) -> Node:
    """One layer of any kind."""
    config = sketch.config
    kinds = ["conv", "conv", "pool"]
    kinds += ["average", "affine"] * config.average
    kinds += ["lut", "lut"] * (config.lut_tables > 0 and config.act_w <= 8)
    kind = pick(draw, *kinds)
    name = sketch.name(kind)
    if kind == "conv":
        return sketch.append(draw(convs(config, name, node)), node)
    if kind == "pool":
        return sketch.append(draw(pools(name, node)), node)
    if kind == "average":
        return sketch.append(draw(averages(config, name, node)), node)
    if kind == "affine":
        return sketch.append(draw(affines(config, name, node)), node)
    return sketch.append(draw(luts(config, name, node, sketch.tables)), node)


def _same(
    draw: Draw, sketch: Sketch, node: Node, stride: Pair, outputs: int | None, wanted: Numbers
) -> Node:
    """A convolution that turns a side n into ⌈n / stride⌉."""
    conv = convs(
        sketch.config, sketch.name("conv"), node, same=stride, outputs=outputs, wanted=wanted
    )
    return sketch.append(draw(conv), node)


def _copied(draw: Draw, sketch: Sketch, node: Node, wanted: Numbers) -> Node:
    """The map once more, channel for channel, in codes that mean ``wanted``."""
    config = sketch.config
    if config.lut_tables and config.act_w <= 8 and draw(st.booleans()):
        lut = luts(config, sketch.name("lut"), node, sketch.tables, wanted)
        return sketch.append(draw(lut), node)
    if config.average and draw(st.booleans()):
        affine = affines(config, sketch.name("affine"), node, wanted=wanted)
        return sketch.append(draw(affine), node)
    return _same(draw, sketch, node, (1, 1), node.shape[0], wanted)


def _branch(
    draw: Draw, sketch: Sketch, node: Node, stride: Pair, outputs: int | None, depth: int
) -> Node:
    """Layers that turn a side n into ⌈n / stride⌉; nothing at all where that is no change."""
    end = node
    still = stride == (1, 1)
    for position in range(draw(st.integers(0 if still else 1, 2))):
        if sketch.full and position:
            break
        step = stride if position == 0 else (1, 1)
        numbers = _meaning(draw, end)
        kind = pick(draw, "conv", "conv", "pool", "block")
        if kind == "pool":
            pool = draw(pools(sketch.name("pool"), end, same=step))
            end = sketch.append(pool, end)
        elif kind == "block" and step == (1, 1) and depth < DEPTH:
            end = _keeping(draw, sketch, end, depth + 1)
        else:
            end = _same(draw, sketch, end, step, None, numbers)
    if outputs is not None and end.shape[0] != outputs:
        end = _same(draw, sketch, end, (1, 1), outputs, _meaning(draw, end))
    return end


def _meaning(draw: Draw, node: Node) -> Numbers:
    """Mostly what the codes meant before, so that maps may be joined as they are."""
    zero = pick(draw, node.numbers.zero, 0)
    step = pick(draw, 1.0, 1.0, 0.5, 1.25)
    scale = min(max(node.numbers.scale * step, 2.0**-56), 2.0**56)
    return Numbers(scale, zero)


def _residual(draw: Draw, sketch: Sketch, node: Node, stride: Pair, depth: int) -> Node:
    """Two ways from a map, added."""
    main = _branch(draw, sketch, node, stride, None, depth)
    side = _branch(draw, sketch, node, stride, main.shape[0], depth)
    return _sum(draw, sketch, main, side)


def _sum(draw: Draw, sketch: Sketch, one: Node, two: Node) -> Node:
    pair = (one, two) if draw(st.booleans()) else (two, one)
    return sketch.append(draw(adds(sketch.config, sketch.name("add"), one.shape)), *pair)


def _skip(draw: Draw, sketch: Sketch, node: Node) -> Node:
    """Anything of the same sides from any time before, or itself, added."""
    c, *sides = node.shape
    there = [one for one in sketch.nodes if list(one.shape[1:]) == sides and one.shape[0] >= c]
    other = pick(draw, node, *there)
    first = draw(st.integers(0, other.shape[0] - c))
    other = dataclasses.replace(other, shape=node.shape, first=other.first + first)
    return _sum(draw, sketch, node, other)


def _joined(draw: Draw, sketch: Sketch, parts: list[Node]) -> Node:
    """Parts side by side in one map, each copied where it cannot stand there as it is."""
    numbers = pick(draw, *parts).numbers
    numbers = Numbers(min(max(numbers.scale, 2.0**-56), 2.0**56), numbers.zero)
    ready: list[Node] = []
    for part in parts:
        fits = sketch.free(part) and part.numbers == numbers
        if not fits or any(part.map == one.map for one in ready):
            part = _copied(draw, sketch, part, numbers)
        ready.append(part)
    return sketch.joined(ready)


def _concatenation(draw: Draw, sketch: Sketch, node: Node, stride: Pair, depth: int) -> Node:
    """Two or three ways from a map, side by side; a way may be the map itself."""
    count = draw(st.integers(2, 3))
    parts = [_branch(draw, sketch, node, stride, None, depth) for _ in range(count)]
    return _joined(draw, sketch, parts)


def _split(draw: Draw, sketch: Sketch, node: Node, stride: Pair, depth: int) -> Node:
    """Slices of a map, which may overlap, each on its way; then added or side by side."""
    c = node.shape[0]
    cut = draw(st.integers(1, c - 1))
    start = draw(st.integers(0, cut))  # below the cut both read the same channels
    sides = node.shape[1:]
    first = dataclasses.replace(node, shape=(cut, *sides))
    second = dataclasses.replace(node, shape=(c - start, *sides), first=node.first + start)
    adding = sketch.config.add and sketch.config.rows > 1 and draw(st.booleans())
    one = _branch(draw, sketch, first, stride, None, depth)
    two = _branch(draw, sketch, second, stride, one.shape[0] if adding else None, depth)
    return _sum(draw, sketch, one, two) if adding else _joined(draw, sketch, [one, two])


def _picked(draw: Draw, sketch: Sketch, node: Node) -> Node:
    """A few channels, mostly one, rewritten without a window or added to as many, beside them all.

    Who reads them so sees the steps over their neighbours, which a window's reader copies away.
    """
    count = draw(st.just(1) | st.integers(1, node.shape[0]))
    firsts = st.integers(0, node.shape[0] - count)
    one, two = (
        dataclasses.replace(node, shape=(count, *node.shape[1:]), first=node.first + draw(firsts))
        for _ in range(2)
    )
    meaning = _meaning(draw, one)
    if sketch.config.add and sketch.config.rows > 1 and draw(st.booleans()):
        made = _sum(draw, sketch, one, two)
    elif sketch.config.average and draw(st.booleans()):
        affine = affines(sketch.config, sketch.name("affine"), one, wanted=meaning)
        made = sketch.append(draw(affine), one)
    else:
        made = _copied(draw, sketch, one, meaning)
    return _joined(draw, sketch, [node, made])


def _keeping(draw: Draw, sketch: Sketch, node: Node, depth: int) -> Node:
    """A block that keeps the sides."""
    return block(draw, sketch, node, depth, strides=[(1, 1)])


def block(
    draw: Draw, sketch: Sketch, node: Node, depth: int = 0, strides: list[Pair] | None = None
) -> Node:
    """The next part of a network, behind ``node``; without ``strides``, of any sides."""
    kinds = ["layer", "layer", "layer"] * (strides is None)
    adding = sketch.config.add and sketch.config.rows > 1
    kinds += ["residual", "skip"] * adding
    wide = node.shape[0] > WIDEST
    kinds += ["concatenation"] * (not wide) + ["split"] * (node.shape[0] > 1 and not wide)
    kinds += ["picked"] * (node.shape[0] > 1 and not wide)
    if sketch.full or not kinds:
        return node
    kind = pick(draw, *kinds)
    if kind == "layer":
        return _layer(draw, sketch, node)
    if kind in ("skip", "picked"):
        return (_skip if kind == "skip" else _picked)(draw, sketch, node)
    stride = pick(draw, *(strides or [(1, 1), (1, 1), (2, 2), (1, 2), (2, 1), (3, 4)]))
    make = {"residual": _residual, "concatenation": _concatenation, "split": _split}[kind]
    return make(draw, sketch, node, stride, depth)


def streamed(draw: Draw, sketch: Sketch, node: Node) -> Node:
    """Up to two hidden fully connected layers, each with up to two blocks behind it."""
    for _ in range(draw(st.integers(0, 2))):
        node = sketch.append(draw(fcs(sketch.config, sketch.name("fc"), node, False)), node)
        for _ in range(draw(st.integers(0, 2))):
            node = block(draw, sketch, node)
    return node


def finish(draw: Draw, sketch: Sketch, node: Node) -> None:
    """Up to two hidden fully connected layers, and the layer that answers."""
    config = sketch.config
    for _ in range(draw(st.integers(0, 2))):
        node = sketch.append(draw(fcs(config, sketch.name("fc"), node, False)), node)
    _, height, width = node.shape
    kinds = ["fc", "fc", "fc"] + ["conv"] * (max(height, width) <= 11)
    if config.average:
        kinds += ["affine"] * (height == width == 1) + ["average"] * (max(height, width) <= 15)
    kind = pick(draw, *kinds)
    name = sketch.name(kind)
    layer: Layer
    if kind == "fc":
        layer = draw(fcs(config, name, node, True))
    elif kind == "conv":
        layer = draw(convs(config, name, node, whole=True))
    elif kind == "affine":
        layer = draw(affines(config, name, node, last=True))
    else:
        layer = draw(averages(config, name, node, last=True))
    assert not isinstance(layer, AddLayer)
    sketch.append(layer, node, last=True)
