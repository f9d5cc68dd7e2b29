"""Files that hwsim writes and reads: how each kind is made, read, and read with new digests."""

from __future__ import annotations

import hashlib
import json
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hwsim.files import content
from hwsim.files.reading import parse_json
from hwsim.models import checkpoint, zoo
from hwsim.models.architectures import ARCHITECTURES
from hwsim.models.layers import compress
from hwsim.numbers.config import EngineConfig, load_config, tomllib
from hwsim.program.proof import check as prove
from hwsim.rom import image as rom
from hwsim.rom.manifest import content_digest
from hwsim.studies.runner.executors import Inline
from hwsim.studies.runner.runner import run
from hwsim.studies.runner.store import Store
from tests.hostile.artefact import Artefact
from tests.hostile.mutations import Files
from tests.images import contents, equal, small_program
from tests.study_rows import squares

LIMIT = 1 << 20


class Image(Artefact):
    """A memory image."""

    name = "images"

    @property
    def folder(self) -> Path:
        return self.scratch / "case.hne"

    def make(self, folder: Path, seed: int) -> Files:
        program = small_program()
        if seed == 2:
            program = small_program(load_config("tiny").with_bits(6))
        rom.save(program, folder.with_suffix(".hne"))
        return contents(folder.with_suffix(".hne"))

    def read(self, folder: Path) -> Any:
        return rom.load(folder)

    def same(self, found: Any, files: Files) -> bool:
        return equal(found, self.expected)

    def forge(self, files: Files) -> Files | None:
        try:
            manifest = json.loads(files["manifest.json"])
            for name in manifest["sha256"]:
                manifest["sha256"][name] = hashlib.sha256(files[name]).hexdigest()
            manifest["digest"] = content_digest(manifest)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
        return {**files, "manifest.json": json.dumps(manifest).encode()}

    def check(self, found: Any, files: Files) -> bool:
        """It passes the proof, and written again it is the same words."""
        prove(found)
        again = self.scratch / "again.hne"
        rom.save(found, again, overwrite=True)
        return all(contents(again)[n] == files[n] for n in contents(again) if n.endswith(".mem"))


def tiny() -> nn.Module:
    """A convolution and a layer behind it, always the same."""
    torch.manual_seed(4)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 36, 3))


class Network(Artefact):
    """A card and its weights. ``forge`` fits the card to the weights, and its digest to both."""

    name = "networks"

    def make(self, folder: Path, seed: int) -> Files:
        ARCHITECTURES.setdefault("hostile", tiny)
        module = compress(tiny(), 0.25, seed=77)
        with torch.no_grad():
            for value in module.parameters():
                value.add_(0.01 * seed)
        zoo.save(module, self.card(seed), folder)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    @staticmethod
    def card(seed: int) -> zoo.Card:
        """What is written about it."""
        return zoo.Card(
            name="net", architecture="hostile", scheme="xxh32", rate=0.25, seed=seed, hash_seed=77,
            dataset="mnist", dataset_digest="a" * 64, recipe={"epochs": 2, "lr": 0.003},
            dataset_note="a note — with a dash", test_accuracy=0.5, fixed_accuracy={8: 0.49},
        )  # fmt: skip

    def read(self, folder: Path) -> Any:
        state = zoo.load("net", folder).state_dict()
        return zoo.card("net", folder), {k: _plain(v) for k, v in state.items()}

    def forge(self, files: Files) -> Files | None:
        weights = hashlib.sha256(files["net.safetensors"]).hexdigest()
        return forged_card(files, "net.json", sha256=weights)

    def check(self, found: Any, files: Files) -> bool:
        """Every tensor is the bytes that its one header entry points at, and finite."""
        payload = files["net.safetensors"]
        (size,) = struct.unpack("<Q", payload[:8])
        header = parse_json(payload[8 : 8 + size])
        header.pop("__metadata__", None)
        read = {name: value for name, (_, _, value) in found[1].items()}
        return all(np.isfinite(np.frombuffer(v, np.float32)).all() for v in read.values()) and {
            name: payload[8 + size :][slice(*entry["data_offsets"])]
            for name, entry in header.items()
        } == {k: v for k, v in read.items() if k in header}


def _plain(value: torch.Tensor) -> tuple[str, tuple[int, ...], bytes]:
    return str(value.dtype), tuple(value.shape), value.numpy().tobytes()


def forged_card(files: Files, name: str, **changes: Any) -> Files | None:
    """``files`` with other fields in the card ``name``, and the digest that fits them."""
    try:
        card = json.loads(files[name])
        card.update(changes)
        card.pop("digest", None)
        card["digest"] = content.digest(card)
        return {**files, name: json.dumps(card).encode()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


class Card(Artefact):
    """A card alone."""

    name = "cards"

    def make(self, folder: Path, seed: int) -> Files:
        zoo.save_card(Network.card(seed), folder)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def read(self, folder: Path) -> Any:
        return zoo.card("net", folder)

    def forge(self, files: Files) -> Files | None:
        return forged_card(files, "net.json")

    def check(self, found: Any, files: Files) -> bool:
        """Every field that stands in the file has been read as it stands there."""
        stands = parse_json(files["net.json"])
        read = found.model_dump(mode="json")
        return all(_alike(read[key], stands[key]) for key in read.keys() & stands.keys())


def _alike(a: object, b: object) -> bool:
    """Equal as JSON: numbers by value, a bool is no number, keys are text."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)


class Rows(Artefact):
    """A store of studies, with the log of its last changes as a killed run leaves it."""

    name = "stores"
    count = 6

    def make(self, folder: Path, seed: int) -> Files:
        folder.mkdir()
        self.tasks = squares(self.count, self.scratch / "log")
        path = folder / "rows.sqlite"
        with Store(path) as store:
            run(self.tasks[seed - 1 : 3], store, Inline())
        with Store(path) as store:
            run(self.tasks, store, Inline())
            wal = path.with_name("rows.sqlite-wal")
            return {one.name: one.read_bytes() for one in (path, wal)}

    def read(self, folder: Path) -> Any:
        """Rows, None where one is to be computed (again); what is dropped is said."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            with Store(folder / "rows.sqlite") as store:
                return [store.get(task) for task in self.tasks]

    def same(self, found: Any, files: Files) -> bool:
        return all(
            a is None or a == b or a == {"square": task.parameters["x"] ** 2}
            for a, b, task in zip(found, self.expected, self.tasks, strict=True)
        )


class Checkpoint(Artefact):
    """A checkpoint of training."""

    name = "checkpoints"

    def make(self, folder: Path, seed: int) -> Files:
        tensors = {f"model.{k}": v + 0.5 * seed for k, v in tiny().state_dict().items()}
        tensors |= {"optimizer.0.step": torch.tensor(7.0), "half": torch.rand(4).half()}
        tensors["flags"], tensors["n"] = torch.tensor([True, False]), torch.tensor(seed)
        checkpoint.save(folder / "c", tensors, {"epoch": seed, "recipe": "{}"})
        return {"c": (folder / "c").read_bytes()}

    def read(self, folder: Path) -> Any:
        found = checkpoint.load(folder / "c", LIMIT)
        if found is None:
            return None
        return {name: _plain(value) for name, value in found[0].items()}, found[1]

    def same(self, found: Any, files: Files) -> bool:
        return found is None if "c" not in files else bool(found == self.expected)

    def forge(self, files: Files) -> Files | None:
        """The digest of what the library finds in the file, under facts that are text."""
        import safetensors.torch

        payload = files["c"]
        try:
            meta = checkpoint._metadata(payload)
            facts = json.loads(meta["facts"])
            tensors = safetensors.torch.load(payload)
            right, found = checkpoint.content_digest(tensors, facts), meta["digest"]
        except Exception:  # whatever the library says of such a file
            return None
        return {"c": payload.replace(found.encode(), right.encode())} if found else None

    def check(self, found: Any, files: Files) -> bool:
        """It goes into the network that it is of, or is refused; never a part of it."""
        module = tiny()
        loaded = checkpoint.load(self.folder / "c", LIMIT)
        assert loaded is not None
        own = {k[6:]: v for k, v in loaded[0].items() if k.startswith("model.")}
        checkpoint.restore(module, own, self.folder / "c")
        return all(bool(torch.isfinite(v).all()) for v in module.state_dict().values())


class Configuration(Artefact):
    """An engine in TOML. It has no digest: what is accepted is what stands there, to the letter."""

    name = "configurations"

    def make(self, folder: Path, seed: int) -> Files:
        chosen = load_config(["default", "wide"][seed - 1])
        values = {k: v for k, v in chosen.model_dump().items() if k != "name"}
        text = "# An engine.\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items())
        return {"own.toml": text.encode()}

    def read(self, folder: Path) -> Any:
        return load_config(str(folder / "own.toml"))

    def same(self, found: Any, files: Files) -> bool:
        stands = tomllib.loads(files["own.toml"].decode())
        read = EngineConfig.model_dump(found)
        known = stands.keys() <= read.keys()
        exact = all(read[k] == v and type(v) in (type(read[k]), int) for k, v in stands.items())
        return known and exact and _buildable(found)


def _buildable(config: EngineConfig) -> bool:
    """The limits of docs/parameters in other words than hwsim.numbers.config has."""
    values = config.verilog_parameters().values()
    powers = all((n & (n - 1)) == 0 for n in (config.banks, config.cols))
    return powers and config.rows <= config.banks and all(0 <= v <= 2**26 for v in values)
