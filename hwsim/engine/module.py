"""Engine: a Program as an ``nn.Module`` that attack libraries drive unchanged."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.engine.backward import GRADIENT_MODES, Backward, GradientMode, finite_difference
from hwsim.engine.forward import Datapath, in_chunks
from hwsim.engine.images import check_ordinary
from hwsim.engine.precision import full_float32
from hwsim.engine.selfcheck import trusted_kernels
from hwsim.errors import InputError
from hwsim.program.digest import check_digest, program_digest
from hwsim.program.program import Program
from hwsim.units.softmax import probabilities

#: What becomes of pixels outside [0, 1].
Outside = Literal["error", "clamp"]
#: float32 holds every integer up to here.
EXACT_FLOAT32 = 1 << 24


class Engine(nn.Module):
    """The bit-accurate engine: (N, C, H, W) floats in [0, 1] -> (N, classes) float32 logits.

    The logits are exact integers times a power of two. Where |v| can exceed 2^24, the sample's
    maximum is subtracted first: argmax stays exact and softmax losses do not see it; what then is
    still beyond 2^24 loses its lowest bits.

    gradient: ``ste`` (Liu et al. 2018 eq. 6 with the fixed-point forward's gates),
    ``ste-unclamped`` (saturation passes gradient) or ``finite-difference`` (the real datapath,
    2·C·H·W forward passes an image). difference_step: half the width of those differences in LSB,
    1 … 2^A − 1. One LSB is mostly rounding of the layers behind; a wider step averages over it.
    Gradients exist for the input only.

    outside: what becomes of pixels outside [0, 1], which no pixel pin can carry. ``error`` refuses
    them. ``clamp`` saturates them, as the pin's driver does, and passes their gradient straight
    through (the clamp's is taken for 1, as in ``ste``), for attacks of other libraries that look
    beyond the box on their way: what they return is inside it.

    It pickles (also by ``torch.save``) as its program and is built anew where it is loaded, so that
    nothing packed for one processor runs on another. ``state_dict`` holds no weights but a digest
    of the program: only the state of an engine with the same program can be loaded.

    Raises InputError for an input of the wrong shape or dtype, with NaN or infinity, that is not an
    ordinary tensor in memory (sparse, quantized, meta, …), or outside [0, 1] unless ``clamp``.
    """

    def __init__(
        self,
        program: Program,
        gradient: GradientMode = "ste",
        *,
        difference_step: int = 1,
        outside: Outside = "error",
    ) -> None:
        super().__init__()
        if gradient not in GRADIENT_MODES:
            raise InputError(
                f"unknown gradient mode {gradient!r}: choose from {', '.join(GRADIENT_MODES)}"
            )
        limit = program.config.act_max
        whole = isinstance(difference_step, int) and not isinstance(difference_step, bool)
        if not whole or not 1 <= difference_step <= limit:
            raise InputError(f"difference_step must be 1 … {limit} LSB, got {difference_step!r}")
        if outside not in get_args(Outside):
            raise InputError(f"outside must be error or clamp, got {outside!r}")
        self.program, self.gradient = program, gradient
        self.difference_step, self.outside = difference_step, outside
        self._build()
        output = program.output
        bound = output.accumulator_bound(program.config.act_max) + np.abs(output.bias)
        self._shifted = int(bound.max()) > EXACT_FLOAT32
        # Libraries ask next(model.parameters()) for the device.
        scale = torch.tensor(2.0**-program.logit_frac)
        self.logit_scale = nn.Parameter(scale, requires_grad=False)
        self.register_buffer("program_digest", program_digest(program))
        self.eval()

    def _build(self) -> None:
        """Pack the weights for this processor."""
        self._datapath = Datapath(self.program, trusted_kernels())
        self._backward = Backward(self._datapath, self.gradient)

    def __getstate__(self) -> dict[str, Any]:
        # Packed weights are opaque to torch and made for this processor.
        state = self.__dict__.copy()
        del state["_datapath"], state["_backward"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._build()

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *arguments: Any
    ) -> None:
        check_digest(state_dict, prefix, self.program)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def __deepcopy__(self, memo: dict[int, Any]) -> Engine:
        # torch cannot copy packed weights; they never change, so copies share them.
        for shared in (self.program, self._datapath, self._backward):
            memo[id(shared)] = shared
        twin = memo[id(self)] = self.__class__.__new__(self.__class__)
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes), float32, differentiable in ``x``."""
        keep = torch.is_grad_enabled() and getattr(x, "requires_grad", False)
        return _Forward.apply(x, self, _Pass(keep))

    def integer_logits(self, x: Tensor) -> Tensor:
        """Raw logits v, int64 (N, classes), each worth v · 2^-logit_frac."""
        return torch.from_numpy(self._integers(self._grid(x), None))

    def probabilities(self, logits: Tensor) -> Tensor:
        """What the engine's 16-bit probability unit gives for ``logits`` of this engine.

        logits (N, classes) float32 as returned by ``forward`` -> float32 multiples of 2^-16.
        """
        frac = self.program.logit_frac
        integers = np.ldexp(logits.detach().cpu().double().numpy(), frac).astype(np.int64)
        return torch.from_numpy(np.ldexp(probabilities(integers, frac), -16)).to(logits)

    def feature_maps(self, x: Tensor) -> list[NDArray[Any]]:
        """Integer output (N, C, H, W) of each stage but the last; pools fused with their layer."""
        maps = self._grid(x)
        if len(maps) == 0:
            shapes = [stage.out_shape for stage in self._datapath.stages[:-1]]
            return [np.zeros((0, *shape), maps.dtype) for shape in shapes]
        found: list[NDArray[Any]] = []
        with _full_precision():
            self._datapath.run(maps, None, lambda _, out: found.append(out.transpose(0, 3, 1, 2)))
        return found

    def extra_repr(self) -> str:
        config = self.program.config
        return (
            f"{config.name}, {config.act_w}-bit activations, {config.wgt_w}-bit weights, "
            f"gradient={self.gradient}"
        )

    def _grid(self, x: Tensor) -> NDArray[Any]:
        check_ordinary(x)
        expected = self.program.input_shape
        if x.ndim != 4 or tuple(x.shape[1:]) != expected:
            raise InputError(
                f"the engine takes images of shape (N, {', '.join(map(str, expected))}), "
                f"got {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise InputError(f"images must be floating point in [0, 1], got {x.dtype}")
        images = x.detach().to("cpu").resolve_neg()
        if images.dtype not in (torch.float32, torch.float64):
            images = images.float()
        pixels = images.numpy()
        if pixels.size:
            # NumPy: in a forked process torch's threads, which torch would wait for, are gone.
            low, high = float(pixels.min()), float(pixels.max())
            if not (np.isfinite(low) and np.isfinite(high)):
                raise InputError("images contain NaN or infinity")
            # Optimizers that work in tanh or other spaces return to the box only to rounding.
            if self.outside == "error" and (low < -1e-5 or high > 1 + 1e-5):
                raise InputError(
                    f"images must lie in [0, 1], got {low:.4g} … {high:.4g}: give raw pixels, "
                    "normalization is part of the compiled network; for an attack that looks "
                    'beyond on its way there is Engine(program, outside="clamp")'
                )
        # The grid saturates, which is all that ``clamp`` asks for.
        return self._datapath.grid(pixels)

    def _integers(self, maps: NDArray[Any], states: list[Any] | None) -> NDArray[np.int64]:
        if len(maps) == 0:
            return np.zeros((0, self.program.classes), np.int64)

        def task(piece: slice) -> tuple[slice, NDArray[np.int64], list[Any] | None]:
            kept: list[Any] | None = None if states is None else []
            return piece, self._datapath.run(maps[piece], kept), kept

        with _full_precision():
            results = in_chunks(len(maps), task, each=self._datapath.image_bytes)
        if states is not None:
            states.extend((piece, kept) for piece, _, kept in results)
        return np.concatenate([logits for _, logits, _ in results])

    def _real(self, integers: NDArray[np.int64]) -> NDArray[np.float32]:
        real = integers.astype(np.float32)
        if self._shifted:
            behind = integers.max(1, keepdims=True) - integers
            real = behind.astype(np.float32)
            # Cut, never rounded up: shifted right by the probability unit, it is exact again.
            above = real.astype(np.int64) > behind
            real = 0 - np.where(above, np.nextafter(real, np.float32(0)), real)
        return np.ldexp(real, -self.program.logit_frac)

    def _vjp(self, x: Tensor, seed: Tensor, run: _Pass) -> Tensor:
        """seed (N, classes) pulled back to the input, (N, C, H, W)."""
        try:
            flow = seed.detach().to("cpu", torch.float32).contiguous().numpy()
        except RuntimeError:
            # autograd.grad(is_grads_batched=True) hands over many seeds wrapped in one tensor that
            # knows torch's operators and gives no array.
            return _contract(seed, _jacobian(seed.shape[-1], x, self, run))
        if len(flow) == 0:
            return torch.zeros_like(x)
        if self.gradient == "finite-difference":
            frac = self.program.logit_frac
            result = finite_difference(
                lambda maps: np.ldexp(self._integers(maps, None).astype(np.float64), -frac),
                self._grid(x),
                flow,
                self.program.config.act_max,
                self.difference_step,
            )
            return torch.from_numpy(result).to(x)
        if run.states is None:
            run.states = []
            self._integers(self._grid(x), run.states)
        pieces = {piece.start: (piece, kept) for piece, kept in run.states}
        starts = sorted(pieces)

        def task(chosen: slice) -> NDArray[np.float32]:
            piece, kept = pieces[starts[chosen.start]]
            return self._backward.run(flow[piece], kept)

        with _full_precision():
            each = self._datapath.image_bytes * max(len(flow[piece]) for piece, _ in run.states)
            parts = in_chunks(len(starts), task, 1, each)
            return torch.from_numpy(np.concatenate(parts)).to(x)


def _full_precision() -> torch.autocast:
    """A caller's autocast would turn exact integers into bfloat16."""
    return torch.autocast("cpu", enabled=False)


class _Pass:
    """What one forward pass leaves for its backward passes; recomputed there if absent."""

    def __init__(self, keep: bool) -> None:
        self.keep = keep
        self.states: list[Any] | None = None


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, engine: Engine, run: _Pass) -> Tensor:
        states: list[Any] | None = [] if run.keep else None
        integers = engine._integers(engine._grid(x), states)
        run.states = states
        return torch.from_numpy(engine._real(integers)).to(x.device)

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
        return engine._vjp(x, seed, run)

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


def _jacobian(classes: int, x: Tensor, engine: Engine, run: _Pass) -> Tensor:
    """∂logits/∂x, (N, classes, C, H, W): all that many seeds for the same images need."""
    one_hot = torch.eye(classes, device=x.device)[:, None].expand(-1, len(x), -1)
    return torch.stack([_Backward.apply(seed, x, engine, run) for seed in one_hot], 1)


def _contract(seed: Tensor, jacobian: Tensor) -> Tensor:
    """seed (…, N, classes) times the Jacobian (N, classes, C, H, W) -> (…, N, C, H, W)."""
    with _full_precision(), full_float32():
        flat = seed.to(jacobian.dtype).unsqueeze(-2) @ jacobian.flatten(2)
    return flat.reshape(*seed.shape[:-1], *jacobian.shape[2:])
