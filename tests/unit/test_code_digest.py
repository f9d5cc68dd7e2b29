"""A row is keyed by what computes it: not by file names, comments, or what it never touches."""

from __future__ import annotations

import pytest

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
