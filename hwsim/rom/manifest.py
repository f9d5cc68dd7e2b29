"""manifest.json of a memory image: everything about a Program except the words themselves."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hwsim.errors import ImageError
from hwsim.files.content import digest
from hwsim.files.reading import parse_json
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec, Scheme
from hwsim.program.program import Layer, MacLayer, PoolLayer, Program
from hwsim.rom.memfile import ADVICE

FORMAT_VERSION = 1

Dim = Annotated[int, Field(ge=1, lt=2**16)]
Shape = tuple[Dim, Dim, Dim]
Small = Annotated[int, Field(ge=0, lt=16)]
Word = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1, lt=2**32)]
Frac = Annotated[int, Field(ge=-128, le=128)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _LayerEntry(_Entry):
    name: Annotated[str, Field(max_length=200)]
    in_shape: Shape
    out_shape: Shape
    kernel: Small
    stride: Small

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("has unprintable characters")
        return name


class PoolEntry(_LayerEntry):
    """A PoolLayer."""

    kind: Literal["pool"]

    def layer(self) -> PoolLayer:
        return PoolLayer(self.name, self.in_shape, self.out_shape, self.kernel, self.stride)


class MacEntry(_LayerEntry):
    """A MacLayer and where its words begin; the words are in the memory files."""

    kind: Literal["conv", "fc"]
    padding: Small
    scheme: Scheme
    n_out: Count
    fan_in: Count
    real_weights: Count
    seed: Word
    hash_banks: Count
    fw: Frac
    fa_in: Frac
    fa_out: Frac
    last: bool
    weight_base: Word
    index_base: Word
    channel_base: Word

    def layer(self) -> MacLayer:
        """The layer with all arrays still empty. Raises ImageError for an impossible hash."""
        try:
            spec = HashSpec(
                self.scheme, self.n_out, self.fan_in, self.real_weights, self.seed, self.hash_banks
            )
        except ValueError as error:
            raise ImageError(f"manifest.json: layer {self.name}: {error}: {ADVICE}") from None
        none = np.zeros(0, np.int32)
        return MacLayer(
            name=self.name, kind=self.kind, in_shape=self.in_shape, out_shape=self.out_shape,
            kernel=self.kernel, stride=self.stride, padding=self.padding, spec=spec, weights=none,
            fw=self.fw, fa_in=self.fa_in, fa_out=self.fa_out, multiplier=none, shift=none,
            bias=none.astype(np.int64), last=self.last,
        )  # fmt: skip


class InputEntry(_Entry):
    """One image: real numbers in ``bounds`` become integers in ``codes``."""

    shape: Shape
    bounds: tuple[float, float]
    codes: tuple[int, int]


class Manifest(_Entry):
    """The whole file. ``digest`` covers every other field, ``sha256`` every other file."""

    format_version: Literal[1]
    config: EngineConfig
    input: InputEntry
    layers: Annotated[
        tuple[Annotated[MacEntry | PoolEntry, Field(discriminator="kind")], ...],
        Field(min_length=1, max_length=4095),
    ]
    provenance: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    sha256: dict[str, Digest]
    digest: Digest

    def skeleton(self) -> Program:
        """The Program with empty arrays: enough to know the place and the size of every word."""
        return Program(
            config=self.config,
            layers=tuple(entry.layer() for entry in self.layers),
            input_shape=self.input.shape,
            provenance=self.provenance,
            history=self.history,
        )


def _layer_entry(layer: Layer, weight: int, index: int, channel: int) -> dict[str, Any]:
    common = dict(
        kind=layer.kind, name=layer.name, in_shape=[int(n) for n in layer.in_shape],
        out_shape=[int(n) for n in layer.out_shape], kernel=int(layer.kernel),
        stride=int(layer.stride),
    )  # fmt: skip
    if isinstance(layer, PoolLayer):
        return common
    spec = layer.spec
    return common | dict(
        padding=int(layer.padding), scheme=spec.scheme, n_out=int(spec.n_out),
        fan_in=int(spec.fan_in), real_weights=int(spec.real_weights), seed=int(spec.seed),
        hash_banks=int(spec.hash_banks), fw=int(layer.fw), fa_in=int(layer.fa_in),
        fa_out=int(layer.fa_out), last=bool(layer.last), weight_base=weight, index_base=index,
        channel_base=channel,
    )  # fmt: skip


def describe(program: Program, sha256: dict[str, str]) -> bytes:
    """The text of the manifest. Raises ImageError if reading it back would change anything."""
    placed = zip(program.layers, program.placements(), strict=True)
    body: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "config": program.config.model_dump(),
        "input": {
            "shape": [int(n) for n in program.input_shape],
            "bounds": [0.0, 1.0],
            "codes": [0, program.config.act_max],
        },
        "layers": [
            _layer_entry(layer, at.weight_base, at.index_base, at.channel_base)
            for layer, at in placed
        ],
        "provenance": program.provenance,
        "history": list(program.history),
        "sha256": sha256,
    }
    try:
        body["digest"] = content_digest(body)
        text = json.dumps(body, indent=1, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise ImageError(f"provenance and history must be plain JSON values: {error}") from None
    again = parse(text)
    if (again.provenance, again.history) != (program.provenance, program.history):
        raise ImageError(
            "provenance and history must be plain JSON values: dictionaries with text keys, "
            "lists, text, numbers, true, false and null"
        )
    return text


def content_digest(body: dict[str, Any]) -> str:
    """SHA-256 of the manifest's content without ``digest``, independent of layout and key order."""
    rest = {key: value for key, value in body.items() if key != "digest"}
    return digest(rest)


class _Version(BaseModel):
    model_config = ConfigDict(strict=True)

    format_version: int


def parse(data: bytes) -> Manifest:
    """Read and check a manifest. Raises ImageError, naming the first thing that is wrong."""
    try:
        parse_json(data)  # of one meaning, before anything is believed
    except ValueError as error:
        raise ImageError(f"manifest.json: text: Invalid JSON: {error}: {ADVICE}") from None
    try:
        version = _Version.model_validate_json(data).format_version
        if version != FORMAT_VERSION:
            raise ImageError(
                f"manifest.json: format version {version}, but this hwsim reads "
                f"{FORMAT_VERSION}: compile the network again"
            )
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "text"
        message = first["msg"].removeprefix("Value error, ")
        raise ImageError(f"manifest.json: {where}: {message}: {ADVICE}") from None
    missing = sorted(EngineConfig.model_fields.keys() - manifest.config.model_fields_set)
    if missing:
        raise ImageError(f"manifest.json: config.{missing[0]}: Field required: {ADVICE}")
    codes = (0, manifest.config.act_max)
    if manifest.input.bounds != (0.0, 1.0) or manifest.input.codes != codes:
        raise ImageError(f"manifest.json: input: bounds must be [0, 1] and codes {list(codes)}")
    try:
        found = content_digest(manifest.model_dump())
    except (ValueError, RecursionError):
        raise ImageError("manifest.json: provenance or history is not plain JSON") from None
    if found != manifest.digest:
        raise ImageError(
            "manifest.json: its content does not match its own digest, so it was edited or "
            f"damaged: {ADVICE}"
        )
    return manifest
