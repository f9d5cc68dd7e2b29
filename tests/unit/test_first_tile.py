"""The first row-tile of an fc layer that skips, where every column takes one cycle."""

from __future__ import annotations

import numpy as np

from hwsim.units import skip


def test_columns_of_one_cycle_take_what_the_stepped_pipeline_takes() -> None:
    """The shorter way against the one that steps every move, empty maps and lines among them."""
    noise = np.random.default_rng(0)
    for _ in range(2000):
        width, rows, depth, bubbles = (int(noise.integers(1, n)) for n in (20, 12, 30, 40))
        cols = 1 << int(noise.integers(0, 5))
        density = (0, 0.02, 0.1, 0.5, 0.9, 1)[noise.integers(6)]
        wanted = noise.random((3, width * rows)) < density
        stepped, level = np.zeros((3, 3), np.int64), np.zeros((3, 3), np.int64)
        ones = np.ones(width * rows, np.int32)
        skip._first_tile(wanted, ones, width, cols, depth, bubbles, *stepped)
        skip._first_level_tile(wanted, width, cols, depth, bubbles, *level)
        assert (stepped == level).all()
