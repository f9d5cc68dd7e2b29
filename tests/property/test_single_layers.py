"""Sums of single layers are exact where kernels change their way, by every kernel and forth."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from hwsim.engine.float_proof import ROUNDOFF
from hwsim.engine.forms import even, group_of, surround
from hwsim.engine.input_gradient import BFLOAT16_ROUNDOFF, PRECISIONS, InputGradient
from hwsim.engine.kernel_proof import Proof
from hwsim.engine.kernels import Accumulate
from hwsim.engine.sums import Sums, as_nchw
from hwsim.engine.weight_gradient import weight_gradient
from tests.property.single_layers import LayerCase, single_layers

EXAMPLES = int(os.environ.get("HWSIM_EXAMPLES", "500"))
thorough = settings(
    max_examples=max(10, EXAMPLES // 2), deadline=None, suppress_health_check=list(HealthCheck)
)
KERNELS = [("int8", "float32", "float64"), ("float32", "float64"), ("float64",), ()]


@pytest.mark.slow
@thorough
@given(case=single_layers())
def test_sums_are_those_of_integers_by_every_kernel_for_every_shape(case: LayerCase) -> None:
    truth = case.truth()
    for kernels in KERNELS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a slower kernel is right too
            layer = Sums(case.layer, case.config, frozenset(kernels))
            for _ in range(2):  # proved on the first call, believed on the second
                found = layer(maps_of(case))
                np.testing.assert_array_equal(found.astype(np.int64), truth)
    if case.layer.groups == 1:
        around = as_nchw(surround(case.layer, maps_of(case)))
        exact = Accumulate(even(case.layer), case.config.act_max, "int64")(around)
        np.testing.assert_array_equal(exact, truth)


def maps_of(case: LayerCase) -> np.ndarray:
    """(N, H, W, C), of whatever strides were drawn."""
    return case.maps.permute(0, 2, 3, 1).numpy()


@thorough
@given(case=single_layers())
def test_the_proof_accepts_the_truth_and_no_sum_that_is_off_by_one(case: LayerCase) -> None:
    # Of one group, which is what kernels and their proof know.
    layer, number = even(case.layer), case.layer.groups - 1
    maps, truth = surround(case.layer, maps_of(case)), case.truth()
    if layer.groups > 1:
        width = layer.in_shape[0] // layer.groups
        maps = maps[..., number * width :]
        truth = np.ascontiguousarray(truth[..., number * layer.group_out :])
        layer = group_of(layer, number)
    proof = Proof(layer)
    assert proof.holds(as_nchw(maps), truth)
    flat = truth.reshape(-1)
    for place in {0, len(flat) // 2, len(flat) - 1}:
        for off in (1, -1, 255, -(1 << 16)):
            wrong = truth.copy()
            wrong.reshape(-1)[place] += off
            assert not proof.holds(as_nchw(maps), wrong)


@thorough
@given(case=single_layers())
def test_a_batch_is_answered_as_its_images_alone(case: LayerCase) -> None:
    maps = maps_of(case)
    layer = Sums(case.layer, case.config, frozenset(("int8", "float32", "float64")))
    together = layer(maps)
    for n in {0, len(maps) // 2, len(maps) - 1}:
        alone = layer(maps[n : n + 1])
        np.testing.assert_array_equal(together[n : n + 1], alone)


@pytest.mark.slow
@thorough
@given(case=single_layers(bits=8))
def test_gradients_of_a_layer_are_within_the_rounding_of_float32(case: LayerCase) -> None:
    layer, count = case.layer, len(case.maps)
    noise = np.random.default_rng(count)
    flow = noise.standard_normal((count, *layer.out_shape[1:], layer.n_out), np.float32)
    wanted, size = _transposed(case, flow)
    terms = layer.group_out * (layer.window.size if layer.window else 1)
    error = np.abs(InputGradient(layer, np.ones(layer.n_out))(flow) - wanted)
    assert (error <= size * ROUNDOFF * (terms + 2)).all()

    full, narrow = (
        weight_gradient(layer, maps_of(case), flow, precision=one).numpy().astype(np.float64)
        for one in PRECISIONS
    )
    for channel in {0, layer.n_out - 1}:
        for sign in (1, -1):
            # One output channel: the transposed layer, in float64 by NumPy.
            part = np.maximum(sign * flow[..., channel].astype(np.float64), 0)
            exact = _correlate(case, part, channel)
            if sign == 1:
                positive = exact
        truth, bound = positive - exact, positive + exact
        scale = layer.scale / float(layer.weight_scale[-1 if channel else 0])
        limit = bound * scale * ROUNDOFF * (count * layer.pixels + 3)
        assert (np.abs(full[channel] - truth * scale) <= limit).all()
        # The flow is rounded, and what comes out.
        limit += bound * scale * 2.01 * BFLOAT16_ROUNDOFF
        assert (np.abs(narrow[channel] - truth * scale) <= limit).all()


def _taps(case: LayerCase) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
    """Row and column of the window, and where its inputs stand in padded maps (N, H, W, C)."""
    window = case.layer.window
    assert window is not None
    (rows, columns), (down, right) = window.kernel, window.stride
    _, height, across = case.layer.out_shape
    for dy, dx in np.ndindex(rows, columns):
        yield dy, dx, (
            slice(None), slice(dy, dy + down * (height - 1) + 1, down),
            slice(dx, dx + right * (across - 1) + 1, right),
        )  # fmt: skip


def _around(case: LayerCase, maps: np.ndarray) -> np.ndarray:
    """Maps (N, H, W, C) with their padding, float64."""
    top, left, bottom, right = case.layer.window_padding
    sides = ((0, 0), (top, bottom), (left, right), (0, 0))
    return np.pad(maps.astype(np.float64), sides, constant_values=float(case.layer.fill))


def _transposed(case: LayerCase, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradient by the maps in float64, (N, H, W, C), and the sum of the sizes of its terms."""
    layer = case.layer
    channels, height, width = layer.in_shape
    top, left, _, _ = layer.window_padding
    members, width_of = layer.group_out, channels // layer.groups
    found = []
    for seeds, weights in ((flow, layer.virtual_weights),
                           (np.abs(flow), np.abs(layer.virtual_weights))):  # fmt: skip
        seeds, weights = seeds.astype(np.float64), weights.astype(np.float64)
        if layer.window is None:
            flat = seeds.reshape(len(flow), -1) @ weights
            found.append(flat.reshape(-1, channels, height, width).transpose(0, 2, 3, 1))
            continue
        out = _around(case, np.zeros((len(flow), height, width, channels))) * 0
        # A matrix of each group, one beside the other: all of it reads the same places.
        flows = seeds.reshape(-1, layer.groups, members).swapaxes(0, 1)
        kernels = weights.reshape(layer.groups, members, width_of, *layer.window.kernel)
        for dy, dx, place in _taps(case):
            terms = (flows @ kernels[..., dy, dx]).swapaxes(0, 1)
            out[place] += terms.reshape(*seeds.shape[:3], channels)
        found.append(out[:, top : top + height, left : left + width])
    return found[0], found[1]


def _correlate(case: LayerCase, flow: np.ndarray, channel: int) -> np.ndarray:
    """Σ flow · a of one output channel (N, OH, OW), by weight, in (c, y, x) order."""
    layer, seeds = case.layer, flow.reshape(-1)
    if layer.window is None:
        return seeds @ maps_of(case).transpose(0, 3, 1, 2).reshape(len(seeds), -1)
    maps = _around(case, maps_of(case))
    width = layer.in_shape[0] // layer.groups
    first = channel // layer.group_out * width
    out = np.zeros((width, *layer.window.kernel))
    for dy, dx, place in _taps(case):
        out[:, dy, dx] = seeds @ maps[place][..., first : first + width].reshape(-1, width)
    return out.reshape(-1)
