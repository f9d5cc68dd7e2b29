"""The engine is asked through its public methods: what is private stays in its own file."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwsim.engine import backward, forward, module

ROOT = Path(module.__file__).parents[2]
OWNERS = (module, forward, backward)
#: Names that they had once, and that must not come back.
FORMER = {"_datapath", "_grid", "_integers", "_vjp", "_backward", "_real"}


def private_names() -> set[str]:
    """Private attributes and methods of the classes in the owners' files."""
    found = set(FORMER)
    for owner in OWNERS:
        for node in ast.walk(ast.parse(inspect.getsource(owner))):
            if isinstance(node, ast.FunctionDef):
                found.add(node.name)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def reached_into(source: str, names: set[str]) -> Iterator[tuple[int, str]]:
    """Lines where a name is asked of anything but the object itself or its class."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute) or node.attr not in names:
            continue
        owner = node.value
        own = isinstance(owner, ast.Name) and owner.id in ("self", "cls")
        parent = isinstance(owner, ast.Call) and getattr(owner.func, "id", "") == "super"
        if not own and not parent:
            yield node.lineno, f"{ast.unparse(owner)}.{node.attr}"


@pytest.mark.slow
def test_nobody_reaches_into_an_engine() -> None:
    files = [
        path for room in ("hwsim", "attacks", "models") for path in (ROOT / room).rglob("*.py")
    ]
    assert len(files) > 100
    names = private_names()
    engine = {"engine", "twin", "backend", "datapath", "pullback", "backward", "tape", "model"}
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in files
        for line, what in reached_into(path.read_text(), names)
        if what.split(".")[-1] in FORMER or engine & set(what.split("."))
    ]
    assert found == []


@pytest.mark.slow
def test_tests_use_no_door_that_was_closed() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in (ROOT / "tests").rglob("*.py")
        for line, what in reached_into(path.read_text(), FORMER)
    ]
    assert found == []


def test_a_reach_into_a_private_is_seen() -> None:
    assert {"_build", "_shifted", "_unpool", "_step", *FORMER} <= private_names()
    source = "a = engine._step(x)\nb = self._step(x)\nc = super()._step(x)\nd = f(y).engine._grid\n"
    assert sorted(reached_into(source, {"_step", "_grid"})) == [
        (1, "engine._step"),
        (4, "f(y).engine._grid"),
    ]


def test_the_engine_module_stays_one_idea() -> None:
    assert len(inspect.getsource(module).splitlines()) <= 250
