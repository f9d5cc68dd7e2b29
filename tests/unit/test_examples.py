"""Property tests look at the same examples in every run, whatever ran before them."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
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


# --- generators that everything shares -----------------------------------------------------------

AT_IMPORT = torch.rand(3)


@pytest.fixture(scope="module")
def of_the_module() -> torch.Tensor:
    return torch.rand(3)


@pytest.mark.parametrize("run", [1, 2])
def test_every_test_starts_from_the_same_random_state(
    run: int, of_the_module: torch.Tensor
) -> None:
    torch.manual_seed(0)
    first = torch.rand(3)
    assert torch.equal(AT_IMPORT, first)
    assert torch.equal(of_the_module, first)


@pytest.mark.parametrize("run", [1, 2])
def test_what_a_test_draws_does_not_depend_on_what_ran_before(run: int) -> None:
    drawn = torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    assert torch.equal(drawn[0], torch.rand(3))
    assert drawn[1].tolist() == np.random.rand(3).tolist()  # noqa: NPY002
    assert drawn[2] == random.random()
