"""Every test here reads files of other formats, with the extras ``import`` and ``runtimes``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import shared_files


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.importer)


@pytest.fixture
def shared() -> Path:
    """The folder of networks that others have trained."""
    return shared_files.networks()
