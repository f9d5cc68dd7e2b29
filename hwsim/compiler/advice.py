"""What to do instead of what the engine cannot run."""

from __future__ import annotations

from hwsim.compiler.preparing import COMPILE_FLOAT
from hwsim.errors import CompileError

_SUPPORTED = (
    "supported are Linear, Conv2d, Conv1d, hashed layers, functions of single values, max and "
    "average pools, BatchNorm, sums and concatenations of maps, slices of channels, Flatten"
)
_ADVICE = {
    "only at the end it can be dropped, over the features of a vector: remove it": (
        "softmax", "logsoftmax", "softmax2d", "softmin",
    ),
    "its weights would depend on the image: use convolutions": (
        "multiheadattention", "scaleddotproductattention", "matmul", "bmm", "mm", "einsum",
        "transformerencoderlayer", "transformerencoder", "baddbmm",
    ),
    "the engine has no state between steps: use Conv1d": (
        "lstm", "gru", "rnn", "lstmcell", "grucell", "rnncell", "rnntanh", "rnnrelu",
    ),
    "the engine runs one straight graph: write the steps out": ("whileloop", "cond", "mapimpl"),
    "use a function of single values, or one slope": ("prelu", "glu"),
    "use BatchNorm2d, which folds into the requantization": (
        "layernorm", "groupnorm", "instancenorm2d", "instancenorm1d", "localresponsenorm",
        "rmsnorm", "instancenorm",
    ),
    "use max or average pooling whose windows divide the map, or a strided convolution": (
        "adaptivemaxpool2d", "mean", "sum", "amax", "amin", "lppool2d", "fractionalmaxpool2d",
        "boolean_dispatch", "lppool", "max", "min", "std", "var",
    ),
    "the engine makes no map larger: enlarge images before the network, or answer from the "
    "smaller map": (
        "upsample", "interpolate", "upsamplingnearest2d", "upsamplingbilinear2d",
        "upsamplenearest1d", "upsamplenearest2d", "upsamplelinear1d", "upsamplebilinear2d",
        "upsamplebicubic2d", "upsamplenearestexact2d", "upsamplenearestexact1d",
        "convtranspose1d", "convtranspose2d", "convtranspose3d", "pixelshuffle", "maxunpool2d",
        "maxunpool1d",
    ),
    "use a convolution, which walks over windows by itself": (
        "unfold", "fold", "im2col", "col2im", "pixelunshuffle",
    ),
    "nothing is decided by comparing: use functions of single values, such as ReLU": (
        "gt", "lt", "ge", "le", "eq", "ne", "where", "maskedfill",
    ),
    "the engine pads convolutions and max-pools only, and with zeros: give the layer padding=… "
    "and padding_mode='zeros'": (
        "pad", "constantpad2d", "reflectionpad2d", "replicationpad2d", "circularpad2d",
    ),
    "constants are added or multiplied; maps are added, subtracted or concatenated": (
        "add", "sub", "div", "truediv", "maximum", "minimum", "iadd", "imul", "multiply",
    ),
    "keep the order of axes, and take neighbouring channels": (
        "getitem", "permute", "transpose", "select", "indexselect", "gather", "flip", "roll",
        "unsqueeze", "stack", "channelshuffle", "slice", "chunk", "split", "unbind",
        "index",
    ),
    "it rounds activations to a grid of its own, the engine to another: switch it off with "
    "module.apply(torch.ao.quantization.disable_fake_quant)": (
        "fakequantize", "fusedmovingavgobsfakequantize", "fixedqparamsfakequantize",
        "fakequantizepertensoraffine", "fakequantizeperchannelaffine",
    ),
    "remove the conversion: the engine has number formats of its own": (
        "half", "bfloat16", "to", "type", "typeas", "int", "long", "byte", "bool", "tocopy",
    ),
    COMPILE_FLOAT: ("quantizepertensor", "quantizeperchannel", "dequantize"),
}  # fmt: skip


def refusal(path: str, name: str) -> CompileError:
    """The error for an operation called ``name`` that the engine cannot run."""
    key = name.removeprefix("Tensor.").replace("_", "").lower()
    advice = next((text for text, names in _ADVICE.items() if key in names), _SUPPORTED)
    return CompileError(f"{path}: {name} cannot run on the engine: {advice}")
