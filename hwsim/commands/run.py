"""`hwsim run`: classify test images on the engine."""

from __future__ import annotations

import click

from hwsim.commands.options import (
    bits_option,
    config_option,
    loading,
    message_console,
    progress_bar,
    samples_option,
)

BATCH = 500


@click.command("run")
@click.argument("image")
@config_option
@bits_option
@samples_option
def command(image: str, config: str | None, bits: int | None, samples: int) -> None:
    """Classify test images with IMAGE, an .hne folder or a trained network, beside float.

    \b
    Examples:
      hwsim run h16.hne
      hwsim run mnist-cnn-h16 --bits 4 --samples 10000
    """
    screen = message_console()
    with loading(screen, "loading the network") as on_progress:
        import torch

        from hwsim.engine import Engine
        from hwsim.networks import open_network, pixels
        from models.data import load_dataset
        from models.train import accuracy

        network = open_network(image, config, bits, on_progress)
        test = load_dataset(network.dataset, "test", on_progress=on_progress).take(samples)
        labels = torch.from_numpy(test.labels)
        machines = {"fixed point": Engine(network.program), "float": network.module}
    hits = dict.fromkeys(machines, 0)
    with progress_bar(screen) as bar:
        task = bar.add_task(network.name, total=samples)
        for images, right in zip(pixels(test).split(BATCH), labels.split(BATCH), strict=True):
            for name, machine in machines.items():
                hits[name] += round(accuracy(machine, images, right) * len(right))
            bar.advance(task, len(right))
    shares = ", ".join(f"{100 * count / samples:.2f}% in {name}" for name, count in hits.items())
    engine = network.program.config
    click.echo(
        f"{network.name}: {shares}, of {samples:,} test images of {test.name} ({test.source}); "
        f"engine {engine.name}, {engine.act_w}-bit words"
    )
    if test.note:
        click.echo(f"note: {test.note}")
