"""The Engine as torch's autograd and function transforms see it: a value and its pullback."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from hwsim.engine.backward import finite_difference
from hwsim.engine.precision import full_float32, no_autocast
from hwsim.engine.tape import Tape

if TYPE_CHECKING:
    from hwsim.engine.module import Engine


def logits_of(x: Tensor, engine: Engine) -> Tensor:
    """Logits (N, classes), float32, differentiable in ``x`` (N, C, H, W)."""
    if _is_watched_by_nobody(x):
        return torch.from_numpy(engine.real(engine.answer(engine.grid(x)))).to(x.device)
    keep = torch.is_grad_enabled() and getattr(x, "requires_grad", False)
    logits: Tensor = _Forward.apply(x, engine, _Pass(keep))
    return logits


def _is_watched_by_nobody(x: Tensor) -> bool:
    """Whether neither a derivative nor a transform nor a tracer may want to know about ``x``.

    Then the value is all there is, and the door to autograd, a tenth of the inference of one image,
    stays shut.
    """
    return (
        type(x) is Tensor
        and not (x.requires_grad and torch.is_grad_enabled())
        and not _transforms_at_work()
        and not torch.jit.is_tracing()
        and unpack_dual(x).tangent is None
    )


def _always() -> bool:
    return True


#: What ``autograd.Function.apply`` itself asks; a torch without it goes through the door always.
_transforms_at_work: Callable[[], bool] = getattr(
    torch._C, "_are_functorch_transforms_active", _always
)


class _Pass:
    """What one forward pass leaves for its backward passes; recomputed there if absent."""

    def __init__(self, keep: bool) -> None:
        self.keep = keep
        self.tape: Tape | None = None


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, engine: Engine, run: _Pass) -> Tensor:
        maps = engine.grid(x)
        run.tape = engine.datapath.run(maps, states=True) if run.keep else None
        integers = engine.answer(maps) if run.tape is None else run.tape.logits
        return torch.from_numpy(engine.real(integers)).to(x.device)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.engine, ctx.run = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return _Backward.apply(seeds[0], x, ctx.engine, ctx.run), None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, engine: Engine, run: _Pass) -> tuple[Tensor, int]:
        folded = x.movedim(in_dims[0], 0)
        result = _Forward.apply(folded.flatten(0, 1), engine, _Pass(run.keep))
        return result.unflatten(0, folded.shape[:2]), 0


class _Backward(torch.autograd.Function):
    """The vector-Jacobian product as a function of its own, so that it can be batched too."""

    @staticmethod
    def forward(seed: Tensor, x: Tensor, engine: Engine, run: _Pass) -> Tensor:
        return _product(seed, x, engine, run)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor) -> Any:
        raise RuntimeError("the engine is piecewise constant: it has no second derivative")

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, seed: Tensor, x: Tensor, engine: Engine, run: _Pass
    ) -> tuple[Tensor, int]:
        if in_dims[1] is None:
            seeds = seed.movedim(in_dims[0], 0)
            return _contract(seeds, _jacobian(seeds.shape[-1], x, engine, run)), 0
        images = x.movedim(in_dims[1], 0)
        if in_dims[0] is None:
            seeds = seed.expand(info.batch_size, *seed.shape)
        else:
            seeds = seed.movedim(in_dims[0], 0)
        result = _Backward.apply(seeds.flatten(0, 1), images.flatten(0, 1), engine, _Pass(False))
        return result.unflatten(0, images.shape[:2]), 0


_function: Any
for _function in (_Forward, _Backward):
    # torch binds the arguments of every call by the signature of ``forward``; one that is there is
    # not read from the code again, which takes a 25th of the inference of one image.
    _function.forward.__signature__ = inspect.signature(_function.forward)


def _product(seed: Tensor, x: Tensor, engine: Engine, run: _Pass) -> Tensor:
    """seed (N, classes) pulled back to the input, of the shape of ``x``."""
    try:
        flow = seed.detach().to("cpu", torch.float32).contiguous().numpy()
    except RuntimeError:
        # autograd.grad(is_grads_batched=True) hands over many seeds wrapped in one tensor that
        # knows torch's operators and gives no array.
        return _contract(seed, _jacobian(seed.shape[-1], x, engine, run))
    if len(flow) == 0:
        return torch.zeros_like(x)
    if engine.gradient == "finite-difference":
        worth = engine.program.logit_scale
        result = finite_difference(
            lambda maps: engine.datapath.run(maps).logits.astype(np.float64) * worth,
            engine.grid(x),
            flow,
            engine.program.input.last(engine.program.config.act_max),
            engine.difference_step,
            per_unit=float(1 / engine.program.input.scale),
        )
        return torch.from_numpy(result.reshape(x.shape)).to(x)
    if run.tape is None:
        run.tape = engine.datapath.run(engine.grid(x), states=True)
    return torch.from_numpy(engine.pullback.run(flow, run.tape).reshape(x.shape)).to(x)


def _jacobian(classes: int, x: Tensor, engine: Engine, run: _Pass) -> Tensor:
    """∂logits/∂x, (N, classes, C, H, W): all that many seeds for the same images need."""
    one_hot = torch.eye(classes, device=x.device, dtype=torch.float32)[:, None].expand(
        -1, len(x), -1
    )
    return torch.stack([_Backward.apply(seed, x, engine, run) for seed in one_hot], 1)


def _contract(seed: Tensor, jacobian: Tensor) -> Tensor:
    """seed (…, N, classes) times the Jacobian (N, classes, C, H, W) -> (…, N, C, H, W)."""
    with no_autocast(), full_float32():
        flat = seed.to(jacobian.dtype).unsqueeze(-2) @ jacobian.flatten(2)
    return flat.reshape(*seed.shape[:-1], *jacobian.shape[2:])
