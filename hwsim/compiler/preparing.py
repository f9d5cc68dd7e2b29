"""A module as its owner has it -> a private copy of it that tracing may run and read."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from hwsim.errors import CompileError
from hwsim.models.copying import UncopyableError, copied, line

#: Wrappers that only pass on to the module in this attribute. By name: some are slow to import.
_WRAPPERS = {
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.optim.swa_utils.AveragedModel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
}
#: Where torch keeps modules that hold integers of a quantization of its own.
_QUANTIZED = (
    "torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.ao.nn.sparse.quantized",
)  # fmt: skip
#: Modules among them that compute in float until they are converted.
_FUNCTIONALS = ("FloatFunctional", "FXFloatFunctional")
COMPILE_FLOAT = (
    "compile the float module from before torch.ao.quantization.convert: the engine chooses its "
    "own binary points"
)
_INSTEAD = {
    "OrderedDict": "load this state_dict into the module, and give the module",
    "dict": "load this state_dict into the module, and give the module",
}


def runnable(module: Any) -> nn.Module:
    """A copy of ``module`` in float32 on the CPU in inference mode, without wrappers.

    Parameters
    ----------
    module : torch.nn.Module
        Left as it was: nothing of it is run, and no tensor is shared with the copy.

    Returns
    -------
    torch.nn.Module
        The copy. DataParallel, DistributedDataParallel, AveragedModel and what torch.compile
        gives are replaced by the module in them, wherever they stand, so paths are those of the
        plain module. Tensors that are the result of a computation (``weight`` of a pruned or
        weight-normed layer, caches) are copied by value.

    Raises
    ------
    CompileError
        For anything that is no module, or whose layers cannot be read: scripted, traced, holding
        integers of torch's quantization, without weights yet, without values; and for an attribute
        that cannot be copied.
    """
    if not isinstance(module, nn.Module):
        raise _no_module(module)
    _check_readable(module)
    try:
        return copied(module, _wrapped(module)).eval().cpu().float()
    except CompileError:
        raise
    except UncopyableError as error:
        raise CompileError(str(error)) from None
    except Exception as error:
        raise CompileError(
            f"{type(module).__name__}: cannot be moved to the CPU as float32 ({line(error)}): "
            "give a module with ordinary float tensors"
        ) from None


def unwrapped(module: nn.Module) -> nn.Module:
    """``module`` without wrappers around the whole of it."""
    while (inner := _inner(module, type(module).__name__)) is not None:
        module = inner
    return module


def _wrapped(module: nn.Module) -> dict[nn.Module, nn.Module]:
    """The module in each wrapper of ``module``."""
    parts = (
        (part, _inner(part, path or type(part).__name__)) for path, part in module.named_modules()
    )
    return {part: inner for part, inner in parts if inner is not None}


def _no_module(found: Any) -> CompileError:
    name = type(found).__name__
    advice = f": {_INSTEAD[name]}" if name in _INSTEAD else ""
    if isinstance(found, type):
        advice = f": give an instance, {found.__name__}(…)"
    return CompileError(f"expected a torch.nn.Module, got {name}{advice}")


def _inner(module: nn.Module, path: str) -> nn.Module | None:
    """What a wrapper wraps; None if ``module`` is no wrapper."""
    kind = type(module)
    attribute = _WRAPPERS.get(f"{kind.__module__}.{kind.__qualname__}")
    if attribute is None:
        return None
    if module._forward_hooks or module._forward_pre_hooks:
        raise CompileError(
            f"{path}: hooks on {kind.__name__}, which is only a wrapper, would be lost: compile "
            "the module in it, or remove the hooks"
        )
    inner = getattr(module, attribute)
    assert isinstance(inner, nn.Module)
    return inner


def _check_readable(module: nn.Module) -> None:
    """Refuse what has no layers or weights to read, by the path where it stands."""
    top = type(module).__name__
    for path, part in module.named_modules():
        where, name = path or top, type(part).__name__
        if isinstance(part, torch.jit.ScriptModule):
            raise CompileError(
                f"{where}: is scripted or traced (torch.jit), its layers cannot be read: compile "
                "the nn.Module that it was made from"
            )
        if type(part).__module__.startswith(_QUANTIZED) and name not in _FUNCTIONALS:
            raise CompileError(
                f"{where}: {name} holds integers of torch's quantization, with scales of its own: "
                f"{COMPILE_FLOAT}"
            )
        if any(map(is_lazy, part.parameters(recurse=False))):
            raise CompileError(
                f"{where}: {name} has no weights yet: run the module once on an image, and train it"
            )
    for path, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_meta:
            raise CompileError(
                f"{path}: is on the meta device, without values: load the weights first "
                "(load_state_dict with assign=True)"
            )
