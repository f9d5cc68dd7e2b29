"""The bound that gradients are compared within: sums that cancel pass, and nothing wrong does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from hwsim.engine import reference
from hwsim.engine.backward import Backward
from hwsim.engine.forward import Datapath
from hwsim.engine.input_gradient import InputGradient
from hwsim.engine.pulls import Pull, layer_factors, pull_of
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import MacLayer, PoolLayer, Window
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.units import post as post_unit
from tests.gradients import assert_oracles, computed, exact
from tests.property.networks import Case, cases
from tests.rounding import assert_within, gamma, roundings, stays_normal, worst_share

# --- sums that cancel ---------------------------------------------------------------------------


def cancelling() -> Program:
    """One pixel -> two hidden channels -> one logit, whose two paths nearly cancel.

    The gradient is 2^-8 · 255 · (32767 · 32765 − 32766 · 32766) · 2^-s: terms of a billion, and a
    sum of −1, which float32 cannot see: both terms need 30 bits, and 24 are kept.
    """
    config = load_config("tiny").replace(act_w=8, wgt_w=16, mult_w=16, acc_w=32)
    dense = HashSpec("dense", 2, 1, 2)
    none = np.zeros(1, np.int32)
    hidden = MacLayer(
        "hidden", "fc", (1, 1, 1), (2, 1, 1), None, dense, np.array([32767, 32766], np.int32),
        np.array([32765, 32766], np.int32), np.array([30, 30], np.int32),
        np.array([1 << 29, 1 << 29], np.int64), last=False, weight_scale=np.array([2.0**-15]),
        scale=2.0**-8, hi=255,
    )  # fmt: skip
    last = MacLayer(
        "last", "fc", (2, 1, 1), (1, 1, 1), None, HashSpec("dense", 1, 2, 2),
        np.array([32767, -32767], np.int32), none, none, np.zeros(1, np.int64), last=True,
        weight_scale=np.ones(1), scale=2.0**-8, hi=255,
    )  # fmt: skip
    program = Program.chain(config, (hidden, last), (1, 1, 1))
    check(program)
    return program


IMAGE, ONE = np.full((1, 1, 1, 1), 200), np.ones((1, 1), np.float32)


def test_a_sum_that_cancels_is_judged_by_its_terms() -> None:
    program = cancelling()
    found = computed(program, IMAGE, ONE)
    truth, size = exact(program, IMAGE, ONE)
    assert 0 < abs(truth.item()) < size.item() / 10**8
    error = abs(found.item() - float(truth.item()))
    assert error > 1e-2 * abs(float(truth.item())), "no share of the result would be met"
    assert_oracles(found, program, IMAGE, ONE)


def test_a_sum_that_cancels_is_not_forgiven_a_lost_term() -> None:
    program = cancelling()
    truth, size = exact(program, IMAGE, ONE)
    with pytest.raises(AssertionError, match="roundings of the terms"):
        assert_oracles(np.float32(truth + size / 2), program, IMAGE, ONE)


def test_the_bound_is_a_thousandth_of_a_percent_where_a_term_is_everything() -> None:
    assert 3 * 2**-24 < gamma(3) < 3.000001 * 2**-24
    program = cancelling()
    assert roundings(program) == 1 + (1 + 2) + 1


def test_nothing_but_zero_is_right_where_no_path_is_open() -> None:
    closed = np.zeros((1, 1, 1, 1), np.int64)
    program = cancelling()
    truth, size = exact(program, closed, ONE)
    assert not truth.any()
    assert not size.any()
    least = np.full((1, 1, 1, 1), np.float32(2.0**-149))
    assert worst_share(least, truth, size, 5) == float("inf")
    assert worst_share(np.zeros_like(least), truth, size, 5) == 0
    assert worst_share(np.full_like(least, np.nan), truth, size, 5) == float("inf")


def test_the_size_of_the_terms_is_the_gradient_of_a_network_without_signs() -> None:
    """By hand: paths 2·3 and −5·7 to one pixel, and nothing else."""
    program = cancelling()
    hidden, last = program.mac_layers
    program = program.replace(layers=(
        dataclasses.replace(hidden, weights=np.array([2, -5], np.int32) * 4096,
                            multiplier=np.array([1, -1], np.int32), shift=np.array([12, 12]),
                            bias=np.array([2048, 2048], np.int64)),
        dataclasses.replace(last, weights=np.array([3, -7], np.int32)),
    ))  # fmt: skip
    image = np.full((1, 1, 1, 1), 10)
    truth, size = exact(program, image, -ONE)
    unit = 255 * 2.0**-program.logit_frac
    assert float(truth.item()) == -(2 * 3 - 5 * 7) * unit
    assert float(size.item()) == (2 * 3 + 5 * 7) * unit


# --- mutants ------------------------------------------------------------------------------------


@dataclasses.dataclass
class Run:
    """One forward pass and the backward pass to come, for a mutant to spoil."""

    case: Case
    backward: Backward
    states: list[Any]

    @property
    def stages(self) -> list[tuple[int, Any]]:
        return list(enumerate(self.backward.datapath.stages))


def saturated_passes(run: Run) -> None:
    run.backward.mask &= ~post_unit.UNSATURATED


def negative_passes(run: Run) -> None:
    run.backward.mask &= ~post_unit.POSITIVE


def shift_off_by_one(run: Run) -> None:
    """In one channel of the first hidden layer."""
    program = run.case.program
    for index, stage in run.stages:
        if stage.mac is not None and not stage.last:
            shift = stage.mac.shift.copy()
            shift[int(np.argmax(np.abs(stage.mac.multiplier)))] += 1
            wrong = dataclasses.replace(stage.mac, shift=shift)
            layers = [wrong if layer is stage.mac else layer for layer in program.layers]
            run.backward.pulls[index] = pull_of(program.replace(layers=tuple(layers)), stage.number)
            return


def swapped_sign(run: Run) -> None:
    """Of the largest weight of the first layer."""
    for index, stage in run.stages:
        if stage.mac is not None:
            factors = layer_factors(run.case.program, stage.number)[0]
            weights = stage.mac.virtual_weights.copy()
            largest = np.abs(weights * factors[:, None]).argmax()
            weights[np.unravel_index(int(largest), weights.shape)] *= -1
            wrong = dataclasses.replace(stage.mac)
            wrong.__dict__["virtual_weights"] = weights
            product = InputGradient(wrong, factors)
            run.backward.pulls[index] = lambda flow, _, p=product: (p(flow),)
            return


def dropped_pixel(run: Run) -> None:
    """The place behind the first layer that sends most back sends nothing."""
    for index, stage in run.stages:
        if stage.mac is not None:
            run.backward.pulls[index] = _without_a_pixel(run.backward.pulls[index])
            return


def _without_a_pixel(original: Pull) -> Pull:
    def pull(flow: NDArray[np.float32], state: Any) -> Any:
        flow = flow.copy()
        places = flow.reshape(len(flow), -1, flow.shape[3])
        places[:, int(np.abs(places).sum((0, 2)).argmax())] = 0
        return original(flow, state)

    return pull


def last_of_ties(run: Run) -> None:
    """Pools send to the last maximum of a window instead of the first."""
    program = run.case.program
    for n, image in enumerate(run.case.images):
        maps = reference.run(program, image).feature_maps
        for index, stage in run.stages:
            pool = stage.end
            if not isinstance(pool, PoolLayer) or any(pool.window.padding):
                continue
            # Fused, it reads what its layer wrote; else a map.
            source = (
                maps[stage.number] if stage.pool
                else _written(program, stage.sources[0].map, image, maps)
            )  # fmt: skip
            first = 0 if stage.pool else stage.sources[0].channel
            (rows, columns), (down, right) = pool.window.kernel, pool.window.stride
            for c, y, x in np.ndindex(*pool.out_shape):
                top, left = y * down, x * right
                window = source[first + c, top : top + rows, left : left + columns].ravel()
                last = rows * columns - 1 - int(np.argmax(window[::-1]))
                state = run.states[index]
                kept = int(state[n, y, x, c]) & ~post_unit.WINNER if stage.pool else 0
                state[n, y, x, c] = kept | last


def _written(
    program: Program, number: int, image: NDArray[Any], maps: Sequence[NDArray[Any]]
) -> NDArray[Any]:
    """A map as its layers wrote it, each its channels; maps: what each layer wrote."""
    if number == 0:
        return image
    whole = np.zeros(program.maps[number].shape, np.int64)
    for wire, found in zip(program.wires, maps, strict=False):
        if wire.target is not None and wire.target.map == number:
            whole[wire.target.channel :][: len(found)] = found
    return whole


#: Each with the number of the networks below that it spoils.
MUTANTS: list[Callable[[Run], None]] = [
    saturated_passes, negative_passes, shift_off_by_one, swapped_sign, dropped_pixel, last_of_ties,
]  # fmt: skip


@pytest.fixture(scope="module")
def drawn() -> list[Case]:
    """The same random networks in every run."""
    found: list[Case] = []

    @settings(max_examples=150)
    @given(cases(largest=2))
    def collect(case: Case) -> None:
        if stays_normal(case.program):
            found.append(case)

    collect()
    return found + [pooled(seed) for seed in range(10)]


def pooled(seed: int) -> Case:
    """A convolution with a max-pool behind it, whose windows are full of ties: all gates open.

    Random graphs seldom have an unpadded pool that a gradient reaches and ties at once.
    """
    noise = np.random.default_rng(seed)
    config = load_config("tiny")
    dense = HashSpec("dense", 3, 2, 6)
    conv = MacLayer(
        "conv", "conv", (2, 4, 6), (3, 4, 6), Window((1, 1)), dense,
        noise.integers(1, 9, 6).astype(np.int32), np.ones(3, np.int32), np.zeros(3, np.int32),
        np.full(3, 5, np.int64), last=False, weight_scale=np.ones(1), scale=2.0**-8, hi=255,
    )  # fmt: skip
    pool = PoolLayer("pool", (3, 4, 6), (3, 2, 3), Window.square(2, 2))
    none = np.zeros(2, np.int32)
    last = MacLayer(
        "last", "fc", (3, 2, 3), (2, 1, 1), None, HashSpec("dense", 2, 18, 36),
        (noise.integers(1, 9, 36) * noise.choice([-1, 1], 36)).astype(np.int32), none, none,
        np.zeros(2, np.int64), last=True, weight_scale=np.ones(1), scale=2.0**-8, hi=255,
    )  # fmt: skip
    program = Program.chain(config, (conv, pool, last), (2, 4, 6))
    check(program)
    return Case(program, noise.integers(1, 3, (2, 2, 4, 6)))


def _backward_of(case: Case, spoil: Callable[[Run], None] | None) -> NDArray[np.float32]:
    datapath = Datapath(case.program, frozenset(("float64",)))
    run = Run(case, Backward(datapath, "ste"), [])
    datapath.chunk(case.images.transpose(0, 2, 3, 1).astype(datapath.map_dtype), run.states)
    if spoil is not None:
        spoil(run)
    return run.backward.chunk(_seeds(case), run.states)


def _seeds(case: Case) -> NDArray[np.float32]:
    one = np.linspace(-1, 2, case.program.classes, dtype=np.float32)
    return np.tile(np.where(one == 0, np.float32(0.5), one), (len(case.images), 1))


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_wrong_backward_pass_is_caught(drawn: list[Case], mutant: Callable[[Run], None]) -> None:
    spoilt = caught = 0
    for case in drawn:
        right, wrong = _backward_of(case, None), _backward_of(case, mutant)
        if np.array_equal(right, wrong):
            continue
        spoilt += 1
        try:
            assert_oracles(wrong, case.program, case.images, _seeds(case))
        except AssertionError:
            caught += 1
    assert spoilt >= 5
    assert caught == spoilt


@pytest.mark.slow
def test_the_right_backward_pass_is_within_the_bound_on_the_same_networks(
    drawn: list[Case],
) -> None:
    shares = []
    for case in drawn:
        parts = exact(case.program, case.images, _seeds(case))
        found, count = _backward_of(case, None), roundings(case.program)
        assert_within(found, *parts, count)
        shares.append(worst_share(found, *parts, count))
    # A bound that is never nearly reached would be none.
    assert max(shares) > 0.05
