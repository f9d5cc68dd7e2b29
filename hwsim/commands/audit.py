"""`hwsim audit`: what `make audit` runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.commands.data_options import check_classes, data_options, say_data, say_notes
from hwsim.commands.options import (
    bits_option,
    check_widest,
    config_option,
    epsilons_option,
    in_units,
    json_option,
    loading,
    message_console,
    out_option,
    progress_bar,
    result_console,
    say_range,
    typed_command,
)

if TYPE_CHECKING:
    from torch import nn

    from hwsim.networks.open import Network
    from hwsim.networks.subject import DataChoice


@click.command("audit")
@click.argument("model", metavar="MODEL_OR_IMAGE")
@click.option(
    "--images",
    type=click.IntRange(1),
    help="Test images, spread evenly over all  [default: 64]",
)
@click.option(
    "--draws",
    type=click.IntRange(2),
    default=1000,
    show_default=True,
    help="Random-noise images tried for each of them and each ε.",
)
@epsilons_option("0.1,0.2,0.3,0.5")
@click.option(
    "--steps",
    type=click.IntRange(10),
    default=40,
    show_default=True,
    help="Gradient steps of PGD.",
)
@click.option(
    "--surrogate",
    metavar="NAME",
    help="Another network to craft transfer attacks on; the float network always is one.",
)
@data_options
@config_option
@bits_option
@json_option
@out_option
def command(
    model: str,
    images: int | None,
    draws: int,
    eps: list[float],
    steps: int,
    surrogate: str | None,
    config: str | None,
    bits: int | None,
    json_path: Path | None,
    out: Path,
    choice: DataChoice,
) -> None:
    """Is a network robust, or does it hide its gradients from naive attacks?

    Runs an adaptive suite of attacks through the engine and gives a verdict for each flag; every
    flag is explained in docs/audit.md. Ends with the worst case over all attacks beside the naive
    number. MODEL_OR_IMAGE: network of the zoo, path of a trained one, image .hne, or what others
    made: .onnx, .tflite, .pt2, or file.py:function, which is executed.

    Interrupted, the same command goes on where it stopped.

    \b
    Examples:
      hwsim audit mnist-cnn-h64
      hwsim audit inhibited.hne --images 256 --draws 10000
      hwsim audit mnist-cnn --bits 4 --surrogate mnist-cnn-h16
      hwsim audit net.tflite --data test.npz
    """
    from hwsim.files.output import prepare_json_path
    from hwsim.report.pages import prepare_run_directory, write_json

    check_widest(eps, model)
    prepare_run_directory(out)
    if json_path is not None:
        prepare_json_path(json_path)
    screen, answer = message_console(), result_console()
    with loading(screen, "loading and compiling the network") as on_progress:
        from hwsim.audit.attempts import Effort
        from hwsim.audit.report import write_audit
        from hwsim.audit.suite import Audit, AuditSettings
        from hwsim.audit.terminal import render_terminal
        from hwsim.engine.space import space_of
        from hwsim.networks.subject import open_subject

        subject = open_subject(model, config, bits, on_progress, choice)
        network = subject.network
        check_classes([network])
        bounds = space_of(network.program).bounds
        settings = AuditSettings(
            model=model,
            images=subject.count(images, 64),
            effort=Effort(in_units(eps, bounds), steps, draws),
            command=typed_command(),
        )
        audit = Audit(settings, network, subject.test, _sources(network, surrogate, config, bits))
    folder = prepare_run_directory(out / audit.name)
    partial = prepare_json_path(folder / "partial.json")
    with progress_bar(screen) as bar:
        task = bar.add_task("", total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, description=f"{stage:<28.28}", completed=done, total=total)

        evidence = audit.run(partial, show)
    with screen.status("drawing"):
        result = audit.result(evidence)
        paths = write_audit(result, folder)
        if json_path is not None:
            write_json(result, json_path)
        partial.unlink(missing_ok=True)
    render_terminal(result, answer, paths)
    say_range(answer, bounds)
    say_notes(answer, network)
    say_data(answer, subject.test)


def _sources(
    network: Network, surrogate: str | None, config: str | None, bits: int | None
) -> dict[str, nn.Module]:
    """What transfer attacks are crafted on: the float network, the ROM before it was rewritten,
    and what the user names.
    """
    from hwsim.engine.module import Engine
    from hwsim.errors import InputError
    from hwsim.networks.open import open_network

    sources: dict[str, Any] = {"float": network.module}
    program = network.program
    if program.history and not network.alone:
        origin = str(program.provenance["model"])  # open_network has made sure of it
        # The same widths on any array compute the same.
        before = open_network(origin, bits=program.config.act_w).program
        if before.input_shape == program.input_shape:
            sources["undefended"] = Engine(before)
    if surrogate is not None:
        other = open_network(surrogate, config, bits)
        if other.program.input_shape != program.input_shape:
            raise InputError(
                f"--surrogate {surrogate} takes images of shape {other.program.input_shape}, "
                f"not {program.input_shape}: choose one for the same data"
            )
        sources[other.name] = Engine(other.program)
    return sources
