"""`hwsim compile`: a network of the zoo as memory images."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.commands.options import bits_option, config_option


@click.command("compile")
@click.argument("model")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Directory [default: MODEL.hne]."
)
@config_option
@bits_option
@click.option("--force", is_flag=True, help="Replace an existing image.")
def command(model: str, output: Path | None, config: str, bits: int | None, force: bool) -> None:
    """Compile MODEL of the zoo for an engine configuration.

    Example: hwsim compile mnist-cnn-h16 -o h16.hne --config default --bits 8
    """
    from hwsim import rom
    from hwsim.networks import open_network

    network = open_network(model, config, bits)
    target = output or Path(f"{Path(model).stem}.hne")
    rom.save(network.program, target, overwrite=force)
    words = sum(layer.spec.real_weights for layer in network.program.mac_layers)
    engine = network.program.config
    click.echo(
        f"{target}: {len(network.program.layers)} layers, {words:,} real weights, "
        f"{engine.act_w}-bit activations, {engine.wgt_w}-bit weights, configuration {engine.name}"
    )
