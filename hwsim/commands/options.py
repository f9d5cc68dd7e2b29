"""Options and widgets that several commands share."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from hwsim.commands.data_options import any_range
from hwsim.errors import InputError
from hwsim.files.shown import shown, usable_columns
from hwsim.report import budgets
from hwsim.report.screen import Screen

Function = Callable[..., Any]

#: Tables are laid out for it; a terminal may be narrower, a pipe or a file need not be.
PIPE_WIDTH = 100


def config_option(function: Function) -> Function:
    """--config NAME; None where it is not given, because an image knows its own."""
    return click.option(
        "--config",
        help="Engine: tiny, small, default, wide or a .toml file  [default: default; an image's "
        "own]",
    )(function)


def bits_option(function: Function) -> Function:
    """--bits N, 4 … 16."""
    return click.option(
        "--bits",
        type=click.IntRange(4, 16),
        help="Width of activations and weights  [default: the configuration's, 8]",
    )(function)


def skip_option(function: Function) -> Function:
    """--skip."""
    return click.option(
        "--skip",
        is_flag=True,
        help="On the same engine with zero skipping (skip = true of a configuration): fc layers "
        "leave out columns of a code 0.",
    )(function)


def json_option(function: Function) -> Function:
    """--json PATH."""
    return click.option(
        "--json", "json_path", type=click.Path(path_type=Path), help="Also write JSON here."
    )(function)


def out_option(function: Function) -> Function:
    """--out FOLDER, of runs that leave a folder of their own."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("runs"),
        show_default=True,
        help="Folder in which the run's own folder is made.",
    )(function)


def epsilons_option(default: str) -> Callable[[Function], Function]:
    """--eps 0.1,16/255, a rising list of L∞ budgets."""
    return click.option(
        "--eps",
        default=default,
        show_default=True,
        callback=lambda _, __, text: parse_epsilons(text),
        help="Largest change of a pixel, 0 … 1, or of a value in units of the input.",
    )


def typed_command() -> str:
    """What the user typed, for whoever wants to reproduce a run."""
    return shlex.join(["hwsim", *sys.argv[1:]])


def backend_option(function: Function) -> Function:
    """--backend python or rtl."""
    return click.option(
        "--backend",
        type=click.Choice(["python", "rtl"]),
        default="python",
        show_default=True,
        help="Who computes as the engine: the bit-accurate model, or the Verilog in Verilator. "
        "Gradients are the model's.",
    )(function)


def result_console() -> Console:
    """Where results go: stdout, and nothing else goes there."""
    fixed = sys.stdout.isatty() or usable_columns()
    return Screen(width=None if fixed else PIPE_WIDTH)


def message_console() -> Console:
    """Where progress goes: stderr; spinners and bars show in a terminal only.

    Notebooks set FORCE_COLOR, which alone would make rich print every turn of a spinner.
    """
    return Screen(stderr=True, force_terminal=sys.stderr.isatty())


def progress_bar(console: Console, steps: bool = True) -> Progress:
    """Bar, count, elapsed and remaining time; silent where the output is not a terminal.

    steps: what is counted has a meaning of its own; else its share of the whole is shown.
    """
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn() if steps else TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def loading(console: Console, what: str) -> Iterator[Callable[[str, int, int], None]]:
    """A spinner that says ``what``; yields the on_progress of ``load_dataset``, in bytes."""
    with console.status(what) as status:

        def on_progress(source: str, done: int, total: int) -> None:
            size = f" of {total / 1e6:.1f}" if total else ""
            amount = f" {done / 1e6:.1f}{size} MB" if done else ""
            status.update(Text(shown(f"{what}: {source}{amount}")))

        yield on_progress


def parse_epsilons(text: str) -> list[float]:
    """``0.1,16/255`` -> rising list of numbers, at least 0; click.BadParameter otherwise."""
    try:
        found = [budget.value for budget in budgets.parse(text, "linf", sys.float_info.max)]
    except InputError as error:
        raise click.BadParameter(str(error)) from None
    if math.inf in found:
        raise click.BadParameter("epsilon inf is outside 0 … 1")
    return sorted(set(found))


def widest(*models: str) -> float:
    """The largest ε that a network so called can take, as far as its name tells.

    Networks of the zoo read pixels in [0, 1]; of images and files the range is not known before
    they are loaded.
    """
    return sys.float_info.max if any_range(*models) else 1.0


def check_widest(epsilons: Sequence[float], *models: str) -> None:
    """Raises InputError for an ε that none of the networks can take."""
    most = widest(*models)
    for epsilon in epsilons:
        if epsilon > most:
            raise InputError(f"epsilon {epsilon:g} is outside 0 … {most:g}")


def in_units(epsilons: Sequence[float], bounds: tuple[float, float]) -> tuple[float, ...]:
    """ε as typed; the default ones, which are shares of the range, in units of the input."""
    source = click.get_current_context().get_parameter_source("eps")
    typed = source is not click.core.ParameterSource.DEFAULT
    return tuple(e if typed else e * (bounds[1] - bounds[0]) for e in epsilons)


def say_range(console: Console, bounds: tuple[float, float]) -> None:
    """A line that says in which units ε is, where inputs are no pixels in [0, 1]."""
    if words := budgets.range_words(budgets.input_range(bounds)):
        console.print(f"note: {words}; epsilon is in these units")


def parse_names(_: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    """Callback: ``a, b,a`` -> ("a", "b"); click.BadParameter without any."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise click.BadParameter(f"give at least one of the {option.name}")
    return names


def finite(_: click.Context, __: click.Parameter, value: float) -> float:
    """Callback of float options: click's ranges let NaN pass."""
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number")
    return value
