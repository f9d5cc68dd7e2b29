"""The fast path and the oracle agree on random networks: logits, feature maps, gradients."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hwsim.engine import reference
from hwsim.engine.forward import Datapath
from hwsim.engine.module import Engine
from hwsim.engine.tape import Chunk, Maps
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import MacLayer, binary_point
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.units.softmax import probabilities
from tests.gradients import assert_oracles, computed
from tests.property.networks import Case, cases
from tests.rounding import stays_normal

EXAMPLES = int(os.environ.get("HWSIM_EXAMPLES", "500"))


def property_test(share: float) -> settings:
    """Settings for ``share`` of the examples."""
    count = max(1, int(EXAMPLES * share))
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


KERNELS = [("int8", "float32", "float64"), ("float32", "float64"), ("float64",)]


@property_test(1)
@given(case=cases())
def test_every_kernel_equals_the_oracle(case: Case) -> None:
    traces = [reference.run(case.program, image) for image in case.images]
    for kernels in KERNELS:
        datapath = Datapath(case.program, frozenset(kernels))
        maps = case.images.transpose(0, 2, 3, 1).astype(datapath.map_dtype)
        kept: Maps = {}
        logits = datapath.chunk(maps, None, kept)
        seen = Chunk(slice(None), logits, [], kept)
        # Recording the gates for a backward pass must not change the answer.
        np.testing.assert_array_equal(datapath.chunk(maps, []), logits)
        point = binary_point(case.program.logit_scale)
        fixed = None if point is None else probabilities(logits, point)
        for n, trace in enumerate(traces):
            assert logits[n].tolist() == list(trace.logits)
            assert int(np.argmax(logits[n])) == trace.argmax
            if fixed is not None:
                assert fixed[n].tolist() == list(trace.probabilities)
            for stage in datapath.stages[:-1]:
                expected = trace.feature_maps[stage.number + (stage.pool is not None)]
                found = seen.output(stage)[n].transpose(2, 0, 1)
                np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@property_test(0.5)
@given(case=cases(), data=st.data())
def test_gradients_equal_the_oracle(case: Case, data: st.DataObject) -> None:
    assume(stays_normal(case.program))
    unclamped = data.draw(st.booleans())
    weights = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0])
    size = case.program.classes
    drawn = [data.draw(st.lists(weights, min_size=size, max_size=size)) for _ in case.images]
    seed = np.array(drawn, np.float32)
    found = computed(case.program, case.images, seed, unclamped)
    assert_oracles(found, case.program, case.images, seed, unclamped)


@property_test(0.2)
@given(case=cases())
def test_the_module_returns_exact_logits(case: Case) -> None:
    engine = Engine(case.program)
    x = torch.from_numpy(case.pixels())
    integers = engine.integer_logits(x).numpy()
    for n, image in enumerate(case.images):
        assert integers[n].tolist() == list(reference.run(case.program, image).logits)
    logits = engine(x)
    assert logits.dtype == torch.float32
    np.testing.assert_array_equal(logits.argmax(1).numpy(), integers.argmax(1))


@st.composite
def views(draw: Any, pixels: np.ndarray) -> torch.Tensor:
    """The same images (N, C, H, W) through a tensor of any strides over a NumPy array.

    Steps over values that are no pixels, swapped axes, axes of stride 0 and memory read backwards.
    """
    values = pixels.astype(draw(st.sampled_from([np.float32, np.float64])))
    order = draw(st.permutations(range(4)))
    values = np.ascontiguousarray(values.transpose(order))
    gaps = draw(st.lists(st.integers(1, 3), min_size=4, max_size=4))
    before = draw(st.lists(st.integers(0, 2), min_size=4, max_size=4))
    shape = [b + n * gap for b, n, gap in zip(before, values.shape, gaps, strict=True)]
    wide = np.full(shape, np.nan, values.dtype)
    inner = tuple(slice(b, None, gap) for b, gap in zip(before, gaps, strict=True))
    wide[inner] = values
    view = torch.from_numpy(wide)[inner].permute(*np.argsort(order).tolist())
    turned = draw(st.lists(st.integers(0, 3), unique=True))
    # torch has no negative strides: flipped once and stored so, then flipped back by index.
    for axis in turned:
        view = view.flip(axis).index_select(axis, torch.arange(view.shape[axis]).flip(0))
    if draw(st.booleans()) and len(pixels) == 1:
        view = view[0].expand(3, -1, -1, -1)
    return view


@property_test(0.2)
@given(case=cases(), data=st.data())
def test_a_view_of_any_strides_is_answered_as_its_contiguous_copy(
    case: Case, data: st.DataObject
) -> None:
    assume(stays_normal(case.program))
    engine = Engine(case.program)
    view = data.draw(views(case.pixels()))
    plain = torch.from_numpy(view.numpy().copy(order="C"))
    before = view.clone()
    assert torch.equal(engine.integer_logits(view), engine.integer_logits(plain))
    for mine, theirs in zip(engine.feature_maps(view), engine.feature_maps(plain), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    answers = []
    for images in (view.detach(), plain):
        x = images.requires_grad_()
        logits = engine(x)
        (slope,) = torch.autograd.grad(logits[:, 0].sum(), x)
        answers.append((logits.detach(), slope))
    assert torch.equal(answers[0][0], answers[1][0])
    assert torch.equal(answers[0][1], answers[1][1])
    assert torch.equal(view.detach(), before)


def test_a_slope_below_float32_is_met_by_a_weight_above_it() -> None:
    """Found by hypothesis: at fw = −64 the slope alone is 2^-150, but ∂y/∂x is 2^-86."""
    none = np.zeros(1, np.int32)
    dense = HashSpec("dense", 1, 1, 1)
    one = np.ones(1, np.int32)
    rounding = np.array([1 << 38], np.int64)
    layers = (
        MacLayer("fc0", "fc", (1, 1, 1), (1, 1, 1), None, dense, one,
                 one, np.array([39], np.int32), rounding, last=False,
                 weight_scale=np.array([2.0**64]), scale=2.0**-55, hi=255),
        MacLayer("fc1", "fc", (1, 1, 1), (1, 1, 1), None, dense, one,
                 none, none, np.zeros(1, np.int64), last=True, weight_scale=np.ones(1),
                 scale=2.0**-55, hi=255),
    )  # fmt: skip
    program = Program.chain(load_config("tiny"), layers, (1, 1, 1))
    check(program)
    image, seed = np.full((1, 1, 1, 1), 255), np.ones((1, 1), np.float32)
    found = computed(program, image, seed)
    assert found.item() > 0
    assert_oracles(found, program, image, seed)
