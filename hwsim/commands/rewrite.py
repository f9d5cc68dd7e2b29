"""`hwsim rom rewrite` and `hwsim rom diff`: defenses as ROM rewrites, and what they changed."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from hwsim.commands.options import message_console, result_console

if TYPE_CHECKING:
    from rich.table import Table

    from hwsim.defenses.rewriting import OnOverflow


@click.command("rewrite")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--apply",
    "steps",
    multiple=True,
    required=True,
    metavar="NAME=VALUE[@LAYERS]",
    help="inhibition=TAU, augmentation=TAU or pruning=COMPRESSION; repeat it, they are applied "
    "from left to right.",
)
@click.option(
    "--layers",
    default=None,
    help="last, fc, all, or names separated by commas, for every step that names none. "
    "[default: last; all for pruning]",
)
@click.option(
    "--on-overflow",
    type=click.Choice(["error", "saturate", "rescale"]),
    default="error",
    show_default=True,
    help="For words that leave the weight width: refuse, clip and count, or move the layer's "
    "binary point.",
)
@click.option(
    "--patch",
    type=click.Path(path_type=Path),
    help="Also write the changes as AXI4-Lite writes, one `address data` in hex a line.",
)
@click.option("--force", is_flag=True, help="Replace an existing image.")
def rewrite(
    source: Path,
    target: Path,
    steps: tuple[str, ...],
    layers: str | None,
    on_overflow: str,
    patch: Path | None,
    force: bool,
) -> None:
    """Apply defenses to image SOURCE and write image TARGET; the index ROM stays as it is.

    \b
    Examples:
      hwsim rom rewrite a.hne b.hne --apply inhibition=0.1 --on-overflow rescale
      hwsim rom rewrite a.hne b.hne --apply pruning=7 --apply inhibition=0.02
      hwsim rom rewrite a.hne b.hne --apply inhibition=0.02@fc --patch axi.txt
    """
    from hwsim.bus.patch import changes, write_patch
    from hwsim.defenses.steps import RewriteStep, apply
    from hwsim.errors import ImageError
    from hwsim.files.file import replacing
    from hwsim.files.output import prepare_json_path
    from hwsim.rom import image as rom

    chosen = [RewriteStep.parse(text) for text in steps]
    if layers is not None:
        named = [RewriteStep(s.name, s.value, s.layers if "@" in t else layers)
                 for s, t in zip(chosen, steps, strict=True)]  # fmt: skip
        chosen = named
    before = rom.load(source)
    after = apply(before, chosen, cast("OnOverflow", on_overflow))
    if patch is not None:
        prepare_json_path(patch)  # before anything is written
    rom.save(after, target, overwrite=force)
    answer = result_console()
    for entry in after.history[len(before.history) :]:
        answer.print(_table(entry))
        if entry["repeated"]:
            message_console().print(
                f"warning: {entry['rewrite']} was applied before to "
                f"{', '.join(entry['repeated'])}; both are recorded in the history"
            )
    found = list(changes(before, after))
    answer.print(_total(Counter(change.memory for change in found)))
    if patch is not None:
        try:
            with replacing(patch) as name, open(name, "w", encoding="ascii") as out:
                writes = write_patch(after, iter(found), out)
        except OSError as error:
            raise ImageError(f"{patch}: cannot be written: {error.strerror}") from None
        answer.print(f"{writes:,} AXI4-Lite writes in {patch}, to be sent while the engine is idle")


def _total(count: Counter[str]) -> str:
    if not count:
        return "no word of any memory changed"
    return "words changed: " + ", ".join(f"{n:,} in {memory}" for memory, n in count.items())


def _table(entry: dict[str, Any]) -> Table:
    from rich.table import Table

    value = entry.get("tau", entry.get("compression"))
    table = Table(title=f"{entry['rewrite']} {value:g}", title_justify="left")
    table.add_column("layer")
    for name in ("words", "changed", "saturated", "zero", "binary point"):
        table.add_column(name, justify="right")
    for layer, row in entry["layers"].items():
        table.add_row(
            layer,
            *(f"{row[name]:,}" for name in ("words", "changed", "saturated", "zero")),
            f"{-row['moved']:+}" if row["moved"] else "as before",
        )
    return table


@click.command("diff")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--words",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many changed words to list; all are counted.",
)
def diff(a: Path, b: Path, words: int) -> None:
    """List the words in which image B differs from image A, and count them by memory and layer.

    Example: hwsim rom diff a.hne b.hne --words 5
    """
    from rich.table import Table

    from hwsim.bus.patch import changes, layer_of
    from hwsim.rom import image as rom

    first, second = rom.load(a), rom.load(b)
    answer = result_console()
    count: Counter[tuple[str, str]] = Counter()
    found = changes(first, second)
    table = Table("memory", "layer")
    for name in ("line", "field", "before", "after"):
        table.add_column(name, justify="right")
    for change in islice(found, words):
        layer = layer_of(second, change)
        count[change.memory, layer] += 1
        numbers = (change.line, change.field, change.before, change.after)
        table.add_row(change.memory, layer, *map(str, numbers))
    for change in found:
        count[change.memory, layer_of(second, change)] += 1
    if table.row_count:
        answer.print(table)
    for (memory, layer), number in count.items():
        answer.print(f"{memory}, {layer}: {number:,} words differ")
    if not count:
        answer.print("no word differs")
