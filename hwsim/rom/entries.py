"""Layers as manifest.json has them: everything but the words, which are in the memory files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from hwsim.errors import ImageError
from hwsim.numbers.hashing import HashSpec, Scheme
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
from hwsim.program.program import Placement
from hwsim.program.wires import Place, Wire
from hwsim.rom.manifest_parts import Name
from hwsim.rom.memfile import ADVICE

Dim = Annotated[int, Field(ge=1, lt=2**16)]
Shape = tuple[Dim, Dim, Dim]
Small = Annotated[int, Field(ge=0, lt=16)]
Code = Annotated[int, Field(ge=0, lt=2**16)]
Word = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1, lt=2**32)]
Step = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Entry(BaseModel):
    """Strict: no key more, no key less, no number as text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PlaceEntry(Entry):
    """Channels of a map from ``channel`` on."""

    map: Code
    channel: Code


class WindowEntry(Entry):
    """A Window, (vertical, horizontal) and (top, left, bottom, right)."""

    kernel: tuple[Small, Small]
    stride: tuple[Small, Small]
    padding: tuple[Small, Small, Small, Small]

    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding)


class LayerEntry(Entry):
    """What all kinds have. target: null of the last layer."""

    name: Name
    sources: Annotated[tuple[PlaceEntry, ...], Field(min_length=1, max_length=2)]
    target: PlaceEntry | None
    in_shape: Shape

    def wire(self) -> Wire:
        """The places that it reads and writes."""
        sources = tuple(Place(place.map, place.channel) for place in self.sources)
        target = Place(self.target.map, self.target.channel) if self.target else None
        return Wire(sources, target)

    def bases(self) -> dict[str, int]:
        """Base lines that the entry states, by name."""
        return {}


class PoolEntry(LayerEntry):
    """A PoolLayer."""

    kind: Literal["pool"]
    out_shape: Shape
    window: WindowEntry

    def layer(self) -> PoolLayer:
        return PoolLayer(self.name, self.in_shape, self.out_shape, self.window.window())


class _PostEntry(LayerEntry):
    """A layer with words in scale.mem and bias.mem."""

    scale: Step
    zero: Code
    lo: Code
    hi: Code
    channel_base: Word

    def bases(self) -> dict[str, int]:
        return {"channel_base": self.channel_base}

    def _numbers(self) -> dict[str, Any]:
        """Fields of the layer that are the entry's own, and empty words."""
        none = np.zeros(0, np.int32)
        return dict(
            name=self.name, in_shape=self.in_shape, scale=self.scale, zero=self.zero, lo=self.lo,
            hi=self.hi, multiplier=none, shift=none, bias=none.astype(np.int64),
        )  # fmt: skip


class MacEntry(_PostEntry):
    """A MacLayer and where its words begin."""

    kind: Literal["conv", "fc"]
    out_shape: Shape
    window: WindowEntry | None
    groups: Count
    fill: Code
    scheme: Scheme
    n_out: Count
    fan_in: Count
    real_weights: Count
    seed: Word
    hash_banks: Count
    weight_scale: Annotated[tuple[Step, ...], Field(min_length=1, max_length=2**16)]
    last: bool
    weight_base: Word
    index_base: Word
    floor: Word = 0

    @model_serializer(mode="wrap")
    def _without_floor(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Digests of images without one are what they were before there were any.
        data: dict[str, Any] = dump(self)
        if not self.floor:
            del data["floor"]
        return data

    @model_validator(mode="after")
    def _one_way(self) -> MacEntry:
        if not self.floor and "floor" in self.model_fields_set:
            raise ValueError("floor: is absent where there is none")
        return self

    def bases(self) -> dict[str, int]:
        names = ("weight_base", "index_base", "channel_base")
        return {name: getattr(self, name) for name in names}

    def layer(self) -> MacLayer:
        """The layer with all words still empty. Raises ImageError for an impossible hash."""
        return MacLayer(
            **self._numbers(), kind=self.kind, out_shape=self.out_shape,
            window=self.window.window() if self.window else None, spec=spec_of(self),
            weights=np.zeros(0, np.int32), last=self.last, fill=self.fill, groups=self.groups,
            weight_scale=np.array(self.weight_scale), floor=self.floor,
        )  # fmt: skip


class AverageEntry(_PostEntry):
    """An AverageLayer."""

    kind: Literal["average"]
    out_shape: Shape
    window: WindowEntry
    last: bool

    def layer(self) -> AverageLayer:
        return AverageLayer(
            **self._numbers(), out_shape=self.out_shape, window=self.window.window(),
            last=self.last,
        )  # fmt: skip


class AffineEntry(_PostEntry):
    """An AffineLayer."""

    kind: Literal["affine"]
    last: bool

    def layer(self) -> AffineLayer:
        return AffineLayer(**self._numbers(), last=self.last)


class AddEntry(_PostEntry):
    """An AddLayer."""

    kind: Literal["add"]

    def layer(self) -> AddLayer:
        return AddLayer(**self._numbers())


class LutEntry(LayerEntry):
    """A LutLayer; table: its number in lut.mem."""

    kind: Literal["lut"]
    scale: Step
    zero: Code
    channel_base: Word
    table: Code

    def bases(self) -> dict[str, int]:
        return {"channel_base": self.channel_base, "table": self.table}

    def layer(self) -> LutLayer:
        # A number in place of the words: equal tables are one, which placements must know.
        stub = np.array([self.table], np.int32)
        return LutLayer(self.name, self.in_shape, stub, scale=self.scale, zero=self.zero)


AnyEntry = MacEntry | PoolEntry | AverageEntry | AffineEntry | AddEntry | LutEntry


def spec_of(entry: Any) -> HashSpec:
    """The HashSpec that an entry describes. Raises ImageError for an impossible one."""
    try:
        return HashSpec(
            entry.scheme, entry.n_out, entry.fan_in, entry.real_weights, entry.seed,
            entry.hash_banks,
        )  # fmt: skip
    except ValueError as error:
        raise ImageError(f"manifest.json: layer {entry.name}: {error}: {ADVICE}") from None


def entry_of(layer: Layer, wire: Wire, at: Placement) -> dict[str, Any]:
    """The JSON object of a layer."""
    row: dict[str, Any] = dict(
        kind=layer.kind, name=layer.name, in_shape=[int(n) for n in layer.in_shape],
        sources=[_place(place) for place in wire.sources],
        target=wire.target and _place(wire.target),
    )  # fmt: skip
    if isinstance(layer, MacLayer | PoolLayer | AverageLayer):
        row |= dict(out_shape=[int(n) for n in layer.out_shape], window=_window(layer.window))
    if isinstance(layer, PoolLayer):
        return row
    row |= dict(scale=float(layer.scale), zero=int(layer.zero), channel_base=at.channel_base)
    if isinstance(layer, LutLayer):
        return row | dict(table=at.table)
    row |= dict(lo=int(layer.lo), hi=int(layer.hi))
    if isinstance(layer, MacLayer | AverageLayer | AffineLayer):
        row |= dict(last=bool(layer.last))
    if isinstance(layer, MacLayer):
        spec = layer.spec
        row |= dict(
            groups=int(layer.groups), fill=int(layer.fill), scheme=spec.scheme,
            n_out=int(spec.n_out), fan_in=int(spec.fan_in), real_weights=int(spec.real_weights),
            seed=int(spec.seed), hash_banks=int(spec.hash_banks),
            weight_scale=[float(step) for step in layer.weight_scale],
            weight_base=at.weight_base, index_base=at.index_base,
        )  # fmt: skip
        if layer.floor:
            row |= dict(floor=int(layer.floor))
    return row


def _place(place: Place) -> dict[str, int]:
    return {"map": int(place.map), "channel": int(place.channel)}


def _window(window: Window | None) -> dict[str, list[int]] | None:
    if window is None:
        return None
    names = ("kernel", "stride", "padding")
    return {name: [int(n) for n in getattr(window, name)] for name in names}
