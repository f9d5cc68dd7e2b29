"""`hwsim run`: classify test images on the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hwsim.commands.options import bits_option, config_option

if TYPE_CHECKING:
    from torch import Tensor

    from hwsim.networks import Network


@click.command("run")
@click.argument("image")
@config_option
@bits_option
@click.option(
    "--samples",
    type=click.IntRange(1),
    help="Test images.  [default: 1000; with --backend rtl 20]",
)
@click.option(
    "--backend",
    type=click.Choice(["python", "rtl"]),
    default="python",
    show_default=True,
    help="The bit-accurate model, or the Verilog in Verilator.",
)
def command(image: str, config: str, bits: int | None, samples: int | None, backend: str) -> None:
    """Classify test images with IMAGE, an .hne folder or a zoo network, beside the float network.

    Example: hwsim run h16.hne --samples 1000
    """
    import torch

    from hwsim.engine import Engine
    from hwsim.networks import open_network, pixels
    from models.data import load_dataset
    from models.train import accuracy

    network = open_network(image, config, bits)
    samples = samples or (20 if backend == "rtl" else 1000)
    test = load_dataset(network.dataset, "test").take(samples)
    labels = torch.from_numpy(test.labels)
    if backend == "rtl":
        fixed = _on_rtl(network, pixels(test), labels)
    else:
        fixed = accuracy(Engine(network.program), pixels(test), labels)
    real = accuracy(network.module, pixels(test), labels)
    where = "on the RTL" if backend == "rtl" else "in fixed point"
    click.echo(
        f"{network.name}: {100 * fixed:.2f}% of {samples} test images {where}, "
        f"{100 * real:.2f}% in float ({test.source})"
    )
    if test.note:
        click.echo(f"note: {test.note}")


def _on_rtl(network: Network, images: Tensor, labels: Tensor) -> float:
    """Accuracy of the Verilog; says after the first image how long the others will take."""
    import os

    import torch

    from hwsim.engine import Engine
    from hwsim.rtl import build
    from hwsim.rtl_backend import RtlBackend

    click.echo("compiling the RTL (once for each engine configuration) and loading it ...")
    build(network.program.config)
    with RtlBackend(network.program) as engine, torch.inference_mode():
        first = engine.integer_logits(images[:1])
        cycles, seconds = engine.simulated
        rest = len(images) - 1
        click.echo(
            f"{cycles:,} cycles an image at {cycles / seconds:,.0f} cycles/s: about "
            f"{rest * seconds / min(rest or 1, os.cpu_count() or 1):.0f} s for the other {rest}"
        )
        others = engine.integer_logits(images[1:])
    # Equality is what this backend is for, so it is said.
    logits = torch.cat([first, others])
    twin = Engine(network.program).integer_logits(images)
    same = int((logits == twin).all(1).sum())
    click.echo(f"logits equal to the simulator's on {same} of {len(images)} images, cycles on all")
    return float((logits.argmax(1) == labels).float().mean())
