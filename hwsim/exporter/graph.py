"""A program as an ONNX graph that computes with reals what the engine computes with integers.

Weights that share words are expanded to dense integers. Every map stands in the graph as the reals
of its codes; maps that are read in part or written by several layers become Slice and Concat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwsim import __version__
from hwsim.errors import InputError
from hwsim.exporter import arithmetic
from hwsim.exporter.arithmetic import Reals
from hwsim.exporter.dialects import DIALECTS, Dialect
from hwsim.exporter.libraries import need
from hwsim.program.layers import (
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    is_last,
)
from hwsim.program.program import Numbers, Program
from hwsim.program.wires import Place

if TYPE_CHECKING:
    from onnx import ModelProto

#: Per-row DequantizeLinear came with 13.
OPSET = 13
INPUT, OUTPUT = "input", "logits"
#: What a file of protocol buffers holds, less room for the nodes.
MAX_BYTES = (1 << 31) - (1 << 24)


@dataclass(frozen=True)
class _Part:
    """Channels of a map, from ``first`` on, and the tensor that holds them."""

    first: int
    count: int
    tensor: str
    flat: bool


class _Builder:
    def __init__(self, program: Program, dialect: Dialect) -> None:
        from hwsim.exporter.nodes import Nodes

        self.program, self.dialect, self.to = program, dialect, Nodes()
        self.maps: dict[int, list[_Part]] = {}
        self.names: set[str] = {INPUT, OUTPUT}

    def build(self) -> ModelProto:
        from onnx import TensorProto, helper

        program = self.program
        image = Numbers(float(program.input.scale), program.input.zero)
        top = program.input.last(program.config.act_max)
        x = self.dialect.activation(self.to, INPUT, "image", image, 0, top)
        self.maps[0] = [_Part(0, program.input_shape[0], x, False)]
        for layer, wire, read in zip(program.layers, program.wires, program.numbers, strict=True):
            self._layer(layer, wire.sources, wire.target, read)
        batch = self.dialect.batch
        graph = helper.make_graph(
            self.to.nodes,
            "hwsim",
            [helper.make_tensor_value_info(
                INPUT, TensorProto.FLOAT, [batch, *program.input_shape])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [batch, program.classes])],
            list(self.to.constants.values()),
        )  # fmt: skip
        opsets = [helper.make_opsetid("", OPSET)]
        opsets += [helper.make_opsetid(domain, 1) for domain in self.dialect.domains]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=8, producer_name="hwsim",
            producer_version=__version__,
        )  # fmt: skip

    def _layer(
        self, layer: Layer, sources: tuple[Place, ...], target: Place | None,
        read: tuple[Numbers, ...],
    ) -> None:  # fmt: skip
        name = self._name(layer.name)
        inputs = [self._source(place, layer.in_shape[0], name) for place in sources]
        flat = isinstance(layer, MacLayer) and layer.kind == "fc"
        x = self._computed(layer, name, inputs, read)
        if is_last(layer):
            self.to.add("Identity" if flat else "Flatten", [x], OUTPUT)
            return
        assert target is not None
        if not isinstance(layer, PoolLayer):
            of = Numbers(layer.scale, layer.zero)
            lo, hi = (0, self.program.config.act_max)
            if not isinstance(layer, LutLayer):
                lo, hi = layer.lo, layer.hi
            x = self.dialect.activation(self.to, x, name, of, lo, hi)
        part = _Part(target.channel, layer.out_shape[0], x, flat)
        self.maps.setdefault(target.map, []).append(part)

    def _name(self, wanted: str) -> str:
        """A name that no other node has: layers may be called alike."""
        base = "".join(c if c.isalnum() or c in "._" else "_" for c in wanted) or "layer"
        name, number = base, 2
        while name in self.names:
            name, number = f"{base}_{number}", number + 1
        self.names.add(name)
        return name

    def _computed(
        self, layer: Layer, name: str, inputs: list[_Part], read: tuple[Numbers, ...]
    ) -> str:
        """The layer's reals, not yet rounded."""
        if isinstance(layer, MacLayer) and layer.kind == "fc":
            row = arithmetic.weighted(layer, read[0])
            weights = self.dialect.weights(self.to, f"{name}_w", row.weights, row.step)
            offset = self._reals(f"{name}_b", row.offset)
            flat = self._flat(inputs[0], name)
            return self.to.add("Gemm", [flat, weights, offset], f"{name}_fc", transB=1)
        x = self._map(inputs[0], name)
        if isinstance(layer, MacLayer):
            return self._conv(layer, name, x, read[0])
        if isinstance(layer, PoolLayer):
            return self._window(layer, name, x, "MaxPool")
        if isinstance(layer, LutLayer):
            reals = (layer.table.astype(np.float64) - layer.zero) * layer.scale
            codes = self.dialect.codes(self.to, x, f"{name}_in", read[0])
            return self.to.add(
                "Gather", [self._reals(f"{name}_table", reals), codes], f"{name}_lut"
            )
        top = self.program.config.act_max
        if isinstance(layer, AverageLayer):
            mean = self._window(layer, name, x, "AveragePool")
            return self._scaled(name, [mean], arithmetic.average(layer, read[0], top))
        if isinstance(layer, AffineLayer):
            return self._scaled(name, [x], arithmetic.affine(layer, read[0], top))
        other = self._map(inputs[1], f"{name}_2")
        return self._scaled(name, [x, other], arithmetic.added(layer, read, top))

    def _conv(self, layer: MacLayer, name: str, x: str, of: Numbers) -> str:
        assert layer.window is not None
        window, row = layer.window, arithmetic.weighted(layer, of)
        shape = (layer.n_out, layer.in_shape[0] // layer.groups, *window.kernel)
        weights = self.dialect.weights(self.to, f"{name}_w", row.weights.reshape(shape), row.step)
        top, left, bottom, right = _pads(layer)
        if layer.fill != of.zero and any((top, left, bottom, right)):
            # Padding reads a code that is not that of 0: ONNX's own padding would be 0.
            pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
            fill = np.array((layer.fill - of.zero) * of.scale, np.float32)
            x = self.to.add(
                "Pad", [x, self.to.constant(f"{name}_pads", pads),
                        self.to.constant(f"{name}_fill", fill)], f"{name}_pad",
            )  # fmt: skip
            top = left = bottom = right = 0
        return self.to.add(
            "Conv", [x, weights, self._reals(f"{name}_b", row.offset)], f"{name}_conv",
            kernel_shape=list(window.kernel), strides=list(window.stride),
            pads=[top, left, bottom, right], group=layer.groups,
        )  # fmt: skip

    def _window(self, layer: PoolLayer | AverageLayer, name: str, x: str, op: str) -> str:
        return self.to.add(
            op, [x], f"{name}_{op.lower()}", kernel_shape=list(layer.window.kernel),
            strides=list(layer.window.stride), pads=list(_pads(layer)),
        )  # fmt: skip

    def _scaled(self, name: str, inputs: list[str], by: arithmetic.Scaled) -> str:
        """Σ factor · x + offset; nodes that would change nothing are left out."""
        products = []
        for number, (x, factor) in enumerate(zip(inputs, by.factors, strict=True)):
            if (factor != 1).any():
                constant = self._reals(f"{name}_m{number}", factor.reshape(-1, 1, 1))
                x = self.to.add("Mul", [x, constant], f"{name}_mul{number}")
            products.append(x)
        total = products[0]
        if len(products) > 1:
            total = self.to.add("Add", products, f"{name}_sum")
        if (by.offset != 0).any():
            constant = self._reals(f"{name}_b", by.offset.reshape(-1, 1, 1))
            total = self.to.add("Add", [total, constant], f"{name}_add")
        return total

    def _reals(self, name: str, values: Reals) -> str:
        return self.to.constant(name, values.astype(np.float32))

    def _source(self, place: Place, count: int, name: str) -> _Part:
        """Channels of a map as one tensor."""
        first, end = place.channel, place.channel + count
        parts = sorted(self.maps[place.map], key=lambda part: part.first)
        found = [part for part in parts if part.first < end and first < part.first + part.count]
        if len(found) == 1 and (found[0].first, found[0].count) == (first, count):
            return found[0]
        self.names.add(joined := self._name(f"{name}_in"))
        pieces = []
        for number, part in enumerate(found):
            tensor = self._map(part, f"{joined}_{number}")
            low, high = max(first, part.first) - part.first, min(end - part.first, part.count)
            if (low, high) != (0, part.count):
                limits = [
                    self.to.constant(f"{joined}_{number}_{what}", np.array([value], np.int64))
                    for what, value in (("from", low), ("to", high), ("axis", 1))
                ]
                tensor = self.to.add("Slice", [tensor, *limits], f"{joined}_{number}_slice")
            pieces.append(tensor)
        if len(pieces) == 1:
            return _Part(first, count, pieces[0], False)
        return _Part(first, count, self.to.add("Concat", pieces, joined, axis=1), False)

    def _map(self, part: _Part, name: str) -> str:
        """As (N, C, H, W)."""
        if not part.flat:
            return part.tensor
        axes = self.to.constant(f"{name}_axes", np.array([2, 3], np.int64))
        return self.to.add("Unsqueeze", [part.tensor, axes], f"{name}_map")

    def _flat(self, part: _Part, name: str) -> str:
        """As (N, F)."""
        if part.flat:
            return part.tensor
        return self.to.add("Flatten", [part.tensor], f"{name}_flat")


def _pads(layer: MacLayer | PoolLayer | AverageLayer) -> tuple[int, int, int, int]:
    """(top, left, bottom, right), the latter two no more than the last window reaches."""
    assert layer.window is not None
    window, (_, height, width), (_, out_h, out_w) = layer.window, layer.in_shape, layer.out_shape
    top, left, _, _ = window.padding
    bottom = (out_h - 1) * window.stride[0] + window.kernel[0] - top - height
    right = (out_w - 1) * window.stride[1] + window.kernel[1] - left - width
    return top, left, max(bottom, 0), max(right, 0)


def build(program: Program, format_name: str) -> ModelProto:
    """``program`` as a model of one of DIALECTS: reals in, (N, C, H, W), logits out, (N, classes).

    The input holds what the codes stand for, pixels in [0, 1] of an ordinary image; the logits
    are worth v · ``Program.logit_scale``. Raises InputError for word lengths that the format does
    not have, and for a network that is too large for one file.
    """
    need("onnx")
    dialect = DIALECTS[format_name](program.config)
    dialect.check(program.config)
    width = 1 if format_name == "qcdq" else 4
    size = width * sum(layer.spec.virtual_weights for layer in program.mac_layers)
    if size > MAX_BYTES:
        raise InputError(
            f"its dense weights take {size:,} bytes, but a file of ONNX holds {MAX_BYTES:,}"
        )
    return _Builder(program, dialect).build()
