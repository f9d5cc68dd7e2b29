"""`hwsim compile`: a trained network as memory images."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.commands.options import bits_option, config_option, loading, message_console
from hwsim.files.shown import say


@click.command("compile")
@click.argument("model")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Image to make  [default: MODEL.hne]"
)
@config_option
@bits_option
@click.option("--force", is_flag=True, help="Replace an existing image.")
def command(
    model: str, output: Path | None, config: str | None, bits: int | None, force: bool
) -> None:
    """Compile MODEL for an engine configuration into a folder of memory images.

    MODEL: a network of the zoo (see hwsim zoo list), or the path of one that hwsim train wrote.

    Example: hwsim compile mnist-cnn-h16 -o h16.hne --config default --bits 8
    """
    target = output or Path(f"{Path(model).name.removesuffix('.safetensors')}.hne")
    if target.exists() and not force:  # said before the work, and again by rom.save after it
        raise click.ClickException(f"{target} already exists: add --force, or choose another -o")
    with loading(message_console(), "compiling") as on_progress:
        from hwsim.errors import InputError
        from hwsim.networks.open import is_image, open_network
        from hwsim.rom import image as rom

        if is_image(model):
            raise InputError(f"{model} is compiled already: name the network it was made from")
        program = open_network(model, config, bits, on_progress).program
        rom.save(program, target, overwrite=force)
    words = sum(layer.spec.real_weights for layer in program.mac_layers)
    engine = program.config
    say(
        f"{target}: {len(program.layers)} layers, {words:,} real weights, "
        f"{engine.act_w}-bit activations, {engine.wgt_w}-bit weights, configuration {engine.name}"
    )
    if note := program.provenance["calibration"].get("note"):
        say(f"note: calibrated on {note}")
    for dropped in program.provenance.get("notes", []):
        say(f"note: {dropped}")
