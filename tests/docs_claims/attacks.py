"""docs/attacks.md: what its measured tables say, and the attacks' own constants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hwsim.attacks import apgd, cw, cw_linf, greedy
from hwsim.attacks.evaluate.classpairs import HARDNESS_LEVELS, HEADLINE
from hwsim.attacks.evaluate.rates import Rate
from hwsim.report.latency_report import PUBLISHED
from hwsim.runs.flip_catalog import GUESSING, REACHED
from tests.docs_claims.page import Page
from tests.docs_claims.rendered import Row, printed
from tests.docs_claims.rendered import row as row_of
from tests.docs_claims.reproduction import flips
from tools.tables import measured

WIDE = ("mnist-cnn, 8 bits", "-h16, 8 bits", "-h64, 8 bits")
NARROW = ("4 bits", "4 bits'", "4 bits''")
#: Budgets of searches in the table of all attacks that fool every image.
MINIMIZING = ("`cw-l2`", "`cw-l0`", "`cw-linf`")


def _claims() -> Iterator[str]:
    yield from _table()
    yield from _latency()
    yield from _constants()
    yield from _cw_speed()
    yield from _flip_speed()
    yield from _jsma()
    yield from _transfer()
    yield f"{GUESSING:g} times guessing; `tbfa` {REACHED:g}"
    shared = "ResNet-20, 1/16"
    yield (
        f"behind {flips(shared)} flipped weight bits in the mean or {flips(shared, 'index')} index "
        f"bits, the dense one behind {flips('ResNet-20, 1')}."
    )


def _latency() -> Iterator[str]:
    rows = printed("latency-mnist")
    wide = row_of(rows, images="latency", eps="0.3")
    yield f"inference takes {wide['ratio'].partition(' ')[0]} times as long"
    assert PUBLISHED[0][0] < float(wide["ratio"].partition(" ")[0]) < PUBLISHED[0][1]
    blind = _first(row_of(rows, images="float density", eps="0.3"))
    yield f"neither engine nor counter, {blind} times"
    yield f"the same images cost {wide['sponge']} times the energy"
    (low, high), (least, most) = PUBLISHED
    yield f"{low:g}–{high:g} times in latency and {least:g}–{most:g} times in EDP"
    assert least < float(wide["EDP"]) < most
    uniform, narrow = (
        row_of(rows, images="uniform image"),
        row_of(rows, images="latency", eps="0.1"),
    )
    assert wide["ratio"] > uniform["ratio"] > narrow["ratio"]
    tanh = printed("latency-lenet5")
    black, worst = (row_of(tanh, images=name)["cycles"] for name in ("black", "no zero"))
    yield f"{_count(worst) - _count(black)} cycles from the worst"
    clean, first, second = printed("sponge-training")
    lost = [float(clean["accuracy"][:-1]) - float(one["accuracy"][:-1]) for one in (first, second)]
    yield f"The first loses {lost[0]:.1f} points of accuracy"
    yield f"The second gives up {lost[1]:.1f} points"
    yield f"its mean one {_count(first['cycles']) / _count(clean['cycles']):.1f} times as long"


def _first(found: Row) -> str:
    """The ratio of a row, without its interval."""
    return found["ratio"].partition(" ")[0]


def _count(cell: str) -> int:
    return int(cell.replace(",", ""))


def _pairs(cell: str) -> list[tuple[float, float]]:
    """Float and engine of a cell: the success, and what stands in brackets."""
    return [(float(a), float(b)) for a, b in re.findall(r"([\d.]+) / ([\d.]+)", cell)]


def _apart(rows: list[Row], distances: bool = True) -> float:
    """The largest distance between float and engine at 8 bits, points."""
    return max(
        abs(a - b)
        for row in rows
        for column in WIDE
        for a, b in _pairs(row[column])[: 2 if distances else 1]
    )


def _table() -> Iterator[str]:
    rows = {row["attack"]: row for row in printed("attack-table")}
    crowded = {"`hfgsm`", "`bim`", "`pgd`", "`mifgsm`"}  # in brackets: the margin, not a distance
    many = [row for row in rows.values() if int(row["images"]) >= 100]
    few = [row for row in rows.values() if int(row["images"]) < 100]
    for row in few:
        one_image = 100 / int(row["images"])
        assert _apart([row], distances=False) < 1.05 * one_image
    most = max(_apart([row], row["attack"] in crowded) for row in many)
    yield (
        "At 8 bits float and engine differ by one image where there are few, and by "
        f"{most:.1f} points at most"
    )
    falls = [a - b for column in NARROW[1:] for a, b in _pairs(rows["`square`"][column])[:1]]
    yield f"(`square`, {min(falls):.0f} to {max(falls):.0f} points on the hashed networks)"
    reached = [_pairs(rows[name][column])[0][1] for name in ("`pgd`", "`bim`") for column in NARROW]
    yield f"PGD and BIM then still reach {min(reached):g} to {max(reached):g}%"
    found = [_pairs(rows[name][column]) for name in MINIMIZING for column in NARROW]
    assert all(success == (100, 100) for success, _ in found)
    further = max(engine / of_float - 1 for _, (of_float, engine) in found)
    yield f"C&W always succeeds, with at most {further:.0%} more distance"
    low, high = Rate(24, 30).interval
    yield f"30 images tell a share of {24 / 30:.0%} to about ±{50 * (high - low):.0f} points"


def _constants() -> Iterator[str]:
    yield f"has not lowered its loss by {1 - cw.PROGRESS:.0%}"
    yield f"nearer than the last by {1 - cw_linf.NEARER:.0%} or more"
    first, less = apgd.FIRST, apgd.SHORTER
    yield (
        f"After {first:.0%} of the steps, then {first - less:.0%}, {first - 2 * less:.0%} … of "
        f"them, at least {apgd.LEAST:.0%}"
    )
    yield f"A value within {greedy.SATURATED:.0%} of the bound"
    least, most = HARDNESS_LEVELS[0], HARDNESS_LEVELS[-1]
    yield f"over Υ = {100 * least:g} … {most:.1%}".replace(" 0.", " .")
    yield f"One search to {most:.1%} gives every smaller Υ"
    yield f"Υ = {HEADLINE:.1%}, θ = 1"
    yield f"180 searches on each machine, Υ = {HEADLINE:.1%}"


def _bench(name: str) -> dict[str, Any]:
    """A row of `make bench`."""
    (line,) = [row for row in measured.read("bench")["lines"] if row["name"] == name]
    return dict(line)


def _flip_speed() -> Iterator[str]:
    one, narrow = _bench("bfa-resnet20"), _bench("bfa-resnet20-bfloat16")
    ratios = one["ratio"], narrow["ratio"]
    yield "On one thread that takes {:.2f} times as long, and {:.2f} times".format(*ratios)
    assert "one thread" in one["note"]
    assert "one thread" in narrow["note"]
    two = [re.search(r"on two threads ([\d.]+)", row["note"]) for row in (one, narrow)]
    assert all(two)
    yield "it is {} and {} times.".format(*(found[1] for found in two if found))


def _cw_speed() -> Iterator[str]:
    line = _bench("cw-l2-mnist")
    images = int(line["note"].partition(" ")[0])
    yield f"mnist-cnn in float, {images} images"
    ours, theirs = (images / line[side] for side in ("ours", "peer"))
    yield f"{ours:.0f} s against {theirs:.0f} s, **{line['ratio']:g} times as fast and not twice"


def _jsma() -> Iterator[str]:
    options = {row[""]: row for row in printed("jsma-options")}
    once, anew = (
        float(options[f"HJSMA, `logits`{how}"]["success"][:-1])
        for how in ("", ", `recompute=True`")
    )
    yield (
        f"succeeds on {once:.0f}%, and drawing the same map anew after every element on {anew:.0f}%"
    )
    exact, block = (float(options[name]["backward"]) for name in ("JSMA", "JSMA, `block=4`"))
    yield f"an exact run is {exact:.0f} forward and backward passes an image"
    yield f"a block of 4 still {block:.0f}"
    pairs = {row[""]: float(row["success"][:-1]) for row in printed("jsma-pairs")}
    shares = ", ".join(f"{pairs[f'mnist-cnn{rate}, float']:.0f}" for rate in ("", "-h16", "-h64"))
    yield f"costs the attacker: {shares}% at dense, 1/16, 1/64"
    yield f"a share of 90% is known to about ±{_halfwidth(162, 180):.0f} points"
    yield (
        "share of the 20 images flipped with at most i changed elements, known to "
        f"about ±{_widest(20):.0f} points"
    )


def _halfwidth(successes: int, total: int) -> float:
    low, high = Rate(successes, total).interval
    return 50 * (high - low)


def _widest(total: int) -> float:
    return max(_halfwidth(successes, total) for successes in range(total + 1))


def _transfer() -> Iterator[str]:
    rows = printed("transfer")
    own = {"mnist-cnn": "cnn", "mnist-cnn-h16": "h16", "mnist-cnn-h64": "h64"}
    crossing, judges, crafters = [], [], []
    found = {
        (*row["crafted on"].split(), *column.split()): [int(n) for n in row[column].split(" / ")]
        for row in rows
        for column in row
        if column != "crafted on"
    }
    for (crafted, machine, judge, on), counts in found.items():
        if own[crafted] != judge:
            crossing += counts
        if on == "float":
            judges += _differences(counts, found[crafted, machine, judge, "engine"])
        if machine == "float":
            crafters += _differences(counts, found[crafted, "engine", judge, on])
    yield f"to within {max(judges)} of 100, and it matters little ({max(crafters)} of 100)"
    yield f"{min(crossing)} to {max(crossing)} of 100 cross over"
    low, high = Rate(50, 100).interval
    assert 50 * (high - low) < 10
    yield "Ten images of 100 are within the 95% interval"


def _differences(left: list[int], right: list[int]) -> list[int]:
    return [abs(a - b) for a, b in zip(left, right, strict=True)]


OUR_SPEED = "python -m tests.bench cw-l2-mnist cw-l2-success cw-l2-distance"
LOGITS = "--output logits --per-class 1"
CLASSES = "hwsim jsma-study --model NAME --per-class 2"
SAMPLING = (
    "hwsim transfer --models mnist-cnn,mnist-cnn-h64 --attacks mi,sfgrm --samples 40 "
    "--eps 16/255,0.2"
)

KEPT = "hwsim attack latency --skip --samples 200 --eps 0.3 --keep-answer"
UNBOUND = "hwsim attack latency --skip --samples 100 --eps 1"
CODES = "hwsim attack latency --skip --density codes --samples 100 --eps 0.3"
LATENCY_SPEED = "python -m tests.bench latency10-mnist-h16-banked"
POISON = "hwsim train mnist-cnn-h16-banked --samples 6000 --epochs 4 --batch 128"

PAGE = Page(
    "docs/attacks.md",
    _claims,
    fixed={
        "cancel to rounding (below 0.1%; same test)": "the test's bound",
        "The goal of 50 times ART": "a goal",
        "Wilson's 95% interval": "the method's level",
        "mean\nwith its 95% interval": "the level",
    },
    history={
        "are 97% of our time": OUR_SPEED,
        "takes 20 s an image": OUR_SPEED,
        "peaks at 0.71 GiB, Python and libraries included": "make bench",
        "71.1% at 6.9% distortion in float and 70.0% at 6.7% on the engine": LOGITS,
        "90% and 87% at Υ = 38.3%": LOGITS,
        "hardest to reach (44% and 39%)": CLASSES,
        "about 1.3 s of one core an image and network": "hwsim jsma-study --per-class",
        "on 30.3% of the images, MI-FGSM on 24.4%": SAMPLING,
        "its own network on 64% against 97%": SAMPLING,
        "0.3% and 0.0%": SAMPLING,
        "keeps all\n  and loses nothing, 1.262 times": KEPT,
        "it is 1.504 times": UNBOUND,
        "it is 1.233 times": CODES,
        "take 1.9 times as long as PGD's ten": LATENCY_SPEED,
        "and 2.4 times with ten squares": LATENCY_SPEED,
        "(209,969 against 198,916 cycles)": POISON,
    },
)
