"""Property tests look at the same examples in every run, whatever ran before them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def draw() -> list[int]:
    """What a property test sees."""
    seen: list[int] = []

    @settings(max_examples=60)
    @given(st.lists(st.integers(0, 2**40), max_size=5))
    def collect(numbers: list[int]) -> None:
        seen.extend(numbers)

    collect()
    return seen


def test_every_run_draws_the_same_examples() -> None:
    assert len(draw()) > 50
    assert draw() == draw()


def test_modules_that_other_tests_imported_change_no_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left to itself, hypothesis draws constants from the sources of what is imported."""
    before = draw()
    source = tmp_path.parent / "constants_of_the_project.py"  # "test" in no part of a path's name
    source.write_text("\n".join(f"c{k} = {7_000_000_000 + k}" for k in range(500)))
    spec = importlib.util.spec_from_file_location(source.stem, source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, source.stem, module)
    spec.loader.exec_module(module)
    assert draw() == before


def test_no_test_remembers_examples_or_is_judged_by_its_time() -> None:
    current: Any = settings.default
    assert current.derandomize
    assert current.database is None
    assert current.deadline is None
    assert HealthCheck.too_slow in current.suppress_health_check
