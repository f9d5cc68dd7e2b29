"""Files are read if they are regular, of a due size, and of one meaning; else refused at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from hwsim.errors import HwsimError, InputError
from hwsim.files.reading import parse_json, read_regular
from hwsim.models import checkpoint, zoo
from hwsim.models.architectures import ARCHITECTURES
from hwsim.models.datasets.dataset import load_dataset
from hwsim.numbers.config import load_config
from hwsim.studies.runner.store import Store


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "is not a regular file"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    "huge hole": (sparse, "has 1099511627776 bytes, more than the"),
}


def saved(folder: Path) -> None:
    card = zoo.Card(
        name="tiny", architecture="tiny", scheme="dense", rate=1.0, seed=3, dataset="mnist",
        dataset_digest="a" * 64, recipe={}, test_accuracy=0.5,
    )  # fmt: skip
    zoo.save(nn.Linear(2, 2), card, folder)


def data(folder: Path) -> None:
    load_dataset("mnist", "test", data_dir=folder, cache_dir=folder / "cache", offline=True)


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "card": ("tiny.json", lambda folder: zoo.card("tiny", folder)),
    "network": ("tiny.safetensors", lambda folder: zoo.load("tiny", folder)),
    "configuration": ("a.toml", lambda folder: load_config(str(folder / "a.toml"))),
    "checkpoint": ("c", lambda folder: checkpoint.load(folder / "c", 1 << 20)),
    "store": ("rows.sqlite", lambda folder: Store(folder / "rows.sqlite")),
    "images": ("t10k-images-idx3-ubyte", data),
    "packed labels": ("t10k-labels-idx1-ubyte.gz", data),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file_of_a_due_size_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reader: str, bad: str
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "tiny", lambda: nn.Linear(2, 2))
    saved(tmp_path)
    name, read = READERS[reader]
    if reader == "packed labels":
        (tmp_path / "t10k-images-idx3-ubyte").write_bytes(b"")
    path = tmp_path / name
    path.unlink(missing_ok=True)
    make, says = BAD[bad]
    make(path)
    with pytest.raises(HwsimError, match=says) as error:
        read(tmp_path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_link_to_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to("a")
    assert read_regular(tmp_path / "b", 3) == b"abc"
    with pytest.raises(InputError, match="has 3 bytes, more than the 2"):
        read_regular(tmp_path / "b", 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": {"b": 1, "b": 1}}', "'b' stands twice"), ("[NaN]", "NaN"),
        ("[1e400]", "not finite"), ("[-1e400]", "not finite"),
        ("[18446744073709551616]", "64 bits"),
        ("[-9223372036854775809]", "64 bits"), ("[" * 65 + "]" * 65, "nested deeper"),
        ("[" * 10**5, "nested deeper"), (b"\xff", "utf-8"), ("{", "Expecting"), ("", "Expecting"),
    ],
)  # fmt: skip
def test_json_of_more_than_one_meaning_is_refused(text: str | bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_json(text)


def test_plain_json_is_read_exactly() -> None:
    assert parse_json('{"a": [18446744073709551615, -9223372036854775808, 0.1, null]}') == {
        "a": [2**64 - 1, -(2**63), 0.1, None]
    }
    deep = "[" * 64 + "]" * 64
    assert str(parse_json(deep)) == deep


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = " + "[" * 100_000, "not a readable TOML file"),
        ("rows = " + "9" * 5000, "not a readable TOML file"),
        ("rows = 1\nrows = 2", "not a readable TOML file"),
        ('name = "a\\u001b[31m"', "name: String should match"),
        ('name = "a\\u202eb"', "name: String should match"),
        ('name = "a\\nok  engine: all is well"', "name: String should match"),
        ('name = "[red]"', "name: String should match"),
        ("clock_mhz = inf", "clock_mhz: Input should be a finite number"),
    ],
)
def test_a_hostile_configuration_is_refused_in_one_line(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "a.toml"
    whole = load_config("tiny").model_dump()
    rest = [f"{k} = {str(v).lower() if isinstance(v, bool) else repr(v)}"
            for k, v in whole.items() if f"{k} =" not in text]  # fmt: skip
    path.write_text("\n".join([text, *rest]))
    with pytest.raises(HwsimError, match=says) as error:
        load_config(str(path))
    assert "\n" not in str(error.value)
