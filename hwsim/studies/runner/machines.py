"""A machine that a row is about: a network, its defenses, in float or on the engine."""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from hwsim.attacks.core.grid import Grid
from hwsim.compiler.compiler import compile
from hwsim.defenses.inhibition import felt
from hwsim.defenses.layer_choice import choose
from hwsim.defenses.steps import RewriteStep, apply, apply_module
from hwsim.engine.module import Engine
from hwsim.files.content import canonical, digest
from hwsim.models import zoo
from hwsim.models.datasets.dataset import Dataset, load_dataset
from hwsim.models.layers import decode
from hwsim.networks.open import CALIBRATION_IMAGES, pixels
from hwsim.numbers.config import load_config
from hwsim.program.program import Program
from hwsim.studies.runner import any_model, code_digest

Side = Literal["float", "fixed"]
_T = TypeVar("_T")

#: Where ``hwsim train`` leaves a network unless told otherwise; looked through after the zoo.
TRAINED = Path("runs/zoo")


@dataclass(frozen=True)
class Subject:
    """One machine. apply: rewrites as ``hwsim rom rewrite --apply`` takes them, in order.

    bits: of activations and weights on the engine; also of the pixel grid on which the float
    network is attacked. config: of the engine; the float network does not depend on it.
    """

    network: str
    side: Side
    apply: tuple[str, ...] = ()
    bits: int = 8
    config: str = "default"

    def parameters(self) -> dict[str, Any]:
        """As it stands in a task."""
        return asdict(self) | {"apply": list(self.apply)}

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Subject:
        """What ``parameters`` wrote."""
        return cls(**{**parameters, "apply": tuple(parameters["apply"])})

    @property
    def grid(self) -> Grid:
        return Grid.of_bits(self.bits)

    def defended(self, *steps: str) -> Subject:
        """The same with more rewrites behind those that it has."""
        return replace(self, apply=(*self.apply, *steps))


def place(network: str) -> Path | None:
    """The folder that holds the network's card: the zoo, or where training left it, else None."""
    for folder in (zoo.home(network), TRAINED):
        if (folder / f"{network}.json").is_file():
            return folder
    return None


def card(network: str) -> zoo.Card:
    """Its card. Raises InputError for a network that is nowhere, or damaged."""
    return zoo.card(network, place(network) or zoo.ZOO)


def dataset(name: str, split: Literal["train", "test"]) -> Dataset:
    """A split, read once in each process."""
    return _dataset(name, split, os.environ.get("HWSIM_DATA"))


@lru_cache(maxsize=10)
def _dataset(name: str, split: Literal["train", "test"], _folder: str | None) -> Dataset:
    return load_dataset(name, split)


def digests(function: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    """What ``function(**parameters)`` depends on: code, networks, data, engine configurations."""
    from hwsim.studies.runner import targets  # which reads data by what stands here

    found = {"code": code_digest.digest(function)}
    return (
        found | _read_by(parameters) | any_model.digests(parameters) | targets.digests(parameters)
    )


def _read_by(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What a task with these parameters reads."""
    found: dict[str, str] = {}
    for one in _subjects(parameters):
        described = card(one.network)
        found[f"network {one.network}"] = _network(described)
        found[f"{described.dataset} test"] = dataset(described.dataset, "test").digest
        if one.side == "fixed":
            found[f"{described.dataset} train"] = dataset(described.dataset, "train").digest
            found[f"configuration {one.config}"] = _configuration(one.config)
    return found


def _network(described: zoo.Card) -> str:
    """Of its weights, and of what turns them into a network again."""
    fields = {"sha256", "architecture", "scheme", "rate", "hash_banks", "hash_seed"}
    return digest(described.model_dump(include=fields))


@lru_cache
def _configuration(name: str) -> str:
    text = json.dumps(load_config(name).model_dump(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _subjects(value: Any) -> Iterator[Subject]:
    """Every subject among parameters, however deep."""
    if isinstance(value, Mapping):
        if "network" in value and "side" in value:
            yield Subject.of(value)
        else:
            for part in value.values():
                yield from _subjects(part)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from _subjects(part)


# ---------------------------------------------------------------- the machines themselves


class _Kept(Generic[_T]):
    """The last few things that were made, for the rows to come, by what they were made from."""

    def __init__(self, most: int) -> None:
        self._most, self._made = most, OrderedDict[str, _T]()

    def get(self, made_from: Any, make: Callable[[], _T]) -> _T:
        """What was made from ``made_from``, JSON values; made now if it is not there."""
        key = canonical(made_from)
        if key not in self._made:
            self._made[key] = make()
        self._made.move_to_end(key)
        while len(self._made) > self._most:
            self._made.popitem(last=False)
        return self._made[key]


_networks = _Kept[nn.Module](2)
_programs = _Kept[Program](2)
_machines = _Kept[nn.Module](4)


def _trained(described: zoo.Card) -> nn.Module:
    """The float network of a card, as it was trained."""
    name = described.name
    return _networks.get([name, described.sha256], lambda: zoo.load(name, place(name) or zoo.ZOO))


def _compiled(subject: Subject) -> Program:
    """Its network for its engine, before any rewrite."""
    described = card(subject.network)
    learn = dataset(described.dataset, "train")

    def make() -> Program:
        calibration = pixels(learn.take(min(CALIBRATION_IMAGES, len(learn))))
        provenance = {"model": subject.network, "weights_sha256": described.sha256}
        engine = load_config(subject.config).with_bits(subject.bits)
        return compile(_trained(described), calibration, engine, provenance=provenance)

    facts = [subject.network, _configuration(subject.config), subject.bits]
    return _programs.get([*facts, described.sha256, learn.digest], make)


def program(subject: Subject) -> Program:
    """Its memory images, rewritten; a binary point moves where words would not fit.

    Inhibition by less than half a step of a layer's words leaves that layer as it is, which is
    what rounding makes of it.
    """
    made = _compiled(subject)
    for text in subject.apply:
        step: RewriteStep | None = RewriteStep.parse(text)
        if step is not None and step.name == "inhibition":
            step = _felt(step, made)
        if step is not None:
            made = apply(made, [step], "rescale")
    return made


def _felt(step: RewriteStep, made: Program) -> RewriteStep | None:
    """The step on those of its layers whose words it moves; None if there are none."""
    felt_by = {layer.name for layer in made.mac_layers if felt(layer, step.value)}
    names = choose([(layer.name, layer.kind) for layer in made.mac_layers], step.layers)
    moved = [name for name in names if name in felt_by]
    return replace(step, layers=",".join(moved)) if moved else None


def module(subject: Subject) -> nn.Module:
    """Its float network, rewritten in its real weights, then decoded."""
    steps = [RewriteStep.parse(text) for text in subject.apply]
    return decode(apply_module(_trained(card(subject.network)), steps)).eval()


def model(subject: Subject) -> nn.Module:
    """What computes: the float network, or the Engine."""

    def make() -> nn.Module:
        return module(subject) if subject.side == "float" else Engine(program(subject))

    return _machines.get([subject.parameters(), _read_by(subject.parameters())], make)


def images(subject: Subject, samples: int, part: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Pixels on the subject's grid (N, C, H, W) and labels (N,): part [i, n] of the test images.

    ``samples`` are spread evenly over the test set and cut into n parts of nearly equal size.
    """
    test = dataset(card(subject.network).dataset, "test").take(samples)
    number, parts = part
    cut = slice(samples * number // parts, samples * (number + 1) // parts)
    x = pixels(replace(test, images=test.images[cut], labels=test.labels[cut]))
    return subject.grid.snap(x), torch.from_numpy(test.labels[cut].copy())
