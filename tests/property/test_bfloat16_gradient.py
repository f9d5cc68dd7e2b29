"""Gradients from products of bfloat16 against the oracle's fractions: within the stated bound."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from numpy.typing import NDArray

from hwsim.engine import float_proof, input_gradient
from hwsim.engine.backward import Backward
from hwsim.engine.flows import Flow
from hwsim.engine.forward import Datapath
from hwsim.engine.pulls import Pull
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import MacLayer, Window
from hwsim.program.program import Program
from hwsim.program.proof import check
from tests.gradients import computed, exact
from tests.property.networks import EXAMPLES, Case, cases
from tests.rounding import gamma, roundings, stays_normal

#: What a convolution may lose of the sizes of its terms, as ``Engine`` states it.
STATED = 3.1 * 2.0**-8


def in_bfloat16(
    case: Case, seed: NDArray[np.float32], *, apart: bool = False
) -> NDArray[np.float32]:
    """apart: every stage reads and gives float32, whose factors each product rounds itself."""
    datapath = Datapath(case.program, frozenset(("float64",)))
    maps = case.images.transpose(0, 2, 3, 1).astype(datapath.map_dtype)
    backward = Backward(datapath, "ste-bfloat16")
    if apart:
        backward.pulls = [partial(_full, pull) for pull in backward.pulls]
    return backward.run(seed, datapath.run(maps, states=True))


def _full(pull: Pull, flow: Any, state: Any) -> list[Any]:
    assert flow.dtype == np.float32
    return [back.full() if isinstance(back, Flow) else back for back in pull(flow, state)]


def seeds(case: Case) -> NDArray[np.float32]:
    noise = np.random.default_rng(case.images.size)
    return noise.standard_normal((len(case.images), case.program.classes)).astype(np.float32)


def convolutions(program: Program) -> int:
    return sum(layer.window is not None for layer in program.mac_layers)


def bound(program: Program, size: NDArray[Any]) -> NDArray[np.float64]:
    share = (1 + STATED) ** convolutions(program) * (1 + float(gamma(roundings(program)))) - 1
    return size.astype(np.float64) * share


def shown(verdicts: dict[Any, bool]) -> list[bool]:
    return [verdict for (what, _), verdict in verdicts.items() if what.endswith("bfloat16")]


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> dict[Any, bool]:
    found: dict[Any, bool] = {}
    monkeypatch.setattr(float_proof, "_verdicts", found)
    return found


@pytest.mark.slow
def test_gradients_keep_to_the_stated_bound_and_large_ones_to_their_sign(
    verdicts: dict[Any, bool],
) -> None:
    rounded = compared = 0

    @settings(max_examples=EXAMPLES // 2 or 1)
    @given(cases(largest=2))
    def holds(case: Case) -> None:
        nonlocal rounded, compared
        if not convolutions(case.program) or not stays_normal(case.program):
            return
        seed = seeds(case)
        found = in_bfloat16(case, seed)
        # What goes between stages as bfloat16 was rounded to it, or would be next.
        assert np.array_equal(found, in_bfloat16(case, seed, apart=True))
        truth, size = exact(case.program, case.images, seed)
        allowed, exactly = bound(case.program, size), truth.astype(np.float64)
        assert (np.abs(found - exactly) <= allowed).all()
        sure = np.abs(exactly) > allowed
        assert np.array_equal(np.sign(found)[sure], np.sign(exactly)[sure])
        compared += 1
        rounded += not np.array_equal(found, computed(case.program, case.images, seed))

    holds()
    assert compared >= EXAMPLES / 10
    assert rounded or not any(shown(verdicts))


def test_products_of_bfloat16_are_not_those_of_float32(verdicts: dict[Any, bool]) -> None:
    """Random networks have few open gates and small weights: here nearly every product rounds."""
    case = convolution()
    seed = seeds(case)
    found, full = in_bfloat16(case, seed), computed(case.program, case.images, seed)
    if not all(shown(verdicts)):
        pytest.skip("this CPU's kernel was not shown to keep to bfloat16's roundings")
    truth, size = exact(case.program, case.images, seed)
    error = np.abs(found - truth.astype(np.float64))
    assert (error <= bound(case.program, size)).all()
    assert (error.max((1, 2, 3)) > bound(case.program, size).max((1, 2, 3)) / 1000).all()
    assert (found != full).mean() > 0.5


@pytest.mark.filterwarnings("error")
def test_a_kernel_that_loses_more_than_its_roundings_is_not_used(
    verdicts: dict[Any, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = input_gradient._by_library

    def cut(layer: Any, weight: torch.Tensor, flow: Any) -> Any:
        """Six bits of the result instead of eight, where factors are bfloat16."""
        found = honest(layer, weight, flow)
        if weight.dtype == torch.float32:
            return found
        mantissa, exponent = np.frexp(found)
        return np.ldexp(np.trunc(mantissa * 64) / 64, exponent).astype(np.float32)

    monkeypatch.setattr(input_gradient, "_by_library", cut)
    case = convolution()
    seed = seeds(case)
    assert np.array_equal(in_bfloat16(case, seed), computed(case.program, case.images, seed))
    assert set(shown(verdicts)) == {False}


def convolution() -> Case:
    """A 3 × 3 convolution of 16 channels and a layer behind it, gates half open."""
    noise = np.random.default_rng(0)
    config = load_config("small")
    conv = MacLayer(
        "conv", "conv", (16, 8, 8), (16, 6, 6), Window((3, 3)), HashSpec("dense", 16, 144, 2304),
        noise.integers(-90, 90, 2304).astype(np.int32), np.ones(16, np.int32),
        np.full(16, 10, np.int32), np.full(16, 1 << 17, np.int64), last=False,
        weight_scale=np.ones(1), scale=2.0**-8, hi=255,
    )  # fmt: skip
    none = np.zeros(4, np.int32)
    last = MacLayer(
        "last", "fc", (16, 6, 6), (4, 1, 1), None, HashSpec("dense", 4, 576, 2304),
        noise.integers(-90, 90, 2304).astype(np.int32), none, none, np.zeros(4, np.int64),
        last=True, weight_scale=np.ones(1), scale=2.0**-8, hi=255,
    )  # fmt: skip
    program = Program.chain(config, (conv, last), (16, 8, 8))
    check(program)
    return Case(program, noise.integers(0, 100, (3, 16, 8, 8)))
