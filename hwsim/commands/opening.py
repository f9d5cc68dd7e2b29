"""What attack, audit, detect and transfer share: networks, images, a folder for the results."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from hwsim.commands.data_options import check_classes, data_options, say_data, say_notes
from hwsim.commands.options import (
    Function,
    bits_option,
    config_option,
    json_option,
    loading,
    message_console,
    out_option,
    result_console,
    say_range,
)

if TYPE_CHECKING:
    from hwsim.models.datasets.samples import Samples
    from hwsim.networks.open import Network
    from hwsim.networks.subject import DataChoice, OpenedNetwork


@dataclass(frozen=True)
class Opening:
    """What was typed about networks, images and output, and where to write."""

    config: str | None
    bits: int | None
    choice: DataChoice
    json_path: Path | None
    out: Path
    #: Of progress, and of results.
    screen: Console = field(default_factory=message_console)
    answer: Console = field(default_factory=result_console)

    @contextmanager
    def networks(self, *models: str) -> Iterator[Opened]:
        """The networks by these names, behind a spinner that turns as long as the context.

        What could not be written in the end is an InputError before anything is loaded.
        """
        from hwsim.files.output import prepare_json_path
        from hwsim.report.pages import prepare_run_directory

        prepare_run_directory(self.out)
        if self.json_path is not None:
            prepare_json_path(self.json_path)
        what = f"loading and compiling the network{'s' if len(models) > 1 else ''}"
        with loading(self.screen, what) as on_progress:
            from hwsim.networks.subject import open_subjects

            subjects = open_subjects(models, self.config, self.bits, on_progress, self.choice)
            check_classes([subject.network for subject in subjects])
            yield Opened(subjects, on_progress)

    def folder(self, name: str, counts: str = "partial.json") -> tuple[Path, Path]:
        """The run's own folder, and the file in it that keeps what an interruption leaves."""
        from hwsim.files.output import prepare_json_path
        from hwsim.report.pages import prepare_run_directory

        folder = prepare_run_directory(self.out / name)
        return folder, prepare_json_path(folder / counts)

    def keep(self, result: Mapping[str, Any]) -> None:
        """The result at --json, if that was given."""
        from hwsim.report.pages import write_json

        if self.json_path is not None:
            write_json(result, self.json_path)


@dataclass(frozen=True)
class Opened:
    """Networks that are ready, all on the images of the first."""

    subjects: list[OpenedNetwork]
    on_progress: Callable[[str, int, int], None]

    @property
    def networks(self) -> list[Network]:
        """In the order of their names."""
        return [subject.network for subject in self.subjects]

    @property
    def test(self) -> Samples:
        """The images."""
        return self.subjects[0].test

    @property
    def bounds(self) -> tuple[float, float]:
        """The range of the input, in whose units ε is."""
        from hwsim.engine.space import space_of

        return space_of(self.networks[0].program).bounds

    def say(self, answer: Console, images: bool = True) -> None:
        """What must be known about ε, the networks' files and the images, a line each.

        images: False where the result has said whose answers are labels.
        """
        say_range(answer, self.bounds)
        say_notes(answer, *self.networks)
        if images:
            say_data(answer, self.test)


def collected(function: Function) -> Function:
    """The options of ``Opening``, given to the command as ``opening``."""

    @functools.wraps(function)
    def opening(
        *args: Any,
        config: str | None,
        bits: int | None,
        choice: DataChoice,
        json_path: Path | None,
        out: Path,
        **kwargs: Any,
    ) -> Any:
        return function(*args, opening=Opening(config, bits, choice, json_path, out), **kwargs)

    return opening


def opening_options(function: Function) -> Function:
    """--data and what belongs to it, --config, --bits, --json and --out, as ``opening``."""
    made: Any = collected(function)
    for decorator in (out_option, json_option, bits_option, config_option, data_options):
        made = decorator(made)
    return made
