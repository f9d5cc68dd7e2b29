"""Engine: a Program as an ``nn.Module`` that attack libraries drive unchanged."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.attacks.core.grid import CodeGrid, Grid
from hwsim.engine.autograd import logits_of
from hwsim.engine.backward import GRADIENT_MODES, Backward, GradientMode
from hwsim.engine.cycles import CountsCycles
from hwsim.engine.forward import Datapath
from hwsim.engine.images import check_ordinary, shapes_taken
from hwsim.engine.selfcheck import trusted_kernels
from hwsim.engine.space import space_of
from hwsim.errors import InputError
from hwsim.program.digest import check_digest, program_digest
from hwsim.program.layers import binary_point
from hwsim.program.program import Program
from hwsim.units.softmax import probabilities_at

#: What becomes of pixels outside the input's bounds.
Outside = Literal["error", "clamp"]
#: float32 holds every integer up to here.
EXACT_FLOAT32 = 1 << 24


class Engine(CountsCycles, nn.Module):
    """The bit-accurate engine: (N, C, H, W) floats -> (N, classes) float32 logits.

    Images are as the program's input says: in [0, 1], or in ``bounds``; a network of vectors also
    takes (N, F), one of series (N, C, L). The logits are exact integers times the program's
    ``logit_scale``, a power of two unless the network was quantized elsewhere. Where |v| can exceed
    2^24, the sample's maximum is subtracted first: argmax stays exact and softmax losses do not see
    it; what then is still beyond 2^24 loses its lowest bits.

    gradient: ``ste`` (Liu et al. 2018 eq. 6 with the fixed-point forward's gates),
    ``ste-bfloat16`` (the same, rounded: a convolution loses at most 3.1 · 2^-8 of the sum of the
    sizes of its terms, see InputGradient), ``ste-unclamped`` (saturation passes gradient) or
    ``finite-difference`` (the real datapath, 2·C·H·W forward passes an image). Gradients exist for
    the input only. difference_step: half the width of finite differences in LSB, 1 … 2^A − 1. One
    LSB is mostly rounding of the layers behind; a wider step averages over it.

    outside: what becomes of pixels outside ``bounds``, which no pixel pin can carry. ``error``
    refuses them. ``clamp`` saturates them, as the pin's driver does, and passes their gradient
    straight through (the clamp's is taken for 1, as in ``ste``), for attacks of other libraries
    that look beyond the box on their way: what they return is inside it.

    It pickles (also by ``torch.save``) as its program and is built anew where it is loaded, so that
    nothing packed for one processor runs on another. ``state_dict`` holds no weights but a digest
    of the program: only the state of an engine with the same program can be loaded.

    Raises InputError for an input of the wrong shape or dtype, with NaN or infinity, that is not an
    ordinary tensor in memory (sparse, quantized, meta, …), or outside ``bounds`` unless ``clamp``.
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
        # As floats: words with faults may be as large as their fields.
        bound = output.accumulator_bound(program.config.act_max) + np.abs(output.bias * 1.0)
        self._shifted = int(bound.max()) > EXACT_FLOAT32
        # Libraries ask next(model.parameters()) for the device.
        scale = torch.tensor(program.logit_scale, dtype=torch.float32)
        self.logit_scale = nn.Parameter(scale, requires_grad=False)
        self.register_buffer("program_digest", program_digest(program))
        self.eval()

    def _build(self) -> None:
        """Pack the weights for this processor."""
        self.datapath = Datapath(self.program, trusted_kernels())
        self.pullback = Backward(self.datapath, self.gradient)
        # Fractions and shapes are as dear as a layer of one image: found once.
        program = self.program
        low, high = program.input.bounds(program.config.act_max)
        self._ends, self._step = (float(low), float(high)), float(program.input.scale)
        self._shapes = shapes_taken(program.input_shape)
        # Optimizers that work in tanh or other spaces return to the box only to rounding. A
        # range that is no pixels' ends within half a step of the data that it was chosen for.
        pixels_only = self._ends == (0.0, 1.0)
        self._slack = 1e-5 * float(high - low) + (0.0 if pixels_only else 0.5 * self._step)

    def __getstate__(self) -> dict[str, Any]:
        # Packed weights are opaque to torch and made for this processor.
        state = self.__dict__.copy()
        del state["datapath"], state["pullback"]
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
        for shared in (self.program, self.datapath, self.pullback):
            memo[id(shared)] = shared
        twin = memo[id(self)] = self.__class__.__new__(self.__class__)
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value that the input grid carries; (0, 1) of pixels."""
        return self._ends

    @property
    def space(self) -> Grid | CodeGrid:
        """Where attacks may look for inputs: ``PGD(space=engine.space)``."""
        return space_of(self.program)

    @property
    def step(self) -> float:
        """What a step of the input grid is worth, in units of the input."""
        return self._step

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes), float32, differentiable in ``x``."""
        return logits_of(x, self)

    def integer_logits(self, x: Tensor) -> Tensor:
        """Raw logits v, int64 (N, classes), each worth v · program.logit_scale."""
        return torch.from_numpy(self.answer(self.grid(x)))

    def answer(self, maps: NDArray[Any]) -> NDArray[np.int64]:
        """Integer logits (N, classes) of gridded images (N, H, W, C), for who wants no gradient.

        A subclass may get them elsewhere; gradients are always those of ``datapath``.
        """
        return self.datapath.run(maps).logits

    def probabilities(self, logits: Tensor) -> Tensor:
        """What the engine's 16-bit probability unit gives for ``logits`` of this engine.

        logits (N, classes) float32 as returned by ``forward`` -> float32 multiples of 2^-16. Where
        a step of the logits is no power of two, which the unit cannot shift by, what it would give.
        """
        scale = self.program.logit_scale
        real = logits.detach().cpu().double().numpy()
        point = binary_point(scale)
        exact = np.rint(real / scale) if point is None else np.ldexp(real, point)
        found = probabilities_at(exact.astype(np.int64), scale)
        return torch.from_numpy(np.ldexp(found, -16)).to(logits)

    def feature_maps(self, x: Tensor) -> list[NDArray[Any]]:
        """Integer output (N, C, H, W) of each stage but the last; pools fused with their layer."""
        maps = self.datapath.feature_maps(self.grid(x))
        return [out.transpose(0, 3, 1, 2) for out in maps]

    def extra_repr(self) -> str:
        config = self.program.config
        return (
            f"{config.name}, {config.act_w}-bit activations, {config.wgt_w}-bit weights, "
            f"gradient={self.gradient}"
        )

    def grid(self, x: Tensor) -> NDArray[Any]:
        """Checked images as the pixel pins carry them.

        Parameters
        ----------
        x : Tensor (N, C, H, W)
            Floating point in ``bounds``, on any device, of any memory layout.

        Returns
        -------
        array (N, H, W, C)
            Integers 0 … 2^A − 1, uint8 up to A = 8, else int32.

        Raises
        ------
        InputError
            For all that the engine refuses, see the class.
        """
        check_ordinary(x)
        (low_end, high_end), slack = self._ends, self._slack
        if tuple(x.shape[1:]) not in self._shapes:
            raise InputError(
                "the engine takes images of shape "
                f"(N, {', '.join(map(str, self._shapes[0]))}), got {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise InputError(
                f"images must be floating point in [{low_end:g}, {high_end:g}], got {x.dtype}"
            )
        images = x.detach().to("cpu").resolve_neg()
        if images.dtype not in (torch.float32, torch.float64):
            images = images.float()
        pixels = images.numpy().reshape(-1, *self._shapes[0])
        if pixels.size:
            # NumPy: in a forked process torch's threads, which torch would wait for, are gone.
            low, high = float(pixels.min()), float(pixels.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                raise InputError("images contain NaN or infinity")
            beyond = low < low_end - slack or high > high_end + slack
            if self.outside == "error" and beyond:
                raise InputError(
                    f"images must lie in [{low_end:g}, {high_end:g}], got {low:.6g} … {high:.6g}: "
                    "give raw pixels, normalization is part of the compiled network; for an attack "
                    'that looks beyond on its way there is Engine(program, outside="clamp")'
                )
        # The grid saturates, which is all that ``clamp`` asks for.
        return self.datapath.grid(pixels)

    def real(self, integers: NDArray[np.int64]) -> NDArray[np.float32]:
        """What ``forward`` returns for integer logits (N, classes): see the class."""
        real = integers.astype(np.float32)
        if self._shifted:
            behind = integers.max(1, keepdims=True) - integers
            real = behind.astype(np.float32)
            # Cut, never rounded up: shifted right by the probability unit, it is exact again.
            above = real.astype(np.int64) > behind
            real = 0 - np.where(above, np.nextafter(real, np.float32(0)), real)
        point = binary_point(self.program.logit_scale)
        if point is not None:
            return np.ldexp(real, -point)
        return (real.astype(np.float64) * self.program.logit_scale).astype(np.float32)
