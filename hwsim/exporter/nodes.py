"""The nodes and constants of a graph that is being built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper


class Nodes:
    """Nodes in order, and constants, each under a name of its own."""

    INT64 = TensorProto.INT64

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}

    def add(self, op: str, inputs: Sequence[str], name: str, domain: str = "", **more: Any) -> str:
        """Append a node; the name of its only output, which is its own."""
        self.nodes.append(
            helper.make_node(op, list(inputs), [name], name=name, domain=domain, **more)
        )
        return name

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """An initializer; the same name again must be the same values."""
        tensor = numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)
        assert self.constants.setdefault(name, tensor) == tensor, name
        return name
