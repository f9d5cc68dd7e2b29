"""Runs a traced graph on calibration data, and notes what its nodes give."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from hwsim.compiler.context import Context
from hwsim.compiler.exported_hashes import HASHED, shared_weights
from hwsim.compiler.operations import F64
from hwsim.compiler.preparing import COMPILE_FLOAT, line
from hwsim.errors import CompileError

#: Values kept per operation to choose binary points from; more changes nothing measurable.
MAX_SAMPLES = 400_000
#: Modules of torch that are no layers.
_CONTAINERS = (".Sequential", "ModuleList")
#: Values kept of all operations together.
MAX_KEPT = 100_000_000


class Recorder(fx.Interpreter):
    """Runs the graph and notes what its nodes give.

    A node is an activation (in ``shapes``) if it gives a tensor, or several, made from one;
    everything else is a constant or a size (in ``values``). ``parts``: the shapes of several.
    ``batch``: how many images of the next run count; the others fill up a batch.
    """

    def __init__(
        self, graph_module: fx.GraphModule, name: str, images: int, within: Callable[[str], str]
    ) -> None:
        super().__init__(graph_module)
        self.extra_traceback = False
        self.name, self.images, self.batch, self.within = name, images, 0, within
        self.modules = dict(graph_module.named_modules())
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.parts: dict[fx.Node, list[tuple[int, ...]]] = {}
        self.dtypes: dict[fx.Node, torch.dtype] = {}
        self.values: dict[fx.Node, Any] = {}
        self.samples: dict[fx.Node, list[NDArray[np.float32]]] = {}
        self.means: dict[fx.Node, F64] = {}
        self._most = min(MAX_SAMPLES, MAX_KEPT // len(graph_module.graph.nodes))

    def path(self, node: fx.Node) -> str:
        """Where a node stands: the module path, with the name of a function behind it."""
        if node.op == "call_module":
            return self.within(str(node.target)) or self.name
        if node.op == "placeholder":
            return "input"
        stack = list((node.meta.get("nn_module_stack") or {}).items())
        if not stack:
            return node.name
        key, value = stack[-1]
        if not isinstance(node.target, torch._ops.OpOverload):
            inner = self.within(str(key))
            return f"{inner}.{node.name}" if inner else node.name
        # Of an exported graph: the path, and the class or its name.
        inner, kind = str(value[0]), value[1]
        kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
        layer = kind.startswith("torch.nn.modules") and not kind.endswith(_CONTAINERS)
        if layer or kind in HASHED:
            return inner or self.name
        return f"{inner}.{node.name}" if inner else node.name

    def run_node(self, n: fx.Node) -> Any:
        try:
            value = super().run_node(n)
        except CompileError:
            raise
        except Exception as error:
            shape = tuple(self.shapes[next(iter(self.shapes))][1:]) if self.shapes else ()
            raise CompileError(
                f"{self.path(n)}: does not run on calibration images of shape {shape}: "
                f"{line(error)}"
            ) from None
        if n.op == "output":
            return value
        if not self._is_activation(n, value):
            self.values[n] = value
        elif isinstance(value, Tensor):
            self.shapes[n], self.dtypes[n] = tuple(value.shape), value.dtype
            self._sample(n, value)
        else:
            self.parts[n] = [tuple(v.shape) for v in value if isinstance(v, Tensor)]
            self.shapes[n] = self.parts[n][0]
            first = next(v for v in value if isinstance(v, Tensor))
            self.dtypes[n] = first.dtype
            self._sample(n, first)
        return value

    def _is_activation(self, node: fx.Node, value: Any) -> bool:
        if node.op == "placeholder":
            return True
        inputs = node.all_input_nodes
        if node.op == "call_method" and node.target in ("to", "type_as"):
            inputs = [a for a in node.args[:1] if isinstance(a, fx.Node)]  # the rest is a type
        several = isinstance(value, list | tuple) and any(isinstance(v, Tensor) for v in value)
        return (isinstance(value, Tensor) or several) and any(a in self.shapes for a in inputs)

    def _sample(self, node: fx.Node, value: Tensor) -> None:
        if value.is_quantized:
            raise CompileError(
                f"{self.path(node)}: gives integers of torch's quantization: {COMPILE_FLOAT}"
            )
        if value.layout != torch.strided or value.is_complex():
            raise CompileError(
                f"{self.path(node)}: gives {value.dtype} values in {value.layout} layout: the "
                "engine runs dense real numbers"
            )
        if not value.numel():
            raise CompileError(
                f"{self.path(node)}: gives no values, only the shape {tuple(value.shape)}: use "
                "larger images, or keep its channels"
            )
        # The extremes carry any NaN and infinity, and cost a tenth of isfinite.
        if not all(math.isfinite(float(v)) for v in torch.aminmax(value)):
            raise CompileError(
                f"{self.path(node)}: gives NaN or infinity on the calibration images: check its "
                "weights and constants"
            )
        if value.ndim and len(value) > self.batch:
            value = value[: self.batch]
        if value.ndim > 1 and len(value):
            axes = [axis for axis in range(value.ndim) if axis != 1]
            mean = value.detach().double().mean(axes).numpy() * len(value) / self.images
            self.means[node] = self.means.get(node, 0.0) + mean
        flat = value.detach().reshape(-1)
        step = max(1, flat.numel() // max(1, self.batch) * self.images // self._most)
        # A step with a common factor would visit some columns or channels only.
        while math.gcd(step, flat.numel()) > 1:
            step += 1
        # Cloned, because inplace operations may overwrite it.
        kept = flat[::step].to(torch.float32, copy=True).numpy()
        self.samples.setdefault(node, []).append(kept)

    def sources(self, node: fx.Node) -> tuple[fx.Node, ...]:
        """The activations that a node takes, in the order of its arguments, each as often."""
        found: list[fx.Node] = []
        fx.map_arg((node.args, node.kwargs), lambda n: found.append(n))
        return tuple(n for n in found if n in self.shapes)

    def context(self, node: fx.Node) -> Context:
        """What ``classify`` needs to know of an activation."""

        def resolve(argument: Any) -> Any:
            return fx.map_arg(argument, lambda n: n if n in self.shapes else self.values[n])

        sources = self.sources(node)
        before, shape = self.shapes[sources[0]], self.shapes[node]
        return Context(
            node=node,
            path=self.path(node),
            module=self.modules[str(node.target)] if node.op == "call_module" else None,
            args=resolve(node.args),
            kwargs=dict(resolve(node.kwargs)),
            sources=sources,
            shapes_before=tuple(self.shapes[source][1:] for source in sources),
            shape=shape[1:],
            same_batch=shape[:1] == before[:1],
            dtype=self.dtypes.get(node),
            samples=self.sampled(node),
            samples_before=self.sampled(sources[0]),
            mean=self.mean(node),
            mean_before=self.mean(sources[0]),
            shared=shared_weights(node, self.values, self.path(node)),
        )

    def mean(self, node: fx.Node) -> F64:
        """The mean of each channel or feature of a node's values."""
        return self.means.get(node, np.zeros(1))

    def sampled(self, node: fx.Node) -> NDArray[np.float32]:
        """What was kept of a node's values."""
        return np.concatenate(self.samples.get(node, [np.zeros(0, np.float32)]))
