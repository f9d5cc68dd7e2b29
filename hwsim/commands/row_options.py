"""Options of commands that compute rows: who computes them, and where they are kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

Function = Callable[..., Any]


@dataclass(frozen=True)
class Rows:
    """What was typed about rows."""

    jobs: int
    cluster: str | None
    store: Path
    csv: Path | None
    parquet: Path | None

    def check(self) -> None:
        """Raises click.UsageError where both processes and a cluster were asked for."""
        source = click.get_current_context().get_parameter_source("jobs")
        if self.cluster is not None and source is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(
                "--jobs is for processes of this machine: leave it out of --cluster"
            )


def widths(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """Callback: ``8,6,4`` -> (8, 6, 4), None of nothing; click.BadParameter otherwise."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r}: give widths such as 8 or 8,6,4") from None


def row_options(function: Function) -> Function:
    """--jobs, --cluster, --store, --csv and --parquet, given to the command as ``rows``."""

    @functools.wraps(function)
    def collected(
        *args: Any, jobs: int, cluster: str | None, store: Path, csv: Path | None,
        parquet: Path | None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        return function(*args, rows=Rows(jobs, cluster, store, csv, parquet), **kwargs)

    made: Function = collected
    for decorator in reversed(_OPTIONS):
        made = decorator(made)
    return made


_OPTIONS: list[Callable[[Function], Function]] = [
    click.option(
        "--jobs", type=click.IntRange(1, 256), default=1, show_default=True,
        help="Processes that compute rows side by side.",
    ),
    click.option("--cluster", help="Dask instead: tcp://HOST:PORT of a scheduler, or local:N."),
    click.option(
        "--store", type=click.Path(path_type=Path), default=Path("runs/studies/rows.sqlite"),
        show_default=True, help="File that keeps finished rows.",
    ),
    click.option("--csv", type=click.Path(path_type=Path), help="Also write the records here."),
    click.option("--parquet", type=click.Path(path_type=Path), help="The same as Parquet."),
]  # fmt: skip
