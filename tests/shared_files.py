"""What may lie beside the checkout in ../shared, for tests that skip where it does not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"
MODELS = SHARED / "models"


def networks() -> Path:
    """The folder of networks that others have trained; skips the test where it is not there."""
    if not MODELS.exists():
        pytest.skip("needs shared/models beside the checkout")
    return MODELS


def photographs(folder: Path) -> Path:
    """``folder`` with the test images of CIFAR-10 that were JPEG once, or the test is skipped.

    As a data folder: their digest is not the published one, which every output says.
    """
    pytest.importorskip("PIL", reason="pillow is not installed")
    data = SHARED / "data"
    if not (data / "unpack_cifar10.py").is_file():
        pytest.skip("../shared/data has no unpack_cifar10.py")
    spec = importlib.util.spec_from_file_location("unpack_cifar10", data / "unpack_cifar10.py")
    assert spec is not None
    assert spec.loader is not None
    unpack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpack)
    unpack.records(data / "cifar10-test-jpeg.npz.xz").tofile(folder / "test_batch.bin")
    return folder
