"""Weight gradients of the fixed-point datapath, from the flows that its backward pass computes.

Liu et al. 2018, eq. 4: ∂L/∂V_ij = slope_i · Σ flow_i · a_j over images and pixels, where flow is
the gradient at the layer's output behind the fixed-point gates, a the integer activations, and
slope what the requantizer makes of a weight, m · 2^(fw − s − fa_out).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.grad import conv2d_weight

from hwsim.engine.forward import in_chunks
from hwsim.engine.kernels import is_thin, windows
from hwsim.engine.module import Engine
from hwsim.engine.precision import full_float32
from hwsim.program.program import MacLayer

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Gradients:
    """Of one batch.

    images: (N, C, H, W), x in [0, 1]. weights, outputs: per layer with weights, (n_out, fan_in) by
    the decoded weights in real units and (n_out,) by what is added to the layer's output; empty
    where they were not asked for.
    """

    images: F32
    weights: list[Tensor]
    outputs: list[Tensor]


class Tape:
    """A forward pass of an Engine, with all that its backward passes need."""

    def __init__(self, engine: Engine, x: Tensor) -> None:
        self.engine = engine
        maps = engine._grid(x)

        def task(piece: slice) -> tuple[NDArray[np.int64], list[Any], list[NDArray[Any]]]:
            states: list[Any] = []
            inputs = [maps[piece]]
            logits = engine._datapath.run(maps[piece], states, lambda _, out: inputs.append(out))
            return logits, states, inputs

        with torch.autocast("cpu", enabled=False):
            each = engine._datapath.image_bytes
            self._chunks = in_chunks(len(maps), task, each=each)
        self.logits = np.concatenate([logits for logits, _, _ in self._chunks])

    def backward(self, seed: Tensor, weights: bool = True) -> Gradients:
        """Gradients of Σ seed · logits, seed (N, classes); of weights where asked for."""
        flow = seed.detach().to("cpu", torch.float32).contiguous().numpy()
        starts = np.cumsum([0, *(len(logits) for logits, _, _ in self._chunks)])

        def task(chosen: slice) -> Gradients:
            index = chosen.start
            return self._chunk(index, flow[starts[index] : starts[index + 1]], weights)

        with torch.autocast("cpu", enabled=False):
            longest = max((len(logits) for logits, _, _ in self._chunks), default=0)
            each = longest * self.engine._datapath.image_bytes
            parts = in_chunks(len(self._chunks), task, 1, each)
        return Gradients(
            np.concatenate([part.images for part in parts]),
            [_sum(each) for each in zip(*(part.weights for part in parts), strict=True)],
            [_sum(each) for each in zip(*(part.outputs for part in parts), strict=True)],
        )

    def _chunk(self, index: int, seed: F32, wanted: bool) -> Gradients:
        _, states, inputs = self._chunks[index]
        stages = self.engine._datapath.stages
        weights: list[Tensor] = []
        outputs: list[Tensor] = []

        def on_layer(stage: int, flow: F32) -> None:
            layer = stages[stage].layer
            assert layer is not None
            weights.append(weight_gradient(layer, inputs[stage], flow))
            outputs.append(torch.from_numpy(flow.reshape(-1, layer.n_out)).sum(0))

        images = self.engine._backward.run(seed, states, on_layer if wanted else None)
        return Gradients(images, weights[::-1], outputs[::-1])


def _sum(tensors: tuple[Tensor, ...]) -> Tensor:
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def weight_gradient(layer: MacLayer, maps: NDArray[Any], flow: F32) -> Tensor:
    """(n_out, fan_in) float32: gradient by the decoded weights of ``layer``.

    maps: its integer input (N, H, W, C); flow: (N, OH, OW, n_out), gradient at its output.
    """
    channels, height, width = layer.in_shape
    slope = torch.from_numpy(slopes(layer).astype(np.float32))[:, None]
    # The activations as integers: their binary point goes into the slope.
    activations = torch.from_numpy(maps.astype(np.float32))
    flows = torch.from_numpy(flow)
    with full_float32():
        if layer.kind == "fc":
            matrix = flows.reshape(len(flow), -1).T @ activations.reshape(len(maps), -1)
            matrix = matrix.view(-1, height, width, channels).permute(0, 3, 1, 2)
            return matrix.reshape(layer.n_out, -1) * slope
        if is_thin(layer):
            # Libraries' convolutions change their way here: one matrix product instead.
            seen = torch.from_numpy(windows(activations.numpy(), layer))
            k = layer.kernel
            product = (flows.reshape(-1, layer.n_out).T @ seen).view(-1, k, k, channels)
            return product.permute(0, 3, 1, 2).reshape(layer.n_out, -1) * slope
        kernel = conv2d_weight(
            activations.permute(0, 3, 1, 2),
            (layer.n_out, channels, layer.kernel, layer.kernel),
            flows.permute(0, 3, 1, 2),
            layer.stride,
            layer.padding,
        )
    return kernel.reshape(layer.n_out, -1) * slope


def slopes(layer: MacLayer) -> NDArray[np.float64]:
    """∂(output in real units)/∂(Σ w·a with real w and integer a), by output channel."""
    if layer.last:
        return np.full(layer.n_out, 2.0**-layer.fa_in)
    exponent = layer.fw - layer.fa_out - layer.shift.astype(np.int64)
    return np.ldexp(layer.multiplier.astype(np.float64), exponent)
