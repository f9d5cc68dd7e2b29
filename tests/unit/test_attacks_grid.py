from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.attacks.core.budget import effective
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import LSB_TOLERANCE, CodeGrid, Continuous, Grid
from hwsim.engine.pixels import _to_grid, _to_grid_double

bits = st.integers(1, 16)
pixel = st.floats(0.0, 1.0, width=32)


@given(bits, st.lists(pixel, min_size=1, max_size=20))
def test_snap_is_floor_of_x_levels_plus_a_half_in_exact_arithmetic(width, pixels):
    grid = Grid.of_bits(width)
    expected = [math.floor(Fraction(p) * grid.levels + Fraction(1, 2)) for p in pixels]
    assert grid.lsb(torch.tensor(pixels)).tolist() == expected
    nearest = (np.array(expected, np.float32) / np.float32(grid.levels)).tolist()
    assert grid.snap(torch.tensor(pixels)).tolist() == nearest


@pytest.mark.parametrize("width", [1, 4, 6, 8, 16])
def test_every_level_survives_a_round_trip_through_float32(width):
    grid = Grid.of_bits(width)
    level = torch.arange(grid.levels + 1)
    x = level.to(torch.float32) / grid.levels
    assert torch.equal(grid.lsb(x), level.to(torch.int32))
    assert torch.equal(grid.snap(x), x)


@given(st.integers(4, 16), st.data())
@settings(deadline=None)
def test_moved_and_clipped_images_are_on_the_grid_and_within_epsilon(width, data):
    grid = Grid.of_bits(width)
    epsilon = data.draw(st.floats(1 / grid.levels, 1.0))
    x = grid.snap(torch.tensor(data.draw(st.lists(pixel, min_size=1, max_size=20))))
    sign = torch.tensor(data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=len(x))))
    sign = sign[: len(x)].to(torch.int8)
    adversarial = grid.move(x, sign, epsilon).clamp(0.0, 1.0)
    assert torch.equal(grid.snap(adversarial), adversarial)
    difference = grid.lsb(adversarial) - grid.lsb(x)
    assert int(difference.abs().max()) <= grid.step(epsilon)
    assert torch.equal(difference == 0, (sign == 0) | (adversarial == x))
    inside = (adversarial > 0) & (adversarial < 1)
    assert torch.equal(difference[inside], (sign * 1)[inside].int() * grid.step(epsilon))


@pytest.mark.parametrize(
    ("epsilon", "levels", "step"),
    [
        (0.1, 255, 25),
        (0.2, 255, 51),
        (0.3, 255, 76),
        (8 / 255, 255, 8),
        (float(np.float32(0.2)), 255, 51),
        (float(np.float32(7 / 255)), 255, 7),
        (0.1, 15, 1),
        (0.6, 15, 9),
        (1.0, 15, 15),
        (1 / 63, 63, 1),
        (0.29, 100, 29),  # 0.29 * 100 is 28.999999999999996
    ],
)
def test_step_means_the_number_that_was_written(epsilon, levels, step):
    assert Grid(levels).step(epsilon) == step
    assert Grid(levels).effective(epsilon) == step / levels


@pytest.mark.parametrize("levels", [15, 31, 63, 100, 127, 255, 1023])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_every_multiple_of_an_lsb_is_its_own_step(levels, precision):
    epsilon = [float(precision(k / levels)) for k in range(1, levels + 1)]
    assert [Grid(levels).step(e) for e in epsilon] == list(range(1, levels + 1))


@given(st.integers(1, 16), st.floats(0.0, 1.0))
def test_effective_epsilon_never_exceeds_epsilon_by_more_than_the_tolerance(width, epsilon):
    grid = Grid.of_bits(width)
    exact = Fraction(epsilon) * grid.levels
    if exact < 1 - Fraction(LSB_TOLERANCE):
        with pytest.raises(AttackError, match="below one step"):
            grid.step(epsilon)
    else:
        assert exact - 1 < grid.step(epsilon) <= exact + Fraction(2 * LSB_TOLERANCE)


@pytest.mark.parametrize("epsilon", [-0.1, 1.01, math.nan, math.inf, "0.1", True, None])
@pytest.mark.parametrize("space", [Grid(255), Continuous()])
def test_an_epsilon_that_is_no_number_between_0_and_1_is_refused(space, epsilon):
    with pytest.raises(AttackError, match="epsilon must"):
        space.effective(epsilon)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_budget_below_one_lsb_is_refused_in_every_norm_of_distances(norm):
    """No image of the grid is so near: 0% of them would be said to be fooled."""
    for space in (Grid(255), CodeGrid(255, Fraction(1, 2))):
        lsb = space.span / 255
        with pytest.raises(AttackError, match="below one step"):
            effective(norm, space, 0.9 * lsb)
        assert effective(norm, space, lsb) == pytest.approx(lsb)
    assert effective(norm, Continuous(), 1e-6) == 1e-6


def test_an_epsilon_below_one_lsb_is_refused_with_the_size_of_the_lsb():
    with pytest.raises(AttackError, match=r"0\.05 is below one step .* 1/15 = 0\.06667"):
        Grid(15).step(0.05)
    with pytest.raises(AttackError, match="perturbs nothing"):
        Continuous().effective(0)


@pytest.mark.parametrize("levels", [0, 65536, 2.5])
def test_impossible_grids_are_refused(levels):
    with pytest.raises(AttackError, match="levels"):
        Grid(levels)


@pytest.mark.parametrize("width", range(4, 17))
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_pixels_at_and_beside_a_tie_fall_where_fractions_put_them(width, precision):
    levels = (1 << width) - 1
    chosen = np.unique(np.linspace(0, levels - 1, 400).astype(int))
    tie = ((chosen + 0.5) / levels).astype(precision)
    zero, one = precision(0), precision(1)
    pixels = np.concatenate([tie, np.nextafter(tie, zero), np.nextafter(tie, one)])
    tiny = np.array([np.nextafter(zero, one), 0, 1, np.nextafter(one, zero)], precision)
    pixels = np.concatenate([pixels, tiny])
    expected = [math.floor(Fraction(float(p)) * levels + Fraction(1, 2)) for p in pixels]
    assert Grid(levels).lsb(torch.from_numpy(pixels)).tolist() == expected
    on_grid = np.empty((1, 1, len(pixels), 1), np.int32)
    convert = _to_grid_double if precision is np.float64 else _to_grid
    convert(pixels.reshape(1, 1, 1, -1), levels, on_grid)
    assert on_grid.reshape(-1).tolist() == expected


@pytest.mark.parametrize("width", range(4, 17))
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_a_whole_number_of_lsb_survives_its_precision_at_every_width(width, precision):
    grid = Grid.of_bits(width)
    steps = np.unique(np.linspace(1, grid.levels, 2000).astype(int)).tolist()
    assert [grid.step(float(precision(k / grid.levels))) for k in steps] == steps


@pytest.mark.parametrize("width", [13, 14, 15, 16])
def test_an_epsilon_between_two_steps_is_cut_to_the_lower(width):
    grid = Grid.of_bits(width)
    for k in range(1, grid.levels, 97):
        assert grid.step((k + 0.99) / grid.levels) == k
