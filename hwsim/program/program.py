"""Layer descriptors and Program: what the engine executes, and where its words stand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec, table

Shape = tuple[int, int, int]  # (channels, height, width)

OPCODES = {"end": 0, "conv": 1, "fc": 2, "pool": 3}
SCHEME_CODES = {"dense": 0, "xxh32": 1, "banked": 2}

#: Instruction fields: name -> (32-bit word, lowest bit, width). The one source of the program
#: format; rtl/top/hne_program.vh is generated from it. 16 words an instruction.
FIELDS: dict[str, tuple[int, int, int]] = {
    "op": (0, 0, 4),
    "last": (0, 4, 1),
    "scheme": (0, 5, 2),
    "log2_hash_banks": (0, 7, 5),
    "kernel": (0, 12, 4),
    "stride": (0, 16, 4),
    "padding": (0, 20, 4),
    "in_c": (1, 0, 16),
    "out_c": (1, 16, 16),
    "in_h": (2, 0, 16),
    "in_w": (2, 16, 16),
    "out_h": (3, 0, 16),
    "out_w": (3, 16, 16),
    "fan_in": (4, 0, 32),
    "real_weights": (5, 0, 32),
    "seed": (6, 0, 32),
    "weight_base": (7, 0, 32),  # line of the weight memory
    "index_base": (8, 0, 32),  # line of the index memory
    "channel_base": (9, 0, 32),  # line of the scale and bias memories
    "prob_shift": (10, 0, 8),  # two's complement fa + fw − 4 of the softmax unit; last layer only
}
WORDS_PER_INSTRUCTION = 16


@dataclass(frozen=True, eq=False)
class MacLayer:
    """A convolution or fully connected layer with its requantization.

    name: module path. kind: ``conv`` or ``fc``. in_shape, out_shape: (C, H, W); fc has out_shape
    (F, 1, 1) and reads its input flattened in (c, y, x) order. spec: weight sharing; weights:
    int32 (K,) ROM words worth w · 2^-fw. multiplier m_c, shift s_c (int32) and bias b_c (int64),
    each (out_c,): hidden layers compute clamp((acc·m_c + b_c) >> s_c, 0, 2^A − 1), b_c including
    the rounding term 2^(s_c−1); the last layer computes acc + b_c with m_c = s_c = 0 unused.
    fa_in, fa_out: binary points of the input and output activations; fa_out of the last layer is
    that of the logits, fa_in + fw.
    """

    name: str
    kind: Literal["conv", "fc"]
    in_shape: Shape
    out_shape: Shape
    kernel: int
    stride: int
    padding: int
    spec: HashSpec
    weights: NDArray[np.int32]
    fw: int
    fa_in: int
    fa_out: int
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    bias: NDArray[np.int64]
    last: bool

    @property
    def fan_in(self) -> int:
        return self.spec.fan_in

    @property
    def n_out(self) -> int:
        return self.spec.n_out

    @property
    def pixels(self) -> int:
        return self.out_shape[1] * self.out_shape[2]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, padding included."""
        return self.spec.virtual_weights * self.pixels

    @cached_property
    def hash_table(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(address, negative), each (n_out, fan_in)."""
        return table(self.spec)

    @cached_property
    def virtual_weights(self) -> NDArray[np.int32]:
        """Decoded integer weights, shape (n_out, fan_in)."""
        address, negative = self.hash_table
        words = self.weights[address]
        return np.where(negative, -words, words)

    def share_table(self, twin: MacLayer) -> None:
        """Take over what ``twin`` has computed: its hash table, and weights decoded from the same.

        A table takes a tenth of a second where nothing else does. Only for a layer of the same
        ``spec``.
        """
        assert self.spec == twin.spec
        if "hash_table" in twin.__dict__:
            self.__dict__["hash_table"] = twin.__dict__["hash_table"]
        if self.weights is twin.weights:
            for name in ("virtual_weights", "_largest_sums"):
                if name in twin.__dict__:
                    self.__dict__[name] = twin.__dict__[name]

    @cached_property
    def rounding(self) -> NDArray[np.int64]:
        """The term 2^(s_c−1) that b_c already contains; 0 where s_c = 0; int64 (out_c,)."""
        one = np.int64(1)
        return np.where(self.shift > 0, one << np.maximum(self.shift - 1, 0).astype(np.int64), 0)

    def accumulator_bound(self, act_max: int) -> NDArray[np.int64]:
        """Per output neuron: the largest |partial sum| that any input can cause, bias apart."""
        return act_max * self._largest_sums

    @cached_property
    def _largest_sums(self) -> NDArray[np.int64]:
        """Per output neuron: the larger of Σw⁺ and Σ|w⁻| over its virtual weights."""
        w = self.virtual_weights
        total = w.sum(1, dtype=np.int64)
        positive = np.maximum(w, 0).sum(1, dtype=np.int64)
        return np.maximum(positive, positive - total)


@dataclass(frozen=True)
class PoolLayer:
    """Integer max-pool: kernel k <= 3, stride, no padding, leftovers dropped. Same binary point."""

    name: str
    in_shape: Shape
    out_shape: Shape
    kernel: int
    stride: int
    kind: Literal["pool"] = "pool"


Layer = MacLayer | PoolLayer


@dataclass(frozen=True)
class Placement:
    """Where a layer's words stand: lines of the weight, index, and scale/bias memories."""

    weight_base: int = 0
    weight_lines: int = 0
    index_base: int = 0
    index_lines: int = 0
    channel_base: int = 0
    channels: int = 0


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled network: layers in execution order, for one engine configuration.

    input_shape: (C, H, W) of one image, a in 0 … 2^ACT_W − 1. provenance: where it came from
    (model, data set, seeds, versions). history: rewrites applied since compilation, oldest first.
    """

    config: EngineConfig
    layers: tuple[Layer, ...]
    input_shape: Shape
    provenance: dict[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()

    @cached_property
    def mac_layers(self) -> tuple[MacLayer, ...]:
        return tuple(layer for layer in self.layers if isinstance(layer, MacLayer))

    @property
    def output(self) -> MacLayer:
        return self.mac_layers[-1]

    @property
    def classes(self) -> int:
        return self.output.n_out

    @property
    def logit_frac(self) -> int:
        """Logit v is worth v · 2^-logit_frac."""
        return self.output.fa_out

    def replace(self, **changes: Any) -> Program:
        return dataclasses.replace(self, **changes)

    def placements(self) -> tuple[Placement, ...]:
        """One Placement per layer: memories filled in layer order, no gaps.

        Index lines are placed for hashed layers in both index modes, so that an image does not
        depend on INDEX_MODE; a ``dense`` layer and a pool have none.
        """
        banks, rows = self.config.banks, self.config.rows
        weight = index = channel = 0
        out = []
        for layer in self.layers:
            if isinstance(layer, PoolLayer):
                out.append(Placement(weight, 0, index, 0, channel, 0))
                continue
            weight_lines = math.ceil(layer.spec.real_weights / banks)
            tiles = math.ceil(layer.n_out / rows)
            index_lines = 0 if layer.spec.scheme == "dense" else tiles * layer.fan_in
            out.append(Placement(weight, weight_lines, index, index_lines, channel, layer.n_out))
            weight, index, channel = (
                weight + weight_lines,
                index + index_lines,
                channel + layer.n_out,
            )
        return tuple(out)

    def instructions(self) -> Iterator[dict[str, int]]:
        """Field values of each instruction, ending with ``end``; absent fields are 0."""
        for layer, place in zip(self.layers, self.placements(), strict=True):
            in_c, in_h, in_w = layer.in_shape
            out_c, out_h, out_w = layer.out_shape
            row = dict(
                op=OPCODES[layer.kind], in_c=in_c, in_h=in_h, in_w=in_w, out_c=out_c, out_h=out_h,
                out_w=out_w, kernel=layer.kernel, stride=layer.stride,
                weight_base=place.weight_base, index_base=place.index_base,
                channel_base=place.channel_base,
            )  # fmt: skip
            if isinstance(layer, MacLayer):
                row |= dict(
                    last=int(layer.last), scheme=SCHEME_CODES[layer.spec.scheme],
                    log2_hash_banks=layer.spec.hash_banks.bit_length() - 1,
                    padding=layer.padding, fan_in=layer.fan_in,
                    real_weights=layer.spec.real_weights, seed=layer.spec.seed,
                    prob_shift=(layer.fa_out - 4) & 0xFF if layer.last else 0,
                )  # fmt: skip
            yield row
        yield {"op": OPCODES["end"]}


def encode(row: dict[str, int]) -> list[int]:
    """One instruction as 16 words of 32 bits. Raises CompileError if a field does not fit."""
    words = [0] * WORDS_PER_INSTRUCTION
    for name, value in row.items():
        word, low, width = FIELDS[name]
        if not 0 <= value < 1 << width:
            raise CompileError(f"instruction field {name} = {value} does not fit {width} bits")
        words[word] |= value << low
    return words


def decode(words: list[int]) -> dict[str, int]:
    """All fields of one instruction."""
    return {
        name: (words[word] >> low) & ((1 << width) - 1)
        for name, (word, low, width) in FIELDS.items()
    }
