"""The model zoo: named networks, their trained weights, and a card that says where they are from.

``<name>.safetensors`` holds a state dict (see hwsim.models.weight_format), ``<name>.json`` its
card: the fields of ``Card``, ``format``, and ``digest``, which covers them and, by ``sha256``, the
weights. torch is imported only where weights are touched, so that listing the zoo is quick.

An installed hwsim has the networks that only studies ask for from the distribution
hwsim-study-networks (tools/study_networks), a second folder of the same kind: whoever names ``ZOO``
means both.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hwsim.errors import InputError
from hwsim.files.content import digest
from hwsim.files.file import replacing
from hwsim.files.reading import MAX_TEXT, parse_json, read_regular
from hwsim.models.specs import (
    RECIPES,
    SPECS,
    STUDY_DISTRIBUTION,
    STUDY_NETWORKS,
    Spec,
    Stored,
)
from hwsim.numbers.hashing import Scheme

if TYPE_CHECKING:
    from torch import nn

#: The networks that ship with hwsim.
ZOO = Path(__file__).parent / "zoo"
#: The import package of STUDY_DISTRIBUTION.
STUDY_PACKAGE = "hwsim_study_networks"
#: Of the cards; those without a number are older and have no digest.
FORMAT = 2
#: Bytes that a weight file may have beside its tensors.
HEADER = 1 << 20

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


def _bits(key: object) -> object:
    """JSON has only text for keys: a width in the one spelling that this module writes."""
    return int(key) if isinstance(key, str) and re.fullmatch("[1-9][0-9]?", key) else key


Bits = Annotated[int, BeforeValidator(_bits), Field(ge=1, le=99)]
Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Card(BaseModel):
    """Where a network comes from and how well it does; accuracies are shares in 0 … 1.

    architecture, scheme, rate, hash_banks, hash_seed, seed: rebuild the untrained network (see
    ``build``). words: real weights of each hashed layer, by its path, where ``rate`` does not say
    it (see hwsim.models.allocation). stored: how the file keeps the weights (see
    hwsim.models.specs).
    dataset_digest, test_digest: ``Dataset.digest`` of the training and the test split.
    dataset_note: ``Dataset.note``, to be shown with every number. recipe: fields of
    hwsim.models.recipe.Recipe, and of a network that was made from another one, how.
    test_accuracy: of
    the weights as stored. unrounded_accuracy: of int8 files, before rounding. fixed_accuracy: bits
    of activations and weights -> accuracy on the engine. parameters: stored numbers, biases
    included. sha256: of the .safetensors file. ``save`` fills in the last two.
    """

    # Strict: a card that says true for 1 was not written by ``save``.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=f"^{NAME}$")]
    architecture: str
    scheme: Scheme
    rate: Annotated[float, Field(gt=0, le=1)]
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    hash_banks: Annotated[int, Field(ge=1, lt=2**32)] = 32
    hash_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    words: dict[str, Annotated[int, Field(ge=1, lt=2**32)]] = {}
    stored: Stored = "float32"
    dataset: str
    dataset_digest: Sha256
    test_digest: Sha256 | None = None
    dataset_note: str | None = None
    recipe: dict[str, Any]
    test_accuracy: Share
    unrounded_accuracy: Share | None = None
    fixed_accuracy: dict[Bits, Share] = {}
    paper_accuracy: Share | None = None
    paper_note: str | None = None
    parameters: Annotated[int, Field(ge=0, lt=2**63)] = 0
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""


def names(directory: Path = ZOO) -> list[str]:
    """Networks with a card in ``directory``: those of SPECS in its order, then the others."""
    cards = (path for folder in _folders(directory) for path in folder.glob("*.json"))
    found = {path.stem for path in cards if re.fullmatch(NAME, path.stem)}
    order = list(SPECS)
    return sorted(found, key=lambda n: (order.index(n) if n in SPECS else len(order), n))


def _folders(directory: Path) -> list[Path]:
    """``directory``, and for the zoo also the study networks, where they are installed."""
    if directory != ZOO or (spec := find_spec(STUDY_PACKAGE)) is None or not spec.origin:
        return [directory]
    return [directory, Path(spec.origin).parent / "zoo"]


def home(name: str, directory: Path = ZOO) -> Path:
    """The folder with the card of ``name``; ``directory`` itself if there is none."""
    for folder in _folders(directory):
        if (folder / f"{name}.json").is_file():
            return folder
    return directory


def advice(name: str) -> str:
    """How to come by a network that hwsim knows and does not have: to be read in a sentence."""
    made = f"make it with: {RECIPES[name]}"
    if name not in STUDY_NETWORKS:
        return made
    # No command: the name is on no registry, and whoever registers it first is not us.
    return f"a clone has it, and so has {STUDY_DISTRIBUTION} (make wheels there); or {made}"


def card(name: str, directory: Path = ZOO) -> Card:
    """The card of a network.

    Raises InputError for an unknown name, and for a card that is damaged, edited, or so old that it
    carries no digest.
    """
    content = _content(name, directory)
    path = home(name, directory) / f"{name}.json"
    found = _card(path, {k: v for k, v in content.items() if k not in ("format", "digest")})
    if "format" not in content:
        raise InputError(
            f"{path}: a card of an older hwsim, without a digest of its content: check it with "
            f"hwsim zoo upgrade {path.with_suffix('')}"
        )
    if content["format"] != FORMAT:
        raise InputError(f"{path}: format {content['format']!r}, this hwsim reads {FORMAT}")
    if content.get("digest") != _digest(content):
        raise InputError(
            f"{path}: damaged card: its content does not match its digest, so it was edited or "
            "damaged: restore it, or train the network again"
        )
    return found


def _digest(content: dict[str, Any]) -> str:
    return digest({key: value for key, value in content.items() if key != "digest"})


def _content(name: str, directory: Path) -> dict[str, Any]:
    """The values of a card file, not yet believed."""
    known = names(directory)
    if name in RECIPES and name not in known and directory == ZOO:
        if name in STUDY_NETWORKS:
            why = f"only studies need it: {advice(name)}"
        else:
            why = f"no trained weights ship; make them with: {RECIPES[name]}"
        raise InputError(f"{name}: {why} (then name it runs/zoo/{name})")
    if name not in known:
        choice = f"choose from {', '.join(known)}" if known else f"{directory} holds no networks"
        raise InputError(f"unknown model {name!r}: {choice}")
    path = home(name, directory) / f"{name}.json"
    try:
        content = parse_json(read_regular(path, MAX_TEXT))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: damaged card: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: damaged card: not an object")
    return content


def _card(path: Path, fields: dict[str, Any]) -> Card:
    try:
        found = Card.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise InputError(f"{path}: damaged card: {reason}") from None
    if found.name != path.stem:
        raise InputError(f"{path}: damaged card: it is the card of {found.name!r}")
    return found


def upgrade(name: str, directory: Path = ZOO) -> Card | None:
    """Give a card of an older hwsim its digest; None if it has one.

    Nothing in an old card says that it is as it was written: the weights must match it and load,
    and whoever calls this says that the rest is right. Raises InputError as ``load`` does.
    """
    content = _content(name, directory)
    if "format" in content:
        card(name, directory)
        return None
    folder = home(name, directory)
    found = _card(folder / f"{name}.json", content)
    _weights(found, folder)
    return save_card(found, folder)


def spec(name: str) -> Spec:
    """The spec of a name. Raises InputError for one that SPECS does not have."""
    if name not in SPECS:
        raise InputError(f"unknown model {name!r}: choose from {', '.join(SPECS)}")
    return SPECS[name]


def build(name: str, seed: int = 0) -> nn.Module:
    """The untrained network of a spec, always the same for the same seed.

    Raises InputError for a name that SPECS does not have.
    """
    return build_spec(spec(name), seed)


def build_spec(spec: Spec | Card, seed: int) -> nn.Module:
    """``build`` of a spec, or of a card's."""
    import torch

    from hwsim.models.allocation import reallocated
    from hwsim.models.architectures import ARCHITECTURES
    from hwsim.models.layers import compress

    if spec.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise InputError(f"unknown architecture {spec.architecture!r}: choose from {known}")
    # Leave the caller's random numbers alone, and his default type, which would be the weights'.
    with torch.random.fork_rng(devices=[]), _float32():
        torch.manual_seed(seed)
        plain = ARCHITECTURES[spec.architecture]()
        if spec.scheme == "dense":
            return plain
        torch.manual_seed(seed)
        hashed = compress(
            plain, spec.rate, spec.scheme, seed=spec.hash_seed, hash_banks=spec.hash_banks
        )
        words = spec.words if isinstance(spec, Card) else {}
        return reallocated(hashed, words) if words else hashed


@contextmanager
def _float32() -> Iterator[None]:
    """float32 for whatever is made inside, in this process."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def load(name: str, directory: Path = ZOO) -> nn.Module:
    """A trained network in eval mode, its file verified against the card.

    Raises InputError for an unknown name, and for a weight file that is missing, damaged, or not
    the one that the card describes.
    """
    return _weights(card(name, directory), directory)


def _weights(described: Card, directory: Path) -> nn.Module:
    import safetensors.torch
    from safetensors import SafetensorError

    from hwsim.models.weight_format import unpacked

    path = home(described.name, directory) / f"{described.name}.safetensors"
    module = build_spec(described, described.seed)
    whole = sum(value.nbytes for value in module.state_dict().values())
    try:
        payload = read_regular(path, whole + HEADER)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    found = hashlib.sha256(payload).hexdigest()
    if found != described.sha256:
        raise InputError(
            f"{path}: damaged, or not the file of its card: SHA-256 is {found}, "
            f"the card says {described.sha256 or 'nothing'}"
        )
    try:
        tensors = safetensors.torch.load(payload)
        module.load_state_dict(unpacked(tensors, module, described.stored))
    except (SafetensorError, RuntimeError, KeyError, InputError) as error:
        why = f": {error}" if isinstance(error, InputError) else ""
        raise InputError(f"{path}: does not hold the weights of a {described.name}{why}") from None
    return module.eval()


def save(module: nn.Module, card: Card, directory: Path) -> Card:
    """Write ``<card.name>.safetensors`` and ``.json`` into ``directory``; returns the full card.

    Unless ``card.stored`` is float32, the weights must have been through
    ``hwsim.models.weight_format.round_weights``, so that the file holds exactly what was measured;
    they load as float32 all the same.
    Each file is replaced whole. If the process dies between the two, ``load`` refuses the pair.
    Raises InputError if the folder cannot be written.
    """
    import safetensors.torch

    from hwsim.models.weight_format import packed

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
    content = {"format": FORMAT, **card.model_dump(mode="json")}
    try:
        text = json.dumps({**content, "digest": digest(content)}, indent=2, ensure_ascii=False)
        with replacing(directory / f"{card.name}.json") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    except ValueError as error:
        raise InputError(f"{card.name}: its card cannot be written as JSON: {error}") from None
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
