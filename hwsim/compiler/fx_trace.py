"""A torch module as a graph of operations that the engine knows, observed on calibration data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.ao.quantization import FakeQuantizeBase, ObserverBase
from torch.export import ExportedProgram

from hwsim.compiler.context import is_hashed, is_normalize
from hwsim.compiler.exported import batch_of, exported_graph, is_exported
from hwsim.compiler.graph import Graph
from hwsim.compiler.linking import linked
from hwsim.compiler.preparing import line, runnable
from hwsim.compiler.recorder import Recorder
from hwsim.errors import CompileError

#: Images that run at once, and images on which the graph is compared with the module.
CHUNK, COMPARED = 256, 8
#: Where torch keeps layers that learn to be quantized.
_AWARE = ("torch.ao.nn.qat", "torch.ao.nn.intrinsic.qat")


def trace(module: nn.Module | ExportedProgram, calibration: Tensor) -> Graph:
    """The operations of ``module``, with shapes and values seen on ``calibration``.

    calibration: float32 (N, …). A module is copied, run in float32 on the CPU in inference mode,
    and left as it was; of an exported program the graph is taken as it is. Raises CompileError
    naming the module path for anything that is not a graph of supported operations from one tensor
    to one, or that computes something else than that graph.
    """
    network: Callable[[Tensor], Any]
    within: Callable[[str], str]
    if is_exported(module):
        graph_module, name = exported_graph(module), "the exported program"
        batch = batch_of(graph_module)
        network, within = graph_module, str
    else:
        network = runnable(module)
        name = type(network).__name__
        graph_module, batch, within = _symbolic(network, name), 0, _within
    # Also where the caller computes in another precision.
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        images, compared = calibration, calibration[: batch or COMPARED]
        if batch:
            images, compared = _filled(images, batch), _filled(compared, batch)
        recorder = Recorder(graph_module, name, len(calibration), within)
        for number, part in enumerate(images.split(batch or CHUNK)):
            recorder.batch = min(len(part), len(calibration) - number * (batch or CHUNK))
            recorder.run(part.clone())  # forward() may write into its input
        graph = linked(graph_module, recorder)
        _compare(name, network, graph, compared)
    return graph


def _filled(images: Tensor, batch: int) -> Tensor:
    """The images, and as many of them again as whole batches need."""
    count = -(-len(images) // batch) * batch
    return images.repeat(-(-count // len(images)), *[1] * (images.ndim - 1))[:count]


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
        except RecursionError:
            raise CompileError(
                f"{_within(self.path_of_module(m)) or self.name}: calls itself without end: the "
                "engine runs graphs without cycles"
            ) from None
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
            f"{name}: forward() must take exactly one tensor, this one takes {len(required)}: "
            "concatenate them, and let forward() take slices of channels"
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


def _compare(name: str, network: Callable[[Tensor], Any], graph: Graph, images: Tensor) -> None:
    """Refuse a module that does more than its operations say: hooks, a changed forward()."""
    try:
        expected = network(images.clone())
    except Exception as error:
        raise CompileError(
            f"{name}: does not run on {len(images)} images ({line(error)}): write forward() for "
            "any number of images"
        ) from None
    if isinstance(expected, tuple | list):
        (expected,) = expected
    found = graph.run(images)
    scale = float(expected.abs().max()) + 1e-6
    if found.shape != expected.shape or float((found - expected).abs().max()) > 1e-3 * scale:
        raise CompileError(
            f"{name}: its layers alone do not compute what it returns: remove hooks and overridden "
            "forward() methods of layers"
        )
