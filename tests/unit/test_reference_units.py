"""The oracle's units against numbers worked out by hand."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hwsim.engine import reference
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import Layer, Window
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.program.wires import Input
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


def first_map(layer: Layer, image: Any, **changes: Any) -> list:
    """What a layer behind the image writes."""
    return reference.run(behind(layer, **changes), np.array(image)).feature_maps[0].tolist()


# --- convolutions -------------------------------------------------------------------------------


def test_convolution_has_two_sides_two_strides_and_four_paddings_that_read_the_fill() -> None:
    # 5 5 5 5 / 1 2 5 5 / 3 4 5 5 under 1 2 3 / 4 5 6, two rows, one column.
    window = Window((2, 3), (1, 2), (1, 0, 0, 2))
    conv = mac((1, 2, 2), [[1, 2, 3, 4, 5, 6]], window=window, post=(1, 0, 0), fill=5, act_w=8)
    assert first_map(conv, [[[1, 2], [3, 4]]]) == [[[30 + 44], [20 + 62]]]


def test_rows_and_columns_that_a_stride_leaves_over_are_not_read() -> None:
    window = Window((2, 1), (2, 4), (1, 0, 1, 0))
    # Rows 0 1 2 3 of padding, map, map, padding; columns 0 and 4 of five.
    image = [[[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]]
    conv = mac((1, 2, 5), [[1, 10]], window=window, post=(1, 0, 0), act_w=8)
    assert first_map(conv, image) == [[[10, 50], [6, 10]]]


def test_groups_see_their_own_channels_only() -> None:
    weights = [[1, 10], [2, 20], [3, 30], [4, 40]]
    conv = mac((4, 1, 1), weights, kernel=1, post=(1, 0, 0), act_w=8, groups=2)
    assert first_map(conv, column(1, 2, 3, 4)) == [[[21]], [[42]], [[129]], [[172]]]


def test_depthwise_convolution_is_a_group_for_each_channel() -> None:
    window = Window((1, 2))
    conv = mac((2, 1, 3), [[1, -1], [2, 1]], window=window, post=(1, 0, 10), act_w=8, groups=2)
    assert first_map(conv, [[[1, 2, 3]], [[4, 5, 6]]]) == [[[9, 9]], [[23, 26]]]


def test_hashed_groups_number_their_rows_over_the_whole_layer() -> None:
    spec = HashSpec("xxh32", 4, 2, 5, seed=3)
    conv = dataclasses.replace(
        mac((4, 1, 1), [[1, 1]] * 4, kernel=1, post=(1, 0, 100), act_w=8, groups=2),
        spec=spec, weights=np.array([1, 2, 4, 8, 16], np.int32),
    )  # fmt: skip

    def word(i: int, j: int) -> int:
        address, sign = reference.address_and_sign(spec, i, j)
        return sign * 2**address

    expected = [word(0, 0) + 2 * word(0, 1), word(1, 0) + 2 * word(1, 1),
                word(2, 0) * 3 + 4 * word(2, 1), word(3, 0) * 3 + 4 * word(3, 1)]  # fmt: skip
    found = first_map(conv, column(1, 2, 3, 4))
    assert [channel[0][0] - 100 for channel in found] == expected
    assert len(set(expected)) == 4


def test_a_convolution_may_be_the_last_layer() -> None:
    conv = mac((1, 2, 2), [[1, 2, 3, 4], [4, 3, 2, 1]], kernel=2, bias=-1)
    assert reference.run(net(conv), np.array([[[1, 2], [3, 4]]])).logits == [29, 19]


# --- requantization -----------------------------------------------------------------------------


@pytest.mark.parametrize(("acc", "y"), [(0, 3), (1, 3), (3, 3), (5, 5), (9, 9), (12, 9)])
def test_requantization_clamps_to_bounds_of_its_own(acc: int, y: int) -> None:
    layer = mac((1, 1, 1), [[1]], post=(1, 0, 0), lo=3, hi=9)
    assert first_map(layer, column(acc)) == [[[y]]]
    assert first_map(affine((1, 1, 1), (1, 0, 0), lo=3, hi=9), column(acc)) == [[[y]]]
    whole = Window((1, 1))
    assert first_map(average((1, 1, 1), whole, (1, 0, 0), lo=3, hi=9), column(acc)) == [[[y]]]


def test_zero_points_are_folded_into_the_bias() -> None:
    # In: (a − 4), out: + 3; twice the input. b = −4 · 2 + 3.
    layer = mac((1, 1, 1), [[2]], post=(1, 0, -5), zero=3)
    assert [first_map(layer, column(a))[0][0][0] for a in (0, 4, 6)] == [0, 3, 7]


def test_multipliers_have_up_to_31_bits() -> None:
    # 3 · (2^30 − 1) + 2^30 + 3 is 4 · 2^30.
    for bias, y in ((2**30 + 2, 3), (2**30 + 3, 4)):
        program = behind(mac((1, 1, 1), [[1]], post=(2**30 - 1, 30, bias)), mult_w=31)
        check(program)
        assert reference.run(program, column(3)).feature_maps[0].tolist() == [[[y]]]


# --- the others ---------------------------------------------------------------------------------


def test_average_is_the_scaled_sum_of_windows_inside_the_map() -> None:
    # Sums 14 and 22; a quarter, rounded: 3.5 and 5.5.
    layer = average((1, 2, 4), Window((2, 2), (1, 2)), (4, 4, 8))
    assert first_map(layer, [[[1, 2, 3, 4], [5, 6, 7, 8]]]) == [[[4, 6]]]


def test_average_drops_leftovers_and_has_the_same_words_for_all_channels() -> None:
    layer = average((2, 1, 3), Window((1, 2), (1, 2)), (1, 0, 1))
    assert first_map(layer, [[[1, 2, 9]], [[3, 4, 9]]]) == [[[4]], [[8]]]


def test_the_average_of_a_whole_map_may_be_the_last_layer() -> None:
    layer = average((2, 2, 2), Window((2, 2)), bias=-6)
    image = np.arange(1, 9).reshape(2, 2, 2)
    assert reference.run(net(layer), image).logits == [10 - 6, 26 - 6]


def test_affine_has_words_for_each_channel() -> None:
    # (2 · 5 + 1) >> 1 and −7 + 9.
    layer = affine((2, 1, 1), (2, 1, 1), (-1, 0, 9))
    assert first_map(layer, column(5, 7)) == [[[5]], [[2]]]


def test_affine_as_the_last_layer_adds_its_biases() -> None:
    layer = affine((2, 1, 1), (0, 0, -9), (0, 0, 100), last=True)
    assert reference.run(net(layer), column(5, 7)).logits == [-4, 107]


def sums(image: Any, layer: Layer, *sources: tuple[int, int]) -> list:
    """What an addition of channels of the image writes, each in a map of its own."""
    layers = (layer, total((1, 1, 1)))
    wires = (reads(*sources, to=1), reads(1))
    program = Program.graph(WIDE, layers, wires, (len(image), 1, 1))
    return reference.run(program, column(*image)).feature_maps[0].tolist()


def test_add_weighs_its_first_source_by_its_first_multiplier() -> None:
    layer = add((1, 1, 1), 2, -1, 1, 4)
    assert sums([3, 5], layer, (0, 0), (0, 1)) == [[[2]]]  # (6 − 5 + 4) >> 1
    assert sums([3, 5], layer, (0, 1), (0, 0)) == [[[5]]]  # (10 − 3 + 4) >> 1


def test_add_clamps_to_its_bounds() -> None:
    assert sums([3, 5], add((1, 1, 1), 1, 1, lo=9), (0, 0), (0, 1)) == [[[9]]]
    assert sums([3, 5], add((1, 1, 1), 1, 1, hi=7), (0, 0), (0, 1)) == [[[7]]]


def test_lut_looks_every_code_up() -> None:
    table = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 13]
    found = first_map(lut((1, 1, 4), table), [[[0, 5, 15, 2]]], act_w=4)
    assert found == [[[3, 9, 13, 4]]]


NINE = [[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ((0, 0, 1, 1), [[5, 6], [8, 9]]),  # ceil mode
        ((1, 1, 0, 0), [[1, 3], [7, 9]]),
        ((0, 1, 1, 0), [[4, 6], [7, 9]]),
        ((0, 0, 0, 0), [[5]]),
    ],
)
def test_pool_reads_inside_the_map_whatever_its_padding(
    padding: tuple[int, int, int, int], expected: list
) -> None:
    assert first_map(pool((1, 3, 3), Window((2, 2), (2, 2), padding)), NINE) == [expected]


def test_a_map_of_zeros_is_pooled_to_zeros() -> None:
    window = Window((3, 3), (1, 1), (1, 1, 1, 1))
    assert first_map(pool((1, 2, 2), window), np.zeros((1, 2, 2), int)) == [[[0, 0], [0, 0]]]


# --- input and output ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0.0, 3), (1.0, 5), (0.25, 4), (0.24, 3), (-0.25, 3), (-0.26, 2), (-1.5, 0), (-1.75, 0),
        (-1e30, 0), (6.0, 15), (6.2, 15), (1e30, 15),
    ],
)  # fmt: skip
def test_input_values_round_half_up_to_codes_and_saturate(x: float, expected: int) -> None:
    assert reference.code(x, Input((1, 1, 1), Fraction(1, 2), 3), 4) == expected


def test_input_steps_are_exact_fractions() -> None:
    # 0.1 in float64 is a little more than 1/10: one and a half steps of 1/15 are just reached.
    image = Input((1, 1, 1), Fraction(1, 15))
    assert reference.code(0.1, image, 4) == 2
    assert reference.code(Fraction(1, 10) - Fraction(1, 10**30), image, 4) == 1


def test_probabilities_take_a_step_for_a_sixteenth_where_it_is_no_power_of_two() -> None:
    layer = affine((2, 1, 1), (0, 0, 0), (0, 0, 0), last=True, scale=0.3)
    found = reference.run(net(layer), column(0, 16 - 1)).probabilities
    assert found == reference.softmax_unit([0, 15], 4)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (average((1, 1, 2), Window((1, 2)), (2**14, 0, 2**47 - 1)), "average: neuron 0: .* 48"),
        (affine((1, 1, 2), (2**14, 0, 2**47 - 1)), "affine: neuron 0: .* exceeds 48 bits"),
    ],
)
def test_oracle_stops_where_any_unit_leaves_its_word(layer: Layer, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        reference.run(behind(layer), np.array([[[1, 1]]]))


def test_oracle_stops_where_the_first_half_of_a_sum_leaves_its_word() -> None:
    # The whole sum, 2^47 − 1 + 1 − 2, would fit.
    layer = add((1, 1, 1), 1, -2, 0, 2**47 - 1)
    with pytest.raises(AssertionError, match="add: neuron 0: 140737488355328 exceeds 48 bits"):
        sums([1], layer, (0, 0), (0, 0))
