"""The model zoo: named networks, their trained weights, and a card that says where they are from.

``<name>.safetensors`` holds a plain float32 state dict, ``<name>.json`` its card. torch is imported
only where weights are touched, so that listing the zoo is quick.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hwsim.atomic import replacing
from hwsim.errors import InputError
from hwsim.hashing import Scheme

if TYPE_CHECKING:
    from torch import nn

#: The networks that ship with hwsim.
ZOO = Path(__file__).parent / "zoo"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Spec:
    """What a named network is before training.

    architecture: a key of models.architectures. scheme, rate: passed to ``compress``; ``dense``
    is the plain network. hash_banks: H of the banked scheme. paper_accuracy: share of MNIST test
    images, where the paper gives the number. paper_note: where it stands.
    """

    architecture: str
    scheme: Scheme = "dense"
    rate: float = 1.0
    hash_banks: int = 32
    paper_accuracy: float | None = None
    paper_note: str | None = None


_FIG3 = "Liu et al. 2018, section IV and Fig. 3"
_CURVE = "Liu et al. 2018 name 99.25% at 1/8 and 99.13% at 1/64, no number for this rate"

SPECS: dict[str, Spec] = {
    "mnist-cnn": Spec("mnist-cnn", paper_accuracy=0.9929, paper_note=_FIG3),
    "mnist-cnn-h8": Spec("mnist-cnn", "xxh32", 1 / 8, paper_accuracy=0.9925, paper_note=_FIG3),
    "mnist-cnn-h16": Spec("mnist-cnn", "xxh32", 1 / 16, paper_note=_CURVE),
    "mnist-cnn-h32": Spec("mnist-cnn", "xxh32", 1 / 32, paper_note=_CURVE),
    "mnist-cnn-h64": Spec("mnist-cnn", "xxh32", 1 / 64, paper_accuracy=0.9913, paper_note=_FIG3),
    "mnist-cnn-h16-banked": Spec(
        "mnist-cnn", "banked", 1 / 16, paper_note="this hashing scheme is ours, not the paper's"
    ),
}


class Card(BaseModel):
    """Where a network comes from and how well it does; accuracies are shares in 0 … 1.

    architecture, scheme, rate, hash_banks, seed: rebuild the untrained network (see ``build``).
    dataset_digest, test_digest: ``Dataset.digest`` of the training and the test split.
    dataset_note: ``Dataset.note``, to be shown with every number. recipe: fields of
    models.train.Recipe. fixed_accuracy: bits of activations and weights -> accuracy on the engine.
    parameters: stored numbers, biases included. sha256: of the .safetensors file. ``save`` fills
    in the last two.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=f"^{_NAME}$")]
    architecture: str
    scheme: Scheme
    rate: Annotated[float, Field(gt=0, le=1)]
    seed: Annotated[int, Field(ge=0)]
    hash_banks: int = 32
    dataset: str
    dataset_digest: Sha256
    test_digest: Sha256 | None = None
    dataset_note: str | None = None
    recipe: dict[str, Any]
    test_accuracy: Share
    fixed_accuracy: dict[int, Share] = {}
    paper_accuracy: Share | None = None
    paper_note: str | None = None
    parameters: Annotated[int, Field(ge=0)] = 0
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""


def names(directory: Path = ZOO) -> list[str]:
    """Networks with a card in ``directory``: those of SPECS in its order, then the others."""
    found = {path.stem for path in directory.glob("*.json") if re.fullmatch(_NAME, path.stem)}
    order = list(SPECS)
    return sorted(found, key=lambda n: (order.index(n) if n in SPECS else len(order), n))


def card(name: str, directory: Path = ZOO) -> Card:
    """The card of a network. Raises InputError for an unknown name and for a damaged card."""
    known = names(directory)
    if name not in known:
        choice = f"choose from {', '.join(known)}" if known else f"{directory} holds no networks"
        raise InputError(f"unknown model {name!r}: {choice}")
    path = directory / f"{name}.json"
    try:
        found = Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise InputError(f"{path}: damaged card: {reason}") from None
    if found.name != name:
        raise InputError(f"{path}: damaged card: it is the card of {found.name!r}")
    return found


def build(name: str, seed: int = 0) -> nn.Module:
    """The untrained network of a spec, always the same for the same seed.

    Raises InputError for a name that SPECS does not have.
    """
    if name not in SPECS:
        raise InputError(f"unknown model {name!r}: choose from {', '.join(SPECS)}")
    spec = SPECS[name]
    return _build(spec.architecture, spec.scheme, spec.rate, spec.hash_banks, seed)


def _build(architecture: str, scheme: Scheme, rate: float, hash_banks: int, seed: int) -> nn.Module:
    import torch

    from models.architectures import ARCHITECTURES
    from models.layers import compress

    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise InputError(f"unknown architecture {architecture!r}: choose from {known}")
    with torch.random.fork_rng(devices=[]):  # leave the caller's random numbers alone
        torch.manual_seed(seed)
        plain = ARCHITECTURES[architecture]()
        if scheme == "dense":
            return plain
        torch.manual_seed(seed)
        return compress(plain, rate, scheme, hash_banks=hash_banks)


def load(name: str, directory: Path = ZOO) -> nn.Module:
    """A trained network in eval mode, its file verified against the card.

    Raises InputError for an unknown name, and for a weight file that is missing, damaged, or not
    the one that the card describes.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    described = card(name, directory)
    path = directory / f"{name}.safetensors"
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    found = hashlib.sha256(payload).hexdigest()
    if found != described.sha256:
        raise InputError(
            f"{path}: damaged, or not the file of its card: SHA-256 is {found}, "
            f"the card says {described.sha256 or 'nothing'}"
        )
    module = _build(
        described.architecture,
        described.scheme,
        described.rate,
        described.hash_banks,
        described.seed,
    )
    try:
        module.load_state_dict(safetensors.torch.load(payload))
    except (SafetensorError, RuntimeError):
        raise InputError(f"{path}: does not hold the weights of a {described.name}") from None
    return module.eval()


def save(module: nn.Module, card: Card, directory: Path) -> Card:
    """Write ``<card.name>.safetensors`` and ``.json`` into ``directory``; returns the full card.

    Each file is replaced whole. If the process dies between the two, ``load`` refuses the pair.
    Raises InputError if the folder cannot be written.
    """
    import safetensors.torch

    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    payload = safetensors.torch.save(state)
    full = card.model_copy(
        update={
            "parameters": sum(parameter.numel() for parameter in module.parameters()),
            "sha256": hashlib.sha256(payload).hexdigest(),
        }
    )
    try:
        with replacing(directory / f"{card.name}.safetensors") as temporary:
            temporary.write_bytes(payload)
        with replacing(directory / f"{card.name}.json") as temporary:
            temporary.write_text(full.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{directory}: cannot write the network there: {reason}") from None
    return full
