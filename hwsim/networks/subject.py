"""What a command works on: a network of any kind, and images for it of a data set or of a user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from hwsim.engine.module import Engine
from hwsim.errors import ImageError, InputError
from hwsim.importer.data import UserData, read_data
from hwsim.importer.graph import FileInput
from hwsim.importer.load import CALIBRATION, LoadedModel, read_graph
from hwsim.importer.names import is_foreign, is_image
from hwsim.importer.pictures import Pictures, read_pictures
from hwsim.models.datasets import dataset as datasets
from hwsim.models.datasets.fetch import Progress
from hwsim.models.datasets.samples import Samples
from hwsim.networks import open as networks
from hwsim.networks.open import Network
from hwsim.networks.own_data import OwnData, made
from hwsim.program.program import Program

Range = tuple[float, float]


def silent(what: str, done: int, total: int) -> None:
    """Nobody wants to know how far a download is."""


@dataclass(frozen=True)
class DataChoice:
    """What a user typed about data.

    data: a ``.npz`` file with x and perhaps y, or a folder of pictures by class; None for the
    network's own data set. calibration: the same, for scales and thresholds. bounds: what black and
    white of pictures are worth, and the range of an input that a file leaves in real numbers.
    """

    data: Path | None = None
    calibration: Path | None = None
    bounds: Range | None = None


@dataclass(frozen=True)
class OpenedNetwork:
    """A network and the images that it is tried on.

    test: all of them. owned: images of the user that are nobody's test, where he gave some.
    """

    network: Network
    test: Samples
    owned: Samples | None = None

    def training(self, samples: int, on_progress: Progress = silent) -> Samples:
        """Images for thresholds, and that an attacker may own, beside ``samples`` tested ones.

        The training split of a data set; else the calibration data, else what is left of the data.
        Raises InputError where nothing is left.
        """
        if self.owned is not None:
            return self.owned
        if not isinstance(self.test, OwnData):
            return datasets.load_dataset(self.network.dataset, "train", on_progress=on_progress)
        found = self.test.rest(samples)
        if not len(found):
            raise InputError(
                f"{self.test.source}: all of its {len(self.test)} images are tested, and this "
                "needs others besides: choose fewer --samples, or add --calibration"
            )
        return found

    def count(self, asked: int | None, usual: int, *, spare: bool = False) -> int:
        """How many images: as asked, else the usual number or all of fewer.

        spare: some must be left for ``training``, of which half is enough.
        """
        if asked is None and isinstance(self.test, OwnData):
            most = len(self.test)
            return min(usual, max(1, most // 2) if spare and self.owned is None else most)
        return usual if asked is None else asked


def open_subject(
    name: str,
    config: str | None = None,
    bits: int | None = None,
    on_progress: Progress = silent,
    choice: DataChoice | None = None,
    *,
    alone: bool = False,
) -> OpenedNetwork:
    """The network that ``name`` means, and its test images.

    name, config, bits, on_progress: as of ``open_network``. alone: whether an image may come
    without its float network, or with a wrong one.

    Raises
    ------
    HwsimError
        As ``open_network``, ``read_data``, ``read_pictures`` and ``own_data.made`` do, and for a
        network without a data set where no data are given.
    """
    choice = choice or DataChoice()
    given = None if choice.data is None else _read(choice.data)
    more = None if choice.calibration is None else _read(choice.calibration)
    if is_foreign(name):
        network, notes = _foreign(name, config, bits, choice, given, more)
    else:
        network, notes = _known(name, config, bits, on_progress, alone), ()
    if given is None or choice.data is None:
        if not network.dataset:
            raise InputError(
                f"{name}: names no data set: give images with --data, a .npz file with x and y or "
                "a folder of pictures by class"
            )
        return OpenedNetwork(
            network, datasets.load_dataset(network.dataset, "test", on_progress=on_progress)
        )
    own = _own(name, network, given, choice.data, choice.bounds, notes)
    owned = None
    if more is not None and choice.calibration is not None:
        owned = _own(name, network, more, choice.calibration, choice.bounds, ())
    return OpenedNetwork(replace(network, dataset=own.name), own, owned)


def open_subjects(
    names: Sequence[str],
    config: str | None = None,
    bits: int | None = None,
    on_progress: Progress = silent,
    choice: DataChoice | None = None,
) -> list[OpenedNetwork]:
    """One of each name, all on the same images, whose labels are those of the first."""
    return [open_subject(name, config, bits, on_progress, choice) for name in names]


def open_program(
    name: str,
    config: str | None = None,
    bits: int | None = None,
    on_progress: Progress = silent,
    choice: DataChoice | None = None,
) -> Program:
    """The program alone, for whoever needs no images, or only for calibration."""
    choice = choice or DataChoice()
    if not is_foreign(name):
        return networks.open_program(name, config, bits, on_progress)
    given = None if choice.data is None else _read(choice.data)
    more = None if choice.calibration is None else _read(choice.calibration)
    return _foreign(name, config, bits, choice, given, more)[0].program


def images_of(
    name: str, program: Program, path: Path, bounds: Range | None = None
) -> tuple[Tensor, Samples]:
    """The images of ``path`` for a program, and all about them."""
    network = networks.standing_alone(Path(name), program, "")
    own = _own(name, network, _read(path), path, bounds, ())
    return torch.from_numpy(own.images), own


def _read(path: Path) -> UserData | Pictures:
    return read_pictures(path) if path.is_dir() else read_data(path)


def _known(
    name: str, config: str | None, bits: int | None, on_progress: Progress, alone: bool
) -> Network:
    """A network of the zoo, or an image."""
    try:
        return networks.open_network(name, config, bits, on_progress)
    except ImageError as error:
        if not (alone and is_image(name)):
            raise
        # What is wrong with the image itself is said here.
        program = networks.open_program(name, config, bits, on_progress)
        return networks.standing_alone(Path(name), program, str(error))


def _foreign(
    name: str,
    config: str | None,
    bits: int | None,
    choice: DataChoice,
    given: UserData | Pictures | None,
    more: UserData | Pictures | None,
) -> tuple[Network, tuple[str, ...]]:
    """A file's network, and what to say about its calibration."""
    source, bounds, path = more if more is not None else given, choice.bounds, choice.calibration
    if isinstance(source, Pictures):
        bounds = bounds or (0.0, 1.0)
    data = None if source is None else _as_data(source, _input_of(name), bounds)
    network = networks.open_network(name, config, bits, data=data, bounds=bounds)
    facts = network.program.provenance.get("calibration")
    if facts is None:
        return network, ()
    count, whole = int(facts["images"]), len(cast(UserData, data).x)
    which = f"the first {count:,}" if count == CALIBRATION < whole else f"all {count:,}"
    words = f"scales were chosen from {which} images of {path or choice.data}"
    return network, (words if path else f"{words}, which are also tested",)


def _input_of(name: str) -> FileInput | None:
    """What the file says of its input, if it says anything."""
    return read_graph(name).input if name.endswith((".onnx", ".tflite")) else None


def _as_data(
    source: UserData | Pictures, image: FileInput | None, bounds: Range | None
) -> UserData:
    if isinstance(source, UserData):
        return source
    return source.as_data(image, *(bounds or (0.0, 1.0)))


def _own(
    name: str,
    network: Network,
    source: UserData | Pictures,
    path: Path,
    bounds: Range | None,
    notes: tuple[str, ...],
) -> OwnData:
    program = network.program
    engine = Engine(program, outside="clamp")
    graph = read_graph(name) if name.endswith((".onnx", ".tflite")) else None
    model = LoadedModel(network.name, program, network.module, graph)
    classes: tuple[str, ...] = ()
    if isinstance(source, Pictures):
        classes = source.classes
        image = graph.input if graph else FileInput("x", program.input_shape, None)
        low, high = bounds or engine.bounds
        notes = (*notes, f"black is {low:.4g} and white {high:.4g}")
        if classes != tuple(map(str, range(len(classes)))):
            named = ", ".join(f"{at} {one}" for at, one in enumerate(classes[:20]))
            notes = (*notes, f"classes by folder: {named}{' …' if len(classes) > 20 else ''}")
        source = source.as_data(image, low, high)
    # What an image answers is what its engine answers.
    who = ("the engine's", engine) if network.alone else ("the float network's", network.module)
    return made(model, source, path, who[1], who[0], classes, notes)
