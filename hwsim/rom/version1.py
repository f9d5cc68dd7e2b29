"""Images of format version 1: chains, read and turned into what the graph machine runs.

Version 1 had two memories for feature maps, by turns, where there is one now; square windows;
binary points in place of steps. What its words compute is the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from hwsim.numbers.config import SKIPPING, EngineConfig
from hwsim.program.instruction import OPCODES, SCHEME_CODES
from hwsim.program.layers import Layer, MacLayer, PoolLayer, Window
from hwsim.program.program import Program
from hwsim.rom.entries import Count, Entry, Shape, Small, Word, spec_of
from hwsim.rom.manifest_parts import Digest, Frac, Name

#: Fields of an engine that version 1 did not know; it is read as one that has them, skips
#: nothing, and takes one image at a time.
LATER = (
    "add", "average", "groups", "lut_tables", "requantization", "ecc", "batch", *sorted(SKIPPING),
)  # fmt: skip


class _LayerEntry1(Entry):
    name: Name
    in_shape: Shape
    out_shape: Shape
    kernel: Small
    stride: Small


class PoolEntry1(_LayerEntry1):
    """A max-pool."""

    kind: Literal["pool"]

    def bases(self) -> dict[str, int]:
        return {}


class MacEntry1(_LayerEntry1):
    """A weighted layer and where its words begin."""

    kind: Literal["conv", "fc"]
    padding: Small
    scheme: Literal["xxh32", "banked", "dense"]
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

    def bases(self) -> dict[str, int]:
        names = ("weight_base", "index_base", "channel_base")
        return {name: getattr(self, name) for name in names}


class InputEntry1(Entry):
    """One image: real numbers in ``bounds`` become integers in ``codes``."""

    shape: Shape
    bounds: tuple[float, float]
    codes: tuple[int, int]


class Manifest1(Entry):
    """The whole file."""

    format_version: Literal[1]
    config: EngineConfig
    input: InputEntry1
    layers: Annotated[
        tuple[Annotated[MacEntry1 | PoolEntry1, Field(discriminator="kind")], ...],
        Field(min_length=1, max_length=4095),
    ]
    provenance: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    sha256: dict[str, Digest]
    digest: Digest

    @model_validator(mode="after")
    def _of_its_time(self) -> Manifest1:
        found = self.config.model_fields_set
        if late := sorted(found & set(LATER)):
            raise ValueError(f"config.{late[0]}: Extra inputs are not permitted")
        if missing := sorted(EngineConfig.model_fields.keys() - set(LATER) - found):
            raise ValueError(f"config.{missing[0]}: Field required")
        if self.input.bounds != (0.0, 1.0) or self.input.codes != (0, self.config.act_max):
            raise ValueError(f"input: bounds must be [0, 1] and codes {[0, self.config.act_max]}")
        return self

    def content(self) -> dict[str, Any]:
        """What the digest covers, as it stands in the file."""
        body = self.model_dump(exclude={"digest"})
        for name in LATER:
            body["config"].pop(name, None)
        return body

    def engine(self) -> EngineConfig:
        """The engine of today: its one memory has the lines of both."""
        return self.config.replace(act_depth=2 * self.config.act_depth, acc_w=self.config.acc_w)

    def skeleton(self) -> Program:
        """The Program with empty words. Raises ImageError for an impossible hash."""
        config = self.engine()
        layers = [_layer(entry, config) for entry in self.layers]
        weighted = [n for n, layer in enumerate(layers) if isinstance(layer, MacLayer)]
        if len(weighted) == 1:
            # A pixel's code a was taken for a · 2^-A, and the words of the one layer that reads
            # pixels and answers carry what is missing to a / (2^A − 1).
            only = layers[weighted[0]]
            assert isinstance(only, MacLayer)
            worth = np.array([only.scale * config.act_max])
            layers[weighted[0]] = dataclasses.replace(only, weight_scale=worth)
        return Program.chain(config, layers, self.input.shape, self.provenance, self.history)

    def instructions(self, program: Program) -> Iterator[dict[str, int]]:
        """What program.mem of version 1 says: no windows of two sides, no places, no bounds."""
        for entry, layer, at in zip(self.layers, program.layers, program.placements(), strict=True):
            (in_c, in_h, in_w), (out_c, out_h, out_w) = entry.in_shape, entry.out_shape
            row = dict(
                op=OPCODES[entry.kind], in_c=in_c, in_h=in_h, in_w=in_w, out_c=out_c, out_h=out_h,
                out_w=out_w, kernel_w=entry.kernel, stride_w=entry.stride,
                weight_base=at.weight_base, index_base=at.index_base, channel_base=at.channel_base,
            )  # fmt: skip
            if isinstance(entry, MacEntry1):
                assert isinstance(layer, MacLayer)
                row |= dict(
                    last=int(entry.last), scheme=SCHEME_CODES[entry.scheme],
                    log2_hash_banks=layer.spec.hash_banks.bit_length() - 1,
                    pad_left=entry.padding, fan_in=entry.fan_in, real_weights=entry.real_weights,
                    seed=entry.seed,
                    prob_shift=(entry.fa_out - 4) & 0xFF if entry.last else 0,
                )  # fmt: skip
            yield row
        yield {"op": OPCODES["end"]}


def _layer(entry: MacEntry1 | PoolEntry1, config: EngineConfig) -> Layer:
    window = Window.square(entry.kernel, entry.stride)
    if isinstance(entry, PoolEntry1):
        return PoolLayer(entry.name, entry.in_shape, entry.out_shape, window)
    none = np.zeros(0, np.int32)
    return MacLayer(
        name=entry.name, kind=entry.kind, in_shape=entry.in_shape, out_shape=entry.out_shape,
        window=Window.square(entry.kernel, entry.stride, entry.padding)
        if entry.kind == "conv"
        else None,
        spec=spec_of(entry), weights=none, multiplier=none, shift=none,
        bias=none.astype(np.int64), last=entry.last, weight_scale=np.array([2.0**-entry.fw]),
        scale=2.0**-entry.fa_out, hi=config.act_max,
    )  # fmt: skip
