"""`hwsim run`: classify test images on the engine."""

from __future__ import annotations

import click

from hwsim.commands.options import bits_option, config_option


@click.command("run")
@click.argument("image")
@config_option
@bits_option
@click.option("--samples", type=click.IntRange(1), default=1000, show_default=True)
def command(image: str, config: str, bits: int | None, samples: int) -> None:
    """Classify test images with IMAGE, an .hne folder or a zoo network, beside the float network.

    Example: hwsim run h16.hne --samples 1000
    """
    import torch

    from hwsim.engine import Engine
    from hwsim.networks import open_network, pixels
    from models.data import load_dataset
    from models.train import accuracy

    network = open_network(image, config, bits)
    test = load_dataset(network.dataset, "test").take(samples)
    labels = torch.from_numpy(test.labels)
    fixed = accuracy(Engine(network.program), pixels(test), labels)
    real = accuracy(network.module, pixels(test), labels)
    click.echo(
        f"{network.name}: {100 * fixed:.2f}% of {samples} test images in fixed point, "
        f"{100 * real:.2f}% in float ({test.source})"
    )
    if test.note:
        click.echo(f"note: {test.note}")
