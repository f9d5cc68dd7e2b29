"""`hwsim audit`: what `make audit` runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hwsim.commands.opening import Opening, opening_options
from hwsim.commands.options import (
    check_widest,
    epsilons_option,
    in_units,
    progress_bar,
    typed_command,
)

if TYPE_CHECKING:
    from torch import nn

    from hwsim.networks.open import Network


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
@opening_options
def command(
    model: str,
    images: int | None,
    draws: int,
    eps: list[float],
    steps: int,
    surrogate: str | None,
    opening: Opening,
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
    check_widest(eps, model)
    with opening.networks(model) as opened:
        from hwsim.audit.attempts import Effort
        from hwsim.audit.report import write_audit
        from hwsim.audit.suite import Audit, AuditSettings
        from hwsim.audit.terminal import render_terminal

        (subject,) = opened.subjects
        network = subject.network
        settings = AuditSettings(
            model=model,
            images=subject.count(images, 64),
            effort=Effort(in_units(eps, opened.bounds), steps, draws),
            command=typed_command(),
        )
        audit = Audit(settings, network, subject.test, _sources(network, surrogate, opening))
    folder, partial = opening.folder(audit.name)
    with progress_bar(opening.screen) as bar:
        task = bar.add_task("", total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, description=f"{stage:<28.28}", completed=done, total=total)

        evidence = audit.run(partial, show)
    with opening.screen.status("drawing"):
        result = audit.result(evidence)
        paths = write_audit(result, folder)
        opening.keep(result)
        partial.unlink(missing_ok=True)
    render_terminal(result, opening.answer, paths)
    opened.say(opening.answer)


def _sources(network: Network, surrogate: str | None, opening: Opening) -> dict[str, nn.Module]:
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
        other = open_network(surrogate, opening.config, opening.bits)
        if other.program.input_shape != program.input_shape:
            raise InputError(
                f"--surrogate {surrogate} takes images of shape {other.program.input_shape}, "
                f"not {program.input_shape}: choose one for the same data"
            )
        sources[other.name] = Engine(other.program)
    return sources
