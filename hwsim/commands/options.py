"""Options and widgets that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
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


def config_option(function: Function) -> Function:
    """--config NAME, with the shipped names in the error."""
    return click.option(
        "--config", default="default", show_default=True, help="Engine: tiny, small, default, wide."
    )(function)


def bits_option(function: Function) -> Function:
    """--bits N, 4 … 16."""
    return click.option(
        "--bits",
        type=click.IntRange(4, 16),
        help="Width of activations and weights [default: the configuration's, 8].",
    )(function)


def progress_bar(console: Console) -> Progress:
    """Bar, count, elapsed and remaining time; silent where the output is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def parse_epsilons(text: str) -> list[float]:
    """``0.1,0.3`` -> rising list of numbers in 0 … 1; click.BadParameter otherwise."""
    values = []
    for part in text.split(","):
        try:
            value = float(part)
        except ValueError:
            raise click.BadParameter(f"epsilon {part.strip()!r} is not a number") from None
        if not math.isfinite(value) or not 0 <= value <= 1:
            raise click.BadParameter(f"epsilon {part.strip()} is outside 0 … 1")
        values.append(value)
    return sorted(set(values))
