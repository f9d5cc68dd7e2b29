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

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.compiler.compiler import assemble, checked, has_one_point, planned
from hwsim.compiler.context import is_hashed
from hwsim.compiler.fx_trace import trace
from hwsim.compiler.graph import Graph, Node
from hwsim.compiler.operations import F64, Affine, Mac, Op, Pool
from hwsim.compiler.preparing import unwrapped
from hwsim.compiler.scales import ExactNumbers
from hwsim.compiler.stages import MacStage, StagePlan
from hwsim.engine.module import Engine
from hwsim.engine.tape import Tape
from hwsim.engine.weight_gradient import gradients
from hwsim.errors import InputError
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.program import Program


@dataclass(frozen=True, eq=False)
class _Learner:
    """A layer as it was traced, and the parameters that learn in it.

    weight: of the layer, hashed or plain. bias: added to the layer's output, or by the batch norm
    ``norm`` behind it; None where neither has one. traced: value of ``bias`` in ``mac`` or
    ``norm``.
    """

    mac: Mac
    norm: Affine | None
    hashed: bool
    weight: nn.Parameter
    bias: nn.Parameter | None
    traced: Tensor | None

    def now(self) -> dict[Op, Op]:
        """The operations with the present values, in the place of those that were traced."""
        real = self.weight.detach().double()
        if not self.hashed:
            real = real.reshape(len(real), -1).T
        mac = dataclasses.replace(self.mac, real=real.reshape(-1).numpy())
        found: dict[Op, Op] = {}
        if self.bias is not None and self.traced is not None:
            moved = (self.bias.detach().double() - self.traced).numpy()
            if self.norm is None:
                mac = dataclasses.replace(mac, bias=mac.bias + moved)
            else:
                by_channel = moved.reshape(-1, *[1] * (len(self.norm.shape) - 1))
                offset = np.broadcast_to(self.norm.offset + by_channel, self.norm.shape)
                found[self.norm] = dataclasses.replace(self.norm, offset=offset)
        return found | {self.mac: mac}


class TrainableEngine(nn.Module):
    """The Engine of ``module``, differentiable in its weights: (N, C, H, W) -> (N, classes).

    module: as for ``compile``, every layer a module of its own that is used once; it is changed by
    training this one. calibration: images from which binary points are chosen, at once and at
    every ``refit``. gradient: ``ste``, ``ste-bfloat16`` or ``ste-unclamped``, as for Engine.

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
            raise InputError(
                "weights learn by ste, ste-bfloat16 or ste-unclamped, not by finite differences"
            )
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
        self._graph: Graph = trace(self.module, self._calibration)
        users = self._graph.users()
        self._learners: list[_Learner] = []
        paths: set[str] = set()
        for node in self._graph.nodes:
            if isinstance(node.op, Mac) and not node.op.fixed:
                if node.path in paths:
                    raise InputError(f"{node.path}: is used twice, it cannot learn on the engine")
                paths.add(node.path)
                self._learners.append(self._learner(node.op, _affine_behind(node, users)))
        self._plan, self._image = self._planned()
        by_path = {learner.mac.path: learner for learner in self._learners}
        for stage in self._plan.mac_stages:
            learner = by_path.get(stage.path)
            if learner is not None and learner.mac.real.size != stage.mac.real.size:
                raise InputError(
                    f"{stage.path}: weights that read copies of a pixel are one on the engine: "
                    "remove what repeats it, so that each can learn"
                )
        self._program = assemble(self._plan, self._image, self.config)
        self._engine = None

    def _planned(self) -> tuple[StagePlan, ExactNumbers]:
        """The stages with the present values."""
        operations: dict[Op, Op] = {}
        for learner in self._learners:
            operations |= learner.now()
        graph = self._graph.with_operations(operations)
        one_point = has_one_point(self.module)
        return planned(graph, self._calibration, self.config, one_point)

    def program(self) -> Program:
        """The present weights at the binary points of the last ``refit``."""
        return self.engine().program

    def engine(self) -> Engine:
        """The Engine that ``forward`` runs."""
        now = [parameter.detach() for parameter in self._parameters_learnt()]
        # Compared by value: fused optimizers do not count up the version of what they change.
        if self._engine is None or not all(map(torch.equal, self._engine[0], now)):
            plan, image = self._planned()
            program = assemble(plan, image, self.config, like=self._program)
            self._engine = [value.clone() for value in now], Engine(program, self.gradient)
        return self._engine[1]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) float32, those of ``Engine(self.program())`` to the bit."""
        logits: Tensor = _Learn.apply(x, self, *self._parameters_learnt())
        return logits

    def _learner(self, mac: Mac, affine: list[Affine]) -> _Learner:
        modules = dict(unwrapped(self.module).named_modules())
        layer = modules.get(mac.path)
        if layer is None and mac.path == type(unwrapped(self.module)).__name__:
            layer = unwrapped(self.module)
        if layer is None or not isinstance(getattr(layer, "weight", None), nn.Parameter):
            raise InputError(
                f"{mac.path}: is no module with weights, it cannot learn on the engine"
            )
        if layer.weight.numel() != mac.real.size:
            raise InputError(f"{mac.path}: is dilated, it cannot learn on the engine")
        module = modules.get(affine[0].path) if len(affine) == 1 else None
        # One without affine parameters leaves it to the layer's own bias.
        normed = isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.bias is not None
        bias = module.bias if module is not None and normed else layer.bias
        assert isinstance(layer.weight, nn.Parameter)
        return _Learner(
            mac, affine[0] if normed else None, is_hashed(layer), layer.weight, bias,
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
        order = {stage.path: number for number, stage in enumerate(self._plan.mac_stages)}
        by_parameter: list[Tensor | None] = []
        for learner in self._learners:
            number = order[learner.mac.path]
            stage, layer = self._plan.mac_stages[number], engine.program.mac_layers[number]
            by_weight, by_output = found.weights[number] * _factors(stage), found.outputs[number]
            if learner.hashed:
                address, negative = layer.hash_table
                signed = torch.where(torch.from_numpy(negative), -by_weight, by_weight)
                summed = torch.zeros(layer.spec.real_weights, dtype=torch.float32)
                summed.index_add_(0, torch.from_numpy(address).reshape(-1), signed.reshape(-1))
                by_parameter.append(summed)
            else:
                by_parameter.append(by_weight.view_as(learner.weight))
            if learner.bias is not None:
                scale = stage.post.scale if stage.rows is None else stage.rows
                if learner.norm is None:
                    by_output = by_output * torch.from_numpy(scale).float()
                by_parameter.append(by_output)
        return torch.from_numpy(found.images), by_parameter


def _factors(stage: MacStage) -> Tensor:
    """What the words have of each weight of the module, (n_out, fan_in) or one number for all.

    The one layer of a network without hidden ones carries the input gain, a dense last layer what
    scales its rows, a dense layer behind a batch norm what scales its columns.
    """
    found: F64 = np.full((1, 1), stage.gain if stage.last else 1.0)
    if stage.rows is not None:
        found = found * stage.rows[:, None]
    if stage.columns is not None:
        groups = np.repeat(np.arange(stage.mac.groups), stage.mac.spec.n_out // stage.mac.groups)
        found = found * stage.columns[groups]
    return torch.from_numpy(found).float()


def _affine_behind(node: Node, users: Any) -> list[Affine]:
    """Affine operations that nothing but a max-pool parts from a layer."""
    found: list[Affine] = []
    while len(users[node]) == 1:
        (node,) = users[node]
        if isinstance(node.op, Affine):
            found.append(node.op)
        elif not isinstance(node.op, Pool):
            break
    return found


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
