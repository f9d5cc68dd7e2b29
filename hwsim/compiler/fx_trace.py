"""A torch module as a chain of operations that the engine knows, observed on calibration data."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.ao.quantization import FakeQuantizeBase, ObserverBase

from hwsim.compiler.folding import folded
from hwsim.compiler.operations import Op
from hwsim.compiler.preparing import COMPILE_FLOAT, line, runnable
from hwsim.compiler.read_ops import Context, is_hashed, is_normalize
from hwsim.compiler.recognize import classify
from hwsim.errors import CompileError

#: Values kept per operation to choose binary points from; more changes nothing measurable.
MAX_SAMPLES = 400_000
#: Images that run at once, and images on which the chain is compared with the module.
CHUNK, COMPARED = 256, 8
#: Where torch keeps layers that learn to be quantized.
_AWARE = ("torch.ao.nn.qat", "torch.ao.nn.intrinsic.qat")
_NO_BRANCHES = "the engine runs chains of layers, without branches or residual connections"


def trace_chain(module: nn.Module, calibration: Tensor) -> list[Op]:
    """The operations of ``module`` in order, with shapes and values seen on ``calibration``.

    calibration: float32 (N, C, H, W). The module is copied, run in float32 on the CPU in inference
    mode, and left as it was. Raises CompileError naming the module path for anything that is not
    a chain of supported operations, or that computes something else than that chain.
    """
    module = runnable(module)
    name = type(module).__name__
    graph_module = _symbolic(module, name)
    recorder = _Recorder(graph_module, name, len(calibration))
    # Also where the caller computes in another precision.
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        for images in calibration.split(CHUNK):
            recorder.run(images.clone())  # forward() may write into its input
        chain = _chain(graph_module, recorder)
        found = [classify(recorder.context(node)) for node in chain]
        operations = [op for op in found if op is not None]
        _compare(name, module, operations, calibration[:COMPARED])
        return folded(operations)


def _untraceable(path: str, error: Exception) -> CompileError:
    return CompileError(
        f"{path}: cannot be traced ({line(error)}): write forward() without control flow that "
        "depends on the data"
    )


class _Tracer(fx.Tracer):
    def __init__(self, name: str) -> None:
        super().__init__(param_shapes_constant=True)
        self.name = name

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, ObserverBase | FakeQuantizeBase):
            return True
        # Quantization-aware layers compute the weights that they use: forward() says how.
        if type(m).__module__.startswith(_AWARE):
            return False
        leaf = super().is_leaf_module(m, module_qualified_name)
        return leaf or is_hashed(m) or is_normalize(m)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except CompileError:
            raise
        except Exception as error:
            raise _untraceable(_within(self.path_of_module(m)) or self.name, error) from None


def _symbolic(module: nn.Module, name: str) -> fx.GraphModule:
    """The graph of ``nn.Sequential(module)``, in which optional arguments have their defaults."""
    required = [
        parameter
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(required) > 1:
        raise CompileError(
            f"{name}: forward() must take exactly one tensor, this one takes {len(required)}"
        )
    root = nn.Sequential(module)
    try:
        return fx.GraphModule(root, _Tracer(name).trace(root))
    except CompileError:
        raise
    except Exception as error:
        raise _untraceable(name, error) from None


def _within(path: str) -> str:
    """A path in ``nn.Sequential(module)`` as a path in ``module``; empty for the module itself."""
    return path.removeprefix("0").removeprefix(".")


class _Recorder(fx.Interpreter):
    """Runs the graph and notes what its nodes give.

    A node is an activation (in ``shapes``) if it gives a tensor that is made from one; everything
    else is a constant or a size (in ``values``).
    """

    def __init__(self, graph_module: fx.GraphModule, name: str, images: int) -> None:
        super().__init__(graph_module)
        self.extra_traceback = False
        self.name, self.images, self.batch = name, images, 0
        self.modules = dict(graph_module.named_modules())
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.dtypes: dict[fx.Node, torch.dtype] = {}
        self.values: dict[fx.Node, Any] = {}
        self.samples: dict[fx.Node, list[NDArray[np.float32]]] = {}

    def path(self, node: fx.Node) -> str:
        """Where a node stands: the module path, with the name of a function behind it."""
        if node.op == "call_module":
            return _within(str(node.target)) or self.name
        if node.op == "placeholder":
            return "input"
        stack = [_within(str(name)) for name in node.meta.get("nn_module_stack") or {}]
        inner = stack[-1] if stack else ""
        return f"{inner}.{node.name}" if inner else node.name

    def run_node(self, n: fx.Node) -> Any:
        try:
            value = super().run_node(n)
        except Exception as error:
            shape = tuple(self.shapes[next(iter(self.shapes))][1:])
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
            self.shapes[n] = ()
        if n.op == "placeholder":
            self.batch = len(value)
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
        # The extremes carry any NaN and infinity, and cost a tenth of isfinite.
        if value.numel() and not all(math.isfinite(float(v)) for v in torch.aminmax(value)):
            raise CompileError(
                f"{self.path(node)}: gives NaN or infinity on the calibration images: check its "
                "weights and constants"
            )
        flat = value.detach().reshape(-1)
        step = max(1, flat.numel() // max(1, self.batch) * self.images // MAX_SAMPLES)
        # A step with a common factor would visit some columns or channels only.
        while math.gcd(step, flat.numel()) > 1:
            step += 1
        # Cloned, because inplace operations may overwrite it.
        kept = flat[::step].to(torch.float32, copy=True).numpy()
        self.samples.setdefault(node, []).append(kept)

    def context(self, node: fx.Node) -> Context:
        """What ``classify`` needs to know of a node of the chain."""

        def resolve(argument: Any) -> Any:
            return fx.map_arg(argument, lambda n: n if n in self.shapes else self.values[n])

        source = next(a for a in node.all_input_nodes if a in self.shapes)
        before, shape = self.shapes[source], self.shapes[node]
        return Context(
            node=node,
            path=self.path(node),
            module=self.modules[str(node.target)] if node.op == "call_module" else None,
            args=resolve(node.args),
            kwargs=dict(resolve(node.kwargs)),
            before=before[1:],
            shape=shape[1:],
            same_batch=shape[:1] == before[:1],
            dtype=self.dtypes.get(node),
            samples=self._samples(node),
            samples_before=self._samples(source),
        )

    def _samples(self, node: fx.Node) -> NDArray[np.float32]:
        return np.concatenate(self.samples.get(node, [np.zeros(0, np.float32)]))


def _chain(graph_module: fx.GraphModule, recorder: _Recorder) -> list[fx.Node]:
    """The activations from input to output; each may be used once."""
    node = next(n for n in graph_module.graph.nodes if n.op == "placeholder")
    chain: list[fx.Node] = []
    while True:
        users = [u for u in node.users if u.op == "output" or u in recorder.shapes]
        if len(users) != 1:
            names = " and ".join("output" if u.op == "output" else recorder.path(u) for u in users)
            used = f"is used by {names}" if names else "is not used"
            raise CompileError(f"{recorder.path(node)}: its result {used}: {_NO_BRANCHES}")
        if users[0].op == "output":
            if users[0].args[0] is not node:
                raise CompileError(f"{recorder.name}: forward() must return one tensor, the logits")
            return chain
        node = users[0]
        sources = [a for a in node.all_input_nodes if a in recorder.shapes]
        if len(sources) != 1:
            raise CompileError(
                f"{recorder.path(node)}: combines {len(sources)} activations: {_NO_BRANCHES}"
            )
        chain.append(node)


def _compare(name: str, module: nn.Module, operations: list[Op], images: Tensor) -> None:
    """Refuse a module that does more than its operations say: hooks, a changed forward()."""
    try:
        expected: Tensor = module(images.clone())
    except Exception as error:
        raise CompileError(
            f"{name}: does not run on {len(images)} images ({line(error)}): write forward() for "
            "any number of images"
        ) from None
    found = images
    for op in operations:
        found = op.apply(found)
    scale = float(expected.abs().max()) + 1e-6
    if found.shape != expected.shape or float((found - expected).abs().max()) > 1e-3 * scale:
        raise CompileError(
            f"{name}: its layers alone do not compute what it returns: remove hooks and overridden "
            "forward() methods of layers"
        )
