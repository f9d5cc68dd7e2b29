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

from hwsim.engine.backward import Backward
from hwsim.engine.forward import Chunk, Tape
from hwsim.engine.kernels import is_thin, windows
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


def gradients(backward: Backward, tape: Tape, seed: Tensor, weights: bool = True) -> Gradients:
    """Gradients of Σ seed · logits of a batch; by the weights and outputs where asked for.

    Parameters
    ----------
    backward : Backward
        The ``pullback`` of an Engine.
    tape : Tape
        Of a run of the same engine's datapath that kept its states, and its maps for ``weights``.
    seed : Tensor (N, classes)
        ∂/∂logits, float.
    """
    flow = seed.detach().to("cpu", torch.float32).contiguous().numpy()
    stages = backward.datapath.stages

    def task(chunk: Chunk) -> Gradients:
        by_weight: list[Tensor] = []
        by_output: list[Tensor] = []

        def on_layer(stage: int, flow: F32) -> None:
            layer = stages[stage].layer
            assert layer is not None
            by_weight.append(weight_gradient(layer, chunk.maps[stage], flow))
            by_output.append(torch.from_numpy(flow.reshape(-1, layer.n_out)).sum(0))

        images = backward.chunk(flow[chunk.piece], chunk.states, on_layer if weights else None)
        return Gradients(images, by_weight[::-1], by_output[::-1])

    layers = backward.datapath.program.mac_layers if weights else ()
    none = np.zeros((0, *backward.datapath.program.input_shape), np.float32)
    zero = Gradients(
        none,
        [torch.zeros(layer.n_out, layer.fan_in) for layer in layers],
        [torch.zeros(layer.n_out) for layer in layers],
    )
    parts = tape.each(task) or [zero]
    return Gradients(
        np.concatenate([part.images for part in parts]),
        [_sum(each) for each in zip(*(part.weights for part in parts), strict=True)],
        [_sum(each) for each in zip(*(part.outputs for part in parts), strict=True)],
    )


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
