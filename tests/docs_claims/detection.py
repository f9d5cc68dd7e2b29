"""docs/detection.md: what its measured table says."""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.attacks.evaluate.classpairs import HEADLINE
from hwsim.runs.detection import CALIBRATION, FALSE_ALARMS
from tests.docs_claims.page import Page
from tests.docs_claims.rendered import Row, printed, row

H64, DENSE, NARROW = "mnist-cnn-h64, 8", "mnist-cnn, 8", "mnist-cnn-h64, 4"
PIXELS, DISTANCE, ANSWERS = "pixel differences", "float–engine distance", "float–engine answers"


def _claims() -> Iterator[str]:
    yield (
        f"set on {CALIBRATION} clean training images so that {FALSE_ALARMS:.0%} of them exceed it"
    )
    yield f"JSMA up to {HEADLINE:.1%} of the values"
    yield from _pixels()
    yield from _distance()
    yield from _answers()


def _found(network: str, attack: str, detector: str) -> Row:
    return row(printed("detection"), **{"network, bits": network}, attack=attack, detector=detector)


def _areas(detector: str, *attacks: str, bits: str = "", column: str = "AUC") -> list[float]:
    return [
        float(found[column].partition(" ")[0])
        for found in printed("detection")
        if found["detector"] == detector
        and (not attacks or found["attack"] in attacks)
        and found["network, bits"].endswith(bits)
    ]


def _pixels() -> Iterator[str]:
    least = min(_areas(PIXELS, "hfgsm", "pgd", "jsma"))
    yield f"PGD and JSMA (areas of {least:g} and more)"
    known = _areas(PIXELS, "pgd", column="AUC, attacker knows")
    yield f"its area falls to {min(known):g} to {max(known):g}, guessing, with every image still"
    for network in (H64, DENSE, NARROW):
        found = _found(network, "pgd", PIXELS)
        assert found["success"] == found["missed, knows"] == "100%"
    step = _found(DENSE, "hfgsm", PIXELS)
    yield f"(on mnist-cnn {step['missed, knows']} are missed instead of {step['missed']})"


def _distance() -> Iterator[str]:
    yield f"tells all four attacks at first ({min(_areas(DISTANCE)):g} and more, at 4 bits too)"
    pgd, jsma = (_found(H64, attack, DISTANCE) for attack in ("pgd", "jsma"))
    yield (
        f"on h64 PGD goes undetected in {pgd['missed, knows']} instead of {pgd['missed']}, JSMA "
        f"in {jsma['missed, knows']} instead of {jsma['missed']}"
    )
    pgd, jsma = (_found(DENSE, attack, DISTANCE) for attack in ("pgd", "jsma"))
    assert pgd["missed"] == jsma["missed"]
    yield f"in {pgd['missed, knows']} and {jsma['missed, knows']} instead of {jsma['missed']}"


def _answers() -> Iterator[str]:
    wide = _areas(ANSWERS, bits=" 8")
    yield f"next to nothing at 8 bits ({min(wide):.2f} to {max(wide):.2f})"
    (cw,), (pgd,) = (_areas(ANSWERS, attack, bits=" 4") for attack in ("cw-l2", "pgd"))
    yield f"(C&W {cw:.2f}, PGD, which stops at its first success, {pgd:.2f})"
    known = [
        _areas(ANSWERS, attack, bits=" 4", column="AUC, attacker knows")[0]
        for attack in ("cw-l2", "pgd")
    ]
    yield f"when the attacker knows ({known[0]:.2f}, {known[1]:.2f})"


PAGE = Page(
    "docs/detection.md",
    _claims,
    fixed={"its 95% interval is Newcombe's": "the method's level"},
    history={"of C&W's, 37 to 58% do": "hwsim detect MODEL --bits B --samples 20"},
)
