"""Options of commands on a network and images: whose images, and what their values mean."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from hwsim.importer.names import is_foreign, is_image

if TYPE_CHECKING:
    from hwsim.models.datasets.samples import Samples
    from hwsim.networks.open import Network

Function = Callable[..., Any]

#: What a MODEL may be, for the help of commands.
MODEL = (
    "network of the zoo, path of a trained one, image .hne, or a file: .onnx, .tflite, .pt2, or "
    "file.py:function, which is executed and returns a module"
)


def parse_range(_: click.Context, __: click.Parameter, text: str | None) -> Any:
    """Callback: ``0,255`` -> (0.0, 255.0), None of nothing; click.BadParameter otherwise."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no pair of numbers like 0,255") from None
    if not -1e30 < low < high < 1e30:
        raise click.BadParameter(f"{text!r} is no range: the first must be below the second")
    return low, high


def data_options(function: Function) -> Function:
    """--data, --calibration and --range, given to the command as ``choice``, a DataChoice."""

    @functools.wraps(function)
    def choosing(
        *args: Any,
        data: Path | None,
        calibration: Path | None,
        bounds: tuple[float, float] | None,
        **kwargs: Any,
    ) -> Any:
        from hwsim.networks.subject import DataChoice

        return function(*args, choice=DataChoice(data, calibration, bounds), **kwargs)

    made: Function = choosing
    for decorator in reversed(_OPTIONS):
        made = decorator(made)
    return made


_OPTIONS: list[Callable[[Function], Function]] = [
    click.option(
        "--data", type=click.Path(path_type=Path, exists=True),
        help="Images instead of the network's data set: .npz with x, as the network takes it, and "
        "perhaps y; or a folder of pictures by class, FOLDER/CLASS/*.png.",
    ),
    click.option(
        "--calibration", type=click.Path(path_type=Path, exists=True),
        help="The same, for the scales of a float file and for thresholds  [default: the first "
        "images of --data]",
    ),
    click.option(
        "--range", "bounds", callback=parse_range, metavar="LOW,HIGH",
        help="What black and white of pictures are worth; also the range of an input that a file "
        "leaves in real numbers.",
    ),
]  # fmt: skip


def any_range(*models: str) -> bool:
    """Whether one of the networks may have inputs beyond [0, 1], as far as its name tells."""
    return any(is_image(name) or is_foreign(name) for name in models)


def say_notes(console: Console, *networks: Network) -> None:
    """Lines that say how the networks' files were read, and what stands for a float network."""
    for network in networks:
        for note in network.notes:
            console.print(f"note: {note}", markup=False, highlight=False)
        if network.alone:
            console.print(
                f"note: {network.name} has no float network ({network.alone}): the image's own "
                "arithmetic without rounding stands for it",
                markup=False,
                highlight=False,
            )


def say_data(console: Console, test: Samples) -> None:
    """A line that says what must be known about the images, such as whose answers are labels."""
    if test.note:
        console.print(f"note: {test.note}", markup=False, highlight=False)


def check_classes(networks: Sequence[Network]) -> None:
    """Raises InputError for a network with one output, of which there is no other class."""
    from hwsim.errors import InputError

    for network in networks:
        if network.program.classes < 2:
            raise InputError(
                f"{network.name}: answers one value, so there is no other class to attack towards"
            )
