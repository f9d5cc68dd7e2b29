"""What a row reads that is about any MODEL and any data, opened in whatever process."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from hwsim.networks.open import Network
from hwsim.networks.subject import DataChoice, OpenedNetwork, open_subject
from hwsim.runs.count import fingerprint


@dataclass(frozen=True)
class Choice:
    """What a user typed: a MODEL, an engine for it, images. Fields as of ``open_subject`` and
    ``DataChoice``; paths are text, so that they travel in a task.
    """

    model: str
    config: str | None = None
    bits: int | None = None
    data: str | None = None
    calibration: str | None = None
    bounds: tuple[float, float] | None = None

    def parameters(self) -> dict[str, Any]:
        """As it stands in a task."""
        return asdict(self) | {"bounds": None if self.bounds is None else list(self.bounds)}

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Choice:
        """What ``parameters`` wrote."""
        bounds = parameters["bounds"]
        return cls(**{**parameters, "bounds": None if bounds is None else tuple(bounds)})


def opened(choice: Choice) -> OpenedNetwork:
    """The network and its images, opened once for the rows to come. Raises as ``open_subject``."""
    typed = (choice.model, choice.model.rpartition(":")[0], choice.config, choice.data,
             choice.calibration)  # fmt: skip
    return _opened(choice, (*map(_state, typed), os.environ.get("HWSIM_DATA")))


def _state(typed: str | None) -> tuple[str, int, int] | None:
    """What tells a file from what it was; None of what is no file's name."""
    if not typed or not os.path.exists(typed):
        return None
    about = os.stat(typed)
    return os.path.abspath(typed), about.st_mtime_ns, about.st_size


@lru_cache(maxsize=2)
def _opened(choice: Choice, _read: tuple[Any, ...]) -> OpenedNetwork:
    data, calibration = (None if p is None else Path(p) for p in (choice.data, choice.calibration))
    images = DataChoice(data, calibration, choice.bounds)
    return open_subject(choice.model, choice.config, choice.bits, choice=images)


def digests(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What a task reads whose parameters have a ``choice``; of others, nothing."""
    if "choice" not in parameters:
        return {}
    subject = opened(Choice.of(parameters["choice"]))
    network = subject.network
    found = {
        f"network {network.name}": _network(network),
        f"images of {subject.test.name}": subject.test.digest,
    }
    if subject.owned is not None:
        found["calibration"] = subject.owned.digest
    return found


def _network(network: Network) -> str:
    """Of both sides: the program's words, the float network's numbers, and the file of both."""
    digest = hashlib.sha256(fingerprint(network.program).encode())
    digest.update(str(network.program.provenance.get("file_sha256")).encode())
    digest.update(_numbers(network.module))
    return digest.hexdigest()


def _numbers(module: nn.Module) -> bytes:
    digest = hashlib.sha256(str(module).encode())
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()
