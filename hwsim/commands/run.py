"""`hwsim run`: classify test images on the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.commands.data_options import data_options
from hwsim.commands.options import (
    bits_option,
    config_option,
    json_option,
    loading,
    message_console,
    progress_bar,
    skip_option,
    typed_command,
)
from hwsim.files.shown import say

BATCH = 500

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hwsim.models.datasets.samples import Samples
    from hwsim.networks.open import Network
    from hwsim.networks.subject import DataChoice


@click.command("run")
@click.argument("image", metavar="MODEL")
@data_options
@config_option
@bits_option
@skip_option
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
@json_option
def command(
    image: str,
    config: str | None,
    bits: int | None,
    skip: bool,
    samples: int | None,
    backend: str,
    json_path: Path | None,
    choice: DataChoice,
) -> None:
    """Classify test images with MODEL, beside its float network where there is one.

    MODEL: an .hne folder, a trained network, .onnx, .tflite, .pt2, or file.py:function, which is
    executed. Images without labels are judged by the network's own answers.

    \b
    Examples:
      hwsim run h16.hne
      hwsim run mnist-cnn-h16 --bits 4 --samples 10000
      hwsim run mnist-cnn-h64 --backend rtl --samples 2
      hwsim run net.tflite --data test.npz
    """
    if json_path is not None:
        from hwsim.files.output import prepare_json_path

        prepare_json_path(json_path)
    screen = message_console()
    with loading(screen, "loading the network") as on_progress:
        import torch

        from hwsim.engine.module import Engine
        from hwsim.networks.own_data import answers
        from hwsim.networks.subject import open_subject

        subject = open_subject(image, config, bits, on_progress, choice, alone=True)
        network = subject.network
        if skip:
            network = replace(network, program=network.program.skipping())
        samples = subject.count(samples, 20 if backend == "rtl" else 1000)
        test = subject.test.take(samples)
        inputs, labels = network.inputs(test), torch.from_numpy(test.labels)
    shares = {}
    machines: dict[str, nn.Module] = {}
    if backend == "rtl":
        shares["Verilog"] = _on_rtl(network, inputs, labels)
    else:
        machines["fixed point"] = Engine(network.program)
    if not network.alone:
        machines["float"] = network.module
    hits = dict.fromkeys(machines, 0)
    with progress_bar(screen) as bar, torch.inference_mode():
        task = bar.add_task(network.name, total=samples)
        for images, right in zip(inputs.split(BATCH), labels.split(BATCH), strict=True):
            for name, machine in machines.items():
                hits[name] += int((answers(machine(images)) == right).sum())
            bar.advance(task, len(right))
    shares |= {name: count / samples for name, count in hits.items()}
    said = ", ".join(f"{100 * share:.2f}% in {name}" for name, share in shares.items())
    engine = network.program.config
    say(
        f"{network.name}: {said}, of {samples:,} test images of {test.name} ({test.source}); "
        f"engine {engine.name}, {engine.act_w}-bit words"
    )
    if network.alone:
        say(f"note: there is no float network beside it: {network.alone}")
    for note in (*network.notes, *([test.note] if test.note else [])):
        say(f"note: {note}")
    if json_path is not None:
        from hwsim.report.pages import write_json

        write_json(_result(image, network, test, shares), json_path)


def _result(
    model: str, network: Network, test: Samples, shares: dict[str, float]
) -> dict[str, Any]:
    """What ``--json`` holds."""
    from hwsim.networks.open import versions
    from hwsim.report import robustbench

    config = network.program.config
    machines = {"float": "float", "fixed point": "engine", "Verilog": "engine"}
    found: dict[str, Any] = {
        "model": model, "config": config.name, "bits": config.act_w, "samples": len(test),
        "backend": "rtl" if "Verilog" in shares else "python", "skip": config.skip,
        "accuracy": {machines[name]: share for name, share in shares.items()},
        "dataset": test.about,
        "versions": versions(), "command": typed_command(),
    }  # fmt: skip
    return found | {"robustbench": robustbench.of_run(found)}


def _on_rtl(network: Network, images: Tensor, labels: Tensor) -> float:
    """Accuracy of the Verilog; says after the first image how long the others will take."""
    import os

    import torch

    from hwsim.engine.module import Engine
    from hwsim.networks.own_data import answers
    from hwsim.rtl.backend import RtlBackend
    from hwsim.rtl.build import build

    say("compiling the RTL (once for each engine configuration) and loading it ...")
    build(network.program.config)
    with RtlBackend(network.program) as engine, torch.inference_mode():
        first = engine.integer_logits(images[:1])
        cycles, seconds = engine.simulated
        rest = len(images) - 1
        say(
            f"{cycles:,} cycles an image at {cycles / seconds:,.0f} cycles/s: about "
            f"{rest * seconds / min(rest or 1, os.cpu_count() or 1):.0f} s for the other {rest}"
        )
        others = engine.integer_logits(images[1:])
    # Equality is what this backend is for, so it is said.
    logits = torch.cat([first, others])
    twin = Engine(network.program).integer_logits(images)
    same = int((logits == twin).all(1).sum())
    say(f"logits equal to the simulator's on {same} of {len(images)} images, cycles on all")
    return float((answers(logits) == labels).float().mean())
