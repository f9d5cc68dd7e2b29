"""The `hwsim` command: finds the subcommand, turns errors into one line and exit code 2."""

from __future__ import annotations

import io
import sys
import warnings
from importlib import import_module
from typing import Any

import click

#: Subcommand -> one line for --help. The modules behind them wait until they are called.
COMMANDS = {
    "attack": "Attack a network: float against fixed point.",
    "audit": "Robust, or hiding its gradients? A suite of attacks.",
    "compile": "Compile a trained network into memory images.",
    "detect": "Tell adversarial images from clean ones, if they can be told.",
    "finetune": "Train a network on, through its engine or against attacks.",
    "jsma-study": "Drive every class to every other with JSMA.",
    "pnr": "Place and route the Verilog: clock and limiting path.",
    "prune": "Prune a network round by round, training in between.",
    "rom": "Look at memory images and verify them.",
    "run": "Classify test images on the engine.",
    "study": "The papers' figures and tables, computed again.",
    "synth": "Cells, DSPs and memory bits of the Verilog on an FPGA.",
    "timing": "Cycles, stalls, energy and memory of a network.",
    "transfer": "Craft on each network, count on all the others.",
    "train": "Train a network of the zoo.",
    "wave": "Trace the Verilog during one inference.",
    "zoo": "List the trained networks and show their cards.",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"hwsim.commands.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # before click writes an empty line about it
            raise click.Abort from None


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hwsim")
def hwsim() -> None:
    """Security of compressed neural networks on a fixed-point hardware engine.

    \b
    Examples:
      hwsim attack hfgsm                       float against fixed point
      hwsim compile mnist-cnn-h16 -o net.hne   memory images for the hardware
      hwsim timing net.hne                     where cycles and energy go

    HWSIM_DATA names a folder with data sets; HWSIM_CACHE one for downloads.
    """


def main() -> None:
    """Entry point. Exit codes: 0 done, 2 bad input or interrupted (one line on stderr)."""
    warnings.formatwarning = lambda message, *_, **__: f"hwsim: warning: {message}\n"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows a ? instead
    try:
        code = hwsim.main(prog_name="hwsim", standalone_mode=False)
    except click.Abort:
        if sys.stderr.isatty():
            click.echo(err=True)  # the terminal's own ^C stands in the way
        _fail("interrupted: nothing is half-written; run the same command to go on")
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.UsageError as error:
        at = error.ctx.command_path if error.ctx else "hwsim"
        _fail(f"{error.format_message().rstrip('.')} (see {at} --help)")
    except click.ClickException as error:
        _fail(error.format_message())
    except Exception as error:
        message = _of_user(error)
        if message is None:
            raise  # a bug keeps its traceback
        _fail(message)
    sys.exit(code if isinstance(code, int) else 0)


def _of_user(error: Exception) -> str | None:
    """What to say about an error that comes from input or the machine, None for a bug."""
    from hwsim.errors import HwsimError

    # Where attacks has not been imported, the error is not from there.
    attacks = sys.modules.get("attacks.errors")
    if isinstance(error, HwsimError) or (attacks and isinstance(error, attacks.AttackError)):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror or error}"
    return None


def _fail(message: str) -> None:
    click.echo(f"hwsim: {' '.join(message.split())}", err=True)
    sys.exit(2)
