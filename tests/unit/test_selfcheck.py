"""The machine may only use kernels that it has seen to be exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.engine import kernels, selfcheck


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path))
    selfcheck.trusted_kernels.cache_clear()
    yield
    selfcheck.trusted_kernels.cache_clear()


def test_float32_proves_itself_on_every_cpu() -> None:
    assert selfcheck.proves_itself("float32")


def test_a_kernel_that_saturates_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = kernels.Accumulate.__call__

    def saturating(self: Any, maps: Any) -> Any:
        return np.minimum(exact(self, maps), 600_000)

    monkeypatch.setattr(kernels.Accumulate, "__call__", saturating)
    assert not selfcheck.proves_itself("float32")


def test_a_missing_operator_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(self: Any, maps: Any) -> Any:
        raise AttributeError("no such operator")

    monkeypatch.setattr(kernels.Accumulate, "__call__", absent)
    assert not selfcheck.proves_itself("int8")


def test_a_failed_kernel_is_announced_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selfcheck, "proves_itself", lambda kernel: kernel == "float32")
    with pytest.warns(RuntimeWarning, match="int8 kernel is not exact"):
        trusted = selfcheck.trusted_kernels()
    assert trusted == {"float32", "float64"}
    (verdict,) = tmp_path.glob("kernels-*.json")
    assert json.loads(verdict.read_text()) == ["float32"]


def test_the_verdict_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(selfcheck, "proves_itself", lambda kernel: calls.append(kernel) or True)
    selfcheck.trusted_kernels()
    selfcheck.trusted_kernels.cache_clear()
    assert selfcheck.trusted_kernels() == {"int8", "float32", "float64"}
    assert calls == ["int8", "float32"]


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"int8": true}'])
def test_a_damaged_verdict_is_made_anew(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(selfcheck, "proves_itself", lambda kernel: calls.append(kernel) or True)
    selfcheck._verdict_path().write_text(text)
    selfcheck.trusted_kernels()
    assert calls == ["int8", "float32"]
