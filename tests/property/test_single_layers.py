"""Sums of single layers are exact where kernels change their way, by every kernel and forth."""

from __future__ import annotations

import os
import warnings

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings

from hwsim.engine.backward import _by_columns, _by_library, _matrix, _weight
from hwsim.engine.float_proof import ROUNDOFF
from hwsim.engine.forward import Datapath
from hwsim.engine.kernel_proof import Checked, Proof
from hwsim.engine.kernels import Accumulate
from hwsim.engine.weight_gradient import weight_gradient
from hwsim.program.program import Program
from tests.property.single_layers import LayerCase, single_layers

EXAMPLES = int(os.environ.get("HWSIM_EXAMPLES", "500"))
thorough = settings(
    max_examples=max(10, EXAMPLES // 2), deadline=None, suppress_health_check=list(HealthCheck)
)
KERNELS = [("int8", "float32", "float64"), ("float32", "float64"), ("float64",), ()]


@thorough
@given(case=single_layers())
def test_sums_are_those_of_integers_by_every_kernel_for_every_shape(case: LayerCase) -> None:
    truth = case.truth()
    for kernels in KERNELS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a slower kernel is right too
            layer = Checked(case.layer, case.config, frozenset(kernels))
            for _ in range(2):  # proved on the first call, believed on the second
                found = layer(case.maps)
                np.testing.assert_array_equal(found.astype(np.int64), truth)
    exact = Accumulate(case.layer, case.config.act_max, "int64")(case.maps)
    np.testing.assert_array_equal(exact, truth)


@thorough
@given(case=single_layers())
def test_the_proof_accepts_the_truth_and_no_sum_that_is_off_by_one(case: LayerCase) -> None:
    proof, truth = Proof(case.layer), case.truth()
    assert proof.holds(case.maps, truth)
    flat = truth.reshape(-1)
    for place in {0, len(flat) // 2, len(flat) - 1}:
        for off in (1, -1, 255, -(1 << 16)):
            wrong = truth.copy()
            wrong.reshape(-1)[place] += off
            assert not proof.holds(case.maps, wrong)


@thorough
@given(case=single_layers())
def test_a_batch_is_answered_as_its_images_alone(case: LayerCase) -> None:
    maps = case.maps.permute(0, 2, 3, 1).contiguous().numpy()
    datapath = Datapath(
        Program(case.config, (case.layer,), case.layer.in_shape),
        frozenset(("int8", "float32", "float64")),
    )
    layer = datapath.stages[0].accumulate
    assert layer is not None
    together = layer(torch.from_numpy(maps).permute(0, 3, 1, 2))
    for n in {0, len(maps) // 2, len(maps) - 1}:
        alone = layer(torch.from_numpy(maps[n : n + 1]).permute(0, 3, 1, 2))
        np.testing.assert_array_equal(together[n : n + 1], alone)


@thorough
@given(case=single_layers(bits=8))
def test_gradients_of_a_layer_are_within_the_rounding_of_float32(case: LayerCase) -> None:
    layer, count = case.layer, len(case.maps)
    noise = np.random.default_rng(count)
    flow = noise.standard_normal((count, *layer.out_shape[1:], layer.n_out), np.float32)
    weight = _weight(layer)
    matrix = _matrix(layer, weight)
    wanted = _by_columns(layer, flow, matrix)
    size = _by_columns(layer, np.abs(flow), np.abs(matrix))
    terms = layer.n_out * max(1, layer.kernel) ** 2
    error = np.abs(_by_library(layer, weight, flow) - wanted)
    assert (error <= size * ROUNDOFF * (terms + 2)).all()

    maps = case.maps.permute(0, 2, 3, 1).contiguous().numpy()
    found = weight_gradient(layer, maps, flow).numpy().astype(np.float64)
    for channel in {0, layer.n_out - 1}:
        for sign in (1, -1):
            # One output channel: the transposed layer, in float64 by NumPy.
            part = np.maximum(sign * flow[..., channel].astype(np.float64), 0)
            exact = _correlate(case, part)
            if sign == 1:
                positive = exact
        truth, bound = positive - exact, positive + exact
        scale = 2.0**-layer.fa_in
        limit = bound * scale * ROUNDOFF * (count * layer.pixels + 3)
        assert (np.abs(found[channel] - truth * scale) <= limit).all()


def _correlate(case: LayerCase, flow: np.ndarray) -> np.ndarray:
    """Σ flow · a of one output channel (N, OH, OW), by weight, in (c, y, x) order."""
    layer, maps = case.layer, case.maps.numpy().astype(np.float64)
    if layer.kind == "fc":
        return np.einsum("n,nj->j", flow[:, 0, 0], maps.reshape(len(maps), -1))
    k, s, p = layer.kernel, layer.stride, layer.padding
    _, out_h, out_w = layer.out_shape
    padded = np.pad(maps, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((layer.in_shape[0], k, k))
    for dy in range(k):
        for dx in range(k):
            seen = padded[:, :, dy : dy + s * out_h : s, dx : dx + s * out_w : s]
            out[:, dy, dx] = np.einsum("nhw,nchw->c", flow, seen[:, :, :out_h, :out_w])
    return out.reshape(-1)
