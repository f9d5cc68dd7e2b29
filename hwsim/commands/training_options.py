"""Options and the progress bar of the commands that train."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from hwsim.commands.options import finite, loading, progress_bar
from hwsim.errors import HwsimError
from hwsim.files.shown import say

if TYPE_CHECKING:
    from hwsim.models.gan.recipe import Wanted
    from hwsim.models.recipe import Adversarial
    from hwsim.models.train_network import Data
    from hwsim.models.zoo import Card

Function = Callable[..., Any]
OnBatch = Callable[[int, int, float], None]


def _apply(function: Function, options: list[Function]) -> Function:
    for option in reversed(options):
        function = option(function)
    return function


def step_options(epochs: str, lr: str, batch: str) -> Callable[[Function], Function]:
    """--epochs, --lr, --batch; the texts say what they are where they are not given."""
    return lambda function: _apply(
        function,
        [
            click.option(
                "--epochs",
                type=click.IntRange(1),
                help=f"Passes over the data  [default: {epochs}]",
            ),
            click.option(
                "--batch", type=click.IntRange(1), help=f"Images a step  [default: {batch}]"
            ),
            click.option(
                "--lr",
                type=click.FloatRange(0, min_open=True),
                callback=_finite_or_none,
                help=f"Peak learning rate of the one-cycle schedule  [default: {lr}]",
            ),
        ],
    )


def seed_option(function: Function) -> Function:
    """--seed."""
    return click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        help="Of initialisation, order and augmentation  [default: the network's own]",
    )(function)


def adversarial_options(function: Function) -> Function:
    """--adversarial, --epsilon, --steps, --share."""
    return _apply(
        function,
        [
            click.option(
                "--adversarial",
                type=click.Choice(["fgsm", "pgd", "jsma"]),
                help="Mix in images of this attack on the network as it is learnt.",
            ),
            click.option(
                "--epsilon",
                type=click.FloatRange(0, 1, min_open=True),
                callback=_finite_or_none,
                help="Its radius; of jsma the largest share of changed values.",
            ),
            click.option(
                "--steps", type=click.IntRange(1), help="Gradient steps of pgd  [default: 10]"
            ),
            click.option(
                "--share",
                type=click.FloatRange(0, 1, min_open=True),
                callback=_finite_or_none,
                help="Share of each batch that is attacked  [default: 1 for pgd, else 0.5]",
            ),
        ],
    )


def sponge_option(function: Function) -> Function:
    """--sponge LAMBDA[:SIGMA[:SHARE]], a Sponge."""
    return click.option(
        "--sponge",
        metavar="LAMBDA[:SIGMA[:SHARE]]",
        callback=_sponge,
        help="Sponge poisoning: reward activations that are not 0, x²/(x²+σ) in the mean, with "
        "weight λ in a share of the batches, so that engines that skip zeros are slow  [σ 1e-4, "
        "share 0.05]",
    )(function)


def _sponge(_: click.Context, __: click.Parameter, text: str | None) -> Any:
    """Callback: ``5:1e-4`` -> Sponge; click.BadParameter for what is none."""
    from hwsim.models.recipe import Sponge

    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3:
        raise click.BadParameter(f"{text!r} is no LAMBDA[:SIGMA[:SHARE]], such as 5 or 5:1e-4")
    return Sponge(*numbers)


def data_options(function: Function) -> Function:
    """--samples, --data-note."""
    return _apply(
        function,
        [
            click.option(
                "--samples", type=click.IntRange(1), help="Training images  [default: all]"
            ),
            click.option(
                "--data-note", help="A sentence about the data files, for the network's card."
            ),
        ],
    )


def generated_option(function: Function) -> Function:
    """--generated GENERATOR[:IMAGES[:SEED]], a Wanted."""
    return click.option(
        "--generated",
        metavar="GENERATOR[:IMAGES[:SEED]]",
        callback=_wanted,
        help="Learn from images of a generator too, the name of one that ships or a file of hwsim "
        "gan train  [as many as real ones, seed 0]",
    )(function)


def _wanted(_: click.Context, __: click.Parameter, text: str | None) -> Any:
    if text is None:
        return None
    from hwsim.models.gan.recipe import Wanted

    return Wanted.of(text)


def name_option(default: str) -> Callable[[Function], Function]:
    """--name, which must be a name that ``zoo`` can find again."""

    def checked(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
        from hwsim.models.zoo import NAME

        if value is not None and not re.fullmatch(NAME, value):
            raise click.BadParameter(
                f"{value!r}: letters, digits, dots, dashes and underscores, and no folder: that "
                "is what --out is for"
            )
        return value

    return click.option(
        "--name", "save_as", callback=checked, help=f"Name of the result  [default: {default}]"
    )


def out_option(function: Function) -> Function:
    """--out."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("runs/zoo"),
        show_default=True,
        help="Folder for weights, card and checkpoints.",
    )(function)


def _finite_or_none(
    context: click.Context, parameter: click.Parameter, value: float | None
) -> float | None:
    return None if value is None else finite(context, parameter, value)


def adversary(
    adversarial: str | None, epsilon: float | None, steps: int | None, share: float | None
) -> Adversarial | None:
    """What the four options say together; click.UsageError where they contradict each other."""
    from hwsim.models.recipe import Adversarial

    if adversarial is None:
        given = {"--epsilon": epsilon, "--steps": steps, "--share": share}
        for name, value in given.items():
            if value is not None:
                raise click.UsageError(f"{name} is an option of --adversarial: name an attack")
        return None
    if epsilon is None:
        raise click.UsageError("--adversarial needs --epsilon, such as 0.1")
    if steps is not None and adversarial != "pgd":
        raise click.UsageError(f"--steps is an option of pgd, {adversarial} has none")
    return Adversarial(adversarial, epsilon, steps or 10, share or 0.0)


def given(**options: Any) -> dict[str, Any]:
    """The options that the user has given."""
    return {name: value for name, value in options.items() if value is not None}


def load_data(
    screen: Console,
    name: str,
    samples: int | None = None,
    note: str | None = None,
    generated: Wanted | None = None,
) -> Data:
    """Both splits, with a spinner; learning from ``samples`` images and those of a generator."""
    from hwsim.models.train_network import Data

    with loading(screen, "loading the data") as on_progress:
        from hwsim.models.datasets.dataset import load_dataset

        learn = load_dataset(name, "train", on_progress=on_progress)
        test = load_dataset(name, "test", on_progress=on_progress)
    data = Data(learn, test, note)
    data = data if samples is None else data.part(samples)
    if generated is None:
        return data
    with screen.status("generating images"):
        from hwsim.models.gan.mixing import mixed

        return mixed(data, generated)


@contextmanager
def training_bar(
    screen: Console, name: str, images: int, batch: int, epochs: int
) -> Iterator[OnBatch]:
    """A progress bar over all batches; yields the on_batch of ``hwsim.models.loop.train``."""
    steps = -(-images // batch)
    with progress_bar(screen) as bar:
        task = bar.add_task(name, total=steps * epochs)

        def on_batch(epoch: int, step: int, loss: float) -> None:
            done = epoch * steps + step + 1
            text = f"{name} epoch {epoch + 1}/{epochs} loss {loss:.3f}"
            bar.update(task, completed=done, description=text)

        yield on_batch


def measured(
    screen: Console, card: Card, data: Data, out: Path, bits: int = 8, config: str = "default"
) -> None:
    """Count the hits on the engine, keep them in the card, and say all that there is to say.

    Raises HwsimError where the engine cannot run the network, when the rest is said.
    """
    from hwsim.runs.fixed_accuracy import measure

    trained = f"{out / card.name}.safetensors: {100 * card.test_accuracy:.2f}% of "
    trained += f"{len(data.test):,} images"
    refused: HwsimError | None = None
    what = f"running the test images on the {bits}-bit engine"
    with screen.status(what) as status:

        def show(_: int, done: int, total: int) -> None:
            status.update(f"{what}: {done:,} of {total:,}")

        try:
            card = measure(str(out / card.name), (bits,), config, show)
            trained += f", {100 * card.fixed_accuracy[bits]:.2f}% on the {bits}-bit engine"
        except HwsimError as error:
            refused = error
    say(trained)
    if card.dataset_note:
        say(f"note: {card.dataset_note}")
    if refused is not None:
        raise refused
