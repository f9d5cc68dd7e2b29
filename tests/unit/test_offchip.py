"""Weights off chip: the double buffer, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.cost.energy import DRAM_PER_BIT
from hwsim.cost.offchip import off_chip
from hwsim.errors import InputError

#: A convolution, a pool without words, an fc layer: 1,000, 0 and 4,000 bytes.
BITS = (8_000, 0, 32_000)


def test_a_layer_takes_what_is_longer_its_work_or_the_words_of_the_next() -> None:
    # At 4 bytes a cycle: 250, 0, 1,000 cycles of fetching. 1 + 250 (waited for)
    # + max(700, 0) + max(300, 1000) + max(500, 0).
    found = off_chip(np.array([[700, 300, 500]]), BITS, 1, 4.0)
    assert found.cycles == 1 + 250 + 700 + 1000 + 500
    assert found.waited == 250 + 700
    assert found.fetched_bits == 40_000
    assert found.buffer_bits == 2 * 32_000
    assert found.fetch_nj == pytest.approx(40_000 * DRAM_PER_BIT / 1000)


def test_a_wide_port_leaves_only_the_first_fill() -> None:
    found = off_chip(np.array([[700, 300, 500]]), BITS, 1, 1000.0)
    assert found.cycles == 1 + 1 + 1500


def test_a_byte_that_is_begun_takes_a_cycle() -> None:
    found = off_chip(np.array([[10]]), (9,), 0, 1.0)  # two bytes, the second with one bit
    assert found.cycles == 2 + 10


def test_images_that_differ_are_waited_for_one_by_one() -> None:
    """The mean of what each waits, not what the mean image would wait."""
    found = off_chip(np.array([[0, 0, 0], [0, 2000, 0]]), BITS, 0, 4.0)
    assert found.cycles == 250 + (1000 + 2000) / 2


@pytest.mark.parametrize("bandwidth", [0.0, 1e-9, -1.0, float("nan"), float("inf"), 1e6])
def test_what_is_no_bandwidth_is_refused(bandwidth: float) -> None:
    with pytest.raises(InputError, match="bytes a cycle"):
        off_chip(np.array([[1]]), (8,), 0, bandwidth)
