"""`hwsim attack`: what `make sim` runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click
from rich.console import Console

from hwsim.commands.options import bits_option, config_option, parse_epsilons, progress_bar

NAMES = ("fgsm", "hfgsm")


@click.command("attack")
@click.argument("name")
@click.option("--model", default="mnist-cnn-h64", show_default=True, help="Zoo network or .hne.")
@click.option("--eps", default="0.1,0.2,0.3,0.4,0.5", show_default=True, help="Bounds in 0 … 1.")
@click.option("--samples", default="1000", show_default=True, help="Test images.")
@config_option
@bits_option
@click.option(
    "--probabilities",
    type=click.Choice(["float32", "float64", "engine"]),
    default="float32",
    show_default=True,
    help="Softmax whose loss the attacker differentiates; engine = its 16-bit unit.",
)
@click.option(
    "--gradient",
    type=click.Choice(["ste", "ste-unclamped", "finite-difference"]),
    default="ste",
    show_default=True,
    help="How the attacker differentiates the engine.",
)
@click.option("--target", help="Targeted: random, least-likely or a class number.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write JSON here.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
    help="Folder in which the run's own folder is made.",
)  # fmt: skip
def command(
    name: str, model: str, eps: str, samples: str, config: str, bits: int | None,
    probabilities: str, gradient: str, target: str | None, json_path: Path | None, out: Path,
) -> None:  # fmt: skip
    """Attack a network in float and on the bit-accurate engine, crosswise, with attack NAME.

    NAME: fgsm or hfgsm. They are one generator: HFGSM is its name on the hardware engine, and both
    are run, each crafted on float and on the engine and judged by both.

    \b
    Examples:
      hwsim attack hfgsm
      hwsim attack hfgsm --model mnist-cnn-h16 --eps 0.1,0.3 --bits 4
      hwsim attack hfgsm --probabilities engine --target random
    """
    if name not in NAMES:
        raise click.UsageError(f"unknown attack {name!r}: choose from {', '.join(NAMES)}")
    epsilons = parse_epsilons(eps)
    count = _count(samples)

    from hwsim import report
    from hwsim.experiment import Settings, run
    from hwsim.networks import open_network
    from hwsim.terminal import render_terminal
    from models.data import load_dataset

    stem = "-".join(
        [name, Path(model).stem, config, f"{bits}bit" if bits else "", probabilities]
        + ([gradient] if gradient != "ste" else [])
        + ([f"target-{target}"] if target else [])
    ).replace("--", "-")
    folder = report.prepare_run_directory(out / stem)
    if json_path is not None:
        report.prepare_json_path(json_path)
    console = Console(stderr=True)
    with console.status("loading and compiling the network"):
        network = open_network(model, config, bits)
        test = load_dataset(network.dataset, "test")
    settings = Settings(
        attack=name, model=model, epsilons=tuple(epsilons), samples=count, config=config,
        bits=bits, probabilities=probabilities, gradient=gradient, target=target,
        command=shlex.join(["hwsim", *sys.argv[1:]]),
    )  # fmt: skip
    partial = folder / "partial.json"
    with progress_bar(console) as bar:
        task = bar.add_task(f"{name} on {model}", total=count)
        result, examples = run(
            settings, network, test, partial, lambda done, _: bar.update(task, completed=done)
        )
    paths = report.write_run(result, examples, folder)
    partial.unlink(missing_ok=True)
    if json_path is not None:
        report.write_json(result, json_path)
    render_terminal(result, Console(), paths)


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        raise click.BadParameter(f"samples {text!r} is not a whole number") from None
    if count < 1:
        raise click.BadParameter(f"samples must be at least 1, got {count}")
    return count
