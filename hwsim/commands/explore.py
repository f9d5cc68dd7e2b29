"""`hwsim explore`: the design space, with the success of attacks as axes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.commands.bandwidth import bandwidths
from hwsim.commands.options import (
    config_option,
    finite,
    json_option,
    message_console,
    out_option,
    progress_bar,
    result_console,
    typed_command,
)
from hwsim.commands.row_options import Rows, row_options, widths

if TYPE_CHECKING:
    from hwsim.studies.explore.result import ExplorePlan

#: Networks and axes of a quick run and of a full one; what is typed takes their place.
MODELS = {
    True: ("mnist-cnn", "mnist-cnn-h16", "mnist-cnn-h16-banked"),
    False: ("mnist-cnn", "mnist-cnn-h8", "mnist-cnn-h16", "mnist-cnn-h16-banked", "mnist-cnn-h64"),
}
AXES: dict[bool, dict[str, tuple[Any, ...]]] = {
    True: {
        "rows": (8, 16, 32), "cols": (4, 8, 16), "banks": (16, 32), "bits": (8, 4),
        "index": ("sram", "hash"), "skip": (False, True), "ecc": ("none", "secded"),
        "bandwidth": (None,),
    },
    False: {
        "rows": (8, 16, 32), "cols": (4, 8, 16), "banks": (16, 32, 64), "bits": (8, 6, 4),
        "index": ("sram", "hash"), "skip": (False, True), "ecc": ("none", "parity", "secded"),
        "bandwidth": (None,),
    },
}  # fmt: skip
GOALS = ("cycles", "energy", "memory", "luts", "accuracy", "pgd", "flips")


def _numbers(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise click.BadParameter(f"{text!r}: give whole numbers such as 8 or 8,16,32") from None


def _words(*known: str) -> Callable[..., tuple[str, ...] | None]:
    def parse(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...] | None:
        if text is None:
            return None
        found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
        for one in found:
            if one not in known:
                raise click.BadParameter(f"{one!r}: choose of {', '.join(known)}")
        return found

    return parse


@click.command("explore")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--rows", "array_rows", callback=_numbers, help="Rows of the array, such as 8,16,32.")
@click.option("--cols", callback=_numbers, help="Columns of the array, such as 4,8,16.")
@click.option("--banks", callback=_numbers, help="Weight banks, such as 16,32.")
@click.option("--bits", callback=widths, help="Widths of activations and weights, such as 8,6,4.")
@click.option("--index", callback=_words("sram", "hash"), help="Indices: sram, hash or both.")
@click.option("--skip", callback=_words("off", "on"), help="Zero skipping: off, on or both.")
@click.option(
    "--ecc", callback=_words("none", "parity", "secded"), help="Check bits: none, parity, secded."
)
@click.option(
    "--bandwidth",
    callback=bandwidths,
    help="Weights off chip at so many bytes a cycle, such as chip,4,16; chip: on chip.  "
    "[default: chip]",
)
@config_option
@click.option("--quick", is_flag=True, help="Smaller grid, fewer images and searches: minutes.")
@click.option(
    "--trials",
    type=click.IntRange(1, 100_000),
    help="So many designs that Optuna proposes, not all of the grid.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
    help="Of the proposals.",
)  # fmt: skip
@click.option("--eps", "epsilon", type=click.FloatRange(0, 1, min_open=True), default=2 / 15,
              show_default="2/15", callback=finite,
              help="ε of PGD, of a pixel's range; 2/15: whole codes of 8 and 4 bits.")  # fmt: skip
@click.option("--samples", type=click.IntRange(10), help="Test images that PGD attacks.")
@click.option(
    "--goals", callback=_words(*GOALS), help=f"Axes of the front: {','.join(GOALS)}  [default: all]"
)
@click.option(
    "--top", type=click.IntRange(1), default=12, show_default=True, help="Designs of the table."
)
@click.option("--synth", is_flag=True, help="Yosys maps every engine: minutes for each.")
@row_options
@json_option
@click.option(
    "--markdown", type=click.Path(path_type=Path), help="Also write the table here, as Markdown."
)
@click.option(
    "--docs",
    type=click.Path(path_type=Path),
    help="Put table and verdicts into this Markdown file, between its <!-- explore --> comments.",
)
@out_option
def command(
    models: tuple[str, ...],
    array_rows: tuple[int, ...] | None,
    cols: tuple[int, ...] | None,
    banks: tuple[int, ...] | None,
    bits: tuple[int, ...] | None,
    index: tuple[str, ...] | None,
    skip: tuple[str, ...] | None,
    ecc: tuple[str, ...] | None,
    bandwidth: tuple[float | None, ...] | None,
    config: str | None,
    quick: bool,
    trials: int | None,
    seed: int,
    epsilon: float,
    samples: int | None,
    goals: tuple[str, ...] | None,
    top: int,
    synth: bool,
    rows: Rows,
    json_path: Path | None,
    markdown: Path | None,
    docs: Path | None,
    out: Path,
) -> None:
    """Networks on engines: cycles, energy, memory, LUTs, accuracy, and what attacks reach.

    MODELs are networks of the zoo, or trained here, of one data set. A design is a network on an
    engine with one value of every axis. Of all designs the Pareto front is shown, and whether one
    of them beats the engine that --config names (default) on every axis. Finished rows are kept:
    interrupted or killed, the same command goes on. docs/explore.md says how designs are compared.

    \b
    Examples:
      hwsim explore --quick
      hwsim explore mnist-cnn-h16 mnist-cnn-h64 --rows 8,16 --cols 4 --bits 8
      hwsim explore --quick --bandwidth chip,4 --goals cycles,energy,flips
      hwsim explore --trials 200 --jobs 8
    """
    rows.check()
    from hwsim.files.output import prepare_json_path
    from hwsim.report.pages import prepare_run_directory

    for path in (rows.csv, rows.parquet, json_path, markdown, docs):
        if path is not None:
            prepare_json_path(path)
    prepare_run_directory(out)
    typed: dict[str, Any] = {
        "rows": array_rows, "cols": cols, "banks": banks, "bits": bits, "index": index,
        "skip": None if skip is None else tuple(one == "on" for one in skip), "ecc": ecc,
        "bandwidth": bandwidth,
    }  # fmt: skip
    values = AXES[quick] | {name: one for name, one in typed.items() if one is not None}
    screen = message_console()
    with screen.status("loading networks and data"):
        from dataclasses import replace

        from hwsim.files.markdown import get
        from hwsim.studies import output as files
        from hwsim.studies.explore.campaign import FULL, QUICK
        from hwsim.studies.explore.design import DesignAxes
        from hwsim.studies.explore.objectives import GOALS as KNOWN
        from hwsim.studies.explore.result import ExplorePlan
        from hwsim.studies.explore.search import need_optuna
        from hwsim.studies.study import check_bits

        check_bits(values["bits"])
        if rows.parquet is not None:
            files.need_parquet()
        if docs is not None:
            get(docs, "explore")
        if trials is not None:
            need_optuna()
        effort = replace(QUICK if quick else FULL, epsilon=epsilon)
        if samples is not None:
            effort = replace(effort, attacked=samples)
        names = tuple(dict.fromkeys(models or MODELS[quick]))
        chosen = [KNOWN[name] for name in goals or GOALS]
        plan = ExplorePlan(
            DesignAxes(networks=names, **values), config or "default", effort, chosen, top,
            trials, seed, synth, typed_command(),
        )  # fmt: skip
    _run(plan, rows, json_path, markdown, docs, out)


def _run(
    plan: ExplorePlan, rows: Rows, json_path: Path | None, markdown: Path | None,
    docs: Path | None, out: Path,
) -> None:  # fmt: skip
    from hwsim.files.output import write_output
    from hwsim.studies import output as files
    from hwsim.studies.explore import output
    from hwsim.studies.explore.explore import Explorer
    from hwsim.studies.runner.executors import chosen as executors
    from hwsim.studies.runner.store import Store

    screen, console = message_console(), result_console()
    with screen.status("loading networks and data"):
        explorer = Explorer(plan)
    with (
        Store(rows.store) as store,
        executors(rows.jobs, rows.cluster) as (executor, width),
        progress_bar(screen, steps=False) as bar,
    ):
        task = bar.add_task(explorer.about, total=None)
        found, made = explorer.compute(
            store, executor, width,
            lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    with screen.status("drawing"):
        paths = output.write(made, found, out / "explore")
        for path, kind in (
            (rows.csv, "csv"), (rows.parquet, "parquet"), (json_path, "json"),
        ):  # fmt: skip
            if path is not None:
                files.export(made, path, kind)
        if markdown is not None:
            write_output(markdown, f"{output.markdown(made)}\n".encode())
        if docs is not None:
            output.put_docs(made, docs)
    output.render(made, console, paths)
