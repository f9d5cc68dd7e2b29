"""docs/leak.md: what its measured tables say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hwsim.runs.welch import THRESHOLD
from tests.bench.leak import ARGUMENTS, NETWORKS
from tests.docs_claims.page import Page
from tests.docs_claims.rendered import Row, printed, row

DIGITS = tuple(name for name in NETWORKS if name != "c0")
#: One architecture: dense, 1/16 in banks, 1/64.
COMPRESSED = ("mnist-cnn", "mnist-cnn-h16-banked", "mnist-cnn-h64")
BITS, GUESSED, ANSWER = "class, bits", "class guessed", "answer guessed"


def _number(cell: str) -> float:
    """``27.7% [26.4–28.9]`` -> 27.7."""
    return float(cell.split(" ")[0].replace(",", "").rstrip("%×"))


def _ends(cell: str) -> tuple[float, float]:
    low, high = cell.partition("[")[2].rstrip("]").split("–")
    return float(low), float(high)


def _apart(one: str, other: str) -> bool:
    """Whether two intervals have nothing in common."""
    (low, high), (least, most) = _ends(one), _ends(other)
    return high < least or most < low


def _seen(network: str, seen: str) -> Row:
    return row(printed("leak"), network=network, seen=seen)


def _range(cells: Sequence[str]) -> tuple[float, float]:
    values = [_number(cell) for cell in cells]
    return min(values), max(values)


def _claims() -> Iterator[str]:
    yield f"|t| > {THRESHOLD:g} says that the two take different times"
    assert ARGUMENTS[:2] == ("--samples", "10000")
    yield from _class()
    yield from _looks()
    yield from _compression()
    yield from _noise()
    yield from _members()
    yield from _padding()


def _class() -> Iterator[str]:
    rows = [_seen(name, seen) for name in NETWORKS for seen in ("layers", "total")]
    assert {found["class"] for found in rows} == {"leaks"}
    totals = [_seen(name, "total") for name in DIGITS]
    low, high = _range([found[BITS] for found in totals])
    least, most = _range([found[GUESSED] for found in totals])
    (chance,) = {found["chance"] for found in totals}
    yield f"From the total alone {low:.2f} to {high:.2f} bits of a digit's class"
    yield f"{least:.0f} to {most:.0f}% of the digits are guessed where chance is {chance}"
    image = _seen("c0", "total")
    chance = image["chance"].partition(".")[0]
    yield f"of c0's images {_number(image[GUESSED]):.0f}% where it is {chance}%"
    for name in NETWORKS:
        whole, layers = _seen(name, "total"), _seen(name, "layers")
        assert _apart(whole[BITS], layers[BITS])
        yield (
            f"{name} gives {_number(layers[BITS]):.2f} bits instead of {_number(whole[BITS]):.2f}"
        )
    for found in rows:
        assert _ends(found[ANSWER])[1] >= _number(found[GUESSED])
        # Chance of an answer is within a point of that of a class, and no half is reached.
        assert _number(found["chance"]) + 1.5 < _ends(found[ANSWER])[0]
        assert _ends(found[ANSWER])[1] < 50
    varying = {found["network"]: found["layers that vary"] for found in printed("leak-cycles")}
    assert [varying[name].partition(" ")[0] for name in NETWORKS] == ["2", "2", "3", "2", "6"]


def _looks() -> Iterator[str]:
    pairs = [(_seen(name, "total"), _seen(name, "(image)")) for name in COMPRESSED]
    assert sum(not _apart(whole[BITS], alone[BITS]) for whole, alone in pairs) == 2
    (image,) = {f"{_number(alone[BITS]):.2f}" for _, alone in pairs}
    yield f"{image} bits of a digit's class, as much as the total of most mnist-cnn"
    layers, alone = _seen("c0", "layers")[BITS], _seen("c0", "(image)")[BITS]
    assert _apart(layers, alone)
    yield f"{_number(layers):.2f} bits where its images alone tell {_number(alone):.2f}"


def _compression() -> Iterator[str]:
    totals = [_number(_seen(name, "total")[BITS]) for name in COMPRESSED]
    assert max(totals) == totals[0]
    dense, banked, hashed = (_seen(name, "layers") for name in COMPRESSED)
    assert not _apart(dense[BITS], banked[BITS])
    assert _apart(dense[BITS], hashed[BITS])
    assert _apart(banked[BITS], hashed[BITS])
    yield f"{_number(dense[BITS]):.2f} bits dense and {_number(banked[BITS]):.2f} at 1/16 in banks"
    yield (
        f"{_number(hashed[BITS]):.2f} bits at 1/64, where {_number(hashed[GUESSED]):.0f}% of the "
        "digits are guessed"
    )


def _noise() -> Iterator[str]:
    spread = {found["network"]: found for found in printed("leak-cycles")}
    assert _seen("lenet5", "total, σ 1000")["class"] == "nothing found"
    yield f"lenet5's total spreads by {spread['lenet5']['standard deviation']} cycles"
    whole, noisy = (_seen("mnist-cnn-h16-banked", seen) for seen in ("total", "total, σ 1000"))
    assert not _apart(whole[BITS], noisy[BITS])


def _members() -> Iterator[str]:
    rows = [found for found in printed("leak") if found["seen"] != "(image)"]
    assert "leaks" not in {found["trained on"] for found in rows}
    assert _seen("lenet5", "total")["trained on"] == "as images differ"
    alone = _seen("lenet5", "(image)")["trained on, AUC"]
    yield f"with an area of {_number(alone):.2f}"


def _padding() -> Iterator[str]:
    rows = printed("leak-padding")
    most = [found for found in rows if found["floor"] == "q100"]
    assert max(_number(found["layers seen, bits"]) for found in most) < 0.001
    low, high = _range([found["more cycles"] for found in most])
    yield f"q100 costs {low:g} to {high:g}% more cycles"
    worst = [found for found in rows if found["floor"] == "worst"]
    assert {_number(found["layers seen, bits"]) for found in worst} == {0}
    low, high = _range([found["more cycles"] for found in worst])
    yield f"worst costs {low:g} to {high:g}%"
    for name in ("lenet5",):
        none, half = (row(rows, network=name, floor=floor) for floor in ("q0", "q50"))
        assert _apart(none["total seen, bits"], half["total seen, bits"])
        before, after = (_number(one["total seen, bits"]) for one in (none, half))
        yield f"from {before:.2f} to {after:.2f} bits on {name}"


PAGE = Page(
    "docs/leak.md",
    _claims,
    fixed={
        "the number of cycles that 95% of other images": "what q95 means",
        "Wilson's 95% interval": "the method's level",
    },
)
