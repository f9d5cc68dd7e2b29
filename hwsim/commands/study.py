"""`hwsim study`: the papers' figures and tables, computed again."""

from __future__ import annotations

import re
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwsim.commands.options import (
    json_option,
    message_console,
    parse_names,
    progress_bar,
    result_console,
)
from hwsim.commands.row_options import Rows, row_options, widths

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def _place(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Callback: a name that a comment and a file may have."""
    if value is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-]*", value):
        raise click.BadParameter(f"{value!r}: small letters, digits and dashes")
    return value


@click.command("study")
@click.argument("name")
@click.option("--quick", is_flag=True, help="Few images and mild adaptive attacks: minutes.")
@click.option("--samples", type=click.IntRange(10), help="Test images of every row.")
@click.option(
    "--bits",
    default="8",
    show_default=True,
    callback=widths,
    help="Widths of the fixed-point side, each a column, such as 8,6,4.",
)
@click.option(
    "--config",
    default="default",
    show_default=True,
    help="Engine: tiny, small, default, wide or a .toml file.",
)
@click.option(
    "--networks",
    callback=lambda ctx, option, text: () if text is None else parse_names(ctx, option, text),
    help="Of the study's networks only these, such as mnist-cnn,mnist-cnn-h16  [default: all]",
)  # fmt: skip
@click.option(
    "--kept",
    is_flag=True,
    help="Compute nothing: show what the finished rows say, and how many there are.",
)
@row_options
@json_option
@click.option(
    "--docs",
    type=click.Path(path_type=Path),
    help="Put table and verdicts into this Markdown file, between the study's comments.",
)
@click.option(
    "--place", callback=_place,
    help="Name of the comments instead, as in <!-- NAME: begin -->, and of the picture: for "
    "another table of the same study.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/studies"), show_default=True,
    help="Folder in which each study's own folder is made.",
)  # fmt: skip
def command(
    name: str,
    quick: bool,
    samples: int | None,
    bits: tuple[int, ...],
    config: str,
    networks: tuple[str, ...],
    kept: bool,
    rows: Rows,
    json_path: Path | None,
    docs: Path | None,
    place: str | None,
    out: Path,
) -> None:
    """Compute a figure or table of the papers again: float, fixed point, adaptive attack.

    NAME is a study, `all`, or `list`, which shows them. Finished rows are kept: interrupted or
    killed, the same command goes on, and nothing is computed twice. Networks that are not there
    are named with the command that makes them.

    \b
    Examples:
      hwsim study list
      hwsim study fig4 --quick
      hwsim study all --jobs 8
      hwsim study fig10a --bits 8,4 --cluster tcp://head:8786
      hwsim study faults --networks mnist-cnn,mnist-cnn-h8
      hwsim study safecompress --kept
    """
    from hwsim.studies.index import STUDIES, entry

    if name == "list":
        _list()
        return
    rows.check()
    chosen = list(STUDIES.values()) if name == "all" else [entry(name)]
    if place is not None and (name == "all" or docs is None):
        raise click.UsageError("--place is a place in the file of --docs, for one study")
    if name == "all" and networks:
        raise click.UsageError("--networks are those of one study: leave it out of all")
    if name == "all" and (rows.csv or rows.parquet or json_path):
        raise click.UsageError(
            "--csv, --parquet and --json are for one study; of all, each leaves them in its folder"
        )
    from hwsim.files.output import prepare_json_path
    from hwsim.report.pages import prepare_run_directory

    for path in (rows.csv, rows.parquet, json_path, docs):
        if path is not None:
            prepare_json_path(path)
    prepare_run_directory(out)
    screen, console = message_console(), result_console()
    with screen.status("loading networks and data"):
        from hwsim.studies import output
        from hwsim.studies.grid.plan import Plan
        from hwsim.studies.runner.executors import chosen as executors
        from hwsim.studies.runner.store import Store
        from hwsim.studies.study import Study, check_bits

        check_bits(bits)
        if rows.parquet is not None:
            output.need_parquet()
        if docs is not None:
            output.check_docs(docs, [place or one.name for one in chosen])
        plan = Plan(quick, samples, bits, config)
        studies = [Study(one, plan, networks) for one in chosen]
    words = [word.replace("{", "{{").replace("}", "}}") for word in sys.argv[1:]]
    typed = "hwsim " + " ".join("{}" if word == "all" else shlex.quote(word) for word in words)
    with Store(rows.store) as store, executors(rows.jobs, rows.cluster) as (executor, width):
        for study in studies:
            with progress_bar(screen, steps=False) as bar:
                task = bar.add_task(study.entry.name, total=None)
                show, asked = partial(_show, bar, task), typed.format(study.entry.name)
                found = study.compute(store, executor, width, show, asked, kept)
            with screen.status("drawing"):
                paths = output.write(found, out / study.entry.name)
                for path, kind in (
                    (rows.csv, "csv"), (rows.parquet, "parquet"), (json_path, "json"),
                ):  # fmt: skip
                    if path is not None:
                        output.export(found, path, kind)
                if docs is not None:
                    output.put_docs(found, docs, place or study.entry.name)
            output.render(found, console, paths)


def _show(bar: Progress, task: TaskID, done: float, total: float) -> None:
    bar.update(task, completed=done, total=total)


def _list() -> None:
    from rich.table import Table

    from hwsim.studies.index import STUDIES

    table = Table("name", "what it shows", "source", box=None, header_style="bold")
    for one in STUDIES.values():
        table.add_row(one.name, one.title, one.source)
    result_console().print(table)
