"""The model zoo: named networks, their trained weights, and a card that says where they are from.

``<name>.safetensors`` holds a state dict (see models.storage), ``<name>.json`` its card. torch is
imported only where weights are touched, so that listing the zoo is quick.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hwsim.atomic import replacing
from hwsim.errors import InputError
from hwsim.hashing import Scheme
from models.specs import RECIPES, SPECS, Spec, Stored

if TYPE_CHECKING:
    from torch import nn

#: The networks that ship with hwsim.
ZOO = Path(__file__).parent / "zoo"

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Card(BaseModel):
    """Where a network comes from and how well it does; accuracies are shares in 0 … 1.

    architecture, scheme, rate, hash_banks, hash_seed, seed: rebuild the untrained network (see
    ``build``). stored: how the file keeps the weights (see models.specs).
    dataset_digest, test_digest: ``Dataset.digest`` of the training and the test split.
    dataset_note: ``Dataset.note``, to be shown with every number. recipe: fields of
    models.recipe.Recipe, and of a network that was made from another one, how. test_accuracy: of
    the weights as stored. unrounded_accuracy: of int8 files, before rounding. fixed_accuracy: bits
    of activations and weights -> accuracy on the engine. parameters: stored numbers, biases
    included. sha256: of the .safetensors file. ``save`` fills in the last two.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=f"^{NAME}$")]
    architecture: str
    scheme: Scheme
    rate: Annotated[float, Field(gt=0, le=1)]
    seed: Annotated[int, Field(ge=0)]
    hash_banks: int = 32
    hash_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    stored: Stored = "float32"
    dataset: str
    dataset_digest: Sha256
    test_digest: Sha256 | None = None
    dataset_note: str | None = None
    recipe: dict[str, Any]
    test_accuracy: Share
    unrounded_accuracy: Share | None = None
    fixed_accuracy: dict[int, Share] = {}
    paper_accuracy: Share | None = None
    paper_note: str | None = None
    parameters: Annotated[int, Field(ge=0)] = 0
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""


def names(directory: Path = ZOO) -> list[str]:
    """Networks with a card in ``directory``: those of SPECS in its order, then the others."""
    found = {path.stem for path in directory.glob("*.json") if re.fullmatch(NAME, path.stem)}
    order = list(SPECS)
    return sorted(found, key=lambda n: (order.index(n) if n in SPECS else len(order), n))


def card(name: str, directory: Path = ZOO) -> Card:
    """The card of a network. Raises InputError for an unknown name and for a damaged card."""
    known = names(directory)
    if name in RECIPES and name not in known and directory == ZOO:
        raise InputError(
            f"{name}: no trained weights ship; make them with: {RECIPES[name]} (then name it "
            f"runs/zoo/{name})"
        )
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


def spec(name: str) -> Spec:
    """The spec of a name. Raises InputError for one that SPECS does not have."""
    if name not in SPECS:
        raise InputError(f"unknown model {name!r}: choose from {', '.join(SPECS)}")
    return SPECS[name]


def build(name: str, seed: int = 0) -> nn.Module:
    """The untrained network of a spec, always the same for the same seed.

    Raises InputError for a name that SPECS does not have.
    """
    return _build(spec(name), seed)


def _build(spec: Spec | Card, seed: int) -> nn.Module:
    import torch

    from models.architectures import ARCHITECTURES
    from models.layers import compress

    if spec.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise InputError(f"unknown architecture {spec.architecture!r}: choose from {known}")
    with torch.random.fork_rng(devices=[]):  # leave the caller's random numbers alone
        torch.manual_seed(seed)
        plain = ARCHITECTURES[spec.architecture]()
        if spec.scheme == "dense":
            return plain
        torch.manual_seed(seed)
        return compress(
            plain, spec.rate, spec.scheme, seed=spec.hash_seed, hash_banks=spec.hash_banks
        )


def load(name: str, directory: Path = ZOO) -> nn.Module:
    """A trained network in eval mode, its file verified against the card.

    Raises InputError for an unknown name, and for a weight file that is missing, damaged, or not
    the one that the card describes.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    from models.storage import unpacked

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
    module = _build(described, described.seed)
    try:
        module.load_state_dict(unpacked(safetensors.torch.load(payload)))
    except (SafetensorError, RuntimeError, KeyError):
        raise InputError(f"{path}: does not hold the weights of a {described.name}") from None
    return module.eval()


def save(module: nn.Module, card: Card, directory: Path) -> Card:
    """Write ``<card.name>.safetensors`` and ``.json`` into ``directory``; returns the full card.

    Unless ``card.stored`` is float32, the weights must have been through
    ``models.storage.round_weights``, so that the file holds exactly what was measured; they load as
    float32 all the same.
    Each file is replaced whole. If the process dies between the two, ``load`` refuses the pair.
    Raises InputError if the folder cannot be written.
    """
    import safetensors.torch

    from models.storage import packed

    payload = safetensors.torch.save(packed(module, card.stored))
    full = card.model_copy(
        update={
            "parameters": sum(parameter.numel() for parameter in module.parameters()),
            "sha256": hashlib.sha256(payload).hexdigest(),
        }
    )
    try:
        with replacing(directory / f"{card.name}.safetensors") as temporary:
            temporary.write_bytes(payload)
    except OSError as error:
        raise _unwritable(directory, error) from None
    return save_card(full, directory)


def save_card(card: Card, directory: Path) -> Card:
    """Write ``<card.name>.json``; returns the card. Raises InputError if that is not possible."""
    try:
        with replacing(directory / f"{card.name}.json") as temporary:
            temporary.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(directory, error) from None
    return card


def _unwritable(directory: Path, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(f"{directory}: cannot write the network there: {reason}")


def check_test_data(card: Card, digest: str) -> None:
    """Raise InputError if ``digest`` is not that of the test images that the card speaks of."""
    if card.test_digest != digest:
        raise InputError(
            f"{card.name}: its accuracy was counted on test data {str(card.test_digest)[:12]}, "
            f"these are {digest[:12]}: set HWSIM_DATA to the same files"
        )
