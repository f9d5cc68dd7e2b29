"""`hwsim sweep`: one attack over networks, widths, options and budgets, of any MODEL and data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.commands.attack import known_attack
from hwsim.commands.data_options import data_options
from hwsim.commands.options import (
    config_option,
    json_option,
    message_console,
    out_option,
    progress_bar,
    result_console,
    typed_command,
)
from hwsim.commands.row_options import Rows, row_options, widths
from hwsim.runs.attack_catalog import ENTRIES, AttackEntry, Option
from hwsim.runs.latency_catalog import NAME as LATENCY

if TYPE_CHECKING:
    from hwsim.networks.subject import DataChoice


def _attack(_: click.Context, __: click.Parameter, text: str) -> AttackEntry:
    name = known_attack(text)
    if name == LATENCY:
        raise click.ClickException(
            "latency asks for time and not for answers: run hwsim attack latency"
        )
    if name not in ENTRIES:
        raise click.ClickException(
            f"{name} changes memories, not images: run hwsim attack {name}, or hwsim study faults"
        )
    return ENTRIES[name]


@click.command("sweep")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@data_options
@click.option(
    "--attack",
    "entry",
    default="pgd",
    show_default=True,
    callback=_attack,
    help="Of hwsim attack --help.",
)
@click.option("--eps", help="Budgets, as of the attack  [default: the attack's own]")
@click.option(
    "--bits",
    callback=widths,
    help="Widths of activations and weights in turn, such as 8,6,4  [default: the "
    "configuration's, 8]",
)
@click.option(
    "--set",
    "chosen",
    multiple=True,
    metavar="OPTION=VALUE[,VALUE...]",
    help="An option of the attack and its values in turn, such as steps=10,40; repeatable.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    help="Test images of every point  [default: as of hwsim attack]",
)
@click.option(
    "--loss",
    type=click.Choice(["cross-entropy", "margin", "dlr"]),
    default="cross-entropy",
    show_default=True,
    help="What is differentiated, of attacks that ask.",
)
@click.option("--target", help="Targeted: random, least-likely or a class number.")
@config_option
@row_options
@json_option
@click.option(
    "--markdown", type=click.Path(path_type=Path), help="Also write the table here, as Markdown."
)
@out_option
def command(
    models: tuple[str, ...],
    choice: DataChoice,
    entry: AttackEntry,
    eps: str | None,
    bits: tuple[int, ...] | None,
    chosen: tuple[str, ...],
    samples: int | None,
    loss: str,
    target: str | None,
    config: str | None,
    rows: Rows,
    json_path: Path | None,
    markdown: Path | None,
    out: Path,
) -> None:
    """Attack every MODEL at every width, with every option and budget, in float and on the engine.

    MODEL is what hwsim attack takes. A point is a network, a width and the attack's options, and
    counts what hwsim attack would. Finished points are kept: interrupted or killed, the same
    command goes on, and one that asks for more computes only what is new.

    \b
    Examples:
      hwsim sweep mnist-cnn mnist-cnn-h16 mnist-cnn-h64 --eps 0.1,0.2,0.3
      hwsim sweep net.onnx --data x.npz --bits 8,6,4 --eps 8/255
      hwsim sweep net.tflite --data x.npz --attack pgd --set steps=5,20,80
    """
    rows.check()
    axes = _axes(entry, chosen)
    from hwsim.files.output import prepare_json_path, write_output
    from hwsim.report.pages import prepare_run_directory

    for path in (rows.csv, rows.parquet, json_path, markdown):
        if path is not None:
            prepare_json_path(path)
    prepare_run_directory(out)
    screen, console = message_console(), result_console()
    with screen.status("loading and compiling the networks"):
        from hwsim.studies import output
        from hwsim.studies.runner.any_model import Choice
        from hwsim.studies.runner.executors import chosen as executors
        from hwsim.studies.runner.store import Store
        from hwsim.studies.study import check_bits
        from hwsim.studies.sweep import ModelSweep, SweepPlan

        if bits is not None:
            check_bits(bits)
        if rows.parquet is not None:
            output.need_parquet()
        data, calibration = (
            None if path is None else str(path) for path in (choice.data, choice.calibration)
        )
        names = dict.fromkeys(models)
        sweep = ModelSweep(
            SweepPlan(
                [Choice(name, config, None, data, calibration, choice.bounds) for name in names],
                bits or (None,), entry.name, eps, axes, samples, loss, target, typed_command(),
            )
        )  # fmt: skip
    with (
        Store(rows.store) as store,
        executors(rows.jobs, rows.cluster) as (executor, width),
        progress_bar(screen, steps=False) as bar,
    ):
        task = bar.add_task(f"{entry.name}, {len(sweep.points)} points", total=None)
        found = sweep.compute(
            store, executor, width,
            lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    with screen.status("drawing"):
        paths = output.write(found, out / _folder(entry.name, list(names)))
        for path, kind in (
            (rows.csv, "csv"), (rows.parquet, "parquet"), (json_path, "json"),
        ):  # fmt: skip
            if path is not None:
                output.export(found, path, kind)
        if markdown is not None:
            write_output(markdown, f"{output.markdown(found)}\n".encode())
    output.render(found, console, paths)


def _folder(attack: str, models: Sequence[str]) -> str:
    stems = [re.split(r"[/\\]", name)[-1] for name in models]
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", f"sweep-{attack}-{'+'.join(stems)}")[:120]


def _axes(entry: AttackEntry, chosen: Sequence[str]) -> Mapping[str, tuple[Any, ...]]:
    """Options of the attack by name, with the values that they take in turn."""
    known = {word: option for option in entry.options for word in (option.flag, option.name)}
    found: dict[str, tuple[Any, ...]] = {}
    for text in chosen:
        word, equals, values = text.partition("=")
        option = known.get(word)
        if option is None or not equals:
            words = ", ".join(one.flag for one in entry.options) or "none"
            raise click.BadParameter(
                f"{text!r}: give OPTION=VALUE of {entry.name}'s options: {words}",
                param_hint="'--set'",
            )
        if option.name in found:
            raise click.BadParameter(f"{word} is given twice", param_hint="'--set'")
        given = (_value(option, value.strip()) for value in values.split(","))
        found[option.name] = tuple(dict.fromkeys(given))
    return found


def _value(option: Option, text: str) -> Any:
    """A value of an option; several names are joined by +. click.BadParameter for none."""
    if option.kind == "names":
        return tuple(part for part in text.split("+") if part)
    kinds: dict[Any, Any] = {"int": click.INT, "float": click.FLOAT, "switch": click.BOOL}
    kind: click.ParamType = kinds.get(option.kind) or click.Choice(option.kind)
    try:
        return kind.convert(text, None, None)
    except click.BadParameter as error:
        raise click.BadParameter(f"{option.flag}: {error.message}", param_hint="'--set'") from None
