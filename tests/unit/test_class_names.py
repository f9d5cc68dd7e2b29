"""Who reads a class name knows which class is meant."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_class_name_stands_in_one_place() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for room in ("hwsim", "attacks", "models"):
        for path in (ROOT / room).rglob("*.py"):
            if path.resolve().relative_to(ROOT) != path.relative_to(ROOT):
                continue  # through a link: seen in its own folder
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(path.relative_to(ROOT).as_posix())
    assert len(places) > 100
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
