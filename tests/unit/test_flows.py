"""Sums, scales, gates and roundings of gradients in one pass, as one after the other."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hwsim.engine.flows import Flow, apart, gated, joined, total, unpooled, widened
from hwsim.units import post as post_unit

SHAPE = (2, 3, 5, 7)
MASK = 48


def bits_of(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """As torch rounds to bfloat16."""
    return torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)


def numbers(seed: int) -> NDArray[np.float32]:
    source = np.random.default_rng(seed)
    sizes = 2.0 ** source.integers(-140, 120, SHAPE)
    return (source.standard_normal(SHAPE) * sizes).astype(np.float32)


def parts(narrow: tuple[bool, ...]) -> tuple[list[Flow], list[NDArray[np.float32]]]:
    """Flows, and what each is worth by NumPy and torch."""
    flows, worth = [], []
    for seed, short in enumerate(narrow):
        values, factor = numbers(seed), np.float32([0.3, 1.0, -7.1][seed])
        if short:
            flows.append(Flow(bits_of(values), factor))
            values = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
        else:
            flows.append(Flow(values, factor))
        worth.append(values * factor)
    return flows, worth


@pytest.mark.parametrize(
    "narrow", [which for n in (1, 2, 3) for which in product((False, True), repeat=n)]
)
def test_gates_pass_the_sum_in_order(narrow: tuple[bool, ...]) -> None:
    flows, worth = parts(narrow)
    with np.errstate(over="ignore"):
        wanted = worth[0]
        for more in worth[1:]:
            wanted = wanted + more
        state = np.random.default_rng(9).integers(0, 64, SHAPE).astype(np.uint8)
        through = np.where(state & MASK == MASK, wanted, np.float32(0))
        np.testing.assert_array_equal(total(flows), wanted)
        kept: list[Flow] = []
        for flow in flows:
            kept = joined(kept, flow)
            assert len(kept) <= 2
        flows = kept
        np.testing.assert_array_equal(gated(flows, state, MASK, False), through)
        np.testing.assert_array_equal(gated(flows, state, MASK, True), bits_of(through))


def test_every_rounding_is_torchs() -> None:
    """All upper halves with lower halves around a tie, infinities and not-a-number among them."""
    upper = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    values = (upper[:, None] | lower).view(np.float32)[..., None, None]
    found = gated([Flow(values)], np.full(values.shape, MASK, np.uint8), MASK, True)
    wide, wanted = widened(found), torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(wide, wanted)
    np.testing.assert_array_equal(np.signbit(wide[wide == 0]), np.signbit(wanted[wide == 0]))


def test_bits_come_back_as_they_were() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16).reshape(1, 256, 256, 1)
    ordinary = ~np.isnan(widened(bits))
    found = gated([Flow(bits)], np.full(bits.shape, MASK, np.uint8), MASK, True)
    np.testing.assert_array_equal(found[ordinary], bits[ordinary])
    assert np.isnan(widened(found[~ordinary])).all()


def test_a_flow_is_not_written_to() -> None:
    flows, _ = parts((False, True, False))
    before = [flow.values.copy() for flow in flows]
    total(flows)
    gated(joined(flows[:2], flows[2]), np.zeros(SHAPE, np.uint8), MASK, False)
    for flow, kept in zip(flows, before, strict=True):
        np.testing.assert_array_equal(flow.values, kept)


@pytest.mark.parametrize(
    ("kernel", "stride", "more"),
    [
        ((2, 2), (2, 2), (0, 0)),
        ((2, 2), (2, 2), (1, 1)),  # a row and a column that no window covers
        ((1, 3), (2, 3), (0, 2)),
        ((2, 1), (3, 2), (1, 0)),
        ((3, 3), (3, 3), (0, 0)),
    ],
)
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("short", [False, True])
def test_a_pool_gives_to_the_winners(
    kernel: tuple[int, int], stride: tuple[int, int], more: tuple[int, int], count: int, short: bool
) -> None:
    """Against the loop that any windows go through."""
    assert apart(kernel, stride)
    flows, _ = parts((short,) * count)
    source = np.random.default_rng(7)
    winners = source.integers(0, kernel[0] * kernel[1], SHAPE)
    state = (winners + 16 * source.integers(0, 4, SHAPE)).astype(np.uint8)
    height, width = (
        (n - 1) * s + k + m for n, s, k, m in zip(SHAPE[1:3], stride, kernel, more, strict=True)
    )
    wanted = np.zeros((SHAPE[0], height, width, SHAPE[3]), np.float32)
    post_unit.requantize_pool_gradient(total(flows), state, MASK, kernel, stride, wanted)
    given = (flows, state, MASK, kernel, stride, (height, width))
    np.testing.assert_array_equal(unpooled(*given, False), wanted)
    np.testing.assert_array_equal(widened(unpooled(*given, True)), widened(bits_of(wanted)))


def test_windows_that_share_a_place_are_not_apart() -> None:
    assert not any(apart(kernel, (2, 1)) for kernel in ((3, 1), (1, 2), (3, 3)))
    assert apart((2, 1), (2, 1))


def test_three_parts_are_never_two_of_them() -> None:
    flows, _ = parts((False, True, False))
    with pytest.raises(ValueError, match="too many values"):
        gated(flows, np.zeros(SHAPE, np.uint8), MASK, False)
