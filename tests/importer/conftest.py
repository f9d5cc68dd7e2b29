"""Every test here reads files of other formats, with the extras ``import`` and ``runtimes``."""

from __future__ import annotations

from pathlib import Path

import pytest

MODELS = Path(__file__).parents[3] / "shared" / "models"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.importer)


@pytest.fixture
def shared() -> Path:
    """The folder of networks that others have trained."""
    if not MODELS.exists():
        pytest.skip("needs shared/models beside the checkout")
    return MODELS
