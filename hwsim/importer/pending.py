"""Real numbers that no quantizer has ended yet: what one step of the engine may still take up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hwsim.compiler.stages import Rescaling
from hwsim.importer.functions import FUNCTIONS
from hwsim.importer.graph import AffineNode, ClampNode, FileNode, PointwiseNode, QuantizeNode
from hwsim.importer.limits import refuse
from hwsim.importer.steps import Function, IntegerStep, Kind, Value
from hwsim.program.layers import Shape, Window

F64 = NDArray[np.float64]
QUANTIZE_BEFORE = "the engine computes on integers: quantize what it reads when the file is made"


@dataclass(frozen=True, eq=False)
class Coded:
    """Real numbers that are the codes of a map. sides: zeros around it, (top, left, bottom, right).

    offset: what is added to them, of the two values of a bipolar map.
    """

    value: Value
    sides: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Pending:
    """A step without its target. shape: of the map now; pools: max-pools behind it."""

    node: FileNode
    kind: Kind
    sources: tuple[Value, ...]
    shape: Shape
    post: Rescaling
    ratio: tuple[Fraction, ...]
    fields: dict[str, Any] = field(default_factory=dict)
    functions: tuple[Function, ...] = ()
    pools: tuple[tuple[FileNode, Window, Shape], ...] = ()

    @property
    def plain(self) -> bool:
        """Whether it only scales and shifts one map, which a layer that reads it can do."""
        return self.kind == "affine" and not self.pools

    def affine(self, node: AffineNode) -> Pending:
        """With x · scale + offset behind it."""
        channels = self.shape[0]
        if len(node.scale) not in (1, channels) or len(node.offset) not in (1, channels):
            raise refuse(
                node.name,
                node.operator,
                "has constants for single pixels",
                "the engine has them by channel",
            )
        scale = np.broadcast_to(node.scale, (channels,))
        offset = np.broadcast_to(node.offset, (channels,))
        if self.kind == "lut":
            s, o = float(scale[0]), float(offset[0])
            if np.any(scale != s) or np.any(offset != o):
                raise refuse(
                    node.name, node.operator, "follows a function by channel", QUANTIZE_BEFORE
                )
            return replace(self, functions=(*self.functions, lambda x: x * s + o))
        post = replace(self.post)
        if not post.takes(scale, offset) or (self.pools and np.any(scale <= 0)):
            raise refuse(
                node.name,
                node.operator,
                "scales what was clamped or pooled before",
                QUANTIZE_BEFORE,
            )
        post.affine(scale, offset)
        return replace(self, post=post, node=named(self.node, node))

    def clamp(self, node: ClampNode) -> Pending:
        """With a clamp behind it."""
        low, high = node.low, node.high
        if self.kind == "lut":
            return replace(self, functions=(*self.functions, lambda x: np.clip(x, low, high)))
        post = replace(self.post)
        post.clamp(low, high)
        return replace(self, post=post)

    def pointwise(self, node: PointwiseNode) -> Pending:
        """With a function behind it, which makes a table of it."""
        function = as_function(node)
        if self.kind == "lut":
            return replace(self, functions=(*self.functions, function))
        post = self.post
        uniform = np.all(post.scale == post.scale[0]) and np.all(post.offset == post.offset[0])
        if self.kind != "affine" or not uniform or self.pools:
            raise refuse(node.name, node.operator, "reads what is not quantized", QUANTIZE_BEFORE)
        s, o = float(post.scale[0]), float(post.offset[0])
        low, high = post.low, post.high
        return replace(
            self,
            kind="lut",
            node=node,
            functions=(lambda x: np.clip(x * s + o, low, high), function),
        )

    def step(self, target: Value | None, quantize: QuantizeNode | None) -> IntegerStep:
        """The step that writes codes to ``target``."""
        post = self.post
        rounding = quantize.rounding if quantize else "even"
        if not (np.isfinite(post.scale).all() and np.isfinite(post.offset).all()):
            raise refuse(
                self.node.name,
                self.node.operator,
                "computes with constants beyond every number",
                "check its scales, biases and batch norm",
            )
        if self.kind == "lut":
            functions = self.functions

            def function(x: F64) -> F64:
                for one in functions:
                    x = one(x)
                return x

            return IntegerStep(
                self.node.name,
                self.node.operator,
                "lut",
                self.sources,
                target,
                function=function,
                rounding=rounding,
            )
        count = max(len(self.ratio), len(post.scale)) if self.kind != "add" else 2
        ratio, gains = (repeated(one, count) for one in (self.ratio, _exact(post.scale)))
        return IntegerStep(
            self.node.name,
            self.node.operator,
            self.kind,
            self.sources,
            target,
            ratio=tuple(one * gain for one, gain in zip(ratio, gains, strict=True)),
            offset=_exact(post.offset),
            low=post.low,
            high=post.high,
            rounding=rounding,
            **{"bipolar": bool(quantize and quantize.bipolar), **self.fields},
        )


@dataclass(frozen=True, eq=False)
class Joined:
    """Maps behind each other that are still to get one kind of codes."""

    members: tuple[State, ...]
    shape: Shape


State = Coded | Pending | Joined


def through(value: Value, node: FileNode) -> Pending:
    """The values of a map as they are, for what can follow."""
    return Pending(
        node,
        "affine",
        (value,),
        value.shape,
        Rescaling.nothing(value.shape[0]),
        (value.codes.scale,),
    )


def as_function(node: PointwiseNode) -> Function:
    """What a node makes of float64 values, computed in float32 as its runtime does."""
    function = FUNCTIONS[node.function]

    def apply(x: F64) -> F64:
        with torch.no_grad():
            found = function(torch.from_numpy(x.astype(np.float32)), **node.parameters)
        return found.double().numpy()

    return apply


def named(first: FileNode, then: FileNode) -> FileNode:
    """The node by whose name a step goes: the one with weights."""
    return then if isinstance(first, AffineNode | ClampNode | QuantizeNode) else first


def _exact(values: F64) -> tuple[Fraction, ...]:
    return tuple(Fraction(value) for value in values.tolist())


def repeated(values: tuple[Fraction, ...], count: int) -> tuple[Fraction, ...]:
    """A number for each of ``count``, where one stands for all."""
    return values * count if len(values) == 1 else values
