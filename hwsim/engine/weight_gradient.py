"""Weight gradients of the fixed-point datapath, from the flows that its backward pass computes.

Liu et al. 2018, eq. 4: ∂L/∂V_ij = slope_i · Σ flow_i · a_j over images and pixels, where flow is
the gradient at the layer's output behind the fixed-point gates, a the integer activations, and
slope what the requantizer makes of a weight, m · 2^(fw − s − fa_out).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.grad import conv2d_weight

from hwsim.engine.backward import Backward
from hwsim.engine.float_proof import believed
from hwsim.engine.flows import widened
from hwsim.engine.forms import even, group_of, sides, surround
from hwsim.engine.input_gradient import Precision, of_bits
from hwsim.engine.kernel_proof import geometry, poison
from hwsim.engine.kernels import is_thin, windows
from hwsim.engine.precision import full_float32
from hwsim.engine.pulls import counted
from hwsim.engine.stages import slope
from hwsim.engine.tape import Chunk, Tape
from hwsim.program.layers import Layer, MacLayer, PoolLayer, is_last
from hwsim.program.program import Program

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


def gradients(
    backward: Backward, tape: Tape, seed: Tensor, weights: bool = True, rest: bool = True
) -> Gradients:
    """Gradients of Σ seed · logits of a batch; by the weights and outputs where asked for.

    Without ``rest`` they are those by the weights alone, and cost no more than these.

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
    program = backward.datapath.program
    zeros = [program.numbers[stage.number][0].zero for stage in stages]
    units = [unit_of_flow(program, stage.layer) for stage in stages]

    none = np.zeros((0, *program.input_shape), np.float32)

    def task(chunk: Chunk) -> Gradients:
        by_weight: list[Tensor] = []
        by_output: list[Tensor] = []

        def on_layer(stage: int, flow: NDArray[Any]) -> None:
            layer, unit = stages[stage].mac, float(units[stage])
            assert layer is not None
            found = weight_gradient(
                layer, chunk.source(stages[stage]), flow, zeros[stage], backward.precision
            )
            by_weight.append(found if unit == 1 else found * unit)
            if rest:
                wide = torch.from_numpy(widened(flow) if flow.dtype == np.uint16 else flow)
                by_output.append(wide.reshape(-1, layer.n_out).sum(0) * unit)

        if not rest:
            backward.layers(flow[chunk.piece], chunk.states, on_layer)
            return Gradients(none, by_weight[::-1], [])
        images = backward.chunk(flow[chunk.piece], chunk.states, on_layer if weights else None)
        return Gradients(images, by_weight[::-1], by_output[::-1])

    layers = program.mac_layers if weights else ()
    zero = Gradients(
        none,
        [torch.zeros(layer.n_out, layer.fan_in, dtype=torch.float32) for layer in layers],
        [torch.zeros(layer.n_out, dtype=torch.float32) for layer in layers],
    )
    parts = tape.each(task) or [zero]
    return Gradients(
        np.concatenate([part.images for part in parts]),
        [_sum(each) for each in zip(*(part.weights for part in parts), strict=True)],
        [_sum(each) for each in zip(*(part.outputs for part in parts), strict=True)],
    )


def unit_of_flow(program: Program, layer: Layer) -> np.float32:
    """What turns the flow at a layer's output into one by its real value.

    1 but where the output has the steps of pixels, which the backward pass counts as 2^-A until it
    reaches the image (``pulls.counted``).
    """
    if isinstance(layer, PoolLayer) or is_last(layer):
        return np.float32(1)
    return np.float32(counted(program, layer.scale) / layer.scale)


def _sum(tensors: tuple[Tensor, ...]) -> Tensor:
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def weight_gradient(
    layer: MacLayer,
    maps: NDArray[Any],
    flow: NDArray[Any],
    zero: int = 0,
    precision: Precision = "float32",
) -> Tensor:
    """(n_out, fan_in) float32: gradient by the decoded weights of ``layer``.

    maps: its integer input (N, H, W, C), whose code of real 0 is ``zero``; flow: (N, OH, OW,
    n_out), gradient at its output, float32 or the bits of bfloat16. precision: ``bfloat16`` for
    convolutions of codes of 8 bits, in shapes where this processor's kernel was shown to round the
    flow and what comes out and nothing else; float32 elsewhere.
    """
    if layer.groups > 1:
        inputs, outputs = layer.in_shape[0] // layer.groups, layer.group_out
        form = even(layer)
        around = surround(layer, maps)
        return torch.cat(
            [
                weight_gradient(
                    group_of(form, g),
                    np.ascontiguousarray(around[..., g * inputs : (g + 1) * inputs]),
                    np.ascontiguousarray(flow[..., g * outputs : (g + 1) * outputs]),
                    zero,
                    precision,
                )
                for g in range(layer.groups)
            ]
        )
    factor = torch.from_numpy(slopes(layer).astype(np.float32))[:, None]
    # The activations as integers: their step goes into the slope.
    codes, form = surround(layer, maps), even(layer)
    what = f"weight gradient of {geometry(form)}"
    if precision == "bfloat16" and codes.dtype == np.uint8 and _is_narrow(form, what, len(flow)):
        return torch.from_numpy(_in_bfloat16(form, codes, flow, zero)) * factor
    activations = codes.astype(np.float32)
    if zero:
        activations -= np.float32(zero)
    wide = widened(flow) if flow.dtype == np.uint16 else flow
    return torch.from_numpy(_in_float32(form, what, activations, wide)) * factor


def _in_float32(layer: MacLayer, what: str, activations: F32, flow: F32) -> F32:
    """Σ flow · activation, (n_out, fan_in), by the library where it was seen to be right."""
    if believed(what, flow.shape, lambda: _holds(layer, len(flow))):
        return _by_library(layer, activations, flow)
    return _by_windows(layer, activations, flow)


def _by_library(layer: MacLayer, activations: F32, flow: F32) -> F32:
    """Σ flow · activation, (n_out, fan_in), in full float32."""
    with full_float32():
        if layer.kind == "fc" or is_thin(layer):
            # Libraries' convolutions change their way at thin maps: one matrix product instead.
            seen = torch.from_numpy(_windows(layer, activations))
            flows = torch.from_numpy(flow.reshape(-1, layer.n_out))
            return _ordered(layer, (flows.T @ seen).numpy())
        return _convolved(layer, torch.from_numpy(activations), torch.from_numpy(flow))


def _in_bfloat16(layer: MacLayer, codes: NDArray[np.uint8], flow: NDArray[Any], zero: int) -> F32:
    """The same of flows that are rounded, and rounded once more: sums are float32 between."""
    given = torch.from_numpy(codes).to(torch.bfloat16)
    if zero:
        given -= zero  # 8 bits still, and exact
    narrow = of_bits(flow) if flow.dtype == np.uint16 else torch.from_numpy(flow).bfloat16()
    return _convolved(layer, given, narrow)


def _convolved(layer: MacLayer, activations: Tensor, flow: Tensor) -> F32:
    """Both (N, H, W, C), in one type."""
    kernel_sides, stride, padding = sides(layer)
    kernel = conv2d_weight(
        activations.permute(0, 3, 1, 2),
        (layer.n_out, layer.in_shape[0], *kernel_sides),
        flow.permute(0, 3, 1, 2),
        stride,
        padding,
    )
    return kernel.float().reshape(layer.n_out, -1).numpy()


def _by_windows(layer: MacLayer, activations: F32, flow: F32) -> F32:
    """The same in float64 by NumPy, image by image, rounded once."""
    total = np.zeros((layer.n_out, layer.fan_in))
    for image, one in zip(activations, flow, strict=True):
        seen = _windows(layer, image[None]).astype(np.float64)
        total += one.reshape(-1, layer.n_out).T.astype(np.float64) @ seen
    return _ordered(layer, total).astype(np.float32)


def _windows(layer: MacLayer, maps: NDArray[Any]) -> NDArray[Any]:
    """What each output reads of maps (N, H, W, C), channels last: (N · pixels, fan_in)."""
    return maps.reshape(len(maps), -1) if layer.kind == "fc" else windows(maps, layer)


def _ordered(layer: MacLayer, matrix: NDArray[Any]) -> NDArray[Any]:
    """(n, fan_in) with channels last -> in the order of the weights, channels first."""
    channels, height, width = layer.in_shape
    rows, columns = layer.window.kernel if layer.window else (height, width)
    last = matrix.reshape(-1, rows, columns, channels)
    return np.ascontiguousarray(last.transpose(0, 3, 1, 2)).reshape(len(matrix), -1)


#: Places where the sparse one of the two proofs has a flow, and bits of its numbers: products of
#: so many fill the 24 bits of float32, and neither factor fits bfloat16, the flow not TF32.
PLACES, FLOW_BITS, MAP_BITS = 4, 12, 9


def _holds(layer: MacLayer, count: int) -> bool:
    """Whether the library's product is right for batches of ``count``, on integers.

    Twice, as long as sums fill float32 but never leave its integers, so that every order of
    summation gives the same: dense small numbers that reach all places, and at a few places numbers
    with more bits than lower precisions have. Freivalds' check, modulo 2^64, reads every sum: with
    random odd r, Σ_o r_o·sum_oj must be Σ_places (Σ_o r_o·flow_o) · activation_j.
    """
    noise = np.random.default_rng(count)
    channels, height, width = layer.in_shape
    places = count * layer.pixels
    shape = (count, *layer.out_shape[1:], layer.n_out)
    top = max(1, math.isqrt((1 << 24) // places))
    dense = (
        noise.integers(-top, top + 1, shape),
        noise.integers(0, top + 1, (count, height, width, channels)),
    )
    sparse = np.zeros((places, layer.n_out), np.int64)
    chosen = noise.choice(places, min(places, PLACES), replace=False)
    sparse[chosen] = noise.integers(-(1 << FLOW_BITS), 1 << FLOW_BITS, sparse[chosen].shape) | 1
    odd = noise.integers(0, 1 << MAP_BITS, (count, height, width, channels)) | 1
    mix = noise.integers(-(2**63), 2**63 - 1, layer.n_out, np.int64) | 1
    for flow, maps in (dense, (sparse.reshape(shape), odd)):
        poison(layer.n_out * layer.fan_in)
        found = _by_library(layer, maps.astype(np.float32), flow.astype(np.float32))
        sums = found.astype(np.float64)
        if found.shape != (layer.n_out, layer.fan_in) or not (np.rint(sums) == sums).all():
            return False  # not-a-number is no integer either
        wanted = np.zeros(layer.fan_in, np.int64)
        for image, one in zip(maps, flow, strict=True):
            wanted += (one.reshape(-1, layer.n_out) @ mix) @ _windows(layer, image[None])
        if not np.array_equal(mix @ sums.astype(np.int64), _ordered(layer, wanted[None])[0]):
            return False
    return True


#: Bits of the numbers of the sparse proof in bfloat16, which holds 8.
NARROW_BITS = 8


def _is_narrow(layer: MacLayer, what: str, count: int) -> bool:
    """Whether a batch of ``count`` goes through in bfloat16."""
    if layer.kind == "fc" or is_thin(layer):
        return False
    name = f"{what} in bfloat16"
    return believed(name, (count,), lambda: _rounds_once(layer, what, count), warned=False)


def _rounds_once(layer: MacLayer, what: str, count: int) -> bool:
    """Whether the library's product in bfloat16 is the exact one, rounded, on integers.

    As ``_holds``, with numbers that bfloat16 holds, and sums that float32 holds: what was proved of
    that says what is exact, and every sum is looked at.
    """
    noise = np.random.default_rng(count)
    channels, height, width = layer.in_shape
    places = count * layer.pixels
    shape = (count, *layer.out_shape[1:], layer.n_out)
    maps = (count, height, width, channels)
    limit = 1 << NARROW_BITS
    top = min(max(1, math.isqrt((1 << 24) // places)), limit - 1)
    sparse = np.zeros((places, layer.n_out), np.int64)
    chosen = noise.choice(places, min(places, PLACES), replace=False)
    sparse[chosen] = noise.integers(1 - limit, limit, sparse[chosen].shape) | 1
    for flow, codes in (
        (noise.integers(-top, top + 1, shape), noise.integers(0, top + 1, maps, np.uint8)),
        (sparse.reshape(shape), noise.integers(0, limit, maps, np.uint8) | np.uint8(1)),
    ):
        poison(layer.n_out * layer.fan_in)
        found = _in_bfloat16(layer, codes, flow.astype(np.float32), 0)
        exact = _in_float32(layer, what, codes.astype(np.float32), flow.astype(np.float32))
        wanted = torch.from_numpy(exact).bfloat16().float().numpy()
        if found.shape != wanted.shape or not np.array_equal(found, wanted):
            return False
    return True


def slopes(layer: MacLayer) -> NDArray[np.float64]:
    """∂(output in real units)/∂(Σ w·a with real w and integer a), by output channel."""
    words = np.ones(layer.n_out) if layer.last else slope(layer)
    return words * layer.scale / layer.weight_scale
