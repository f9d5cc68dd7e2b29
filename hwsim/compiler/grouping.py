"""A graph of operations -> stages: layers with everything that fuses into them.

Affine operations wait at the view of a map until whoever reads it takes them, or until an affine
layer has to carry them; where the producer can, it takes them at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from torch import Tensor

from hwsim.compiler.absorbing import absorb_affine, absorb_clamp, bounded
from hwsim.compiler.concatenating import joined
from hwsim.compiler.graph import Graph, Node
from hwsim.compiler.operations import (
    Add,
    Affine,
    Average,
    Clamp,
    Concat,
    Flatten,
    InputOp,
    Mac,
    Op,
    Pointwise,
    Pool,
    Slice,
    as_map,
)
from hwsim.compiler.stages import (
    AddStage,
    AffineStage,
    AverageStage,
    Coding,
    LutStage,
    MacStage,
    Map,
    PlannedStage,
    PoolStage,
    Rescaling,
    Samples,
    StagePlan,
    View,
)
from hwsim.compiler.views import bare, by_channel, compact, raw_of, seen_by, sliced
from hwsim.compiler.weighted import into_weights, mac_stage, may_end
from hwsim.compiler.windows import behind, window_steps
from hwsim.errors import CompileError
from hwsim.program.geometry import MAX_AVERAGE, MAX_KERNEL
from hwsim.program.layers import Shape


def group(graph: Graph, steps: int, low: float, high: float, notes: list[str]) -> StagePlan:
    """The stages of a network, the last of which gives the logits.

    steps: of codes between low and high, the values of the image. Raises CompileError.
    """
    return _Grouping(graph, steps, low, high).plan(notes)


class _Grouping:
    def __init__(self, graph: Graph, steps: int, low: float, high: float) -> None:
        self.graph, self.users = graph, graph.users()
        self.stages: list[PlannedStage] = []
        self.views: dict[Node, View] = {}
        self.step = (high - low) / steps
        self.image = Map(as_map(graph.input.op.shape), Coding(True), None, low, high)

    def plan(self, notes: list[str]) -> StagePlan:
        if not any(isinstance(op, Mac) for op in self.graph.operations):
            raise CompileError("the network has no Linear or Conv2d layer: there is nothing to run")
        for node in self.graph.nodes:
            self.views[node] = self._view(node)
            self._mark(node)
        self._finish(self.graph.output)
        return StagePlan(self.image, tuple(self.stages), tuple(notes))

    def _mark(self, node: Node) -> None:
        if len(self.users[node]) + (node is self.graph.output) > 1:
            self.views[node].map.shared = True

    def _view(self, node: Node) -> View:
        op = node.op
        if isinstance(op, InputOp):
            return View(self.image, self.image.shape, op.path, op.samples, op.samples,
                        flat=len(op.shape) == 1)  # fmt: skip
        if isinstance(op, Add):
            return self._add(op, *node.inputs)
        if isinstance(op, Concat):
            members = [self._solid(source) for source in node.inputs]
            return joined(op, members, self.stages, self._carried)
        (source,) = node.inputs
        one = self.views[source]
        if isinstance(op, Mac):
            return self._mac(op, source)
        if isinstance(op, Affine):
            return self._affine(op, one)
        if isinstance(op, Clamp):
            return self._clamp(op, one)
        if isinstance(op, Pointwise):
            return self._pointwise(op, source)
        if isinstance(op, Pool):
            return self._pool(op, source)
        if isinstance(op, Average):
            return self._average(op, source)
        if isinstance(op, Slice):
            return sliced(op, one)
        assert isinstance(op, Flatten)
        return replace(seen_by(op, one), flat=True)

    # --- maps that are written and read ---------------------------------------------------------

    def _write(
        self,
        stage: PlannedStage,
        shape: Shape,
        seen: Op | View,
        *,
        coding: Coding | None = None,
        through: Callable[[Tensor], Tensor] | None = None,
        raw: Samples | None = None,
        flat: bool = False,
    ) -> View:
        """Execute a stage, and look at what it writes as the values of ``seen``."""
        if not isinstance(stage, PoolStage):
            self._read(stage, through)
        target = Map(shape, coding or Coding(), stage)
        stage.target = target
        target.low, target.high = bounded(stage)
        self.stages.append(stage)
        raw = seen.samples if raw is None else raw
        return View(target, shape, seen.path, seen.samples, raw, flat=flat)

    @staticmethod
    def _read(stage: PlannedStage, through: Callable[[Tensor], Tensor] | None = None) -> None:
        for view in stage.sources:
            coding = view.map.coding.root
            if not any(view.raw is known for known in coding.samples):
                coding.samples.append(view.raw)
            coding.readers.append(through)

    def _carried(self, view: View, low: float = -math.inf, high: float = math.inf) -> View:
        """An affine layer for what waits at a view, and a clamp behind it."""
        scale, offset = (by_channel(view, values) for values in view.factors)
        stage = AffineStage(view.path, (bare(view),), Rescaling(scale, offset, low, high))
        return self._write(stage, view.shape, view, flat=view.flat)

    def _solid(self, node: Node) -> View:
        """A node's view with nothing waiting at it."""
        view = self.views[node]
        if not view.plain:
            self.views[node] = view = self._carried(view)
            self._mark(node)
        return view

    # --- operations -----------------------------------------------------------------------------

    def _affine(self, op: Affine, view: View) -> View:
        scale, offset = (compact(values, view.shape) for values in (op.scale, op.offset))
        seen = replace(view, path=op.path, samples=op.samples)
        if view.plain and scale.size == offset.size == view.shape[0]:
            flat = scale.reshape(-1), offset.reshape(-1)
            if absorb_affine(view, *flat):
                return replace(seen, raw=op.samples)
        before, shift = view.factors
        return replace(seen, scale=before * scale, offset=shift * scale + offset)

    def _clamp(self, op: Clamp, view: View) -> View:
        if view.plain and op.low <= view.map.low and view.map.high <= op.high:
            return seen_by(op, view)
        if absorb_clamp(view, op.low, op.high):
            return seen_by(op, view)
        done = self._carried(replace(view, path=op.path, samples=op.samples), op.low, op.high)
        return seen_by(op, done)

    def _pointwise(self, op: Pointwise, source: Node) -> View:
        view = self.views[source]
        producer = view.map.producer
        if view.plain and view.whole and not view.map.shared and isinstance(producer, LutStage):
            producer.functions.append(op.function)
            view.map.low, view.map.high = op.low, math.inf
            return seen_by(op, view)
        if view.uniform is None:
            view = self._solid(source)
        uniform = view.uniform
        assert uniform is not None
        functions = [op.function]
        if uniform != (1.0, 0.0):
            functions.insert(0, lambda x: x * uniform[0] + uniform[1])
        stage = LutStage(op.path, (bare(view),), functions)
        done = self._write(stage, view.shape, op, through=stage.function, flat=view.flat)
        done.map.low = op.low
        return done

    def _pool(self, op: Pool, source: Node) -> View:
        view = self.views[source]
        scale, offset = view.factors
        per_channel = scale.shape[1:] == offset.shape[1:] == (1, 1)
        if not per_channel or np.any(scale <= 0):
            view = self._solid(source)
        shape = as_map(op.shape)
        for kernel, stride in window_steps(
            op.kernel, op.stride, MAX_KERNEL, MAX_KERNEL, any(op.sides)
        ):
            out = shape if kernel == op.kernel else behind(view.shape, kernel, stride)
            stage = PoolStage(op.path, (bare(view),), kernel, stride, op.sides)
            raw = raw_of(view, op.samples)
            done = self._write(stage, out, op, coding=view.map.coding, raw=raw)
            view = replace(done, scale=view.scale, offset=view.offset)
            shape = as_map(op.shape)
        return view

    def _average(self, op: Average, source: Node) -> View:
        view = self.views[source]
        if view.uniform is None:
            view = self._solid(source)
        uniform = view.uniform
        assert uniform is not None
        size = op.kernel[0] * op.kernel[1]
        steps = window_steps(op.kernel, op.stride, MAX_KERNEL, MAX_AVERAGE, False, view.shape)
        for number, (kernel, stride) in enumerate(steps):
            final = number == len(steps) - 1
            window = kernel[0] * kernel[1]
            # Steps before the last average; the last has what makes them all Σ / divisor.
            gain = size / op.divisor / window if final else 1.0 / window
            post = Rescaling(np.full(1, gain * (uniform[0] if final else 1.0)), np.zeros(1))
            if final:
                post.offset[0] = uniform[1] * size / op.divisor
            shape = as_map(op.shape) if final else behind(view.shape, kernel, stride)
            stage = AverageStage(op.path, (bare(view),), post, kernel, stride)
            seen = op if final else replace(op, samples=view.raw)
            view = self._write(stage, shape, seen)
        return view

    def _add(self, op: Add, first: Node, second: Node) -> View:
        views, gains, offset = [], [], 0.0
        for node, gain in zip((first, second), op.gains, strict=True):
            if self.views[node].uniform is None:
                self._solid(node)
            view = self.views[node]
            uniform = view.uniform
            assert uniform is not None
            views.append(view)
            gains.append(gain * uniform[0])
            offset += gain * uniform[1]
        one, two = views
        if one.shape != two.shape:
            raise CompileError(
                f"{op.path}: adds flattened maps {one.shape} and {two.shape}: the engine adds maps "
                "of one shape: flatten behind the sum"
            )
        post = Rescaling(np.ones(1), np.full(1, offset))
        stage = AddStage(op.path, (bare(one), bare(two)), post, (gains[0], gains[1]))
        return self._write(stage, one.shape, op, flat=one.flat)

    def _mac(self, op: Mac, source: Node) -> View:
        view = self.views[source]
        # As large as its map, it is a Linear: its fan-in runs over (c, y, x) in the same order.
        mac = op
        if op.conv and view.shape[1:] == op.kernel and not op.padded and op.groups == 1:
            mac = replace(op, conv=False, kernel=(0, 0), stride=(0, 0))
        stage = mac_stage(op, mac, view, self.image, self.step)
        if stage is None:
            stage = mac_stage(op, mac, self._solid(source), self.image, self.step)
        assert stage is not None
        mean = source.op.mean
        window = mac.spec.fan_in * mac.groups // len(mean)
        stage.mean = np.repeat(mean, window).reshape(mac.groups, mac.spec.fan_in)
        n = mac.spec.n_out
        shape = as_map(op.shape) if mac.conv else (n, 1, 1)
        return self._write(stage, shape, op, flat=len(op.shape) == 1)

    # --- the end --------------------------------------------------------------------------------

    def _finish(self, node: Node) -> None:
        view = self._solid(node)
        if view.shape[1:] != (1, 1):
            raise CompileError(
                f"{view.path}: the network returns a map {view.shape}: the engine returns a "
                "vector: end in a Linear layer or a global pool and nn.Flatten"
            )
        producer = view.map.producer
        if producer is not None and view.whole and not view.map.shared and may_end(producer):
            if isinstance(producer, MacStage):
                into_weights(producer)
            self.stages.remove(producer)
            producer.target = None
            view.map.coding.root.maps.remove(view.map)
            self.stages.append(producer)
            return
        stage = AffineStage(view.path, (view,), Rescaling.nothing(view.shape[0]))
        self._read(stage)
        self.stages.append(stage)
