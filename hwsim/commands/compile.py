"""`hwsim compile`: a trained network as memory images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwsim.commands.data_options import data_options
from hwsim.commands.options import bits_option, config_option, loading, message_console
from hwsim.files.shown import say
from hwsim.importer.names import FOREIGN, is_function

if TYPE_CHECKING:
    from hwsim.networks.subject import DataChoice


@click.command("compile")
@click.argument("model")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Image to make  [default: MODEL.hne]"
)
@data_options
@config_option
@bits_option
@click.option("--force", is_flag=True, help="Replace an existing image.")
def command(
    model: str,
    output: Path | None,
    config: str | None,
    bits: int | None,
    force: bool,
    choice: DataChoice,
) -> None:
    """Compile MODEL for an engine configuration into a folder of memory images.

    MODEL: a network of the zoo (see hwsim zoo list), the path of one that hwsim train wrote, or
    .onnx, .tflite, .pt2 or file.py:function, which is executed; float ones need --data.

    \b
    Examples:
      hwsim compile mnist-cnn-h16 -o h16.hne --config default --bits 8
      hwsim compile net.onnx --data some.npz
    """
    target = output or Path(f"{_bare(model)}.hne")
    if target.exists() and not force:  # said before the work, and again by rom.save after it
        raise click.ClickException(f"{target} already exists: add --force, or choose another -o")
    with loading(message_console(), "compiling") as on_progress:
        from hwsim.errors import InputError
        from hwsim.importer.names import is_image
        from hwsim.networks.subject import open_program
        from hwsim.rom import image as rom

        if is_image(model):
            raise InputError(f"{model} is compiled already: name the network it was made from")
        program = open_program(model, config, bits, on_progress, choice)
        rom.save(program, target, overwrite=force)
    words = sum(layer.spec.real_weights for layer in program.mac_layers)
    engine = program.config
    say(
        f"{target}: {len(program.layers)} layers, {words:,} real weights, "
        f"{engine.act_w}-bit activations, {engine.wgt_w}-bit weights, configuration {engine.name}"
    )
    if note := program.provenance.get("calibration", {}).get("note"):
        say(f"note: calibrated on {note}")
    for dropped in program.provenance.get("notes", []):
        say(f"note: {dropped}")


def _bare(model: str) -> str:
    """The name of a network without what its file is called after."""
    name = Path(model.rpartition(":")[2] if is_function(model) else model).name
    return Path(name).stem if name.endswith((*FOREIGN, ".safetensors")) else name
