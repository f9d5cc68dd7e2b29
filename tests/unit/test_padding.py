"""SKIP_PAD: floors from the worst case or from quantiles, and what an observer then sees."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.cost.padding import Padding
from hwsim.errors import InputError

WORST = np.array([40, 7, 90])


@pytest.fixture
def cycles() -> np.ndarray:
    return np.random.default_rng(0).integers(1, WORST + 1, (200, 3))


@pytest.mark.parametrize("text", ["none", "worst", "q0", "q50", "q99.5", "q100"])
def test_a_name_is_what_is_read(text: str) -> None:
    assert Padding.of(text).name == text


@pytest.mark.parametrize(
    "text", ["", "q", "q101", "q100.1", "q-1", "95", "Q95", "q95%", "worst ", "qnan", "q１"]
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"unknown pad .* choose none, worst, or q0"):
        Padding.of(text)


def test_scopes_and_quantiles_are_checked() -> None:
    with pytest.raises(InputError, match="layers or total"):
        Padding.of("q5", "all")
    with pytest.raises(InputError, match=r"lies in 0 … 1"):
        Padding(1.5)
    with pytest.raises(InputError, match=r"lies in 0 … 1"):
        Padding(0.5, worst=True)


def test_without_padding_everything_is_seen(cycles: np.ndarray) -> None:
    pad = Padding.of("none")
    layers, total = pad.apply(cycles, pad.floors(cycles, WORST))
    assert np.array_equal(layers, cycles)
    assert np.array_equal(total, cycles.sum(1))


def test_a_layer_waits_for_its_floor_and_no_longer(cycles: np.ndarray) -> None:
    layers, total = Padding.of("q50").apply(cycles, np.array([10, 5, 50]))
    for image, row in zip(cycles, layers, strict=True):
        assert [max(a, b) for a, b in zip(image, (10, 5, 50), strict=True)] == row.tolist()
    assert np.array_equal(total, layers.sum(1))


def test_a_floor_of_the_whole_hides_no_layer(cycles: np.ndarray) -> None:
    pad = Padding.of("worst", "total")
    layers, total = pad.apply(cycles, pad.floors(cycles, WORST))
    assert np.array_equal(layers, cycles)
    assert set(total.tolist()) == {int(WORST.sum())}


def test_the_worst_case_makes_every_layer_constant(cycles: np.ndarray) -> None:
    pad = Padding.of("worst")
    layers, total = pad.apply(cycles, pad.floors(cycles, WORST))
    assert (layers == WORST).all()
    assert (total == WORST.sum()).all()


@pytest.mark.parametrize("percent", [0, 5, 50, 90, 95, 99, 100])
@pytest.mark.parametrize("scope", ["layers", "total"])
def test_a_quantile_is_the_least_floor_that_so_many_images_keep_to(
    cycles: np.ndarray, percent: int, scope: str
) -> None:
    seen = cycles if scope == "layers" else cycles.sum(1, keepdims=True)
    floors = Padding.of(f"q{percent}", scope).floors(cycles, WORST)
    for column, floor in zip(seen.T, floors, strict=True):
        assert floor in column
        assert 100 * (column <= floor).mean() >= percent
        assert 100 * (column < floor).mean() < max(percent, 1e-9)


def test_more_padding_costs_more(cycles: np.ndarray) -> None:
    costs = []
    for text in ("none", "q0", "q50", "q90", "q100", "worst"):
        pad = Padding.of(text)
        costs.append(pad.apply(cycles, pad.floors(cycles, WORST))[1].mean())
    assert costs == sorted(costs)
    assert costs[0] < costs[-1] == WORST.sum()


def test_a_quantile_of_no_images_is_refused() -> None:
    with pytest.raises(InputError, match="pad q90: a quantile needs calibration images"):
        Padding.of("q90").floors(np.zeros((0, 3), np.int64), WORST)
    assert Padding.of("worst").floors(np.zeros((0, 3), np.int64), WORST).tolist() == WORST.tolist()
