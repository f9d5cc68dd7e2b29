"""Data sets that are no pictures, as vectors of 8-bit codes: a table and a collection of texts.

Both come from files of people, in which nothing says which rows are for training: what is chosen
here is chosen by rules alone, so that the same files always give the same vectors.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InputError
from hwsim.models.datasets.formats import U8

Labels = NDArray[np.int64]

#: Columns of diamonds.csv that are numbers, and those that are grades, worst or best first.
NUMBERS = ("carat", "depth", "table", "price", "x", "y", "z")
GRADES = {
    "color": tuple("DEFGHIJ"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}
#: Values of a diamond: its numbers, and one for each grade.
DIAMOND = len(NUMBERS) + sum(map(len, GRADES.values()))
#: Words of a text that count.
WORDS = 1024
#: A word in more of the texts than this says nothing of any.
COMMON = 0.1


def diamonds(
    parts: Mapping[str, bytes], split: str, classes: Sequence[str], where: Mapping[str, str]
) -> tuple[U8, Labels]:
    """Vectors (N, 22, 1, 1) uint8 of a ``diamonds.csv``, labels (N,) the grade of the cut.

    Rows that occur twice count once. In the order of their SHA-256, every fifth is for testing. A
    number becomes its rank among the training rows, in 256 steps, so that no unit and no outlier
    matters; a grade is 255 in a place of its own. Raises InputError for a file that is no such
    table.
    """
    ((name, payload),) = parts.items()
    lines = _text(payload, where[name]).splitlines()
    try:
        head = next(csv.reader(lines[:1]), [])
    except csv.Error as error:
        raise InputError(f"{where[name]}: damaged: {error}") from None
    needed = (*NUMBERS, "cut", *GRADES)
    if missing := [column for column in needed if column not in head]:
        raise InputError(f"{where[name]}: no column {missing[0]} in its first line")
    order = sorted(
        dict.fromkeys(lines[1:]), key=lambda line: hashlib.sha256(line.encode()).digest()
    )
    if len(order) < 5:
        raise InputError(f"{where[name]}: truncated: {len(order)} rows")
    try:
        table = list(csv.DictReader(order, head))
        numbers = np.array([[float(row[column]) for column in NUMBERS] for row in table])
        grades = [[known.index(row[column]) for row in table] for column, known in GRADES.items()]
        labels = np.array([classes.index(row["cut"]) for row in table], np.int64)
    except (TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{where[name]}: damaged: {error}") from None
    if not np.isfinite(numbers).all():
        raise InputError(f"{where[name]}: damaged: a number that is not finite")
    tested = np.arange(len(table)) % 5 == 4
    columns = [_ranks(values, values[~tested]) for values in numbers.T]
    for column, known in zip(grades, GRADES.values(), strict=True):
        columns += list(255 * np.eye(len(known), dtype=np.uint8)[column].T)
    chosen = tested if split == "test" else ~tested
    return np.stack(columns, 1)[chosen][:, :, None, None], labels[chosen]


def _ranks(values: NDArray[np.float64], among: NDArray[np.float64]) -> U8:
    """256 times the share of ``among`` below each value, those equal to it counted by half."""
    known = np.sort(among)
    twice = np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")
    return np.minimum(128 * twice // len(known), 255).astype(np.uint8)


def newsgroups(
    parts: Mapping[str, bytes], split: str, classes: Sequence[str], where: Mapping[str, str]
) -> tuple[U8, Labels]:
    """Vectors (N, WORDS, 1, 1) uint8 of 20 Newsgroups, labels (N,) the group.

    parts: the training file, which the words are taken from, and for testing the other. A text that
    occurred before, in either file, counts once. Words are the WORDS in most of the training texts,
    less those in more than COMMON of them and single letters. A text is the usual
    tf-idf, (1 + ln count) · ln(texts / texts with it), of length 1; a code is that times 510, at
    most 255. Raises InputError for a file that is no such collection.
    """
    seen: set[str] = set()
    read = [_texts(raw, classes, where[name], seen) for name, raw in parts.items()]
    learn = [text.split() for _, text in read[0]]
    found: Counter[str] = Counter()
    for words in learn:
        found.update(set(words))
    most = COMMON * len(learn)
    usual = [word for word, count in found.items() if count <= most and len(word) > 1]
    chosen = sorted(usual, key=lambda word: (-found[word], word))[:WORDS]
    if len(chosen) < WORDS:
        raise InputError(f"{where[next(iter(parts))]}: truncated: {len(chosen)} words of use")
    place = {word: number for number, word in enumerate(chosen)}
    rare = np.log(len(learn) / np.array([found[word] for word in chosen]))
    texts = learn if split == "train" else [text.split() for _, text in read[-1]]
    codes = np.zeros((len(texts), WORDS), np.uint8)
    for row, words in zip(codes, texts, strict=True):
        counts = Counter(place[word] for word in words if word in place)
        if counts:
            at = np.fromiter(counts.keys(), np.int64)
            weight = (1 + np.log(np.fromiter(counts.values(), np.float64))) * rare[at]
            row[at] = np.minimum(510 * weight / math.sqrt(weight @ weight) + 0.5, 255)
    labels = np.array([label for label, _ in (read[0] if split == "train" else read[-1])], np.int64)
    return codes[:, :, None, None], labels


def _texts(
    payload: bytes, classes: Sequence[str], where: str, seen: set[str]
) -> list[tuple[int, str]]:
    """(label, text) of the lines behind the three of a .tab file's head, those not in ``seen``."""
    number = {name: label for label, name in enumerate(classes)}
    found = []
    for line in _text(payload, where).split("\n")[3:]:
        if not line.strip():
            continue
        name, _, text = line.partition("\t")
        if name not in number:
            raise InputError(f"{where}: damaged: {name[:40]!r} is no class")
        if text.strip() and text not in seen:
            seen.add(text)
            found.append((number[name], text))
    if not found:
        raise InputError(f"{where}: truncated: no texts")
    return found


def _text(payload: bytes, where: str) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise InputError(f"{where}: damaged: no UTF-8 text") from None


#: By layout; (parts by name, split, classes, what errors call each part) -> codes and labels.
READERS: dict[
    str,
    Callable[[Mapping[str, bytes], str, Sequence[str], Mapping[str, str]], tuple[U8, Labels]],
] = {"diamonds": diamonds, "newsgroups": newsgroups}
