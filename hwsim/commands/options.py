"""Options and widgets that several commands share."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

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


def samples_option(function: Function) -> Function:
    """--samples N, at least 1; None where it is not given: the backend decides."""
    return click.option(
        "--samples",
        type=click.IntRange(1),
        help="Test images, spread evenly over the test set  [default: 1000; 20 with --backend rtl]",
    )(function)


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


def sample_count(samples: int | None, backend: str) -> int:
    """What was asked for, or as many as the backend does in a few minutes."""
    return samples or (20 if backend == "rtl" else 1000)


def result_console() -> Console:
    """Where results go: stdout, and nothing else goes there."""
    fixed = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if fixed else PIPE_WIDTH)


def message_console() -> Console:
    """Where progress goes: stderr; spinners and bars show in a terminal only."""
    return Console(stderr=True)


def progress_bar(console: Console) -> Progress:
    """Bar, count, elapsed and remaining time; silent where the output is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
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
            status.update(f"{what}: {source}{amount}")

        yield on_progress


def parse_epsilons(text: str) -> list[float]:
    """``0.1,16/255`` -> rising list of numbers in 0 … 1; click.BadParameter otherwise."""
    if not text.strip(" ,"):
        raise click.BadParameter("give at least one epsilon, such as 0.1,0.3")
    values = []
    for part in map(str.strip, text.split(",")):
        try:
            above, _, below = part.partition("/")
            value = float(above) / float(below or 1)
        except (ValueError, ZeroDivisionError):
            value = math.nan
        if math.isnan(value):
            raise click.BadParameter(f"epsilon {part!r} is not a number")
        if not 0 <= value <= 1:
            raise click.BadParameter(f"epsilon {part} is outside 0 … 1")
        values.append(value)
    return sorted(set(values))


def finite(_: click.Context, __: click.Parameter, value: float) -> float:
    """Callback of float options: click's ranges let NaN pass."""
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number")
    return value
