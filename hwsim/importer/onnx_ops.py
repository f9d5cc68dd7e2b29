"""ONNX's operators on values, each as the nodes that it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.importer.graph import (
    Add,
    Affine,
    Average,
    Bias,
    Clamp,
    Concat,
    Conv,
    Linear,
    Pad,
    Pointwise,
    Pool,
    Shape,
    Slice,
    Softmax,
)
from hwsim.importer.limits import refuse
from hwsim.importer.onnx_file import OnnxNode
from hwsim.importer.onnx_fold import clip_bounds, reshaped, slices
from hwsim.importer.onnx_read import Reader
from hwsim.importer.tflite_read import same_sides
from hwsim.program.layers import Window

Array = NDArray[Any]
#: Operator -> name of the function and its parameters with their defaults.
POINTWISE: dict[str, tuple[str, dict[str, float]]] = {
    "Sigmoid": ("sigmoid", {}), "Tanh": ("tanh", {}), "LeakyRelu": ("leaky_relu", {"alpha": 0.01}),
    "Elu": ("elu", {"alpha": 1.0}), "HardSwish": ("hard_swish", {}), "Mish": ("mish", {}),
    "Selu": ("selu", {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}),
    "HardSigmoid": ("hard_sigmoid", {"alpha": 0.2, "beta": 0.5}), "Softplus": ("softplus", {}),
    "Softsign": ("softsign", {}), "Exp": ("exp", {}), "Abs": ("abs", {}),
}  # fmt: skip


# --- layers ---------------------------------------------------------------------------------------


def conv(reader: Reader, node: OnnxNode) -> None:
    """Conv of one or two dimensions."""
    source = reader.source(node)
    weights = reader.weights(node, node.get(1))
    bias = bias_of(reader, node, 2, len(weights.values))
    reader.add(convolution(reader, node, source, weights, bias))


def convolution(
    reader: Reader, node: OnnxNode, source: str, weights: Any, bias: Bias | None
) -> Conv:
    """The node of a convolution with these weights."""
    shape = reader.shapes[source]
    axes = len(shape) - 1
    values = weights.values
    if axes not in (1, 2) or values.ndim != axes + 2:
        raise refuse(node.name, node.operator, f"works on the shape {shape}",
                     "the engine has it for maps and series")  # fmt: skip
    groups = node.attributes.get("group", 1)
    if values.shape[1] * groups != shape[0] or len(values) % max(groups, 1):
        raise refuse(node.name, node.operator, f"has weights for {values.shape[1] * groups} "
                     f"channels and gets {shape[0]}", "export the network again")  # fmt: skip
    if axes == 1:
        weights = type(weights)(values[:, :, None], weights.scales)
    window = window_of(node, weights.values.shape[2:], shape)
    out = (len(values), *window.out_sides(*_map(shape)[1:]))
    return Conv(node.name, node.operator, (source,), node.outputs[0],
                out if axes == 2 else (out[0], out[2]), weights, bias, window, groups)  # fmt: skip


def matmul(reader: Reader, node: OnnxNode) -> None:
    """A vector times a constant matrix."""
    reader.add(linear(reader, node, reader.source(node), reader.weights(node, node.get(1), True),
                      None))  # fmt: skip


def gemm(reader: Reader, node: OnnxNode) -> None:
    """alpha · x · W + beta · c."""
    about = node.attributes
    if about.get("transA", 0) or about.get("alpha", 1.0) != 1.0:
        raise refuse(node.name, node.operator, "has alpha or transA", "export it without them")
    weights = reader.weights(node, node.get(1), not about.get("transB", 0))
    bias = bias_of(reader, node, 2, len(weights.values), about.get("beta", 1.0))
    reader.add(linear(reader, node, reader.source(node), weights, bias))


def linear(reader: Reader, node: OnnxNode, source: str, weights: Any, bias: Bias | None) -> Linear:
    """The node of a fully connected layer with these weights."""
    shape = reader.shapes[source]
    if len(shape) != 1 or weights.values.ndim != 2 or weights.values.shape[1] != shape[0]:
        raise refuse(node.name, node.operator, f"multiplies {shape} by a matrix for "
                     f"{weights.values.shape[1:]}",
                     "the engine has it for one vector an image: flatten first")  # fmt: skip
    return Linear(node.name, node.operator, (source,), node.outputs[0], (len(weights.values),),
                  weights, bias)  # fmt: skip


def bias_of(
    reader: Reader, node: OnnxNode, number: int, count: int, times: float = 1.0
) -> Bias | None:
    """A constant of a layer in real numbers, (O,) or one for all."""
    if not node.get(number):
        return None
    values = reader.need(node, number).astype(np.float64).reshape(-1)
    if values.size not in (1, count):
        raise refuse(node.name, node.operator, f"adds {values.size} constants to {count} channels",
                     "the engine adds one a channel")  # fmt: skip
    return Bias(np.broadcast_to(values * times, (count,)).copy())


def norm(reader: Reader, node: OnnxNode) -> None:
    """BatchNormalization with its statistics."""
    source = reader.source(node)
    gamma, beta, mean, variance = (reader.need(node, n).astype(np.float64) for n in range(1, 5))
    if node.attributes.get("training_mode", 0):
        raise refuse(node.name, node.operator, "is in training", "export the network in eval()")
    root = np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    if not (root > 0).all():
        raise refuse(node.name, node.operator, "divides by 0", "give it an epsilon")
    scale = gamma / root
    reader.add(Affine(node.name, node.operator, (source,), node.outputs[0], reader.shapes[source],
                      scale, beta - mean * scale))  # fmt: skip


# --- arithmetic -----------------------------------------------------------------------------------


def arithmetic(reader: Reader, node: OnnxNode) -> None:
    """Add, Sub, Mul and Div: of two maps, or of a map and constants by channel."""
    given = reader.given(node)
    maps = [number for number in (0, 1) if given[number] is None]
    if len(maps) == 2:
        two_maps(reader, node)
        return
    at = maps[0]
    source = reader.source(node, at)
    shape = reader.shapes[source]
    found = given[1 - at]
    assert found is not None
    values = by_channel(node, found.astype(np.float64), shape)
    one, none = np.ones(1), np.zeros(1)
    kind = node.operator
    if kind == "Add":
        scale, offset = one, values
    elif kind == "Sub":
        scale, offset = (one, -values) if at == 0 else (-one, values)
    elif kind == "Mul":
        scale, offset = values, none
    else:
        if at == 1 or np.any(values == 0):
            raise refuse(node.name, node.operator, "divides by a map or by 0",
                         "the engine divides by constants")  # fmt: skip
        scale, offset = 1 / values, none
    reader.add(Affine(node.name, kind, (source,), node.outputs[0], shape, scale, offset))


def two_maps(reader: Reader, node: OnnxNode) -> None:
    """A sum or difference; a product where both come from one map."""
    names = reader.source(node, 0), reader.source(node, 1)
    shape = reader.shapes[names[0]]
    if node.operator in ("Add", "Sub"):
        if reader.shapes[names[1]] != shape:
            raise refuse(node.name, node.operator, f"adds shapes {shape} and "
                         f"{reader.shapes[names[1]]}", "the engine adds maps of one shape")  # fmt: skip
        gains = (1.0, 1.0 if node.operator == "Add" else -1.0)
        reader.add(Add(node.name, node.operator, names, node.outputs[0], shape, gains))
        return
    for number, name in enumerate(names):
        made = next((one for one in reader.nodes if one.output == name), None)
        if isinstance(made, Pointwise) and made.inputs[0] == names[1 - number]:
            known = {"sigmoid": "silu", "hard_sigmoid": "hard_swish"}.get(made.function)
            sixth = abs(made.parameters.get("alpha", 1 / 6) - 1 / 6) < 1e-6
            if known and sixth and node.operator == "Mul":
                reader.nodes = [one for one in reader.nodes if one is not made]
                reader.add(Pointwise(node.name, node.operator, (names[1 - number],),
                                     node.outputs[0], shape, known))  # fmt: skip
                return
    raise refuse(node.name, node.operator, "multiplies two maps", "the engine adds them and "
                 "multiplies by constants")  # fmt: skip


def by_channel(node: OnnxNode, values: Array, shape: Shape) -> Array:
    """Constants that broadcast to (N, *shape), as one or one a channel."""
    if values.size == 1:
        return values.reshape(1)
    full = (1,) * (len(shape) + 1 - values.ndim) + values.shape
    if len(full) == len(shape) + 1 and full[0] == 1 and full[1] == shape[0] == values.size:
        return values.reshape(-1)
    if np.all(values == values.reshape(-1)[0]):
        return values.reshape(-1)[:1]
    raise refuse(node.name, node.operator, f"has constants of shape {values.shape} for a map {shape}",
                 "the engine has them by channel")  # fmt: skip


def relu(reader: Reader, node: OnnxNode) -> None:
    """Relu."""
    _clamped(reader, node, 0.0, np.inf)


def clip(reader: Reader, node: OnnxNode) -> None:
    """Clip of real numbers, or of integers behind a quantizer."""
    low, high = clip_bounds(node, reader.given(node))
    if low > high:
        raise refuse(node.name, node.operator, f"clips to {low:g} … {high:g}", "give it a range")
    if node.get(0) in reader.codes:
        reader.narrowed(node, low, high)
        return
    _clamped(reader, node, low, high)


def _clamped(reader: Reader, node: OnnxNode, low: float, high: float) -> None:
    source = reader.source(node)
    reader.add(Clamp(node.name, node.operator, (source,), node.outputs[0], reader.shapes[source],
                     low, high))  # fmt: skip


def pointwise(reader: Reader, node: OnnxNode) -> None:
    """A function of single values."""
    function, defaults = POINTWISE[node.operator]
    parameters = {name: float(node.attributes.get(name, value)) for name, value in defaults.items()}
    source = reader.source(node)
    reader.add(Pointwise(node.name, node.operator, (source,), node.outputs[0],
                         reader.shapes[source], function, parameters))  # fmt: skip


def gelu(reader: Reader, node: OnnxNode) -> None:
    """Gelu, exact or with tanh."""
    source = reader.source(node)
    tanh = float(node.attributes.get("approximate", "none") == "tanh")
    reader.add(Pointwise(node.name, node.operator, (source,), node.outputs[0],
                         reader.shapes[source], "gelu", {"approximate": tanh}))  # fmt: skip


def prelu(reader: Reader, node: OnnxNode) -> None:
    """PRelu with one slope."""
    slope = reader.need(node, 1).reshape(-1)
    if np.any(slope != slope[0]):
        raise refuse(node.name, node.operator, "has a slope a channel",
                     "the engine has one function a map: use one slope")  # fmt: skip
    source = reader.source(node)
    reader.add(Pointwise(node.name, node.operator, (source,), node.outputs[0],
                         reader.shapes[source], "leaky_relu", {"alpha": float(slope[0])}))  # fmt: skip


# --- windows --------------------------------------------------------------------------------------


def max_pool(reader: Reader, node: OnnxNode) -> None:
    """MaxPool; integers stay what they are."""
    source = reader.value(node)
    shape = reader.shapes[source]
    window = window_of(node, node.attributes.get("kernel_shape", []), shape)
    out = _behind(shape, window)
    reader.moves(Pool(node.name, node.operator, (source,), node.outputs[0], out, window))


def average_pool(reader: Reader, node: OnnxNode) -> None:
    """AveragePool inside the map."""
    source = reader.source(node)
    reader.add(average(reader, node, source, node.attributes.get("kernel_shape", [])))


def average(reader: Reader, node: OnnxNode, source: str, kernel: Any) -> Average:
    """The node of an average over windows."""
    shape = reader.shapes[source]
    window = window_of(node, kernel, shape)
    if any(window.padding):
        raise refuse(node.name, node.operator, "averages windows that reach beyond the map",
                     "the engine averages inside of it: pad a convolution instead")  # fmt: skip
    return Average(node.name, node.operator, (source,), node.outputs[0], _behind(shape, window),
                   window)  # fmt: skip


def global_pool(reader: Reader, node: OnnxNode) -> None:
    """GlobalAveragePool and GlobalMaxPool."""
    kind = Average if "Average" in node.operator else Pool
    source = reader.source(node) if kind is Average else reader.value(node)
    shape = reader.shapes[source]
    if len(shape) < 2:
        raise refuse(node.name, node.operator, f"works on the shape {shape}", "give it a map")
    made = kind(node.name, node.operator, (source,), node.outputs[0],
                (shape[0], *(1 for _ in shape[1:])), Window(_map(shape)[1:]))  # fmt: skip
    (reader.add if kind is Average else reader.moves)(made)


def reduce_mean(reader: Reader, node: OnnxNode) -> None:
    """ReduceMean over the whole map."""
    source = reader.source(node)
    shape = reader.shapes[source]
    axes = node.attributes.get("axes")
    if axes is None and node.get(1):
        axes = reader.need(node, 1).reshape(-1).tolist()
    wanted = list(range(2, len(shape) + 1))
    if not wanted or sorted(axis % (len(shape) + 1) for axis in axes or ()) != wanted:
        raise refuse(node.name, node.operator, f"averages the axes {axes}",
                     "the engine averages whole maps, axes 2 and 3")  # fmt: skip
    kept = node.attributes.get("keepdims", 1)
    out = (shape[0], *(1 for _ in shape[1:])) if kept else shape[:1]
    reader.add(Average(node.name, node.operator, (source,), node.outputs[0], out,
                       Window(_map(shape)[1:])))  # fmt: skip


def window_of(node: OnnxNode, kernel: Any, shape: Shape) -> Window:
    """The window that attributes say, for maps and series."""
    about, axes = node.attributes, len(shape) - 1
    kernel = list(kernel)
    strides = about.get("strides") or [1] * axes
    sides = about.get("pads") or [0] * (2 * axes)
    if axes not in (1, 2):
        raise refuse(node.name, node.operator, f"works on the shape {shape}",
                     "the engine has it for maps and series")  # fmt: skip
    if any(one != 1 for one in about.get("dilations") or []):
        raise refuse(node.name, node.operator, "has dilated windows",
                     "the engine has windows without holes: use dilation 1")  # fmt: skip
    if axes == 1:
        kernel, strides = [1, *kernel[-1:]], [1, *strides]
        sides = [0, sides[0], 0, sides[-1]]
    if len(kernel) != 2 or len(strides) != 2 or len(sides) != 4 or min(*kernel, *strides) < 1:
        raise refuse(node.name, node.operator, f"has a window of {kernel}, stride {strides} and "
                     f"padding {sides}", "export the network again")  # fmt: skip
    top, left, bottom, right = sides
    auto = about.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pairs = [same_sides(*one) for one in zip(_map(shape)[1:], kernel, strides, strict=True)]
        if auto == "SAME_LOWER":
            pairs = [(behind, before) for before, behind in pairs]
        (top, bottom), (left, right) = pairs
    elif auto == "VALID":
        top = left = bottom = right = 0
    if min(top, left, bottom, right) < 0:
        raise refuse(node.name, node.operator, "cuts the map by negative padding",
                     "the engine pads: crop the input")  # fmt: skip
    window = Window((kernel[0], kernel[1]), (strides[0], strides[1]), (top, left, bottom, right))
    if about.get("ceil_mode", 0):
        window = _ceiled(window, _map(shape))
    return window


def _ceiled(window: Window, shape: tuple[int, int, int]) -> Window:
    """Padding at bottom and right so that windows which begin inside are counted, too."""
    top, left, bottom, right = window.padding
    far = []
    for side, k, step, before, behind in zip(
        shape[1:], window.kernel, window.stride, (top, left), (bottom, right), strict=True
    ):
        count = -(-(side + before + behind - k) // step) + 1
        if (count - 1) * step >= side + before:
            count -= 1
        far.append(max(behind, (count - 1) * step + k - side - before))
    return Window(window.kernel, window.stride, (top, left, far[0], far[1]))


# --- what moves values ----------------------------------------------------------------------------


def reshape(reader: Reader, node: OnnxNode) -> None:
    """Reshape, Flatten, Squeeze and Unsqueeze that keep every image to itself."""
    shape = reader.shapes[reader.value(node)]
    full = (1, *shape)
    if node.operator == "Reshape":
        wanted = reader.need(node, 1).reshape(-1).tolist()
        if wanted and wanted[0] == -1:
            wanted[0] = 1
        try:
            new = reshaped(full, wanted, bool(node.attributes.get("allowzero", 0)))
        except (ValueError, IndexError):
            new = [0]
    elif node.operator == "Flatten":
        axis = node.attributes.get("axis", 1) % (len(full) + 1)
        new = [int(np.prod(full[:axis])), int(np.prod(full[axis:]))]
    else:
        axes = node.attributes.get("axes")
        if axes is None and node.get(1):
            axes = reader.need(node, 1).reshape(-1).tolist()
        values = np.broadcast_to(np.int8(0), full)
        try:
            if node.operator == "Unsqueeze":
                new = list(np.expand_dims(values, tuple(axes or ())).shape)
            else:
                chosen = [n for n in range(1, len(full)) if full[n] == 1] if axes is None else axes
                new = list(np.squeeze(values, tuple(chosen)).shape)
        except ValueError:
            new = [0]
    if new[0] != 1 or len(new) < 2:
        raise refuse(node.name, node.operator, f"makes {new} of {list(full)}",
                     "the engine keeps every image to itself")  # fmt: skip
    reader.same(node, tuple(new[1:]))


def transpose(reader: Reader, node: OnnxNode) -> None:
    """Transpose of constants, or of the input from (N, H, W, C)."""
    name = node.get(0)
    order = node.attributes.get("perm")
    if name in reader.quantized:
        values = reader.quantized[name].values
        order = order or list(range(values.ndim))[::-1]
        reader.quantized[node.outputs[0]] = reader.quantized[name].transposed(list(order))
        return
    shape = reader.shapes[reader.value(node)]
    if order == list(range(len(shape) + 1)):
        reader.same(node)
        return
    first = name == reader.model.inputs[0][0] and reader.readers[name] == 1
    if first and order == [0, 3, 1, 2]:
        reader.channels_last = True
        reader.shapes[name] = (shape[2], shape[0], shape[1])
        reader.same(node)
        return
    if len(shape) == 3 and shape[1:] == (1, 1) and order in ([0, 2, 3, 1], [0, 3, 1, 2]):
        reader.same(node)
        return
    raise refuse(node.name, node.operator, f"turns a map by {order}",
                 "the engine has channels first: export the network in NCHW")  # fmt: skip


def same(reader: Reader, node: OnnxNode) -> None:
    """What changes nothing in inference."""
    name = node.get(0)
    if name in reader.quantized:
        reader.quantized[node.outputs[0]] = reader.quantized[name]
        return
    reader.same(node)


def concat(reader: Reader, node: OnnxNode) -> None:
    """Concat of channels."""
    names = tuple(reader.value(node, number) for number in range(len(node.inputs)))
    shapes = [reader.shapes[name] for name in names]
    axis = node.attributes.get("axis", 1) % (len(shapes[0]) + 1)
    if axis != 1 or len({one[1:] for one in shapes}) != 1:
        raise refuse(node.name, node.operator, f"puts {shapes} together along axis {axis}",
                     "the engine has channels behind each other")  # fmt: skip
    shape = (sum(one[0] for one in shapes), *shapes[0][1:])
    reader.moves(Concat(node.name, node.operator, names, node.outputs[0], shape))


def channel_slice(reader: Reader, node: OnnxNode) -> None:
    """Slice of channels."""
    name = reader.value(node)
    shape = reader.shapes[name]
    pieces = slices(node, reader.given(node), len(shape) + 1)
    first, end, step = pieces.pop(1, slice(None)).indices(shape[0])
    whole = all(
        piece.indices((1, *shape)[axis]) == (0, (1, *shape)[axis], 1)
        for axis, piece in pieces.items()
    )
    if step != 1 or end <= first or not whole:
        raise refuse(node.name, node.operator, "cuts pixels or leaves channels out",
                     "the engine takes neighbouring channels")  # fmt: skip
    reader.moves(Slice(node.name, node.operator, (name,), node.outputs[0],
                       (end - first, *shape[1:]), first))  # fmt: skip


def split(reader: Reader, node: OnnxNode) -> None:
    """Split of channels."""
    name = reader.value(node)
    shape = reader.shapes[name]
    sizes = node.attributes.get("split")
    if sizes is None and node.get(1):
        sizes = reader.need(node, 1).reshape(-1).tolist()
    if sizes is None:
        each = -(-shape[0] // len(node.outputs))
        sizes = [min(each, shape[0] - each * n) for n in range(len(node.outputs))]
    axis = node.attributes.get("axis", 0) % (len(shape) + 1)
    if axis != 1 or len(sizes) != len(node.outputs) or sum(sizes) != shape[0] or min(sizes) < 1:
        raise refuse(node.name, node.operator, f"splits {shape} along axis {axis}",
                     "the engine splits channels, axis 1")  # fmt: skip
    first = 0
    for output, size in zip(node.outputs, sizes, strict=True):
        reader.moves(Slice(node.name, node.operator, (name,), output, (size, *shape[1:]), first))
        first += size


def pad(reader: Reader, node: OnnxNode) -> None:
    """Pad with zeros around a map."""
    source = reader.source(node)
    shape = reader.shapes[source]
    sides = node.attributes.get("pads")
    if sides is None:
        sides = reader.need(node, 1).reshape(-1).tolist()
    value = node.attributes.get("value", 0.0)
    if node.get(2):
        value = float(reader.need(node, 2).reshape(-1)[0])
    plain = node.attributes.get("mode", "constant") == "constant" and value == 0
    if not plain or len(shape) != 3 or len(sides) != 8 or any(sides[n] for n in (0, 1, 4, 5)):
        raise refuse(node.name, node.operator, f"pads by {sides} in its own way",
                     "the engine pads height and width with zeros")  # fmt: skip
    top, left, bottom, right = sides[2], sides[3], sides[6], sides[7]
    if min(top, left, bottom, right) < 0:
        raise refuse(node.name, node.operator, "cuts the map by negative padding",
                     "the engine pads: crop the input")  # fmt: skip
    out = (shape[0], shape[1] + top + bottom, shape[2] + left + right)
    reader.add(Pad(node.name, node.operator, (source,), node.outputs[0], out,
                   (top, left, bottom, right)))  # fmt: skip


def softmax(reader: Reader, node: OnnxNode) -> None:
    """Softmax and LogSoftmax, integers or not."""
    name = reader.value(node)
    reader.moves(Softmax(node.name, node.operator, (name,), node.outputs[0], reader.shapes[name]))


def _map(shape: Shape) -> tuple[int, int, int]:
    return (shape[0], 1, shape[1]) if len(shape) == 2 else (shape[0], shape[1], shape[2])


def _behind(shape: Shape, window: Window) -> Shape:
    sides = window.out_sides(*_map(shape)[1:])
    return (shape[0], *sides) if len(shape) == 3 else (shape[0], sides[1])


def _operators() -> dict[str, Callable[[Reader, OnnxNode], None]]:
    from hwsim.importer.onnx_integer import OPERATORS as INTEGER

    found: dict[str, Callable[[Reader, OnnxNode], None]] = {
        "Conv": conv, "MatMul": matmul, "Gemm": gemm, "BatchNormalization": norm, "Relu": relu,
        "Clip": clip, "Gelu": gelu, "PRelu": prelu, "MaxPool": max_pool,
        "AveragePool": average_pool, "GlobalAveragePool": global_pool,
        "GlobalMaxPool": global_pool, "ReduceMean": reduce_mean, "Transpose": transpose,
        "Concat": concat, "Slice": channel_slice, "Split": split, "Pad": pad,
        "Softmax": softmax, "LogSoftmax": softmax,
        **dict.fromkeys(("Add", "Sub", "Mul", "Div"), arithmetic),
        **dict.fromkeys(POINTWISE, pointwise),
        **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshape),
        **dict.fromkeys(("Identity", "Dropout", "Cast"), same),
    }  # fmt: skip
    return found | INTEGER


OPERATORS = _operators()
