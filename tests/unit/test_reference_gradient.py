"""The oracle's gradients against slopes worked out by hand, unit by unit, and exact differences."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from hwsim.engine import reference
from hwsim.errors import InputError
from hwsim.program.layers import Layer, Window
from hwsim.program.program import Program
from hwsim.program.wires import Input, Wire
from tests.by_hand import (
    WIDE,
    add,
    affine,
    average,
    behind,
    column,
    lut,
    mac,
    net,
    pool,
    reads,
    total,
)
from tests.property.networks import EXAMPLES, Case, cases

# --- chains of convolutions, pools and fully connected layers -----------------------------------


def test_gradient_of_one_layer_is_its_decoded_weights() -> None:
    program = net(mac((2, 1, 1), [[3, -5], [1, 0]], fw=6))
    found = reference.gradient(program, column(1, 2), [1, Fraction(1, 2)])
    unit = Fraction(15, 2**10)  # 2^A − 1 levels a pixel, 2^-(fa+fw) a logit step
    assert found.shape == (2, 1, 1)
    assert found.ravel().tolist() == [Fraction(7, 2) * unit, -5 * unit]


@pytest.mark.parametrize(
    ("pixel", "post", "plain", "unclamped"),
    [
        (4, (1, 0, 0), 1, 1),
        (0, (1, 0, 0), 0, 0),  # p = 0 does not pass
        (1, (1, 2, 2), Fraction(1, 4), Fraction(1, 4)),  # p − rounding = 1 passes, though y = 0
        (0, (1, 2, 2), 0, 0),  # only the rounding term is positive
        (15, (1, 0, 1), 0, 1),  # 16 saturates
        (15, (1, 0, 0), 1, 1),  # 15 is the largest value, not saturated
        (15, (3, 1, 0), 0, Fraction(3, 2)),  # 45 >> 1 = 22 saturates
        (4, (-2, 1, 20), -1, -1),  # a negative multiplier turns the sign
        (4, (-2, 1, 1), 0, 0),
        (4, (0, 1, 9), 0, 0),
    ],
)
def test_gradient_passes_where_the_fixed_point_output_moves(
    pixel: int,
    post: tuple[int, int, int],
    plain: Fraction | int,
    unclamped: Fraction | int,
) -> None:
    program = net(mac((1, 1, 1), [[1]], post=post), mac((1, 1, 1), [[1]]))
    unit = Fraction(15, 16)
    for flag, slope in ((False, plain), (True, unclamped)):
        found = reference.gradient(program, column(pixel), [1], unclamped=flag)
        assert found.tolist() == [[[slope * unit]]]


def test_pool_gradient_goes_to_the_first_maximum_in_row_major_order() -> None:
    image = np.array([[[2, 7], [7, 7]]])
    program = net(pool((1, 2, 2), Window.square(2, 2)), mac((1, 1, 1), [[16]]))
    assert reference.gradient(program, image, [1]).tolist() == [[[0, 15], [0, 0]]]


def test_overlapping_pool_windows_add_up_at_a_shared_maximum() -> None:
    image = np.array([[[1, 9, 1], [1, 1, 1]]])
    program = net(pool((1, 2, 3), Window.square(2, 1)), mac((1, 1, 2), [[16, 32]]))
    assert reference.gradient(program, image, [1]).tolist() == [[[0, 45, 0], [0, 0, 0]]]


def test_gradient_is_the_exact_difference_where_nothing_is_shifted_out() -> None:
    # s = 0 and 16-bit maps: logits are linear around this image, pool winners keep their lead.
    rng = np.random.default_rng(5)
    conv = mac(
        (2, 5, 4), rng.integers(-3, 4, (3, 18)).tolist(), kernel=3, padding=1, post=(-2, 0, 9000),
        act_w=16,
    )  # fmt: skip
    hidden = mac((3, 2, 2), rng.integers(0, 2, (4, 12)).tolist(), post=(1, 0, 7), act_w=16)
    last = mac((4, 1, 1), rng.integers(-9, 10, (2, 4)).tolist(), fw=3)
    program = net(conv, pool((3, 5, 4), Window.square(2, 2)), hidden, last, act_w=16)
    image = rng.permutation(np.arange(40) * 16).reshape(2, 5, 4)
    seeds = [Fraction(1), Fraction(-3, 7)]
    found = reference.gradient(program, image, seeds)
    assert any(found.ravel().tolist())
    base = reference.run(program, image).logits
    for position in np.ndindex(image.shape):
        moved = image.copy()
        moved[position] += 1
        after = reference.run(program, moved).logits
        rise = sum(s * (b - a) for s, a, b in zip(seeds, base, after, strict=True))
        assert found[position] == rise * Fraction(65535, 2**7), position


def test_gradient_refuses_seeds_of_another_number_of_classes() -> None:
    with pytest.raises(InputError, match="2 seeds for 1 classes"):
        reference.gradient(net(mac((1, 1, 1), [[1]])), column(1), [1, 2])


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(cases(largest=1))
def test_gradient_is_linear_in_its_seed(case: Case) -> None:
    program, image = case.program, case.images[0]
    n = program.classes
    first, second = [Fraction(k + 1, 3) for k in range(n)], [Fraction(-k, 5) for k in range(n)]
    total = [2 * a + b for a, b in zip(first, second, strict=True)]
    parts = [reference.gradient(program, image, seed) for seed in (first, second, total)]
    assert (2 * parts[0] + parts[1] == parts[2]).all()


# --- requantization with bounds of its own ------------------------------------------------------


def slopes(layer: Layer, image: Any, unclamped: bool = False, **changes: Any) -> list:
    """Slope of the sum of a layer's codes by each code of the image: by logits and inputs of 1."""
    program = behind(layer, **changes)
    unit = Fraction(program.logit_scale) / program.input.scale
    found = reference.gradient(program, np.array(image), [1], unclamped=unclamped)
    return (found / unit).tolist()


@pytest.mark.parametrize(
    ("code", "post", "lo", "hi", "plain", "unclamped"),
    [
        (4, (1, 0, 0), 3, 15, 1, 1),
        (3, (1, 0, 0), 3, 15, 0, 0),  # at the lower clamp nothing passes
        (4, (1, 1, 1), 1, 15, Fraction(1, 2), Fraction(1, 2)),  # 4 > 1 << 1, without rounding
        (4, (1, 1, 1), 2, 15, 0, 0),  # 4 > 2 << 1 is not
        (5, (1, 1, 1), 2, 15, Fraction(1, 2), Fraction(1, 2)),
        (6, (1, 0, 0), 3, 6, 1, 1),  # at the upper clamp it still does
        (7, (1, 0, 0), 3, 6, 0, 1),
        (2, (1, 0, 0), 3, 6, 0, 0),
        (13, (1, 1, 1), 0, 6, 0, Fraction(1, 2)),  # 14 >> 1 is 7
        (12, (1, 1, 1), 0, 6, Fraction(1, 2), Fraction(1, 2)),  # 13 >> 1 is 6
        (5, (-1, 0, 9), 3, 6, -1, -1),
        (5, (1, 0, 0), 5, 5, 0, 0),  # nothing lies between equal clamps
        (5, (1, 0, 1), 5, 5, 0, 1),
    ],
)
def test_gradient_passes_between_the_bounds_of_every_requantization(
    code: int,
    post: tuple[int, int, int],
    lo: int,
    hi: int,
    plain: Fraction | int,
    unclamped: Fraction | int,
) -> None:
    one = (1, 1, 1)
    layers = (
        mac(one, [[1]], post=post, lo=lo, hi=hi),
        mac(one, [[1]], kernel=1, post=post, lo=lo, hi=hi),
        affine(one, post, lo=lo, hi=hi),
        average(one, Window((1, 1)), post, lo=lo, hi=hi),
    )
    for layer in layers:
        assert slopes(layer, column(code)) == [[[plain]]]
        assert slopes(layer, column(code), unclamped=True) == [[[unclamped]]]
    m, s, b = post
    twice = chain_of_sums(add(one, m, 0, s, b, lo=lo, hi=hi))
    assert code_slopes(twice, column(code)) == [plain]
    assert code_slopes(twice, column(code), unclamped=True) == [unclamped]


def chain_of_sums(layer: Layer) -> Program:
    """An addition of the image to itself."""
    wires = (reads(0, 0, to=1), reads(1))
    return Program.graph(WIDE, (layer, total(layer.out_shape)), wires, layer.in_shape)


def code_slopes(program: Program, image: Any, unclamped: bool = False) -> list:
    """Slope of the one logit by each code of the image, in the order of its channels."""
    unit = Fraction(program.logit_scale) / program.input.scale
    found = reference.gradient(program, np.array(image), [1], unclamped=unclamped)
    return (found / unit).ravel().tolist()


def test_a_layer_without_an_activation_passes_nothing_where_it_saturates_at_either_end() -> None:
    # Zero point 8: codes below 8 are negative values, and pass.
    layer = mac((1, 1, 3), [[2]], kernel=1, post=(1, 0, -8), zero=8)
    assert slopes(layer, [[[3, 4, 5]]], act_w=4) == [[[0, 0, 2]]]
    assert slopes(layer, [[[11, 12, 15]]], act_w=4) == [[[2, 0, 0]]]


# --- the other units ----------------------------------------------------------------------------


def test_convolution_hands_nothing_to_its_padding() -> None:
    window = Window((1, 3), (1, 1), (0, 1, 0, 1))
    conv = mac((1, 1, 2), [[1, 10, 100]], window=window, post=(1, 0, 0), fill=7, hi=10**4)
    # Outputs: 1·fill + 10 a + 100 b and a + 10 b + 100·fill.
    assert slopes(conv, [[[1, 1]]], act_w=16) == [[[11, 110]]]


def test_groups_hand_back_to_their_own_channels() -> None:
    conv = mac((4, 1, 1), [[1, 10], [2, 20], [3, 30], [4, 40]], kernel=1, post=(1, 0, 0), groups=2,
               act_w=8)  # fmt: skip
    assert slopes(conv, column(1, 1, 1, 1)) == [[[3]], [[30]], [[7]], [[70]]]


def test_average_spreads_its_slope_over_the_window() -> None:
    # Windows 1 2 and 2 3 overlap; 4 is left over. m · 2^-s = 3/4.
    layer = average((1, 1, 4), Window((1, 2)), (3, 2, 2))
    assert slopes(layer, [[[1, 2, 3, 4]]]) == [
        [[Fraction(3, 4), Fraction(3, 2), Fraction(3, 2), Fraction(3, 4)]]
    ]
    last = average((1, 1, 3), Window((1, 3)))
    assert code_slopes(net(last), [[[0, 1, 2]]]) == [1, 1, 1]


def test_affine_has_the_slope_of_its_channel() -> None:
    layer = affine((2, 1, 1), (3, 1, 1), (-1, 0, 9))
    assert slopes(layer, column(5, 7)) == [[[Fraction(3, 2)]], [[-1]]]
    last = affine((2, 1, 1), (0, 0, 5), (0, 0, 5), last=True)
    unit = Fraction(15, 16)
    assert reference.gradient(net(last), column(1, 2), [3, -2]).ravel().tolist() == [
        3 * unit, -2 * unit
    ]  # fmt: skip


def test_add_hands_each_source_its_own_multiplier() -> None:
    layer = add((1, 1, 1), 3, -1, 1, 1)
    wires = (reads((0, 1), (0, 0), to=1), reads(1))
    program = Program.graph(WIDE, (layer, total((1, 1, 1))), wires, (2, 1, 1))
    assert code_slopes(program, column(1, 5)) == [Fraction(-1, 2), Fraction(3, 2)]
    assert code_slopes(chain_of_sums(layer), column(5)) == [1]  # both to the same code


def test_lut_has_the_slope_of_its_neighbours_in_the_table() -> None:
    table = [1, 3, 4, 4, 4, 9, 2, 2, 2, 2, 2, 2, 2, 2, 8, 15]
    image = [[[0, 1, 3, 4, 5, 6, 14, 15]]]
    expected = [2, Fraction(3, 2), 0, Fraction(5, 2), -1, Fraction(-7, 2), Fraction(13, 2), 7]
    assert slopes(lut((1, 1, 8), table), image, act_w=4) == [[expected]]


def test_padded_pools_hand_to_the_first_maximum_inside_the_map() -> None:
    window = Window((2, 2), (1, 1), (1, 1, 1, 1))
    # Nine windows over 0 0 / 0 0: the first place of each inside the map.
    assert slopes(pool((1, 2, 2), window), [[[0, 0], [0, 0]]]) == [[[4, 2], [2, 1]]]


# --- graphs -------------------------------------------------------------------------------------


def graph(layers: tuple[Layer, ...], wires: tuple[Wire, ...], image: Input) -> Program:
    return Program.graph(WIDE, layers, wires, image)


def test_every_reader_of_a_map_adds_its_part() -> None:
    # y = 2x; z = 3y + 1; z + 5y, and 7 · (y) once more.
    one = (1, 1, 1)
    layers = (affine(one, (2, 0, 0)), affine(one, (3, 0, 1)), add(one, 1, 5), add(one, 1, 7),
              total(one))  # fmt: skip
    wires = (reads(0, to=1), reads(1, to=2), reads(2, 1, to=3), reads(3, 1, to=4), reads(4))
    program = graph(layers, wires, Input(one, Fraction(1, 255)))
    assert code_slopes(program, column(1)) == [2 * (3 + 5 + 7)]


def test_concatenations_and_slices_hand_each_channel_its_own() -> None:
    two = (2, 1, 1)
    layers = (affine(two, (1, 0, 0), (10, 0, 0)), affine(two, (3, 0, 0), (30, 0, 0)),
              mac(two, [[1, 2]], kernel=1, post=(1, 0, 0), act_w=8),
              mac((4, 1, 1), [[1, 1, 1, 1]], kernel=1, post=(1, 0, 0), act_w=8),
              add((1, 1, 1), 1, 1), total((1, 1, 1)))  # fmt: skip
    wires = (reads(0, to=(1, 0)), reads(0, to=(1, 2)), reads((1, 1), to=2), reads(1, to=3),
             reads(2, 3, to=4), reads(4))  # fmt: skip
    # The slice is 10 x₁ and 3 x₀: 1 · 10 x₁ + 2 · 3 x₀, beside the sum of all four.
    program = graph(layers, wires, Input(two, Fraction(1, 255)))
    assert code_slopes(program, column(1, 1)) == [1 + 3 + 6, 10 + 30 + 10]


def test_gradient_is_by_the_values_of_the_input_whatever_its_step_and_zero() -> None:
    one = (1, 1, 1)
    program = graph((affine(one, (3, 0, 0)), total(one)), (reads(0, to=1), reads(1)),
                    Input(one, Fraction(3, 7), 200))  # fmt: skip
    # A logit is worth 2^-4 of its integer, a value of 1 is 7/3 of a code.
    assert reference.gradient(program, column(5), [1]).tolist() == [[[3 * Fraction(7, 48)]]]


def test_the_size_of_a_gradient_adds_what_cancels() -> None:
    one = (1, 1, 1)
    program = chain_of_sums(add(one, 5, -3))
    gradient, size = reference.gradient_and_size(program, column(1), [-1])
    unit = Fraction(255, 16)
    assert (gradient.item(), size.item()) == (-2 * unit, 8 * unit)
    falling = net(lut(one, range(15, -1, -1)), total(one))
    gradient, size = reference.gradient_and_size(falling, column(4), [1])
    assert (gradient.item(), size.item()) == (-Fraction(15, 16), Fraction(15, 16))
