"""`hwsim attack`: what `make sim` runs."""

from __future__ import annotations

import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwsim.commands.options import (
    backend_option,
    bits_option,
    config_option,
    loading,
    message_console,
    parse_epsilons,
    progress_bar,
    result_console,
    sample_count,
    samples_option,
)

if TYPE_CHECKING:
    from rich.console import Console

    from attacks.evaluate import Tally
    from hwsim.experiment import Experiment

#: The keys of hwsim.experiment.ATTACKS, here without torch.
NAMES = ("fgsm", "hfgsm")


def known_attack(text: str) -> str:
    """The name in lower case; click.ClickException for any other."""
    if text.lower() not in NAMES:
        raise click.ClickException(f"unknown attack {text!r}: choose from {', '.join(NAMES)}")
    return text.lower()


@click.command("attack")
@click.argument("name", callback=lambda _, __, text: known_attack(text))
@click.option(
    "--model",
    default="mnist-cnn-h64",
    show_default=True,
    help="Network of the zoo, path of a trained one, or image .hne.",
)
@click.option(
    "--eps",
    default="0.1,0.2,0.3,0.4,0.5",
    show_default=True,
    callback=lambda _, __, text: parse_epsilons(text),
    help="Largest change of a pixel, 0 … 1.",
)
@samples_option
@config_option
@bits_option
@click.option(
    "--probabilities",
    type=click.Choice(["float32", "float64", "engine"]),
    default="float32",
    show_default=True,
    help="Softmax whose loss the attacker differentiates. engine: its 16-bit unit; the float "
    "network, which has none, is then attacked through float32.",
)
@click.option(
    "--gradient",
    type=click.Choice(["ste", "ste-unclamped", "finite-difference"]),
    default="ste",
    show_default=True,
    help="How the attacker differentiates the engine. finite-difference: two inferences a pixel, "
    "so take few samples.",
)
@click.option(
    "--target", help="Targeted: random, least-likely or a class number, whose images are left out."
)
@backend_option
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write JSON here.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder in which the run's own folder is made.",
)
def command(
    name: str,
    model: str,
    eps: list[float],
    samples: int | None,
    config: str | None,
    bits: int | None,
    probabilities: str,
    gradient: str,
    target: str | None,
    backend: str,
    json_path: Path | None,
    out: Path,
) -> None:
    """Attack a network in float and on the bit-accurate engine, crosswise, with attack NAME.

    NAME: fgsm or hfgsm. They are one generator: HFGSM is its name on the hardware engine, and both
    are run, each crafted on float and on the engine and judged by both.

    Interrupted, the same command goes on where it stopped.

    \b
    Examples:
      hwsim attack hfgsm
      hwsim attack hfgsm --model mnist-cnn-h16 --eps 0.1,0.3 --bits 4
      hwsim attack hfgsm --probabilities engine --target random
      hwsim attack hfgsm --gradient finite-difference --samples 8
      hwsim attack hfgsm --backend rtl --eps 0.3
    """
    from hwsim import report

    report.prepare_run_directory(out)
    if json_path is not None:
        report.prepare_json_path(json_path)
    screen, answer = message_console(), result_console()
    with loading(screen, "loading and compiling the network") as on_progress:
        from hwsim.experiment import Experiment, Settings
        from hwsim.networks import open_network
        from hwsim.terminal import render_terminal
        from models.data import load_dataset

        network = open_network(model, config, bits, on_progress)
        test = load_dataset(network.dataset, "test", on_progress=on_progress)
        settings = Settings(
            attack=name,
            model=model,
            epsilons=tuple(eps),
            samples=sample_count(samples, backend),
            probabilities=probabilities,
            gradient=gradient,
            target=target,
            backend=backend,
            command=shlex.join(["hwsim", *sys.argv[1:]]),
        )
        experiment = Experiment(settings, network, test)
    folder = report.prepare_run_directory(out / experiment.name)
    partial = report.prepare_json_path(folder / "partial.json")
    with closing(experiment):
        tally = _count(experiment, partial, screen)
        with screen.status("drawing"):
            examples = experiment.examples()
            result = experiment.result(tally)
            paths = report.write_run(result, examples, folder)
            if json_path is not None:
                report.write_json(result, json_path)
            partial.unlink(missing_ok=True)
    render_terminal(result, answer, paths)
    if gradient != "ste":
        answer.print(f"note: the engine's gradient is {gradient}")
    if probabilities == "engine":
        answer.print("note: float has no probability unit; it was attacked through float32 softmax")


def _count(experiment: Experiment, partial: Path, screen: Console) -> Tally:
    """All counts behind a bar: of images, or where the Verilog judges, of its judgements."""
    title = f"{experiment.settings.attack} on {experiment.network.name}"
    estimate = None
    if experiment.settings.backend == "rtl":
        with screen.status("compiling the RTL (once for each engine configuration), one image"):
            estimate = experiment.estimate(partial)
        if estimate is not None:
            click.echo(f"Verilog: {estimate}", err=True)
    with progress_bar(screen) as bar:
        if estimate is None or experiment.judge is None:
            task = bar.add_task(title, total=len(experiment.inputs))
            return experiment.count(partial, lambda done, _: bar.update(task, completed=done))
        task = bar.add_task(title, total=estimate.judgements, completed=1)
        experiment.judge.on_judged = lambda count: bar.advance(task, count)
        return experiment.count(partial)
