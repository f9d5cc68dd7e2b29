"""The attribute ``axis`` of ONNX: counted from either end, refused where there is no such axis."""

from __future__ import annotations

from hwsim.importer.limits import within
from hwsim.importer.onnx_file import OnnxNode


def axis_of(node: OnnxNode, axes: int, default: int) -> int:
    """The axis of a node whose input has ``axes`` axes, from 0 on.

    Raises CompileError for one that the input does not have.
    """
    return within(node.name, node.operator, node.attributes.get("axis", default), axes)


def split_axis(node: OnnxNode, axes: int) -> int:
    """The axis of a Flatten: how many axes stand before the cut, 0 … ``axes``."""
    behind_all = node.attributes.get("axis", 1) == axes
    return axes if behind_all else axis_of(node, axes, 1)
