"""--help is quick and complete, and knows what the code behind it knows."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from hwsim.cli import COMMANDS, hwsim
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


@pytest.mark.parametrize("group", [(), ("rom",), ("zoo",)])
def test_a_group_without_a_command_shows_its_help(run: Run, group: tuple[str, ...]) -> None:
    code, out, err = run(*group)
    assert (code, out) == (2, "")
    assert "Commands:" in err


def test_attack_offers_exactly_what_exists() -> None:
    from attacks.fgsm import FGSM
    from hwsim.commands.attack import NAMES
    from hwsim.experiment import ATTACKS

    assert set(NAMES) == ATTACKS.keys()
    assert ATTACKS["hfgsm"] is ATTACKS["fgsm"] is FGSM


def test_help_of_engine_probabilities_tells_what_the_float_network_does(run: Run) -> None:
    text = " ".join(run("attack", "--help").out.split())
    assert "the float network, which has none, is then attacked through float32" in text
