"""One node of a traced graph -> the operation it spells: ``nn.ReLU``, ``F.relu`` or ``x.relu()``.

What spells nothing that the engine knows is refused with its path and advice.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.ao.quantization import FakeQuantizeBase

from hwsim.compiler import read_ops as build
from hwsim.compiler.identities import changes_nothing, is_neutral
from hwsim.compiler.operations import Op
from hwsim.compiler.preparing import COMPILE_FLOAT
from hwsim.compiler.read_ops import Context, is_hashed, is_normalize
from hwsim.errors import CompileError

_BUILDERS: dict[str, Callable[[Context], Any]] = {
    "relu": build.relu,
    "rectifier": build.rectifier,
    "flatten": build.flatten,
    "reduction": build.reduction,
    "dropout": build.dropout,
    "pool": build.pool,
    "average": build.average,
    "adaptive max": build.adaptive_max,
    "copies": build.copies,
    "pad": build.pad,
    "linear": build.linear,
    "conv": build.conv,
    "norm": build.batch_norm,
    "normalize": build.normalize,
    **{name: partial(build.arithmetic, name=name) for name in ("add", "sub", "mul", "div")},
}
_MODULES: dict[str, tuple[type[nn.Module], ...]] = {
    "relu": (nn.ReLU,),
    "rectifier": (nn.LeakyReLU, nn.Threshold),
    "flatten": (nn.Flatten,),
    "pool": (nn.MaxPool2d,),
    "average": (nn.AvgPool2d,),
    "adaptive max": (nn.AdaptiveMaxPool2d,),
    "copies": (nn.AdaptiveAvgPool2d, nn.Upsample, nn.UpsamplingNearest2d),
    "pad": (nn.ZeroPad2d, nn.ConstantPad2d),
    "linear": (nn.Linear,),
    "conv": (nn.Conv2d,),
    "norm": (nn.BatchNorm1d, nn.BatchNorm2d),
}
# F.max_pool2d is one of many functions called boolean_dispatch: only identity tells them apart.
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "relu": (F.relu, torch.relu, torch.relu_),
    "rectifier": (torch.clamp, torch.clip, torch.clamp_min, F.leaky_relu, F.threshold),
    "flatten": (torch.flatten, torch.reshape, torch.squeeze),
    "reduction": (torch.mean, torch.amax, torch.amin, torch.sum),
    "dropout": (
        F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout,
        F.feature_alpha_dropout, torch.dropout,
    ),
    "pool": (F.max_pool2d, torch.max_pool2d),
    "average": (F.avg_pool2d,),
    "adaptive max": (F.adaptive_max_pool2d,),
    "copies": (F.adaptive_avg_pool2d, F.interpolate),
    "pad": (F.pad,),
    "linear": (F.linear,),
    "conv": (F.conv2d, torch.conv2d),
    "add": (operator.add, operator.iadd, torch.add),
    "sub": (operator.sub, operator.isub, torch.sub),
    "mul": (operator.mul, operator.imul, torch.mul),
    "div": (operator.truediv, operator.itruediv, torch.div),
}  # fmt: skip
_METHODS: dict[str, tuple[str, ...]] = {
    "relu": ("relu", "relu_"),
    "rectifier": ("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_"),
    "flatten": ("view", "reshape", "flatten", "squeeze"),
    "reduction": ("mean", "amax", "amin", "sum"),
    "copies": ("expand", "repeat"),
    **{name: (name, f"{name}_") for name in ("add", "sub", "mul", "div")},
}

_SUPPORTED = (
    "supported are Linear, Conv2d, hashed layers, ReLU, MaxPool2d, BatchNorm, Flatten, Dropout"
)
_ADVICE = {
    "remove it: the engine returns logits, and losses apply the softmax": (
        "softmax", "logsoftmax", "softmax2d", "softmin",
    ),
    "use ReLU": (
        "sigmoid", "tanh", "gelu", "leakyrelu", "relu6", "elu", "silu", "hardswish", "hardtanh",
        "prelu", "softplus", "mish", "clamp", "clampmin", "clip", "threshold",
    ),
    "use BatchNorm2d, which folds into the requantization": (
        "layernorm", "groupnorm", "instancenorm2d",
    ),
    "use MaxPool2d, or a strided convolution": (
        "avgpool2d", "adaptiveavgpool2d", "adaptivemaxpool2d", "mean", "sum", "amax", "amin",
    ),
    "the engine pads convolutions only, and with zeros": (
        "pad", "constantpad2d", "reflectionpad2d", "replicationpad2d", "circularpad2d",
    ),
    "it rounds activations to a grid of its own, the engine to another: switch it off with "
    "module.apply(torch.ao.quantization.disable_fake_quant)": (
        "fakequantize", "fusedmovingavgobsfakequantize", "fixedqparamsfakequantize",
        "fakequantizepertensoraffine", "fakequantizeperchannelaffine",
    ),
    "remove the conversion: the engine has number formats of its own": (
        "half", "bfloat16", "to", "type", "typeas", "int", "long", "byte", "bool",
    ),
    COMPILE_FLOAT: ("quantizepertensor", "quantizeperchannel", "dequantize"),
}  # fmt: skip


def classify(at: Context) -> Op | None:
    """The operation of a node; None for one that changes nothing. Raises CompileError."""
    _check_quantizer(at)
    if changes_nothing(at):
        return None
    kind, name = _spelled(at)
    operation = _BUILDERS[kind](at) if kind else NotImplemented
    if operation is NotImplemented:
        if isinstance(at.node.target, torch._ops.OpOverload):
            raise CompileError(
                f"{at.path}: is an operation of an exported graph ({name}): compile the nn.Module "
                "that was exported"
            )
        raise _refusal(at.path, name)
    found: Op = operation
    # A batch norm stays even then: its numbers may be trained.
    return None if at.module is None and is_neutral(found) else found


def _refusal(path: str, name: str) -> CompileError:
    key = name.removeprefix("Tensor.").replace("_", "").lower()
    advice = next((text for text, names in _ADVICE.items() if key in names), _SUPPORTED)
    return CompileError(f"{path}: {name} cannot run on the engine: {advice}")


def _check_quantizer(at: Context) -> None:
    """Refuse a layer with a fake quantizer in a hook, where the trace does not see it."""
    quantizer = getattr(at.module, "activation_post_process", None)
    if isinstance(quantizer, FakeQuantizeBase) and bool(quantizer.fake_quant_enabled[0]):
        raise _refusal(f"{at.path}.activation_post_process", type(quantizer).__name__)


def _spelled(at: Context) -> tuple[str, str]:
    """(kind, name for the user); the kind is empty if the engine knows nothing like it."""
    target: Any = at.node.target
    if at.module is not None:
        name = type(at.module).__name__
        if is_normalize(at.module):
            return "normalize", name
        if is_hashed(at.module):
            return ("conv" if hasattr(at.module, "kernel_size") else "linear"), name
        found = (kind for kind, types in _MODULES.items() if isinstance(at.module, types))
    elif at.node.op == "call_method":
        name = f"Tensor.{target}"
        found = (kind for kind, names in _METHODS.items() if target in names)
    else:
        name = getattr(target, "__name__", str(target))
        found = (kind for kind, functions in _FUNCTIONS.items() if target in functions)
    return next(found, ""), name
