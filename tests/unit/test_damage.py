"""Every sampled flipped bit of a store, a checkpoint and a card: noticed, or without a meaning."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from hwsim.defenses.retraining import prune_and_retrain
from hwsim.errors import InputError
from hwsim.models import checkpoint, zoo
from hwsim.models.architectures import ARCHITECTURES
from hwsim.models.layers import compress
from hwsim.models.loop import train
from hwsim.models.recipe import Recipe
from hwsim.studies.runner.executors import Inline
from hwsim.studies.runner.runner import run
from hwsim.studies.runner.store import Store
from hwsim.studies.runner.task import Row
from tests.study_rows import computed, squares


def flips(whole: bytes, count: int) -> Iterator[tuple[int, bytes]]:
    """``count`` copies with one bit flipped, at places that are the same in every run."""
    drawn = np.random.default_rng(18).choice(8 * len(whole), min(count, 8 * len(whole)), False)
    for bit in sorted(int(one) for one in drawn):
        copy = bytearray(whole)
        copy[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(copy)


T = TypeVar("T")


def attempted(action: Callable[[], T]) -> tuple[T | None, str]:
    """(What it returns, "") or (None, the one line with which it refuses)."""
    try:
        return action(), ""
    except InputError as error:
        line = str(error)
    return None, line


# ---------------------------------------------------------------- rows


def test_no_flipped_bit_of_a_store_becomes_another_row(tmp_path: Path) -> None:
    path, log = tmp_path / "rows.sqlite", tmp_path / "log"
    tasks = squares(12, log)
    with Store(path) as store:
        expected = run(tasks, store, Inline())
    whole = path.read_bytes()

    def read() -> list[Row | None]:
        with Store(path) as store:
            return [store.get(task) for task in tasks]

    refused = dropped = 0
    for bit, copy in flips(whole, 400):
        path.write_bytes(copy)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found, line = attempted(read)
        assert "\n" not in line
        refused += found is None
        for row, task in zip(found or [], tasks if found else [], strict=True):
            assert row in (None, expected[task.key]), bit
        dropped += len(said)
        assert all("is damaged: it is computed again" in str(one.message) for one in said)
    assert refused
    assert dropped


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("row", '{"square":5}'), ("seconds", 9.0), ("made", "yesterday"), ("version", 2),
        ("inputs", '{"code":"a"}'), ("function", "a:b"), ("parameters", "{}"), ("row", b"\xff"),
        ("row", "[[[[["), ("digest", "0"), ("seconds", "long"),
    ],
)  # fmt: skip
def test_a_damaged_row_is_named_and_computed_again(
    tmp_path: Path, column: str, value: object
) -> None:
    path, log = tmp_path / "rows.sqlite", tmp_path / "log"
    tasks = squares(3, log)
    with Store(path) as store:
        expected = run(tasks, store, Inline())
    with sqlite3.connect(path) as base:
        base.execute(f"UPDATE rows SET {column} = ? WHERE key = ?", (value, tasks[1].key))
    base.close()
    with Store(path) as store:
        named = rf"row {tasks[1].key[:12]} of tests.study_rows:square is damaged: it is computed"
        with pytest.warns(RuntimeWarning, match=named):
            assert run(tasks, store, Inline()) == expected
        assert len(store) == 3
        assert run(tasks, store, Inline()) == expected
    assert sorted(computed(log)) == [0, 1, 1, 2]


def test_seconds_of_a_damaged_row_are_not_added(tmp_path: Path) -> None:
    path, tasks = tmp_path / "rows.sqlite", squares(1, tmp_path / "log")
    with Store(path) as store:
        run(tasks, store, Inline())
        store._base.execute("UPDATE rows SET seconds = 1e9")
        with pytest.warns(RuntimeWarning, match="is damaged"):
            assert store.seconds(tasks) == 0.0


def test_a_store_whose_rows_carry_no_digest_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as base:
        base.execute("ALTER TABLE rows DROP COLUMN digest")
        base.execute("PRAGMA user_version=1")
    base.close()
    with pytest.raises(InputError, match=r"written by an older hwsim .* delete it, or choose anot"):
        Store(path)
    with sqlite3.connect(path) as base:
        assert base.execute("PRAGMA user_version").fetchone() == (1,)
    base.close()


# ---------------------------------------------------------------- checkpoints


def net() -> nn.Module:
    torch.manual_seed(4)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 36, 3))


FAST = Recipe(epochs=2, batch=8, precision="float32")
FACTS = {"epoch": 1, "recipe": "{}"}


def learnt(path: Path, epochs: int = 2) -> nn.Module:
    images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    recipe = dataclasses.replace(FAST, epochs=epochs)
    facts = FAST.facts()
    return train(net(), images, torch.arange(16) % 3, recipe, checkpoint=path, facts=facts)


def test_no_flipped_bit_of_a_checkpoint_becomes_other_tensors(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    tensors = {"model.a": torch.randn(5, 3), "model.n": torch.tensor(7), "b": torch.rand(4).half()}
    checkpoint.save(path, tensors, FACTS)
    refused = 0
    for bit, copy in flips(path.read_bytes(), 1500):
        path.write_bytes(copy)
        found, line = attempted(lambda: checkpoint.load(path, 1 << 20))
        if line:
            assert "delete it, and the same command starts anew" in line, bit
            assert "\n" not in line
            refused += 1
            continue
        assert found is not None
        assert found[1] == FACTS
        assert found[0].keys() == tensors.keys()
        assert all(torch.equal(found[0][key], tensors[key]) for key in tensors), bit
    assert refused > 1000


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.99])
def test_training_and_pruning_refuse_a_flipped_checkpoint(tmp_path: Path, share: float) -> None:
    path, state = tmp_path / "c.safetensors", tmp_path / "state"
    learnt(path, 1)
    prune_and_retrain(net(), 1.1, lambda module, now: None, state=state)
    for file in (path, state):
        copy = bytearray(file.read_bytes())
        copy[int(share * len(copy))] ^= 4
        file.write_bytes(copy)
    says = "delete it, and the same command starts anew"
    with pytest.raises(InputError, match=says):
        learnt(path)
    with pytest.raises(InputError, match=says):
        prune_and_retrain(net(), 1.1, lambda module, now: None, state=state)


def forged(path: Path, **changes: object) -> None:
    """The checkpoint with other facts or tensors, its digest right again."""
    found = checkpoint.load(path, 1 << 20)
    assert found is not None
    tensors, facts = found
    for name, value in changes.items():
        if isinstance(value, torch.Tensor):
            tensors[name] = value
        else:
            facts[name] = value
    checkpoint.save(path, tensors, facts)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epoch": -1}, "says that -1 of 2 epochs are done"),
        ({"epoch": 3}, "says that 3 of 2 epochs are done"),
        ({"epoch": True}, "says that True of 2 epochs are done"),
        ({"epoch": "1"}, "says that '1' of 2 epochs are done"),
        ({"model.0.bias": torch.zeros(3)}, r"shape \(3,\), not torch.float32 of \(2,\)"),
        ({"model.0.bias": torch.zeros(2).bool()}, "0.bias is torch.bool"),
        ({"model.0.bias": torch.full((2,), torch.nan)}, "0.bias is not finite"),
        ({"optimizer.0.exp_avg": torch.zeros(1)}, r"optimizer.0.exp_avg is torch.float32 of sh"),
        ({"optimizer.0.step": torch.zeros(2)}, r"optimizer.0.step is torch.float32 of shape"),
        ({"optimizer.9.step": torch.zeros(())}, "of another network"),
        ({"optimizer.x": torch.zeros(())}, "of another network"),
        ({"model.9.bias": torch.zeros(2)}, "of another network"),
        ({"recipe": 5}, "made by another recipe"),
    ],
)
def test_a_forged_checkpoint_is_refused_in_one_line(
    tmp_path: Path, changes: dict, says: str
) -> None:
    path = tmp_path / "c.safetensors"
    learnt(path, 1)
    forged(path, **changes)
    with pytest.raises(InputError, match=says) as error:
        learnt(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\xff" * 8, struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 40000) + b"[" * 40000,
        struct.pack("<Q", 44) + b'{"__metadata__":{"digest":"0","digest":"1"}}',
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused_with_what_to_do(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(payload)
    with pytest.raises(InputError, match="delete it, and the same command starts anew"):
        checkpoint.load(path, 1 << 20)


def test_a_link_that_leads_nowhere_is_no_checkpoint_and_a_circle_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "c.safetensors"
    path.symlink_to(tmp_path / "none")
    assert checkpoint.load(path, 1 << 20) is None
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(InputError, match="cannot be read") as error:
        checkpoint.load(path, 1 << 20)
    assert "\n" not in str(error.value)


def test_a_checkpoint_without_a_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"epoch": "1", "recipe": "{}"})
    with pytest.raises(InputError, match="a checkpoint of an older hwsim, without a digest"):
        checkpoint.load(path, 1 << 20)


# ---------------------------------------------------------------- cards


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with one trained network, ``tiny``."""
    monkeypatch.setitem(ARCHITECTURES, "tiny", net)
    card = zoo.Card(
        name="tiny", architecture="tiny", scheme="xxh32", rate=0.25, seed=3, hash_seed=77,
        dataset="mnist", dataset_digest="a" * 64, recipe={"epochs": 2, "lr": 0.003},
        dataset_note="a note — with a dash", test_accuracy=0.5, fixed_accuracy={8: 0.49},
    )  # fmt: skip
    zoo.save(compress(net(), 0.25, seed=77), card, tmp_path)
    return tmp_path


def test_no_flipped_bit_of_a_card_becomes_another_card(stored: Path) -> None:
    path = stored / "tiny.json"
    whole, expected = path.read_bytes(), zoo.card("tiny", stored)
    refused = 0
    for bit, copy in flips(whole, 1500):
        path.write_bytes(copy)
        found, line = attempted(lambda: zoo.card("tiny", stored))
        assert found == expected or line, bit
        assert "\n" not in line
        refused += bool(line)
    assert refused > 1300


@pytest.mark.parametrize(
    ("field", "value"),
    [("hash_seed", 78), ("seed", 4), ("rate", 0.2500001), ("test_accuracy", 0.99),
     ("sha256", "b" * 64), ("stored", "bfloat16"), ("paper_note", "x"), ("format", 3)],
)  # fmt: skip
def test_an_edited_field_of_a_card_is_noticed(stored: Path, field: str, value: object) -> None:
    path = stored / "tiny.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    for ask in (zoo.card, zoo.load):
        with pytest.raises(InputError, match=r"tiny\.json: (damaged card|format 3)"):
            ask("tiny", stored)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"name": "tiny", "name": "tiny"}', "the key 'name' stands twice"),
        ('{"seed": NaN}', "NaN is not a number"),
        ('{"seed": -Infinity}', "-Infinity is not a number"),
        ('{"rate": 1e999}', "not finite"),
        ('{"seed": 18446744073709551616}', "beyond 64 bits"),
        ('{"seed": ' + "9" * 5000 + "}", "beyond 64 bits"),
        ('{"recipe": ' + "[" * 100 + "]" * 100 + "}", "nested deeper than 64"),
        ('{"recipe": ' + "[" * 90000 + "]" * 90000 + "}", "nested deeper than 64"),
        ("[]", "not an object"),
        ("\ufeff{}", "damaged card"),
    ],
)
def test_json_of_two_meanings_is_no_card(stored: Path, text: str, says: str) -> None:
    (stored / "tiny.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says) as error:
        zoo.card("tiny", stored)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rate": True}, "rate"),
        ({"seed": "3"}, "seed"),
        ({"seed": 3.0}, "seed"),
        ({"test_accuracy": "0.5"}, "test_accuracy"),
        ({"fixed_accuracy": {"8": 0.49, "08": 0.1}}, "fixed_accuracy.08"),
        ({"fixed_accuracy": {"8.0": 0.49}}, "fixed_accuracy.8.0"),
    ],
)
def test_a_forged_card_is_read_as_it_stands_or_not_at_all(
    stored: Path, changes: dict, says: str
) -> None:
    path = stored / "tiny.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({**content, "digest": zoo._digest(content)}))
    with pytest.raises(InputError, match=rf"damaged card: {says}"):
        zoo.card("tiny", stored)


def test_a_card_of_an_older_hwsim_is_refused_until_it_is_upgraded(stored: Path) -> None:
    path, expected = stored / "tiny.json", zoo.card("tiny", stored)
    written = path.read_bytes()
    old = {k: v for k, v in json.loads(written).items() if k not in ("format", "digest")}
    path.write_text(json.dumps(old))
    with pytest.raises(InputError, match=r"without a digest .* check it with hwsim zoo upgrade"):
        zoo.load("tiny", stored)
    assert zoo.upgrade("tiny", stored) == expected
    assert path.read_bytes() == written
    assert zoo.upgrade("tiny", stored) is None


def test_a_card_that_is_not_of_its_weights_is_not_upgraded(stored: Path) -> None:
    path = stored / "tiny.json"
    old = {k: v for k, v in json.loads(path.read_bytes()).items() if k not in ("format", "digest")}
    path.write_text(json.dumps({**old, "sha256": "c" * 64}))
    with pytest.raises(InputError, match="not the file of its card"):
        zoo.upgrade("tiny", stored)
    assert "digest" not in json.loads(path.read_text())
