"""manifest.json of a memory image: everything about a Program except the words themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwsim.errors import ImageError
from hwsim.files.content import digest
from hwsim.files.reading import parse_json
from hwsim.numbers.config import SKIPPING, EngineConfig
from hwsim.program.program import Program
from hwsim.program.wires import FeatureMap, Input
from hwsim.rom.entries import AnyEntry, Code, Entry, Shape, Word, entry_of
from hwsim.rom.manifest_parts import Digest
from hwsim.rom.memfile import ADVICE
from hwsim.rom.version1 import Manifest1

FORMAT_VERSION = 2


def _term(value: int | str) -> int | str:
    """JSON's numbers end at 64 bits, those of a step that is a float's do not."""
    if isinstance(value, int) and 1 <= value < 2**64:
        return value
    digits = isinstance(value, str) and re.fullmatch("[1-9][0-9]{19,38}", value, re.ASCII)
    if digits and 2**64 <= int(value) < 2**128:
        return value
    raise ValueError("must be 1 … 2^64 − 1, or digits in quotes from there to 2^128 − 1")


Term = Annotated[int | str, AfterValidator(_term)]


class InputEntry(Entry):
    """One image: x becomes the code ⌊x / scale + ½⌋ + zero; scale is (numerator, denominator)."""

    shape: Shape
    scale: tuple[Term, Term]
    zero: Code
    codes: tuple[int, int]


class MapEntry(Entry):
    """A feature map; map 0 is the image."""

    shape: Shape
    line: Word


class Manifest(Entry):
    """The whole file. ``digest`` covers every other field, ``sha256`` every other file."""

    format_version: Literal[2]
    config: EngineConfig
    input: InputEntry
    maps: Annotated[tuple[MapEntry, ...], Field(min_length=1, max_length=4096)]
    layers: Annotated[
        tuple[Annotated[AnyEntry, Field(discriminator="kind")], ...],
        Field(min_length=1, max_length=4095),
    ]
    provenance: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    sha256: dict[str, Digest]
    digest: Digest

    @model_validator(mode="after")
    def _complete(self) -> Manifest:
        written = self.config.model_fields_set
        optional = {"requantization", "ecc", "batch"} | (set() if self.config.skip else SKIPPING)
        missing = sorted(EngineConfig.model_fields.keys() - written - optional)
        if missing:
            raise ValueError(f"config.{missing[0]}: Field required")
        if "requantization" in written and self.config.requantization == "up":
            raise ValueError("config.requantization: is absent where it is up")
        if "ecc" in written and self.config.ecc == "none":
            raise ValueError("config.ecc: is absent where it is none")
        if "batch" in written and self.config.batch == 1:
            raise ValueError("config.batch: is absent where it is 1")
        idle = set() if self.config.skip else SKIPPING & written
        if idle:
            raise ValueError(f"config.{min(idle)}: is absent where nothing is skipped")
        low, high = self.input.codes
        if low != 0 or not 1 <= high <= self.config.act_max:
            raise ValueError(f"input: codes must be [0, 1 … {self.config.act_max}]")
        return self

    def content(self) -> dict[str, Any]:
        """What the digest covers."""
        return self.model_dump(exclude={"digest"})

    def engine(self) -> EngineConfig:
        """The engine that it was compiled for."""
        return self.config

    def skeleton(self) -> Program:
        """The Program with empty words: enough to know the place and the size of every one."""
        return Program(
            config=self.config,
            layers=tuple(entry.layer() for entry in self.layers),
            input=self._input(),
            wires=tuple(entry.wire() for entry in self.layers),
            maps=tuple(FeatureMap(one.shape, one.line) for one in self.maps),
            provenance=self.provenance,
            history=self.history,
        )

    def _input(self) -> Input:
        image, top = self.input, self.input.codes[1]
        scale = Fraction(*map(int, image.scale))
        return Input(image.shape, scale, image.zero, None if top == self.config.act_max else top)

    def instructions(self, program: Program) -> Iterator[dict[str, int]]:
        """What program.mem says."""
        return program.instructions()


AnyManifest = Manifest | Manifest1
VERSIONS: dict[int, type[Manifest] | type[Manifest1]] = {1: Manifest1, 2: Manifest}


def describe(program: Program, sha256: dict[str, str]) -> bytes:
    """The text of the manifest. Raises ImageError if reading it back would change anything."""
    placed = zip(program.layers, program.wires, program.placements(), strict=True)
    scale = program.input.scale
    body: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "config": program.config.model_dump(),
        "input": {
            "shape": [int(n) for n in program.input_shape],
            "scale": [n if n < 2**64 else str(n) for n in (scale.numerator, scale.denominator)],
            "zero": int(program.input.zero),
            "codes": [0, program.input.last(program.config.act_max)],
        },
        "maps": [
            {"shape": [int(n) for n in one.shape], "line": int(one.line)} for one in program.maps
        ],
        "layers": [entry_of(layer, wire, at) for layer, wire, at in placed],
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


def parse(data: bytes) -> AnyManifest:
    """Read and check a manifest of any version. Raises ImageError, naming the first thing wrong."""
    try:
        parse_json(data)  # of one meaning, before anything is believed
    except ValueError as error:
        raise ImageError(f"manifest.json: text: Invalid JSON: {error}: {ADVICE}") from None
    try:
        version = _Version.model_validate_json(data).format_version
        if version not in VERSIONS:
            raise ImageError(
                f"manifest.json: format version {version}, but this hwsim reads "
                f"{' and '.join(map(str, VERSIONS))}: compile the network again"
            )
        manifest = VERSIONS[version].model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        where = "".join(f"{part}." for part in first["loc"])[:-1]
        said = f"{where}: {message}" if where or "Error" in message else message
        raise ImageError(f"manifest.json: {said}: {ADVICE}") from None
    try:
        found = digest(manifest.content())
    except (ValueError, RecursionError):
        raise ImageError("manifest.json: provenance or history is not plain JSON") from None
    if found != manifest.digest:
        raise ImageError(
            "manifest.json: its content does not match its own digest, so it was edited or "
            f"damaged: {ADVICE}"
        )
    return manifest
