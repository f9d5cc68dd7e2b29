"""The machine may only use kernels that it has seen to be exact."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

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
    monkeypatch.setattr(selfcheck, "has_dot_products", lambda: True)
    with pytest.warns(RuntimeWarning, match="int8 kernel is not exact"):
        trusted = selfcheck.trusted_kernels()
    assert trusted == {"float32", "float64"}
    (verdict,) = tmp_path.glob("kernels-*.json")
    assert json.loads(verdict.read_text())["kernels"] == ["float32"]


@pytest.mark.parametrize("proven", [["float32"], []])
def test_where_no_cpu_could_a_kernel_is_left_out_in_silence(
    proven: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selfcheck, "proves_itself", lambda kernel: kernel in proven)
    monkeypatch.setattr(selfcheck, "has_dot_products", lambda: False)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert selfcheck.trusted_kernels() == {*proven, "float64"}
    # float32 is another matter: every CPU has it.
    assert ["float32" in str(one.message) for one in said] == [True] * (1 - len(proven))


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ({"architecture": "x86_64", "avx2": True, "avx512_f": True}, False),
        ({"architecture": "x86_64", "avx_vnni": False, "avx512_vnni": True}, True),
        ({"architecture": "x86_64", "avx_vnni": True}, True),
        ({"architecture": "aarch64"}, True),
        ({}, True),
        (None, True),
    ],
)
def test_dot_products_are_those_that_torch_knows(
    has: dict[str, Any] | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert selfcheck.has_dot_products() == expected


def test_the_verdict_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(selfcheck, "proves_itself", lambda kernel: calls.append(kernel) or True)
    selfcheck.trusted_kernels()
    selfcheck.trusted_kernels.cache_clear()
    assert selfcheck.trusted_kernels() == {"int8", "float32", "float64"}
    assert calls == ["int8", "float32"]


DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "no JSON": lambda text: "not json",
    "another thing": lambda text: "{}",
    "as it was of old": lambda text: '["int8", "float32"]',
    "cut off": lambda text: text[: len(text) // 2],
    "a kernel put in": lambda text: text.replace('["float32"]', '["int8", "float32"]'),
    "a kernel taken out": lambda text: text.replace('["float32"]', "[]"),
    "a key that stands twice": lambda text: text.replace("{", '{"kernels": ["int8"], ', 1),
    "nested without end": lambda text: "[" * 100_000,
    "another digest": lambda text: re.sub(r'"digest": "[0-9a-f]', '"digest": "g', text),
    "a list for a digest": lambda text: re.sub(r'"digest": ".*"', '"digest": []', text),
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels that were asked to prove themselves; only float32 can."""
    calls: list[str] = []

    def proves_itself(kernel: str) -> bool:
        calls.append(kernel)
        return kernel == "float32"

    monkeypatch.setattr(selfcheck, "proves_itself", proves_itself)
    return calls


@pytest.mark.filterwarnings("ignore:the int8 kernel is not exact")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_verdict_is_made_anew(damage: str, asked: list[str]) -> None:
    path = selfcheck._verdict_path()
    selfcheck.trusted_kernels()
    written = path.read_text()
    path.write_text(DAMAGES[damage](written))
    assert path.read_text() != written
    selfcheck.trusted_kernels.cache_clear()
    assert selfcheck.trusted_kernels() == {"float32", "float64"}
    assert asked == ["int8", "float32"] * 2
    assert path.read_text() == written


@pytest.mark.filterwarnings("ignore:the int8 kernel is not exact")
def test_a_verdict_under_the_name_of_another_machine_is_not_believed(asked: list[str]) -> None:
    path = selfcheck._verdict_path()
    other = path.with_name("kernels-0123456789abcdef.json")
    selfcheck._remember(other, ["int8", "float32"])
    other.rename(path)
    assert selfcheck.trusted_kernels() == {"float32", "float64"}
    assert asked == ["int8", "float32"]


@pytest.mark.filterwarnings("ignore:the int8 kernel is not exact")
def test_a_verdict_that_is_no_file_stops_nothing(asked: list[str]) -> None:
    os.mkfifo(selfcheck._verdict_path())
    assert selfcheck.trusted_kernels() == {"float32", "float64"}


def test_a_callers_autocast_is_not_the_cpus_fault() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "float32" in selfcheck.trusted_kernels()
