"""`hwsim import`: a network that others made, as the engine sees it, and how far it is from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hwsim.commands.data_options import parse_range
from hwsim.commands.options import (
    config_option,
    json_option,
    loading,
    message_console,
    result_console,
    typed_command,
)
from hwsim.files.shown import say


@click.command("import")
@click.argument("file")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Also write memory images here."
)
@click.option(
    "--data", type=click.Path(path_type=Path), help=".npz with x, as the network takes it, and y."
)
@click.option(
    "--range",
    "bounds",
    callback=parse_range,
    help="LOW,HIGH of an input that the file leaves in real numbers.",
)
@config_option
@click.option(
    "--mult-w",
    type=click.IntRange(8, 32),
    help="Bits of the requantization multiplier  [default: the configuration's, 16]",
)
@click.option(
    "--requantization",
    type=click.Choice(["up", "twice-up", "twice-away"]),
    default="up",
    show_default=True,
    help="How layers of an int8 .tflite file round: to the nearest, as TFLite's optimized kernels, "
    "as its reference kernels. The latter two take 32-bit multipliers and are exact.",
)
@click.option(
    "--images",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="Images of the comparison: the first of the data, or drawn at random.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of images drawn at random.")
@click.option("--force", is_flag=True, help="Replace an existing image.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path),
    help="Draw the graph and the comparison as one HTML page here.",
)
@json_option
def command(
    file: str,
    output: Path | None,
    data: Path | None,
    bounds: tuple[float, float] | None,
    config: str | None,
    mult_w: int | None,
    requantization: str,
    images: int,
    seed: int,
    force: bool,
    page: Path | None,
    json_path: Path | None,
) -> None:
    """Read a network from FILE and say how far the engine is from the file's own runtime.

    FILE: .onnx (float, QDQ, QCDQ, QOperator, QONNX), .tflite (int8, float), .pt2 of torch.export,
    or file.py:function, which is executed and returns a module. A quantized file keeps its
    integers. Data of the file's integer type are codes; any other type holds real numbers.

    \b
    Examples:
      hwsim import net.tflite -o net.hne
      hwsim import net.onnx --data test.npz --images 1000 --html net.html
      hwsim import net.tflite --requantization twice-away
    """
    from hwsim.files.output import prepare_json_path

    if output is not None and output.exists() and not force:
        raise click.ClickException(f"{output} already exists: add --force, or choose another -o")
    for path in (json_path, page):
        if path is not None:
            prepare_json_path(path)
    console = result_console()
    with loading(message_console(), "reading"):
        from hwsim.importer import tables
        from hwsim.importer.data import read_data
        from hwsim.importer.load import load_model
        from hwsim.numbers.config import load_config

        engine = load_config(config or "default")
        engine = engine if mult_w is None else engine.replace(mult_w=mult_w)
        arrays = read_data(data) if data is not None else None
        kernel: Any = None if requantization == "up" else requantization
        model = load_model(file, engine, data=arrays, bounds=bounds, kernel=kernel)
    console.print(tables.understood(model))
    for note in model.notes:
        say(f"note: {note}")
    result = tables.as_dict(model)
    if model.graph is not None:
        from hwsim.importer.compare import compare, random_images

        with loading(message_console(), "running the file's own runtime"):
            if arrays is not None:
                given, source = model.images(arrays)[:images].double().numpy(), str(data)
            else:
                given, source = random_images(model, images, seed), "drawn at random"
            found = compare(model, Path(file), given)
        console.print()
        console.print(tables.compared(found, source))
        result["comparison"] = tables.comparison_as_dict(found, source)
    if output is not None:
        from hwsim.rom import image as rom

        rom.save(model.program, output, overwrite=force)
        say(
            f"{output}: {len(model.program.layers)} layers, configuration "
            f"{model.program.config.name}"
        )
    if page is not None:
        from hwsim.importer.rounding import MODELS
        from hwsim.networks.open import versions
        from hwsim.report.import_report import write_import

        about = {"roundings": MODELS, "command": typed_command(), "versions": versions()}
        write_import(result | about, page)
        say(f"{page}: the graph and the comparison")
    if json_path is not None:
        from hwsim.report.pages import write_json

        write_json(result, json_path)
