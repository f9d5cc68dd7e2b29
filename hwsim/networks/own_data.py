"""Images of a user as one network takes them, with labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.errors import InputError
from hwsim.files.content import digest
from hwsim.importer.data import UserData
from hwsim.importer.load import LoadedModel, array_digest
from hwsim.models.datasets.samples import Samples

#: Images that are looked at together.
CHUNK = 256


@dataclass(frozen=True)
class OwnData(Samples):
    """What a user gave with ``--data``.

    images: float32 (N, …), within the range of the network's input. classes: what labels are
    called, as far as that is known. labelled: whether labels were given, or answers stand for
    them. Other fields as of ``Samples``.
    """

    name: str
    images: NDArray[np.float32] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    source: str
    digest: str
    note: str | None = None
    classes: tuple[str, ...] = ()
    labelled: bool = True

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of a folder, those of its folders; else numbers are shown."""
        return self.classes


def made(
    model: LoadedModel,
    data: UserData,
    path: Path,
    judge: Callable[[Tensor], Tensor],
    judged_by: str,
    classes: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> OwnData:
    """The data of ``path`` for a network.

    model: of which input and program are asked. judge: (n, …) -> (n, classes); its answers are the
    labels of data without any, which the note says with its name ``judged_by``.

    Raises
    ------
    InputError
        For another shape, labels that are no classes, and where more than half of the values lie
        beyond the range of the input; fewer are cut off there, which the note says.
    """
    images, cut = _within(model, data, path)
    told = [*notes]
    if cut:
        low, high = _range(model)
        told.append(
            f"{cut:,} of {images.size:,} values lie beyond the input's range {low:.4g} … "
            f"{high:.4g} and were cut off there"
        )
    labels, count = data.y, model.program.classes
    if labels is None:
        with torch.no_grad():
            parts = [answers(judge(part)) for part in torch.from_numpy(images).split(CHUNK)]
        labels = torch.cat(parts).numpy()
        told.append(f"it has no labels: {judged_by} answers stand for them")
    elif labels.min() < 0 or labels.max() >= max(count, 2):
        wrong = labels[(labels < 0) | (labels >= max(count, 2))][0]
        raise InputError(
            f"{path}: has the label {wrong}, the network {model.name} answers classes 0 … "
            f"{max(count, 2) - 1}"
        )
    facts = digest([array_digest(images), list(images.shape), array_digest(labels)])
    note = "; ".join(told) or None
    return OwnData(path.stem, images, labels, str(path), facts, note, classes, data.y is not None)


def answers(logits: Tensor) -> Tensor:
    """(N,) classes of logits (N, classes), the first greatest; of one output, its sign: 1 or 0."""
    return (logits[:, 0] >= 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def _range(model: LoadedModel) -> tuple[float, float]:
    low, high = model.program.input.bounds(model.program.config.act_max)
    return float(low), float(high)


def _within(model: LoadedModel, data: UserData, path: Path) -> tuple[NDArray[np.float32], int]:
    """Float32 images in the range of the input, and how many of their values were not."""
    low, high = _range(model)
    slack = 0.5 * float(model.program.input.scale)
    pieces, beyond = [], 0
    try:
        for start in range(0, len(data.x), CHUNK):
            values = model.values(UserData(data.x[start : start + CHUNK]))
            beyond += int(((values < low - slack) | (values > high + slack)).sum())
            pieces.append(np.clip(values, low, high).astype(np.float32))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    images = np.concatenate(pieces)
    if 2 * beyond > images.size:
        raise InputError(
            f"{path}: most values of x lie beyond {low:.4g} … {high:.4g}, the range of the "
            f"network's input: they lie in {data.x.min():.4g} … {data.x.max():.4g}; give them as "
            "the network takes them"
        )
    return images, beyond
