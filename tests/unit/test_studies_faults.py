"""The study of flipped bits: counts, searches that gave up, and what decides its verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

from hwsim.studies.grid.plan import Answers, Plan, PointRow
from hwsim.studies.judge.claims import NOT, PARTLY, REPRODUCED, UNTESTED
from hwsim.studies.papers import faults
from hwsim.studies.papers.faults import FlipLine

QUICK = Plan(quick=True)


def row(*accuracies: float, bits: int = 1, random: float = 0.99) -> dict[str, Any]:
    """A search with a step of ``bits`` flips for each accuracy."""
    steps = [
        {"bits": bits * (n + 1), "accuracy": accuracy} for n, accuracy in enumerate(accuracies)
    ]
    ended = "reached" if accuracies[-1] <= faults.STOP else "most"
    return {"clean": 0.99, "steps": steps, "ended": ended, "random": random, "bits": 800}


def line(*rows: dict[str, Any]) -> FlipLine:
    return FlipLine("resnet20", "8-bit", "weights", rows)


def test_flips_are_counted_in_bits_and_a_search_that_gave_up_needs_one_more() -> None:
    found = line(row(0.7, 0.4, 0.1), row(0.6, 0.3, bits=2))
    assert found.flips(faults.STOP) == [3, 5]
    assert found.flips(faults.HALF) == [2, 4]
    assert found.reached(faults.STOP) == [True, False]
    assert found.text(faults.STOP) == "≥ 4.0 (3–5)"
    assert found.text(faults.HALF) == "3.0 (2–4)"
    assert line(row(0.05)).text(faults.STOP) == "1.0"


def answers(flips: dict[tuple[str, str, str], list[int]], random: float = 0.99) -> Answers:
    """Searches that take so many flips, by network, machine and memory."""
    return Answers([
        PointRow(
            {"network": network, "machine": machine, "memory": memory, "seed": seed},
            row(*[0.9] * (count - 1), 0.1, random=random),
        )
        for (network, machine, memory), counts in flips.items()
        for seed, count in enumerate(counts)
    ])  # fmt: skip


COUNTS = {
    ("resnet20", "8-bit", "weights"): [20, 24, 30],
    ("resnet20", "float", "weights"): [1],
    ("resnet20-h16", "8-bit", "weights"): [2, 3, 4],
    ("resnet20-h16", "8-bit", "index"): [5, 6, 7],
}


def verdicts(changed: dict[Any, list[int]], random: float = 0.99) -> list[str]:
    found = faults.find(Plan(), list(faults.CIFAR), answers(COUNTS | changed, random))
    found.draw(Figure())
    assert all(len(line) == len(found.heads) for line in found.rows)
    assert len(found.records) == sum(map(len, (COUNTS | changed).values()))
    return [verdict.verdict for verdict in found.verdicts]


def test_verdicts_follow_from_the_flips() -> None:
    assert verdicts({}) == [REPRODUCED] * 4
    dense, shared = ("resnet20", "8-bit", "weights"), ("resnet20-h16", "8-bit", "weights")
    assert verdicts({dense: [9, 11, 13]})[0] == NOT
    assert verdicts({shared: [31, 32, 33]})[2:] == [NOT, NOT]
    assert verdicts({shared: [2, 3, 25]})[2] == NOT, "batches overlap: nothing is confirmed"
    assert verdicts({}, random=0.5)[1] == NOT


def test_searches_that_gave_up_tell_no_more_than_a_least_count() -> None:
    """A quick study gives up after 10 flips: 28 can neither be reproduced nor missed then."""

    def verdict(*searches: dict[str, Any]) -> str:
        found = [
            PointRow(
                {"network": "resnet20", "machine": "8-bit", "memory": "weights", "seed": n}, one
            )
            for n, one in enumerate(searches)
        ]
        return faults.find(Plan(), ["resnet20"], Answers(found)).verdicts[0].verdict

    gave_up, late = row(*[0.9] * 10), row(*[0.9] * 60)
    assert verdict(gave_up, gave_up, gave_up) == UNTESTED
    assert verdict(row(*[0.9] * 27, 0.1), gave_up, gave_up) == UNTESTED
    assert verdict(late, late, late) == NOT


def test_other_widths_make_other_cases() -> None:
    wide = Plan(bits=(8, 4))
    both = COUNTS | {(n, "4-bit", m): c for (n, b, m), c in COUNTS.items() if b == "8-bit"}
    found = faults.find(wide, list(faults.CIFAR), answers(both))
    # At 4 bits 40.8 were published, and 24.7 are no 40.8.
    assert found.verdicts[0].verdict == PARTLY
    found.draw(Figure())
    missing = faults.find(Plan(), ["mnist-cnn"], answers({("mnist-cnn", "8-bit", "weights"): [9]}))
    assert [one.verdict for one in missing.verdicts] == [
        UNTESTED, REPRODUCED, UNTESTED, UNTESTED,
    ]  # fmt: skip


@pytest.mark.parametrize("quick", [True, False])
def test_the_grid_asks_for_indices_of_shared_networks_only(quick: bool) -> None:
    points = faults.grid(Plan(quick=quick, bits=(8, 4)), faults.NETWORKS)
    index = {point.fields["network"] for point in points if point.fields["memory"] == "index"}
    assert index == set(faults.HASHED)
    on_float = [point for point in points if point.fields["machine"] == "float"]
    assert len(on_float) == len(faults.NETWORKS)
    batches = 2 if quick else 5
    dense = [p for p in points if p.fields["network"] == "resnet20" and p not in on_float]
    assert len(dense) == 2 * batches
    assert {point.parameters["most"] for point in points} == {10 if quick else faults.MOST}
