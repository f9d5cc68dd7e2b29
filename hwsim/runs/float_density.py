"""The density that an attacker without the machine climbs: that of the float network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hwsim.attacks.core.inference import at_inference
from hwsim.attacks.latency import Observed
from hwsim.engine.density import Columns
from hwsim.errors import InputError
from hwsim.program.layers import Layer, MacLayer
from hwsim.program.program import Program


class FloatDensity:
    """x²/(x² + σ) over what layers read whose zeros are skipped, in float (Cinà et al. 2022).

    Called with images it gives (densities (N,), gradients shaped as the images). x are the values
    in steps of the engine's codes, and each is weighed with what its column costs there. width:
    √σ, in codes.

    As a ``Machine`` of ``Latency`` its cost is that density, so that the best image is chosen
    without the engine's counters.

    Raises InputError where the module has no layers of these sizes.
    """

    def __init__(
        self, module: nn.Module, program: Program, columns: list[Columns], width: float = 2.0
    ) -> None:
        self.model, self._sigma = module, width * width
        self._reads: list[tuple[nn.Module, Tensor, float, int]] = []
        left = [one for one in module.modules() if isinstance(one, nn.Linear | nn.Conv2d)]
        for one in sorted(columns, key=lambda one: one.layer):
            numbers, layer = program.numbers[one.layer][0], program.layers[one.layer]
            costs = torch.from_numpy(one.costs).float()
            while left and not _is(left[0], layer):
                left.pop(0)
            if not left:
                raise InputError(
                    f"the float network has no {layer.kind} layer that reads {len(costs)} values"
                )
            self._reads.append((left.pop(0), costs, numbers.scale, numbers.zero))

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen, gradient = self._run(x)
        return seen, gradient

    def look(self, x: Tensor, gradient: bool = False) -> Observed:
        """The density as the cost, and the float network's answers."""
        with torch.no_grad(), at_inference(self.model):
            answers = self.model(x).argmax(1)
        density, uphill = self._run(x)
        return Observed(density.double(), answers, uphill if gradient else None)

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        densities: list[Tensor] = []

        def hook(costs: Tensor, scale: float, zero: int) -> object:
            def before(_: nn.Module, inputs: tuple[Tensor]) -> None:
                codes = inputs[0].flatten(1) / scale + zero
                square = codes * codes
                densities.append((square / (square + self._sigma)) @ costs)

            return before

        hooks = [
            module.register_forward_pre_hook(hook(*rest))  # type: ignore[arg-type]
            for module, *rest in self._reads
        ]
        try:
            with torch.inference_mode(False), torch.enable_grad(), at_inference(self.model):
                images = x.detach().clone().requires_grad_(True)
                self.model(images)
                total = torch.stack(densities).sum(0)
                (gradient,) = torch.autograd.grad(total.sum(), images)
        finally:
            for one in hooks:
                one.remove()
        return total.detach(), gradient


def _is(module: nn.Module, layer: Layer) -> bool:
    """Whether a float layer may be the one that became ``layer``, by its sizes."""
    if isinstance(module, nn.Conv2d):
        kernel = layer.window.kernel if isinstance(layer, MacLayer) and layer.window else None
        sides = layer.in_shape[0], layer.out_shape[0], kernel
        return sides == (module.in_channels, module.out_channels, module.kernel_size)
    return (
        isinstance(module, nn.Linear)
        and layer.kind == "fc"
        and module.in_features == math.prod(layer.in_shape)
    )
