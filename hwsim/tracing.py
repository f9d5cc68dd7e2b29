"""A torch module as a chain of the operations that the engine knows, observed on calibration data.

Accepts modules and functional forms alike (``nn.ReLU`` or ``F.relu`` or ``x.relu()``); everything
else is refused with the module path and advice.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from hwsim.errors import CompileError
from hwsim.hashing import HashSpec

Kind = Literal["mac", "relu", "pool", "norm", "flatten", "affine", "keep"]


@dataclass
class Op:
    """One step of the network.

    shape: of the output, without the batch axis. samples: values of the output seen in
    calibration (subsampled). module: the layer of ``mac`` and ``norm``. pool: (kernel, stride).
    scale, offset: of ``affine``, x -> x·scale + offset, each a scalar or one value per channel.
    """

    kind: Kind
    path: str
    shape: tuple[int, ...]
    samples: NDArray[np.float32]
    module: Any = None
    pool: tuple[int, int] = (0, 0)
    scale: NDArray[np.float64] = field(default_factory=lambda: np.ones(1))
    offset: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))


def is_hashed(module: Any) -> bool:
    """Whether a module carries hashed weights: a ``spec`` and the real ``weight`` bank."""
    return isinstance(getattr(module, "spec", None), HashSpec)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        normalize = type(m).__name__ == "Normalize" and hasattr(m, "mean") and hasattr(m, "std")
        return is_hashed(m) or normalize or super().is_leaf_module(m, module_qualified_name)


#: Values kept per operation to choose binary points from; more changes nothing measurable.
MAX_SAMPLES = 400_000


class _Recorder(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.seen: dict[fx.Node, Any] = {}
        self.samples: dict[fx.Node, NDArray[np.float32]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.seen[n] = tuple(value.shape)
            flat = value.detach().reshape(-1)
            step = max(1, flat.numel() // MAX_SAMPLES)
            self.samples[n] = flat[::step].to(torch.float32).numpy()
        else:
            self.seen[n] = value
        return value


_RELU: tuple[Any, ...] = (F.relu, torch.relu, torch.relu_, F.relu_)
_POOL: tuple[Any, ...] = (F.max_pool2d, torch.max_pool2d)
_FLATTEN = (torch.flatten, torch.reshape)
_DROPOUT = (F.dropout, F.dropout2d, torch.dropout)
_ARITHMETIC: dict[Any, str] = {
    operator.add: "add", operator.sub: "sub", operator.mul: "mul", operator.truediv: "div",
    torch.add: "add", torch.sub: "sub", torch.mul: "mul", torch.div: "div",
}  # fmt: skip
_METHODS = {
    "relu": "relu", "relu_": "relu", "view": "flatten", "reshape": "flatten",
    "flatten": "flatten", "contiguous": "keep", "float": "keep",
}  # fmt: skip
_SHAPE_QUERIES = ("size", "dim", "numel")
_KEPT = (nn.Dropout, nn.Dropout2d, nn.Identity)
_ADVICE = {
    "Softmax": "remove it: the engine returns logits, and losses apply the softmax",
    "LogSoftmax": "remove it: the engine returns logits, and losses apply the softmax",
    "AvgPool2d": "use MaxPool2d, or a strided convolution",
    "Sigmoid": "use ReLU",
    "Tanh": "use ReLU",
    "GELU": "use ReLU",
    "LeakyReLU": "use ReLU",
    "LayerNorm": "use BatchNorm2d, which folds into the requantization",
    "GroupNorm": "use BatchNorm2d, which folds into the requantization",
}


def trace_chain(module: nn.Module, calibration: Tensor) -> list[Op]:
    """The operations of ``module`` in order, with shapes and values seen on ``calibration``.

    calibration: float32 (N, C, H, W). Raises CompileError naming the module path for anything
    that is not a chain of supported operations.
    """
    module = copy.deepcopy(module).eval().cpu().float()
    graph_module = _symbolic(module)
    recorder = _Recorder(graph_module)
    try:
        with torch.no_grad():
            recorder.run(calibration)
    except CompileError:
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CompileError(
            f"{type(module).__name__}: does not run on calibration images of shape "
            f"{tuple(calibration.shape[1:])}: {first}"
        ) from None
    operations = []
    for node in _chain(graph_module, recorder):
        op = _classify(node, dict(graph_module.named_modules()), graph_module, recorder)
        if op is not None:
            operations.append(op)
    return operations


def _symbolic(module: nn.Module) -> fx.GraphModule:
    tracer = _Tracer()
    # A bare layer is a network of one: give it a path.
    root = module
    if is_hashed(module) or tracer.is_leaf_module(module, ""):
        root = nn.Sequential(module)
    try:
        return fx.GraphModule(root, tracer.trace(root))
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CompileError(
            f"{type(module).__name__}: cannot be traced ({first}): write forward() without "
            "control flow that depends on the data"
        ) from None


def _chain(graph_module: fx.GraphModule, recorder: _Recorder) -> list[fx.Node]:
    """Tensor nodes from input to output; each may have one tensor consumer."""

    def is_activation(node: fx.Node) -> bool:
        shape = recorder.seen.get(node)
        return node.op != "get_attr" and isinstance(shape, tuple) and not _is_query(node)

    inputs = [n for n in graph_module.graph.nodes if n.op == "placeholder"]
    if len(inputs) != 1:
        raise CompileError(f"forward() must take exactly one tensor, this one takes {len(inputs)}")
    chain, node = [], inputs[0]
    while True:
        users = [u for u in node.users if u.op == "output" or is_activation(u)]
        if len(users) != 1:
            where = _path(node)
            raise CompileError(
                f"{where}: its result is used {len(users)} times: the engine runs chains of "
                "layers, without branches or residual connections"
            )
        if users[0].op == "output":
            return chain
        node = users[0]
        others = [a for a in node.all_input_nodes if is_activation(a)]
        if len(others) != 1:
            raise CompileError(
                f"{_path(node)}: combines {len(others)} activations: the engine runs chains of "
                "layers, without branches or residual connections"
            )
        chain.append(node)


def _is_query(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in _SHAPE_QUERIES
    if node.op == "call_function" and node.target is getattr:
        return True
    return (
        node.op == "call_function"
        and node.target is operator.getitem
        and isinstance(node.args[0], fx.Node)
        and _is_query(node.args[0])
    )


def _path(node: fx.Node) -> str:
    if node.op == "call_module":
        return str(node.target)
    if node.op == "placeholder":
        return "input"
    stack = node.meta.get("nn_module_stack") or {}
    names = [str(name) for name in stack if name]
    return f"{names[-1]}.{node.name}" if names else node.name


def _classify(
    node: fx.Node, modules: dict[str, nn.Module], graph_module: fx.GraphModule, rec: _Recorder
) -> Op | None:
    path, shape = _path(node), rec.seen[node][1:]
    before = rec.seen[_tensor_input(node, rec)][1:]

    def make(kind: Kind, **more: Any) -> Op:
        return Op(kind, path, shape, rec.samples[node], **more)

    if node.op == "call_module":
        module = modules[str(node.target)]
        if isinstance(module, nn.Linear | nn.Conv2d) or is_hashed(module):
            return make("mac", module=module)
        if isinstance(module, nn.ReLU):
            return make("relu")
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            return make("norm", module=module)
        if isinstance(module, _KEPT):
            return None
        if isinstance(module, nn.Flatten):
            return _flatten(path, before, shape, make)
        if isinstance(module, nn.MaxPool2d):
            return make("pool", pool=_pool(path, vars(module)))
        if isinstance(module, nn.AdaptiveAvgPool2d) and before == shape:
            return None
        if type(module).__name__ == "Normalize":
            mean = np.asarray(torch.as_tensor(module.mean), np.float64).reshape(-1)
            std = np.asarray(torch.as_tensor(module.std), np.float64).reshape(-1)
            return make("affine", scale=1 / std, offset=-mean / std)
        raise _unsupported(path, type(module).__name__)
    target = node.target
    if node.op == "call_method":
        kind = _METHODS.get(str(target))
        if kind == "keep":
            return None
        if kind == "relu":
            return make("relu")
        if kind == "flatten":
            return _flatten(path, before, shape, make)
        raise _unsupported(path, f"Tensor.{target}")
    if target in _RELU:
        return make("relu")
    if target in _FLATTEN:
        return _flatten(path, before, shape, make)
    if target in _DROPOUT:
        # fx bakes in the flag of the call: F.dropout without training=self.training always drops.
        if node.kwargs.get("training", node.args[2] if len(node.args) > 2 else True):
            raise CompileError(f"{path}: F.dropout is active at inference: pass self.training")
        return None
    if target in _POOL or getattr(target, "__name__", "") in ("max_pool2d", "boolean_dispatch"):
        names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
        given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
        return make("pool", pool=_pool(path, given))
    if getattr(target, "__name__", "") == "adaptive_avg_pool2d" and before == shape:
        return None
    if target in _ARITHMETIC:
        scale, offset = _affine(node, _ARITHMETIC[target], graph_module, path)
        return make("affine", scale=scale, offset=offset)
    raise _unsupported(path, getattr(target, "__name__", str(target)))


def _tensor_input(node: fx.Node, rec: _Recorder) -> fx.Node:
    for argument in node.all_input_nodes:
        if argument.op != "get_attr" and isinstance(rec.seen.get(argument), tuple):
            return argument
    raise CompileError(f"{_path(node)}: has no tensor input")


def _flatten(path: str, before: tuple, shape: tuple, make: Callable[..., Op]) -> Op | None:
    if shape == before:
        return None
    if len(shape) != 1 or shape[0] != int(np.prod(before)):
        raise CompileError(
            f"{path}: reshapes {before} to {shape}: only flattening to (N, features) is supported"
        )
    return make("flatten")


def _pool(path: str, given: dict[str, Any]) -> tuple[int, int]:
    def one(name: str, default: Any) -> int:
        value = given.get(name)
        value = default if value is None or value == [] else value
        values = {value} if isinstance(value, int) else set(value)
        if len(values) != 1:
            raise CompileError(f"{path}: {name} must be the same on both axes, got {value}")
        return int(values.pop())

    kernel = one("kernel_size", None)
    stride = one("stride", kernel)
    if one("padding", 0) or one("dilation", 1) != 1 or given.get("ceil_mode"):
        raise CompileError(f"{path}: max-pooling with padding, dilation or ceil_mode: use none")
    return kernel, stride


def _affine(
    node: fx.Node, name: str, graph_module: fx.GraphModule, path: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    def constant(argument: Any) -> NDArray[np.float64]:
        if isinstance(argument, int | float):
            return np.array([argument], np.float64)
        if isinstance(argument, fx.Node) and argument.op == "get_attr":
            value: Any = graph_module
            for part in str(argument.target).split("."):
                value = getattr(value, part)
            array = np.asarray(value.detach(), np.float64)
            per_channel = array.ndim <= 1 or array.size == max(array.shape[-3:-2] or (1,))
            if per_channel:
                return array.reshape(-1)
        raise _unsupported(path, name)

    left, right = node.args[0], node.args[1]
    one, zero = np.ones(1), np.zeros(1)
    if isinstance(left, fx.Node) and left.op != "get_attr":
        value = constant(right)
        table = {
            "add": (one, value),
            "sub": (one, -value),
            "mul": (value, zero),
            "div": (1 / value, zero),
        }
        return table[name]
    value = constant(left)
    if name == "add":
        return one, value
    if name == "mul":
        return value, zero
    raise _unsupported(path, name)


def _unsupported(path: str, what: str) -> CompileError:
    advice = _ADVICE.get(
        what,
        "supported are Linear, Conv2d, hashed layers, ReLU, MaxPool2d, BatchNorm, Flatten, Dropout",
    )
    return CompileError(f"{path}: {what} cannot run on the engine: {advice}")
