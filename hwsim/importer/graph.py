"""A network as its file says it, whatever the format: nodes on named values, integers untouched.

Every format becomes float operators with ``Quantize`` nodes between them. An integer operator of
TFLite or ONNX is its float operator with a ``Quantize`` behind it, so that one way leads on from
here for all dialects. Shapes have no batch axis and the channels first: (C, H, W), (C, L), (F,).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.importer.codes import Codes, Rounding
from hwsim.program.layers import Window

F64 = NDArray[np.float64]
Shape = tuple[int, ...]
#: Dialects by what they are called in print.
DIALECTS = {
    "tflite-int8": "TFLite int8",
    "tflite-float": "TFLite float",
    "onnx-float": "ONNX float",
    "onnx-qdq": "ONNX QDQ",
    "onnx-qcdq": "ONNX QCDQ",
    "onnx-qoperator": "ONNX QOperator",
    "qonnx": "QONNX",
}


@dataclass(frozen=True, eq=False)
class Weights:
    """Constants of a layer, output channels first: (O, I, kh, kw), or (O, F).

    values: int32, what the file has less its zero point, each worth its scale; float32 where
    ``scales`` is None. scales: one, or one an output channel. low, high: what the file's type
    could hold, less the zero point.
    """

    values: NDArray[Any]
    scales: tuple[Fraction, ...] | None = None

    @property
    def real(self) -> NDArray[np.float32]:
        """What they are worth."""
        if self.scales is None:
            return self.values.astype(np.float32)
        steps = np.array([float(one) for one in self.scales])
        shape = (-1,) + (1,) * (self.values.ndim - 1)
        return (self.values * steps.reshape(shape)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Bias:
    """(O,) of a layer: real numbers, or integers on the accumulator's own scale."""

    values: NDArray[Any]
    integer: bool = False


@dataclass(frozen=True, eq=False)
class FileNode:
    """One operator: ``operator`` is its name in the file, inputs and output name values."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    output: str
    shape: Shape


@dataclass(frozen=True, eq=False)
class ConvNode(FileNode):
    """A convolution; padding is real 0."""

    weights: Weights
    bias: Bias | None
    window: Window
    groups: int = 1


@dataclass(frozen=True, eq=False)
class LinearNode(FileNode):
    """A fully connected layer."""

    weights: Weights
    bias: Bias | None


@dataclass(frozen=True, eq=False)
class AffineNode(FileNode):
    """x · scale + offset, float64, by channel (C,) or the same for all (1,)."""

    scale: F64
    offset: F64


@dataclass(frozen=True, eq=False)
class ClampNode(FileNode):
    """min(max(x, low), high); both may be infinite."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class PointwiseNode(FileNode):
    """A function of single values by its name in ``functions``, with its parameters."""

    function: str
    parameters: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class AddNode(FileNode):
    """x₁ · gains₁ + x₂ · gains₂."""

    gains: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, eq=False)
class AverageNode(FileNode):
    """The mean of windows inside the map."""

    window: Window


@dataclass(frozen=True, eq=False)
class PoolNode(FileNode):
    """The maximum of windows; padding never wins."""

    window: Window


@dataclass(frozen=True, eq=False)
class ConcatNode(FileNode):
    """Maps behind each other, along the channels."""


@dataclass(frozen=True, eq=False)
class SliceNode(FileNode):
    """Channels from ``first`` on, as many as the shape says."""

    first: int


@dataclass(frozen=True, eq=False)
class ReshapeNode(FileNode):
    """The same values in another shape, or a node that changes nothing in inference."""


@dataclass(frozen=True, eq=False)
class PadNode(FileNode):
    """Real zeros around a map: (top, left, bottom, right)."""

    sides: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class SoftmaxNode(FileNode):
    """Softmax, log_softmax, or another rising function at the end: no answer depends on it."""


@dataclass(frozen=True, eq=False)
class QuantizeNode(FileNode):
    """Real numbers to codes, and back at once.

    codes: of the file. rounding: of ties, and where the zero point is added. tensor: the file's
    name of what holds the codes, or the real numbers that they stand for. bipolar: two codes, −1
    below real 0 and +1 from it on.
    """

    codes: Codes
    rounding: Rounding
    tensor: str
    bipolar: bool = False


@dataclass(frozen=True, eq=False)
class FileInput:
    """What the network takes.

    shape: without the batch axis, channels first. codes: of the file, None where it takes real
    numbers and nothing says which. channels_last: whether the file has them there. tensor: its
    name in the file.
    """

    tensor: str
    shape: Shape
    codes: Codes | None
    channels_last: bool = False


@dataclass(frozen=True, eq=False)
class FileGraph:
    """Nodes, each behind its inputs; ``output`` names the value that the network returns.

    dialect: a key of ``DIALECTS``. opset: of ONNX and the domains of its operators, "" of TFLite.
    notes: what a user should know about how the file was read.
    """

    dialect: str
    opset: str
    input: FileInput
    nodes: tuple[FileNode, ...]
    output: str
    notes: tuple[str, ...] = ()

    @property
    def quantized(self) -> bool:
        """Whether values between the layers are integers."""
        return any(isinstance(node, QuantizeNode) for node in self.nodes)

    @property
    def dialect_name(self) -> str:
        """The dialect as it is printed."""
        return DIALECTS[self.dialect]
