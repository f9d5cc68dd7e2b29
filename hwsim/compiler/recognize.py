"""One node of a traced graph -> the operation it spells: ``nn.ReLU``, ``F.relu``, ``x.relu()`` or
``aten.relu``.

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

from hwsim.compiler import read_arithmetic, read_layers, read_ops
from hwsim.compiler.advice import refusal
from hwsim.compiler.context import Context, is_hashed, is_normalize
from hwsim.compiler.identities import changes_nothing, is_neutral
from hwsim.compiler.operations import Op

_ARITHMETIC = ("add", "sub", "mul", "div")
_BUILDERS: dict[str, Callable[[Context], Any]] = {
    "relu": read_ops.relu,
    "clamp": read_ops.clamp,
    "pointwise": read_ops.pointwise,
    "softmax": read_ops.softmax,
    "flatten": read_ops.flatten,
    "reduction": read_layers.reduction,
    "dropout": read_ops.dropout,
    "pool": read_layers.max_pool,
    "average": read_layers.average,
    "adaptive max": read_layers.adaptive_max,
    "adaptive average": read_layers.adaptive_average,
    "copies": read_layers.copies,
    "pad": read_ops.pad,
    "concat": read_ops.concat,
    "sliced": read_ops.sliced,
    "linear": read_layers.linear,
    "product": read_layers.product,
    "conv": read_layers.conv,
    "norm": read_arithmetic.batch_norm,
    "normalize": read_arithmetic.normalize,
    "negative": read_arithmetic.negative,
    **{name: partial(read_arithmetic.arithmetic, name=name) for name in (*_ARITHMETIC, "rsub")},
}
_MODULES: dict[str, tuple[type[nn.Module], ...]] = {
    "relu": (nn.ReLU,),
    "clamp": (nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.Threshold),
    "pointwise": (
        nn.Tanh, nn.Sigmoid, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
        nn.Hardsigmoid, nn.Softplus, nn.Softsign, nn.Tanhshrink, nn.Softshrink, nn.Hardshrink,
        nn.LogSigmoid, nn.PReLU, nn.RReLU,
    ),
    "softmax": (nn.Softmax, nn.LogSoftmax),
    "flatten": (nn.Flatten,),
    "pool": (nn.MaxPool2d, nn.MaxPool1d),
    "average": (nn.AvgPool2d, nn.AvgPool1d),
    "adaptive max": (nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool1d),
    "adaptive average": (nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool1d),
    "copies": (nn.Upsample, nn.UpsamplingNearest2d),
    "pad": (nn.ZeroPad2d, nn.ConstantPad2d, nn.ZeroPad1d, nn.ConstantPad1d),
    "linear": (nn.Linear,),
    "conv": (nn.Conv2d, nn.Conv1d),
    "norm": (nn.BatchNorm1d, nn.BatchNorm2d),
}  # fmt: skip
# F.max_pool2d is one of many functions called boolean_dispatch: only identity tells them apart.
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "relu": (F.relu, torch.relu, torch.relu_),
    "clamp": (
        torch.clamp, torch.clip, torch.clamp_min, torch.clamp_max, F.leaky_relu, F.threshold,
        F.relu6, F.hardtanh, F.hardtanh_, torch.clamp_, torch.clip_,
    ),
    "pointwise": (
        torch.tanh, torch.sigmoid, F.tanh, F.sigmoid, F.elu, F.celu, F.selu, F.gelu, F.silu, F.mish,
        F.hardswish, F.hardsigmoid, F.softplus, F.softsign, F.tanhshrink, F.softshrink,
        F.hardshrink, F.logsigmoid, F.prelu, torch.prelu, F.rrelu, torch.selu, torch.celu,
        torch.abs, torch.square, torch.exp, torch.pow, torch.sqrt, torch.sign, torch.erf,
        torch.log1p, torch.expm1, torch.atan, torch.sin, torch.cos, operator.abs, operator.pow,
    ),
    "softmax": (F.softmax, F.log_softmax, torch.softmax, torch.log_softmax),
    "flatten": (torch.flatten, torch.reshape, torch.squeeze),
    "reduction": (torch.mean, torch.amax, torch.amin, torch.sum),
    "dropout": (
        F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout,
        F.feature_alpha_dropout, torch.dropout,
    ),
    "pool": (F.max_pool2d, torch.max_pool2d, F.max_pool1d, torch.max_pool1d),
    "average": (F.avg_pool2d, F.avg_pool1d),
    "adaptive max": (F.adaptive_max_pool2d, F.adaptive_max_pool1d),
    "adaptive average": (
        F.adaptive_avg_pool2d, F.adaptive_avg_pool1d, torch.adaptive_avg_pool1d,
    ),
    "copies": (F.interpolate,),
    "pad": (F.pad,),
    "concat": (torch.cat, torch.concat, torch.concatenate),
    "sliced": (operator.getitem, torch.narrow),
    "linear": (F.linear,),
    "product": (torch.matmul, torch.mm, torch.addmm, operator.matmul),
    "conv": (F.conv2d, torch.conv2d, F.conv1d, torch.conv1d),
    "norm": (F.batch_norm, torch.batch_norm),
    "negative": (operator.neg, torch.neg),
    "add": (operator.add, operator.iadd, torch.add),
    "sub": (operator.sub, operator.isub, torch.sub),
    "mul": (operator.mul, operator.imul, torch.mul),
    "div": (operator.truediv, operator.itruediv, torch.div),
    "rsub": (torch.rsub,),
}  # fmt: skip
#: Methods of a tensor, and operators of ATen, where a twin that works in place is the same.
_NAMES: dict[str, tuple[str, ...]] = {
    "relu": ("relu",),
    "clamp": ("clamp", "clip", "clamp_min", "clamp_max", "hardtanh", "relu6", "leaky_relu",
              "threshold"),
    "pointwise": ("tanh", "sigmoid", "elu", "celu", "selu", "gelu", "silu", "mish", "hardswish",
                  "hardsigmoid", "softplus", "softsign", "softshrink", "hardshrink", "log_sigmoid",
                  "prelu", "_prelu_kernel", "prelu_kernel", "abs", "square", "exp", "pow", "sin",
                  "sqrt", "sign", "erf", "log1p", "expm1", "atan",
                  "cos"),
    "softmax": ("softmax", "log_softmax"),
    "flatten": ("view", "reshape", "flatten", "squeeze", "unsafe_view"),
    "reduction": ("mean", "amax", "amin", "sum"),
    "copies": ("expand", "repeat"),
    "concat": ("cat", "concat", "concatenate"),
    "sliced": ("narrow", "slice", "__getitem__"),
    "product": ("matmul", "mm", "addmm"),
    "negative": ("neg",),
    **{name: (name,) for name in (*_ARITHMETIC, "rsub")},
}  # fmt: skip
_ATEN: dict[str, tuple[str, ...]] = {
    "dropout": ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout",
                "native_dropout"),
    "pool": ("max_pool2d", "max_pool1d", "max_pool2d_with_indices"),
    "average": ("avg_pool2d", "avg_pool1d"),
    "adaptive average": ("adaptive_avg_pool2d", "adaptive_avg_pool1d"),
    "copies": ("upsample_nearest2d", "upsample_bilinear2d"),
    "pad": ("pad", "constant_pad_nd"),
    "linear": ("linear",),
    "conv": ("conv2d", "conv1d", "convolution"),
    "norm": ("batch_norm", "native_batch_norm_legit_no_training", "native_batch_norm"),
}  # fmt: skip


def classify(at: Context) -> Op | None:
    """The operation of a node; None for one that changes nothing. Raises CompileError."""
    _check_quantizer(at)
    if changes_nothing(at):
        return None
    kind, name = _spelled(at)
    if len(at.sources) > 1 and kind not in ("concat", *_ARITHMETIC, "linear", "conv"):
        raise refusal(at.path, name)
    operation = _BUILDERS[kind](at) if kind else NotImplemented
    if operation is NotImplemented:
        raise refusal(at.path, name)
    found: Op = operation
    # A batch norm stays even then: its numbers may be trained.
    return None if at.module is None and is_neutral(found) else found


def _check_quantizer(at: Context) -> None:
    """Refuse a layer with a fake quantizer in a hook, where the trace does not see it."""
    quantizer = getattr(at.module, "activation_post_process", None)
    if isinstance(quantizer, FakeQuantizeBase) and bool(quantizer.fake_quant_enabled[0]):
        raise refusal(f"{at.path}.activation_post_process", type(quantizer).__name__)


def _spelled(at: Context) -> tuple[str, str]:
    """(kind, name for the user); the kind is empty if the engine knows nothing like it."""
    target: Any = at.node.target
    if at.module is not None:
        if is_normalize(at.module):
            return "normalize", at.called
        if is_hashed(at.module):
            return ("conv" if hasattr(at.module, "kernel_size") else "linear"), at.called
        found = [kind for kind, types in _MODULES.items() if isinstance(at.module, types)]
        return (found or [""])[0], at.called
    name = at.called
    if isinstance(target, torch._ops.OpOverload):
        tables = [_NAMES, _ATEN]
    elif at.node.op == "call_method":
        tables, name = [_NAMES], f"Tensor.{target}"
    else:
        name = getattr(target, "__name__", str(target))
        found = [kind for kind, functions in _FUNCTIONS.items() if target in functions]
        return (found or [""])[0], name
    found = [kind for table in tables for kind, names in table.items() if at.called in names]
    return (found or [""])[0], name
