"""Geometry that the engine can run, and one line for each that it cannot."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import CompileError
from hwsim.program.geometry import check_geometry
from hwsim.program.layers import Layer, Window
from tests.by_hand import TINY, affine, average, mac, pool, total


def refusal(layer: Layer) -> str:
    with pytest.raises(CompileError) as caught:
        check_geometry(TINY, layer)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def conv(shape: tuple, window: Window, outputs: int = 1, groups: int = 1) -> Layer:
    fan_in = shape[0] // groups * window.size
    return mac(shape, [[1] * fan_in] * outputs, window=window, post=(1, 0, 0), groups=groups)


# --- windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "window",
    [
        Window((1, 11), (1, 4), (0, 10, 0, 10)),
        Window((11, 1), (4, 1), (10, 0, 10, 0)),
        Window((2, 3), (3, 2), (1, 0, 0, 2)),
    ],
)
def test_convolutions_and_pools_up_to_their_limits_are_accepted(window: Window) -> None:
    check_geometry(TINY, conv((1, 4, 5), window))
    check_geometry(TINY, pool((1, 4, 5), window))


def test_averages_up_to_their_limits_are_accepted() -> None:
    window = Window((15, 15), (15, 15))
    check_geometry(TINY, average((2, 20, 15), window, (1, 0, 0)))
    check_geometry(TINY, pool((2, 40, 30), Window((11, 2), (15, 15), (10, 1, 0, 0))))


@pytest.mark.parametrize(
    "changes",
    [
        dict(kernel=(12, 1)), dict(kernel=(1, 12)), dict(kernel=(0, 1)), dict(kernel=(1, -1)),
        dict(stride=(5, 1)), dict(stride=(1, 5)), dict(stride=(0, 1)), dict(stride=(1, 0)),
        dict(padding=(3, 0, 0, 0)), dict(padding=(0, 3, 0, 0)), dict(padding=(0, 0, 3, 0)),
        dict(padding=(0, 0, 0, 3)), dict(padding=(-1, 0, 0, 0)), dict(padding=(0, 0, 0, -1)),
    ],
)  # fmt: skip
def test_a_convolution_beyond_the_limits_is_refused(changes: dict[str, Any]) -> None:
    window = dataclasses.replace(Window((3, 3)), **changes)
    layer = dataclasses.replace(conv((1, 20, 20), Window((3, 3))), window=window)
    assert "conv: kernels of 1 to 11 and strides of 1 to 4 a side, padding below" in refusal(layer)


@pytest.mark.parametrize(
    "changes",
    [dict(kernel=(12, 1)), dict(kernel=(0, 1)), dict(stride=(16, 1)), dict(stride=(1, 0)),
     dict(padding=(0, 0, 3, 0)), dict(padding=(0, -1, 0, 0))],
)  # fmt: skip
def test_a_pool_beyond_the_limits_is_refused(changes: dict[str, Any]) -> None:
    window = dataclasses.replace(Window((3, 3)), **changes)
    layer = dataclasses.replace(pool((1, 20, 20), Window((3, 3))), window=window)
    assert "pool: kernels of 1 to 11 and strides of 1 to 15 a side, padding" in refusal(layer)


@pytest.mark.parametrize(
    "changes",
    [dict(kernel=(16, 1)), dict(kernel=(0, 1)), dict(stride=(16, 1)), dict(stride=(1, 0)),
     dict(padding=(1, 0, 0, 0)), dict(padding=(0, 0, 0, 1))],
)  # fmt: skip
def test_an_average_beyond_the_limits_is_refused(changes: dict[str, Any]) -> None:
    window = dataclasses.replace(Window((3, 3)), **changes)
    layer = dataclasses.replace(average((1, 20, 20), Window((3, 3)), (1, 0, 0)), window=window)
    message = refusal(layer)
    assert "average: kernels of 1 to 15 and strides of 1 to 15 a side, no padding" in message


@given(*[st.integers(1, 30)] * 3, *[st.integers(0, 29)] * 2)
def test_every_window_holds_a_pixel_of_the_map(
    side: int, kernel: int, stride: int, before: int, behind: int
) -> None:
    before, behind = min(before, kernel - 1), min(behind, kernel - 1)
    window = Window((kernel, 1), (stride, 1), (before, 0, behind, 0))
    for row in range(max(0, window.out_sides(side, 1)[0])):
        first = row * stride - before
        assert first < side
        assert first + kernel > 0


# --- shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (dict(out_shape=(1, 5, 6)), "conv: output shape (1, 5, 6), expected (1, 4, 4)"),
        (dict(out_shape=(2, 4, 4)), "conv: output shape (2, 4, 4), expected (1, 4, 4)"),
        (dict(out_shape=(1, 4)), "is not a shape"),
        (dict(out_shape=[1, 4, 4]), "is not a shape"),
        (dict(out_shape=(1.0, 4, 4)), "is not a shape"),
        (dict(out_shape=(1, 0, 4)), "the feature map (1, 0, 4) is empty"),
        (dict(out_shape=(1, -4, -4)), "is empty: use larger images"),
        (dict(out_shape=(2**70, 4, 4)), "a side beyond 65535"),
        (dict(in_shape=(2**16, 6, 6)), "a side beyond 65535"),
        (dict(in_shape=(2, 6, 6)), "fan-in 9 does not match its input (2, 6, 6)"),
        (dict(in_shape=(1, 2, 2)), "output shape (1, 4, 4), expected (1, 0, 0)"),
        (dict(window=None), "a convolution has a window, a fully connected layer none"),
        (dict(kind="fc"), "a convolution has a window, a fully connected layer none"),
        (dict(last=True), "the last layer must give a vector, not a map (1, 4, 4)"),
    ],
)
def test_shapes_that_do_not_follow_are_refused(changes: dict[str, Any], expected: str) -> None:
    layer = conv((1, 6, 6), Window((3, 3)))
    check_geometry(TINY, layer)
    assert expected in refusal(dataclasses.replace(layer, **changes))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (pool((2, 4, 4), Window((2, 2), (2, 2))), (2, 2, 1)),
        (average((2, 4, 4), Window((2, 2), (2, 2)), (1, 0, 0)), (1, 2, 2)),
        (total((2, 4, 4)), (2, 1, 1)),
        (total((2, 4, 4)), (1, 2, 1)),
    ],
)
def test_every_kind_of_layer_has_the_shape_that_follows(layer: Layer, shape: tuple) -> None:
    check_geometry(TINY, layer)
    assert "expected" in refusal(dataclasses.replace(layer, out_shape=shape))


def test_a_layer_of_one_word_a_channel_has_the_shape_of_its_input() -> None:
    layer = affine((2, 4, 4), (1, 0, 0), (1, 0, 0))
    check_geometry(TINY, layer)
    assert "is empty" in refusal(dataclasses.replace(layer, in_shape=(2, 0, 4)))


def test_the_last_average_covers_the_map() -> None:
    assert "the last layer must give a vector" in refusal(average((1, 4, 4), Window((4, 3))))
    check_geometry(TINY, average((1, 4, 4), Window((4, 4))))


# --- groups and the tile buffer -----------------------------------------------------------------


@pytest.mark.parametrize("groups", [0, -1, 3, 4, 12])
def test_groups_divide_both_channel_counts(groups: int) -> None:
    layer = conv((6, 4, 4), Window((1, 1)), outputs=4, groups=2)
    check_geometry(TINY, layer)
    message = refusal(dataclasses.replace(layer, groups=groups))
    assert f"conv: {groups} groups do not divide 6 and 4 channels" in message


def test_a_fully_connected_layer_has_no_groups() -> None:
    layer = dataclasses.replace(mac((2, 1, 1), [[1, 1]] * 2), groups=2)
    assert "fc: 2 groups do not divide 2 and 2 channels" in refusal(layer)


def test_fan_ins_and_windows_fit_the_tile_buffer() -> None:
    config = TINY.replace(tile_depth=12)
    check_geometry(config, conv((3, 4, 4), Window((2, 2))))
    check_geometry(config, average((1, 4, 4), Window((3, 4)), (1, 0, 0)))
    with pytest.raises(CompileError, match="conv: fan-in 18 exceeds TILE_DEPTH 12"):
        check_geometry(config, conv((3, 4, 4), Window((2, 3))))
    with pytest.raises(CompileError, match="average: a window of 16 exceeds TILE_DEPTH 12"):
        check_geometry(config, average((1, 4, 4), Window((4, 4)), (1, 0, 0)))
    # A depthwise convolution reads one channel at a time.
    check_geometry(config, conv((6, 4, 4), Window((3, 4)), outputs=6, groups=6))
