"""A row is keyed by what computes it: not by file names, comments, or what it never touches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwsim.studies.runner import code_digest
from hwsim.studies.runner.code_digest import COVERED, _source, digest, digest_in, reached
from hwsim.studies.runner.task import Task

ROWS = "hwsim.studies.grid.attack_rows"
WORLD = {
    "hwsim.rows": (
        "from hwsim.units import post\n"
        "from hwsim.attack import FGSM as Attack\n"
        "STEPS = 3\n"
        "UNUSED = 4\n"
        "def row(x):\n"
        "    '''What it is.'''\n"
        "    return post.round(Attack(x), STEPS)\n"
        "def other():\n"
        "    return 7\n"
    ),
    "hwsim.units.post": "def round(a, steps):\n    return a + steps\n",
    "hwsim.attack": (
        "from hwsim.base import Base\nclass FGSM(Base):\n    def go(self):\n        return 1\n"
    ),
    "hwsim.base": "class Base:\n    def come(self):\n        return 2\n",
    "hwsim.plots": "COLOR = 'blue'\n",
}


def key(**changed: str) -> str:
    world = WORLD | {name.replace("__", "."): text for name, text in changed.items()}
    return digest_in("hwsim.rows:row", world.get)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("hwsim.rows", "STEPS = 3", "STEPS = 5"),
        ("hwsim.units.post", "a + steps", "a - steps"),
        ("hwsim.attack", "return 1", "return -1"),
        ("hwsim.base", "return 2", "return 3"),  # inherited
    ],
)
def test_what_computes_a_row_is_in_its_key(module: str, old: str, new: str) -> None:
    assert old in WORLD[module]
    assert key() != key(**{module.replace(".", "__"): WORLD[module].replace(old, new)})


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("hwsim.plots", "blue", "red"),
        ("hwsim.rows", "UNUSED = 4", "UNUSED = 5"),
        ("hwsim.rows", "return 7", "return 8"),
        ("hwsim.rows", "What it is.", "What it was."),
        ("hwsim.rows", "STEPS = 3", "STEPS = 3  # as in the paper"),
        ("hwsim.rows", "STEPS)", "\n        STEPS)"),
    ],
)
def test_what_it_does_not_touch_is_not(module: str, old: str, new: str) -> None:
    assert old in WORLD[module]
    assert key() == key(**{module.replace(".", "__"): WORLD[module].replace(old, new)})


def test_a_module_that_moves_changes_no_row() -> None:
    moved = {
        "hwsim.rows": WORLD["hwsim.rows"]
        .replace("from hwsim.units import post", "from hwsim.parts import rounding as post")
        .replace("hwsim.attack", "hwsim.attacks.fgsm"),
        "hwsim.parts.rounding": WORLD["hwsim.units.post"],
        "hwsim.attacks.fgsm": WORLD["hwsim.attack"],
        "hwsim.base": WORLD["hwsim.base"],
    }
    assert digest_in("hwsim.rows:row", moved.get) == key()
    assert Task("hwsim.rows:row", {"x": 1}).function != Task("hwsim.moved:row", {"x": 1}).function


def test_classes_that_are_named_by_a_path_are_followed() -> None:
    rows = "ENTRY = 'hwsim.attack:FGSM'\ndef row():\n    return ENTRY\n"
    moved = {"hwsim.rows": rows.replace("attack:", "moved:"), "hwsim.moved": WORLD["hwsim.attack"]}
    there = {"hwsim.rows": rows, "hwsim.attack": WORLD["hwsim.attack"]}
    changed = there | {"hwsim.attack": WORLD["hwsim.attack"].replace("1", "2")}
    keys = [digest_in("hwsim.rows:row", world.get) for world in (there, moved, changed)]
    assert keys[0] == keys[1] != keys[2]


def test_what_only_a_type_checker_sees_is_not_followed() -> None:
    guarded = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from hwsim.plots import COLOR\n"
    )
    rows = guarded + "def row(c: COLOR):\n    return c\n"
    assert ("hwsim.plots", "COLOR") not in reached(
        "hwsim.rows:row", (WORLD | {"hwsim.rows": rows}).get
    )


def test_a_function_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"hwsim\.rows defines no gone"):
        digest_in("hwsim.rows:gone", WORLD.get)


@pytest.mark.slow
def test_the_rows_of_attacks_reach_attacks_defenses_compiler_and_units_but_no_plots() -> None:
    modules = {module for module, _ in reached(f"{ROWS}:attack")}
    assert {
        "hwsim.attacks.fgsm", "hwsim.attacks.cw_l2", "hwsim.defenses.augmentation",
        "hwsim.compiler.compiler", "hwsim.units.post", "hwsim.models.layers", "hwsim.engine.module",
    } <= modules  # fmt: skip
    rooms = {module.split(".")[1] for module in modules}
    assert not {"report", "commands", "audit", "training", "papers"} & rooms
    assert digest(f"{ROWS}:attack") != digest(f"{ROWS}:accuracy")


def test_what_other_digests_cover_is_still_where_it_is_said_to_be() -> None:
    for module in COVERED:
        assert _source(module) is not None, module


# ---------------------------------------------------------------- what was found before


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Modules as every process would find them, and an empty cache."""
    found = dict(WORLD)
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(code_digest, "_source", found.get)
    return found


def anew() -> str:
    """The digest in a new process."""
    return digest.__wrapped__("hwsim.rows:row")


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that were followed through their modules."""
    calls: list[str] = []
    follow = code_digest._reached

    def counted(function: str, modules: Any) -> Any:
        calls.append(function)
        return follow(function, modules)

    monkeypatch.setattr(code_digest, "_reached", counted)
    return calls


def test_a_digest_is_found_once_for_all_processes(
    world: dict[str, str], followed: list[str]
) -> None:
    first = anew()
    assert followed == ["hwsim.rows:row"]
    assert anew() == first
    assert len(followed) == 1
    assert first == digest_in("hwsim.rows:row", WORLD.get)


@pytest.mark.parametrize(
    ("module", "old", "new", "another"),
    [
        ("hwsim.units.post", "a + steps", "a - steps", True),
        ("hwsim.base", "return 2", "return 3", True),
        ("hwsim.rows", "return 7", "return 8", False),
    ],
)
def test_a_module_that_says_something_else_is_read_again(
    world: dict[str, str], module: str, old: str, new: str, another: bool, followed: list[str]
) -> None:
    first = anew()
    world[module] = world[module].replace(old, new)
    assert (anew() != first) == another
    assert len(followed) == 2


def test_a_module_that_comes_where_there_was_none_is_read(
    world: dict[str, str], followed: list[str]
) -> None:
    base = world.pop("hwsim.base")
    first = anew()
    world["hwsim.base"] = base
    assert anew() != first
    assert len(followed) == 2


def test_another_way_of_finding_digests_believes_none_of_before(
    world: dict[str, str], followed: list[str]
) -> None:
    anew()
    world["hwsim.studies.runner.code_digest"] = "# another"
    anew()
    assert len(followed) == 2


DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "no JSON": lambda text: "{",
    "a list": lambda text: "[]",
    "no list of modules": lambda text: json.dumps(json.loads(text) | {"read": 3}),
    "another digest": lambda text: json.dumps(json.loads(text) | {"found": "0" * 64}),
    "a module less": lambda text: json.dumps(json.loads(text) | {"read": {}}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_memory_is_not_believed(
    world: dict[str, str], damage: str, followed: list[str], tmp_path: Path
) -> None:
    first = anew()
    (kept,) = (tmp_path / "cache/code").iterdir()
    kept.write_text(DAMAGES[damage](kept.read_text()))
    assert anew() == first
    assert len(followed) == 2


def test_a_memory_under_the_name_of_another_function_is_not_believed(
    world: dict[str, str], followed: list[str], tmp_path: Path
) -> None:
    anew()
    (mine,) = (tmp_path / "cache/code").iterdir()
    text = mine.read_text()
    mine.unlink()
    other = digest.__wrapped__("hwsim.rows:other")
    (its,) = (tmp_path / "cache/code").iterdir()
    its.write_text(text)
    assert digest.__wrapped__("hwsim.rows:other") == other
    assert len(followed) == 3


def test_without_a_cache_to_write_digests_are_found_each_time(
    world: dict[str, str], followed: list[str], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert anew() == anew()
    assert len(followed) == 2
