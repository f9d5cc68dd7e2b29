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

from hwsim import builders as build
from hwsim.builders import Context, is_hashed, is_normalize
from hwsim.errors import CompileError
from hwsim.operations import Op

_BUILDERS: dict[str, Callable[[Context], Op | None]] = {
    "keep": lambda _: None,
    "relu": build.relu,
    "flatten": build.flatten,
    "dropout": build.dropout,
    "pool": build.pool,
    "average": build.average,
    "linear": build.linear,
    "conv": build.conv,
    "norm": build.batch_norm,
    "normalize": build.normalize,
    **{name: partial(build.arithmetic, name=name) for name in ("add", "sub", "mul", "div")},
}
_MODULES: dict[str, tuple[type[nn.Module], ...]] = {
    "keep": (
        nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
        nn.FeatureAlphaDropout,
    ),
    "relu": (nn.ReLU,),
    "flatten": (nn.Flatten,),
    "pool": (nn.MaxPool2d,),
    "average": (nn.AdaptiveAvgPool2d,),
    "linear": (nn.Linear,),
    "conv": (nn.Conv2d,),
    "norm": (nn.BatchNorm1d, nn.BatchNorm2d),
}  # fmt: skip
# F.max_pool2d is one of many functions called boolean_dispatch: only identity tells them apart.
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "relu": (F.relu, torch.relu, torch.relu_),
    "flatten": (torch.flatten, torch.reshape),
    "dropout": (
        F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout,
        F.feature_alpha_dropout, torch.dropout,
    ),
    "pool": (F.max_pool2d, torch.max_pool2d),
    "average": (F.adaptive_avg_pool2d,),
    "linear": (F.linear,),
    "conv": (F.conv2d, torch.conv2d),
    "add": (operator.add, operator.iadd, torch.add),
    "sub": (operator.sub, operator.isub, torch.sub),
    "mul": (operator.mul, operator.imul, torch.mul),
    "div": (operator.truediv, operator.itruediv, torch.div),
}  # fmt: skip
_METHODS: dict[str, tuple[str, ...]] = {
    "keep": ("contiguous", "float", "to", "type_as", "clone", "detach"),
    "relu": ("relu", "relu_"),
    "flatten": ("view", "reshape", "flatten"),
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
        "prelu", "softplus", "mish", "clamp",
    ),
    "use BatchNorm2d, which folds into the requantization": (
        "layernorm", "groupnorm", "instancenorm2d",
    ),
    "use MaxPool2d, or a strided convolution": (
        "avgpool2d", "adaptiveavgpool2d", "adaptivemaxpool2d", "mean",
    ),
}  # fmt: skip


def classify(at: Context) -> Op | None:
    """The operation of a node; None for one that does nothing. Raises CompileError."""
    kind, name = _spelled(at)
    operation = _BUILDERS[kind](at) if kind else NotImplemented
    if operation is NotImplemented:
        key = name.removeprefix("Tensor.").replace("_", "").lower()
        advice = next((text for text, names in _ADVICE.items() if key in names), _SUPPORTED)
        raise CompileError(f"{at.path}: {name} cannot run on the engine: {advice}")
    return operation


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
