"""Settings for all tests: nothing that a test sees is left to chance, or to the tests before it."""

from __future__ import annotations

import gc
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import examples
from tests.warm import start

HERE = Path(__file__).parent
#: Marks of tests that may take long.
LONG = ("slow", "rtl", "formal", "clients")

# Before any test is imported: all settings build on the profile of that moment.
examples.use("same")


def _seed() -> None:
    """The generators that torch, NumPy and other people's attacks draw from without asking."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


def pytest_collectstart(collector: pytest.Collector) -> None:
    _seed()  # before a module of tests is imported, which may draw


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _seed()  # before its fixtures, those of the module included


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Documents first, then files with long tests: what is left beside the last test is short.

    xdist gives each worker a part of the list and takes from the ends of parts, so that one worker
    has all documents, and what they share is made once.
    """
    long = {item.path for item in items if any(map(item.get_closest_marker, LONG))}
    long |= {item.path for item in items if item.path.parent.name == "property"}
    items.sort(key=lambda item: (item.path.parent != HERE, item.path not in long))


def pytest_collection_finish() -> None:
    # Modules and tests are there to stay: nobody who looks for garbage need look through them.
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _compiler(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Verilator's runtime is compiled once for all workers: tests/warm/compiler.py."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = start.compiler(shared / "compiler")
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="session")
def forked() -> Iterator[Path]:
    """The folder of a ``hwsim`` that begins in milliseconds; tests/warm says for which tests."""
    with start.commands() as folder:
        yield folder


# A shell that starts tests in the background lets them ignore Ctrl-C, and what they start, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
