"""The Engine with weights that learn: hardware in the loop.

The forward pass is the Engine's, bit for bit: whenever the real weights have changed they are
quantized and the requantizers computed anew, by the compiler. The backward pass is the Engine's
straight-through gradient, carried on to the weights. Rounding and clipping of the weights let the
gradient pass as if they were not there.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.compiler.compiler import assemble, checked, input_gain
from hwsim.compiler.fuse import OpGroup, group
from hwsim.compiler.fx_trace import trace_chain
from hwsim.compiler.operations import Affine, Mac
from hwsim.compiler.preparing import unwrapped
from hwsim.compiler.read_ops import is_hashed
from hwsim.engine.forward import Tape
from hwsim.engine.module import Engine
from hwsim.engine.weight_gradient import gradients
from hwsim.errors import InputError
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.program import Program


@dataclass(frozen=True, eq=False)
class _Learner:
    """A stage as it was traced, and the parameters that learn in it.

    weight: of the layer, hashed or plain. bias: added to the layer's output, or by the batch norm
    behind it (``normed``); None where neither has one. traced: value of ``bias`` in ``stage``.
    """

    stage: OpGroup
    hashed: bool
    weight: nn.Parameter
    bias: nn.Parameter | None
    normed: bool
    traced: Tensor | None

    def now(self) -> OpGroup:
        """The stage with the present values."""
        real = self.weight.detach().double()
        if not self.hashed:
            real = real.reshape(len(real), -1).T
        mac = dataclasses.replace(self.stage.mac, real=real.reshape(-1).numpy())
        offset = self.stage.offset
        if self.bias is not None and self.traced is not None:
            moved = (self.bias.detach().double() - self.traced).numpy()
            if self.normed:
                offset = offset + moved
            else:
                mac = dataclasses.replace(mac, bias=mac.bias + moved)
        return dataclasses.replace(self.stage, mac=mac, offset=offset)


class TrainableEngine(nn.Module):
    """The Engine of ``module``, differentiable in its weights: (N, C, H, W) -> (N, classes).

    module: as for ``compile``, every layer a module of its own that is used once; it is changed by
    training this one. calibration: images from which binary points are chosen, at once and at
    every ``refit``. gradient: ``ste`` or ``ste-unclamped``, as for Engine.

    Weights learn, and so do biases, of the batch norm where one stands behind the layer. The scales
    and the statistics of batch norms stay, dropout is not active: the engine has neither.
    """

    def __init__(
        self,
        module: nn.Module,
        calibration: Tensor,
        config: EngineConfig | str = "default",
        gradient: Any = "ste",
    ) -> None:
        super().__init__()
        if gradient == "finite-difference":
            raise InputError("weights learn by ste or ste-unclamped, not by finite differences")
        self.config = load_config(config) if isinstance(config, str) else config
        self.gradient = gradient
        self.module = module
        self._calibration = checked(calibration)
        self._engine: tuple[list[Tensor], Engine] | None = None
        self.refit()
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        for parameter in self._parameters_learnt():
            parameter.requires_grad_(True)

    def refit(self) -> None:
        """Choose all binary points anew for the present weights, as ``compile`` does."""
        operations = trace_chain(self.module, self._calibration)
        shape = tuple(self._calibration.shape[1:])
        self._front, stages = group(operations, (shape[0], shape[1], shape[2]))
        behind: dict[str, list[Affine]] = {}
        current = ""
        for op in operations:
            if isinstance(op, Mac):
                current = op.path
                if current in behind:
                    raise InputError(f"{current}: is used twice, it cannot learn on the engine")
                behind[current] = []
            elif isinstance(op, Affine) and current:
                behind[current].append(op)
        self._learners = [self._learner(s, behind[s.mac.path]) for s in stages]
        self._program = assemble(
            self._front, [learner.now() for learner in self._learners], self.config, self._shape
        )
        self._engine = None

    def program(self) -> Program:
        """The present weights at the binary points of the last ``refit``."""
        return self.engine().program

    def engine(self) -> Engine:
        """The Engine that ``forward`` runs."""
        now = [parameter.detach() for parameter in self._parameters_learnt()]
        # Compared by value: fused optimizers do not count up the version of what they change.
        if self._engine is None or not all(map(torch.equal, self._engine[0], now)):
            stages = [learner.now() for learner in self._learners]
            program = assemble(self._front, stages, self.config, self._shape, like=self._program)
            self._engine = [value.clone() for value in now], Engine(program, self.gradient)
        return self._engine[1]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) float32, those of ``Engine(self.program())`` to the bit."""
        logits: Tensor = _Learn.apply(x, self, *self._parameters_learnt())
        return logits

    @property
    def _shape(self) -> tuple[int, int, int]:
        channels, height, width = self._calibration.shape[1:]
        return channels, height, width

    def _learner(self, stage: OpGroup, affine: list[Affine]) -> _Learner:
        path = stage.mac.path
        modules = dict(unwrapped(self.module).named_modules())
        layer = modules.get(path)
        if layer is None or not isinstance(getattr(layer, "weight", None), nn.Parameter):
            raise InputError(f"{path}: is no module with weights, it cannot learn on the engine")
        if layer.weight.numel() != stage.mac.real.size:
            raise InputError(
                f"{path}: weights that read copies of a pixel are one on the engine: remove what "
                "repeats it, so that each can learn"
            )
        norm = modules.get(affine[0].path) if len(affine) == 1 else None
        # One without affine parameters leaves it to the layer's own bias.
        normed = isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)) and norm.bias is not None
        bias = norm.bias if norm is not None and normed else layer.bias
        assert isinstance(layer.weight, nn.Parameter)
        return _Learner(
            stage, is_hashed(layer), layer.weight, bias, normed,
            None if bias is None else bias.detach().double().clone(),
        )  # fmt: skip

    def _parameters_learnt(self) -> list[nn.Parameter]:
        found = [(learner.weight, learner.bias) for learner in self._learners]
        return [parameter for pair in found for parameter in pair if parameter is not None]

    def _gradients(
        self, engine: Engine, tape: Tape, seed: Tensor, wanted: bool
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Gradients by the images, and by the parameters in the order of ``_parameters_learnt``.

        wanted: whether any parameter's is; an attack needs none of them.
        """
        found = gradients(engine.pullback, tape, seed, wanted)
        if not wanted:
            return torch.from_numpy(found.images), [None] * len(self._parameters_learnt())
        gain, _ = input_gain(
            self._front, [learner.stage for learner in self._learners], self.config
        )
        # The one layer of a network without hidden ones carries the input gain in its words.
        factor = gain if len(self._learners) == 1 else 1.0
        by_parameter: list[Tensor | None] = []
        layers = engine.program.mac_layers
        for learner, layer, by_weight, by_output in zip(
            self._learners, layers, found.weights, found.outputs, strict=True
        ):
            if learner.hashed:
                address, negative = layer.hash_table
                signed = torch.where(torch.from_numpy(negative), -by_weight, by_weight)
                summed = torch.zeros(layer.spec.real_weights, dtype=torch.float32)
                summed.index_add_(0, torch.from_numpy(address).reshape(-1), signed.reshape(-1))
                by_parameter.append(summed * factor)
            else:
                by_parameter.append(by_weight.view_as(learner.weight) * factor)
            if learner.bias is not None:
                scale = 1.0 if learner.normed else torch.from_numpy(learner.stage.scale).float()
                by_parameter.append(by_output * scale)
        return torch.from_numpy(found.images), by_parameter


class _Learn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, owner: TrainableEngine, *parameters: Tensor) -> Tensor:
        engine = owner.engine()
        if not any(ctx.needs_input_grad):
            return engine(x)
        ctx.owner, ctx.engine, ctx.wanted = owner, engine, any(ctx.needs_input_grad[2:])
        ctx.tape = engine.datapath.run(engine.grid(x), states=True, kept_maps=ctx.wanted)
        return torch.from_numpy(engine.real(ctx.tape.logits))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *seeds: Tensor) -> Any:
        by_image, by_parameter = ctx.owner._gradients(ctx.engine, ctx.tape, seeds[0], ctx.wanted)
        return by_image, None, *by_parameter
