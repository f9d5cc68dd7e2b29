"""Programs of torch.export: their graph of ATen operators, with weights in it."""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import fx
from torch.export import ExportedProgram

from hwsim.compiler.preparing import line
from hwsim.errors import CompileError


def is_exported(module: Any) -> TypeGuard[ExportedProgram | fx.GraphModule]:
    """Whether it is an exported program, or the graph of one, ``ExportedProgram.module()``."""
    return isinstance(module, ExportedProgram) or (
        isinstance(module, fx.GraphModule)
        and any(
            isinstance(node.target, torch._ops.OpOverload | torch._ops.HigherOrderOperator)
            for node in module.graph.nodes
        )
    )


def exported_graph(program: ExportedProgram | fx.GraphModule) -> fx.GraphModule:
    """The graph of an exported program, from one tensor to one.

    Raises CompileError for several inputs, and for what was exported while training.
    """
    if isinstance(program, ExportedProgram):
        try:
            module = program.module(check_guards=False)
        except Exception as error:
            raise CompileError(f"the exported program has no module ({line(error)})") from None
        assert isinstance(module, fx.GraphModule)
    else:
        module = fx.GraphModule(program, _copied(program.graph))
    graph = module.graph
    for node in list(graph.nodes):
        # Guards compare shapes with those of the export; the compiler does that itself.
        if node.op == "call_module" and not node.users:
            graph.erase_node(node)
        elif isinstance(node.target, torch._ops.HigherOrderOperator):
            raise CompileError(
                f"{node.name}: control flow ({node.target}) cannot run on the engine: export a "
                "forward() without it"
            )
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise CompileError(
            f"the exported program takes {len(inputs)} inputs: the engine takes exactly one "
            "tensor: concatenate them, and let forward() take slices of channels"
        )
    module.recompile()
    # The calling convention of the export would check shapes again.
    plain = fx.GraphModule(module, _copied(graph))
    return plain.cpu().float()


def _copied(graph: fx.Graph) -> fx.Graph:
    found = fx.Graph()
    output = found.graph_copy(graph, {})
    found.output(output)
    return found


def batch_of(module: fx.GraphModule) -> int:
    """Images that the graph takes at once; 0 for any number of them."""
    (node,) = (n for n in module.graph.nodes if n.op == "placeholder")
    value = node.meta.get("val")
    if value is None or value.ndim == 0:
        return 0
    count = value.shape[0]
    return count if isinstance(count, int) else 0
