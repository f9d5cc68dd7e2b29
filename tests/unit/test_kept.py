"""Unfinished results: used as they were written, or not at all."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import InputError
from hwsim.runs.unfinished import keep, kept

FACTS = {"tally": {"success": [1, 2, 3], "sum": 0.125, "note": "a — b"}, "none": None}


def test_what_was_kept_comes_back_for_its_key_only(tmp_path: Path) -> None:
    path = tmp_path / "partial.json"
    assert kept(path, "a") is None
    keep(path, "a", FACTS)
    assert kept(path, "a") == FACTS
    assert kept(path, "b") is None


def test_no_flipped_bit_of_kept_counts_becomes_other_counts(tmp_path: Path) -> None:
    path = tmp_path / "partial.json"
    keep(path, "a", FACTS)
    whole = path.read_bytes()
    dropped = 0
    for bit in range(8 * len(whole)):
        copy = bytearray(whole)
        copy[bit // 8] ^= 1 << bit % 8
        path.write_bytes(copy)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = kept(path, "a")
        assert found in (None, FACTS), bit
        assert (found is None) == bool(said)
        dropped += found is None
    assert dropped > 7 * len(whole)


def test_damage_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "partial.json"
    path.write_text("{")
    with pytest.warns(RuntimeWarning, match=r"partial\.json: damaged, .* is computed again$"):
        assert kept(path, "a") is None


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_a_device_is_refused_at_once(tmp_path: Path, make) -> None:
    path = tmp_path / "partial.json"
    make(path)
    with pytest.raises(InputError, match="is not a regular file"):
        kept(path, "a")


def test_numpy_numbers_are_kept_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "partial.json"
    keep(path, "a", {"n": np.int64(3), "x": np.float64(0.1), "rows": np.arange(2)})
    assert kept(path, "a") == {"n": 3, "x": 0.1, "rows": [0, 1]}
