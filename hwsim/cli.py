"""The `hwsim` command: finds the subcommand, turns errors into one line and exit code 2."""

from __future__ import annotations

import sys
from importlib import import_module

import click

#: Subcommand -> one line for --help. The modules behind them wait until they are called.
COMMANDS = {
    "attack": "Attack a network: float against fixed point.",
    "compile": "Compile a network of the zoo into memory images.",
    "rom": "Look at memory images and verify them.",
    "run": "Classify test images on the engine.",
    "timing": "Cycles, stalls, energy and memory of an image.",
    "train": "Train a network of the zoo.",
    "zoo": "List the trained networks and show their cards.",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"hwsim.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hwsim")
def hwsim() -> None:
    """Security of compressed neural networks on a fixed-point hardware engine.

    \b
    hwsim attack hfgsm                       float against fixed point, five epsilons
    hwsim compile mnist-cnn-h16 -o net.hne   memory images, as the hardware loads them
    hwsim timing net.hne                     where the cycles and the energy go
    """


def main() -> None:
    """Entry point. Exit codes: 0 done, 2 bad input or interrupted (one line on stderr)."""
    try:
        hwsim.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted: nothing half-written was left; the same command goes on or starts anew")
    except click.ClickException as error:
        _fail(error.format_message())
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(2)
    except Exception as error:
        if not _is_users(error):
            raise
        _fail(str(error))


def _is_users(error: Exception) -> bool:
    """Whether an error is about input; a bug keeps its traceback."""
    from hwsim.errors import HwsimError

    return isinstance(error, HwsimError) or type(error).__name__ == "AttackError"


def _fail(message: str) -> None:
    click.echo(f"hwsim: {' '.join(message.split())}", err=True)
    sys.exit(2)
