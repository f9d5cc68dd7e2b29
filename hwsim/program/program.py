"""Program: what the engine executes, and where its words and its maps stand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig
from hwsim.program.allocation import Peak, allocate, lives, peak
from hwsim.program.held import Held
from hwsim.program.instruction import OPCODES, SCHEME_CODES
from hwsim.program.layers import (
    SUMMING,
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    Shape,
    binary_point,
    is_last,
)
from hwsim.program.wires import (
    FeatureMap,
    Input,
    Place,
    Wire,
    chain_wires,
    map_lines,
    map_shapes,
    plane_lines,
)


@dataclass(frozen=True)
class Placement:
    """Where a layer's words stand: lines of weight, index, and scale/bias memory; its table."""

    weight_base: int = 0
    weight_lines: int = 0
    index_base: int = 0
    index_lines: int = 0
    channel_base: int = 0
    channels: int = 0
    table: int = 0


@dataclass(frozen=True)
class Numbers:
    """What the codes of a map stand for: (a − zero) · scale."""

    scale: float
    zero: int


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled network: layers in execution order, for one engine configuration.

    A directed acyclic graph over maps: ``wires`` say, layer by layer, what is read and written,
    ``maps`` where it stands; map 0 is the image. ``Program.chain`` and ``Program.graph`` find
    both. provenance: where it came from (model, data set, seeds, versions). history: rewrites
    applied since compilation, oldest first. held: of a program with faults, what its memories hold
    (hwsim.faults); the proof refuses it.
    """

    config: EngineConfig
    layers: tuple[Layer, ...]
    input: Input
    wires: tuple[Wire, ...]
    maps: tuple[FeatureMap, ...]
    provenance: dict[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()
    held: Held | None = None

    @classmethod
    def graph(
        cls,
        config: EngineConfig,
        layers: Sequence[Layer],
        wires: Sequence[Wire],
        image: Input | Shape,
        provenance: dict[str, Any] | None = None,
        history: Sequence[dict[str, Any]] = (),
    ) -> Program:
        """Layers and wires with their maps allocated.

        image: the input; of a bare shape, pixels in [0, 1]. Not checked: see ``proof.check``.
        """
        if isinstance(image, tuple):
            image = Input(image, Fraction(1, config.act_max))
        shapes = map_shapes(image.shape, layers, wires)
        sizes = [map_lines(shape, config.cols) for shape in shapes]
        lines = allocate(lives(sizes, wires))
        maps = tuple(FeatureMap(shape, line) for shape, line in zip(shapes, lines, strict=True))
        return cls(
            config, tuple(layers), image, tuple(wires), maps, provenance or {}, tuple(history)
        )

    @classmethod
    def chain(
        cls,
        config: EngineConfig,
        layers: Sequence[Layer],
        image: Input | Shape,
        provenance: dict[str, Any] | None = None,
        history: Sequence[dict[str, Any]] = (),
    ) -> Program:
        """``graph`` of layers that each read what the one before wrote."""
        return cls.graph(config, layers, chain_wires(layers), image, provenance, history)

    @property
    def input_shape(self) -> Shape:
        return self.input.shape

    @cached_property
    def mac_layers(self) -> tuple[MacLayer, ...]:
        return tuple(layer for layer in self.layers if isinstance(layer, MacLayer))

    @property
    def output(self) -> MacLayer | AverageLayer | AffineLayer:
        """The layer that hands out the logits."""
        last = self.layers[-1]
        assert isinstance(last, SUMMING)
        return last

    @property
    def classes(self) -> int:
        """Values that it answers, (N, classes)."""
        return self.output.out_shape[0]

    @property
    def logit_scale(self) -> float:
        """Logit v is worth v · logit_scale."""
        return self.output.scale

    @property
    def logit_frac(self) -> int:
        """Logit v is worth v · 2^-logit_frac.

        Raises CompileError for a network whose logits have another step than a power of two.
        """
        point = binary_point(self.logit_scale)
        if point is None:
            raise CompileError(
                f"{self.output.name}: a step of its logits is worth {self.logit_scale:.6g}, no "
                "power of two, which the probability unit needs"
            )
        return point

    def replace(self, **changes: Any) -> Program:
        return dataclasses.replace(self, **changes)

    def skipping(self, skip: bool = True) -> Program:
        """The same words on an engine that skips zeros, or on one that does not: no new compile."""
        made = self.replace(config=self.config.replace(skip=skip))
        # An engine that does not skip has no floors.
        return made if skip else made.with_floors([0] * len(self.layers))

    def with_floors(self, floors: Sequence[int]) -> Program:
        """The same, each layer taking at least so many cycles, its instruction included.

        One number a layer, 0 for none. Only conv and fc layers have one, on an engine that skips;
        others are ready at the same time for every image, and take theirs for nothing.
        """
        layers: list[Layer] = []
        for layer, floor in zip(self.layers, floors, strict=True):
            if isinstance(layer, MacLayer) and layer.floor != floor:
                made = dataclasses.replace(layer, floor=int(floor))
                made.share_table(layer)
                layers.append(made)
            else:
                layers.append(layer)
        return self.replace(layers=tuple(layers))

    @cached_property
    def numbers(self) -> tuple[tuple[Numbers, ...], ...]:
        """What the codes that each layer reads stand for, one entry a source.

        Raises CompileError where a source holds channels of different meaning, or of none.
        """
        image = Numbers(float(self.input.scale), self.input.zero)
        written: Written = {0: [(0, self.input.shape[0], image)]}
        read: list[tuple[Numbers, ...]] = []
        for layer, wire in zip(self.layers, self.wires, strict=True):
            found = tuple(_meaning(layer, place, written) for place in wire.sources)
            read.append(found)
            if wire.target is not None:
                own = found[0] if isinstance(layer, PoolLayer) else Numbers(layer.scale, layer.zero)
                first = wire.target.channel
                part = first, first + layer.out_shape[0], own
                written.setdefault(wire.target.map, []).append(part)
        return tuple(read)

    @property
    def memory_peak(self) -> Peak:
        """Lines of activation memory, beside the least that any allocation needs."""
        sizes = [map_lines(one.shape, self.config.cols) for one in self.maps]
        return peak(lives(sizes, self.wires), [one.line for one in self.maps])

    def first_line(self, place: Place) -> int:
        """Line of the activation memory where a place begins."""
        found = self.maps[place.map]
        return found.line + place.channel * plane_lines(found.shape, self.config.cols)

    def placements(self) -> tuple[Placement, ...]:
        """One Placement per layer: memories filled in layer order, no gaps.

        Index lines are placed for hashed layers in both index modes, so that an image does not
        depend on INDEX_MODE; a ``dense`` layer and one without weights have none. Equal tables
        are one. Faults move nothing.
        """
        if self.held is not None:
            return self.held.clean.placements()
        weight = index = channel = 0
        tables: dict[bytes, int] = {}
        out = []
        for layer in self.layers:
            weight_lines = index_lines = table = 0
            if isinstance(layer, MacLayer):
                weight_lines = math.ceil(layer.spec.real_weights / self.config.banks)
                if layer.spec.scheme != "dense":
                    index_lines = row_tiles(layer, self.config.rows) * layer.fan_in
            elif isinstance(layer, LutLayer):
                table = tables.setdefault(layer.table.astype("<i4").tobytes(), len(tables))
            lines = layer.channel_lines
            out.append(Placement(weight, weight_lines, index, index_lines, channel, lines, table))
            weight, index, channel = weight + weight_lines, index + index_lines, channel + lines
        return tuple(out)

    def instructions(self) -> Iterator[dict[str, int]]:
        """Field values of each instruction, ending with ``end``; absent fields are 0."""
        for layer, wire, place in zip(self.layers, self.wires, self.placements(), strict=True):
            yield self._instruction(layer, wire, place)
        yield {"op": OPCODES["end"]}

    def _instruction(self, layer: Layer, wire: Wire, place: Placement) -> dict[str, int]:
        in_c, in_h, in_w = layer.in_shape
        out_c, out_h, out_w = layer.out_shape
        row = dict(
            op=OPCODES[layer.kind], in_c=in_c, in_h=in_h, in_w=in_w, out_c=out_c, out_h=out_h,
            out_w=out_w, weight_base=place.weight_base, index_base=place.index_base,
            channel_base=place.channel_base, in_line=self.first_line(wire.sources[0]),
            out_line=self.first_line(wire.target) if wire.target else 0,
        )  # fmt: skip
        if isinstance(layer, MacLayer | PoolLayer | AverageLayer) and layer.window:
            window = layer.window
            row |= dict(
                kernel_h=window.kernel[0], kernel_w=window.kernel[1], stride_h=window.stride[0],
                stride_w=window.stride[1], pad_top=window.padding[0], pad_left=window.padding[1],
            )  # fmt: skip
        if isinstance(layer, SUMMING):
            row |= dict(last=int(layer.last))
            if layer.last:
                row |= dict(prob_shift=self._prob_shift() & 0xFF)
        if not isinstance(layer, PoolLayer | LutLayer):
            row |= dict(lo=layer.lo, hi=layer.hi)
            if self.config.requantization == "twice-away" and not is_last(layer):
                row |= dict(away=1, zero=layer.zero)
        if isinstance(layer, MacLayer):
            spec = layer.spec
            row |= dict(
                scheme=SCHEME_CODES[spec.scheme],
                log2_hash_banks=spec.hash_banks.bit_length() - 1, fan_in=layer.fan_in,
                real_weights=spec.real_weights, seed=spec.seed, in2_line=layer.floor,
            )  # fmt: skip
            if layer.kind == "conv":
                row |= dict(groups=layer.groups, fill=layer.fill)
        elif isinstance(layer, AddLayer):
            row |= dict(in2_line=self.first_line(wire.sources[1]))
        elif isinstance(layer, LutLayer):
            row |= dict(hi=self.config.act_max, table=place.table)
        return row

    def _prob_shift(self) -> int:
        """fa + fw − 4 of the logits; 0 where their step is no power of two."""
        point = binary_point(self.logit_scale)
        return 0 if point is None else point - 4


def row_tiles(layer: MacLayer, rows: int) -> int:
    """Row-tiles of a layer; none spans two groups."""
    return layer.groups * math.ceil(layer.group_out / rows)


#: By map: first channel, the one behind the last, and what was written there.
Written = dict[int, list[tuple[int, int, Numbers]]]


def _meaning(layer: Layer, place: Place, written: Written) -> Numbers:
    """What the channels that ``layer`` reads at ``place`` stand for."""
    end = place.channel + layer.in_shape[0]
    found = {
        numbers
        for first, behind, numbers in written.get(place.map, ())
        if first < end and place.channel < behind
    }
    if len(found) != 1:
        what = "channels whose codes mean different numbers" if found else "what nobody wrote"
        raise CompileError(f"{layer.name}: reads {what}")
    return found.pop()
