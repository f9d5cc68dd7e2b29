"""--help is quick and complete, and knows what the code behind it knows."""

from __future__ import annotations

import inspect
import subprocess
import sys

import click
import pytest

from hwsim.attacks.known import attack_class
from hwsim.commands.group import COMMANDS, hwsim
from hwsim.report import budgets
from hwsim.runs.attack_catalog import ENTRIES
from tests.cli.conftest import Run


def test_the_first_screen_fits_80_columns(run: Run) -> None:
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert all(name in out for name in ("Examples:", *COMMANDS))
    assert all(len(line) <= 80 for line in out.splitlines())


def every_command() -> dict[tuple[str, ...], click.Command]:
    found: dict[tuple[str, ...], click.Command] = {}
    for name in COMMANDS:
        command = hwsim.get_command(click.Context(hwsim), name)
        assert command is not None
        found[name,] = command
        if isinstance(command, click.Group):
            found |= {(name, sub): inner for sub, inner in command.commands.items()}
    return found


def test_help_imports_neither_torch_nor_numpy() -> None:
    script = (
        "import sys\nfrom hwsim.cli import main\ntry:\n  main()\nfinally:\n"
        "  print(sorted({'torch', 'numpy', 'numba', 'rich', 'matplotlib'} & set(sys.modules)))"
    )
    for arguments in (["--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stdout.endswith("[]\n"), arguments
        assert done.stderr == ""


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_has_help_with_an_example(run: Run, path: tuple[str, ...]) -> None:
    code, out, err = run(*path, "--help")
    assert (code, err) == (0, "")
    assert "Example" in out
    assert f"hwsim {path[0]}" in out.split("Example", 1)[1]
    assert all(len(line) <= 80 for line in out.splitlines())


def test_every_option_says_what_it_is_for() -> None:
    for path, command in every_command().items():
        options = [p for p in command.params if isinstance(p, click.Option)]
        assert not [option.name for option in options if not option.help], path


def test_version_is_the_installed_one(run: Run) -> None:
    from hwsim import __version__

    assert run("--version") == (0, f"hwsim, version {__version__}\n", "")


@pytest.mark.parametrize("group", [(), ("attack",), ("rom",), ("zoo",)])
def test_a_group_without_a_command_shows_its_help(run: Run, group: tuple[str, ...]) -> None:
    code, out, err = run(*group)
    assert (code, out) == (2, "")
    assert "Commands:" in err


@pytest.mark.parametrize("name", ENTRIES)
def test_the_catalogue_knows_the_arguments_of_each_attack(name: str) -> None:
    entry = ENTRIES[name]
    arguments = inspect.signature(attack_class(entry.name)).parameters
    for option in entry.options:
        assert arguments[option.name].default == option.default, option.name
    assert ("loss" in arguments) == (entry.differentiates == "loss")
    assert attack_class(entry.name)().norm == entry.norm
    assert budgets.parse(entry.budgets, entry.norm)


def test_hfgsm_is_fgsm() -> None:
    assert attack_class("hfgsm") is attack_class("fgsm")


def test_help_of_an_attack_needs_no_torch() -> None:
    script = (
        "import sys; sys.modules['torch'] = sys.modules['numpy'] = None\n"
        "from hwsim.cli import main; main()"
    )
    for name in ("pgd", "jsma"):
        done = subprocess.run(
            [sys.executable, "-c", script, "attack", name, "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_an_attack_shows_its_own_options_and_only_those_that_act(run: Run) -> None:
    pgd, noise = run("attack", "pgd", "--help").out, run("attack", "noise", "--help").out
    assert "Options of pgd:" in pgd
    for option in ("--restarts", "--step-size", "--loss", "--gradient"):
        assert option in pgd
        assert option not in noise
    assert "--draws" in noise


def test_help_of_engine_probabilities_tells_what_the_float_network_does(run: Run) -> None:
    text = " ".join(run("attack", "hfgsm", "--help").out.split())
    assert "the float network, which has none, is then attacked through float32" in text
