"""What the rows of the mechanism say, by rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hwsim.studies.grid.plan import Answers, Plan
from hwsim.studies.judge.claims import Pair, Verdict, holds
from hwsim.studies.judge.findings import number, share
from hwsim.studies.judge.softmax_limits import below, least
from hwsim.studies.papers.mechanism_grid import (
    DENSE,
    HASHED,
    HIGH,
    LABELS,
    LENGTHS,
    LOW,
    NONE,
    PAPER,
    PUBLISHED,
    SOFTMAX,
    TELLING,
    Pgd,
    Setting,
    appears,
    sure,
)


def walls(plan: Plan, present: Sequence[str], answers: Answers) -> Verdict:
    """Whether one saturating softmax, whichever, could give the paper's pairs."""
    cases, ours = [], []
    for network in present:
        start, end = PAPER["mean" if network in HASHED else DENSE]
        for machine in plan.names:
            before, after = (
                sure(answers, Setting(network, rewrite, machine, "").line, machine)["leads"]
                for rewrite in (NONE, PUBLISHED)
            )
            wall = least(before, start)
            left = below(after, wall)
            cases.append((f"{LABELS[network]} {machine}", left <= end))
            ours.append(f"{LABELS[network]} {machine} {share(left)}% at {number(wall, 0)} nats")
    return holds(
        "(ours) some softmax, saturating at whatever lead, leaves as many images a gradient "
        "undefended as the paper fools, and at τ = 0.1 no more than it fools then",
        "95.81% and 1.24%, HashNets 87.99% and 4.77%", cases, "; ".join(ours),
    )  # fmt: skip


def _name(record: dict[str, Any]) -> str:
    where = f"{LABELS.get(record['network'], 'mean')} {record['machine']}"
    return f"{where} {record['softmax']}"


def _place(record: dict[str, Any]) -> tuple[str, ...]:
    return record["network"], record["machine"], record["softmax"]


def _collapse(
    claim: str, paper: str, softmax: str, records: Sequence[dict[str, Any]],
    plain: dict[tuple[str, ...], dict[str, Any]],
) -> Verdict:  # fmt: skip
    """Whether τ = 0.1 brings success from HIGH to LOW through a softmax, in every record."""
    mine = [r for r in records if r["softmax"] == softmax]
    return holds(
        f"{claim}: {softmax} softmax", paper,
        [(_name(r), plain[_place(r)]["naive"] >= HIGH and r["naive"] <= LOW) for r in mine],
        "; ".join(
            f"{_name(r)} {share(plain[_place(r)]['naive'])} to {share(r['naive'])}" for r in mine
        ),
    )  # fmt: skip


def verdicts(records: Sequence[dict[str, Any]], pgd: Pgd) -> list[Verdict]:
    """Of all records; ``pgd`` at the telling ε."""
    plain = {_place(r): r for r in records if r["rewrite"] == NONE}
    stated = [r for r in records if r["rewrite"] == PUBLISHED and r["network"] in PAPER]
    longest = [n for _, n in LENGTHS]
    trained = [r for r in records if r["rewrite"] == PUBLISHED and r["network"] in longest]
    low = [r for r in records if appears(r)]
    fallen = [r for r in records if plain[_place(r)]["naive"] - r["naive"] >= 0.10]
    names = [f"{_name(r)}, {r['rewrite']} ({share(r['naive'])}%)" for r in low]
    listed = "; ".join(names[:4]) + (f"; {len(names) - 4} more" if len(names) > 4 else "")
    falls = f"from at least {100 * HIGH:g}% to at most {100 * LOW:g}%"
    collapse = [
        _collapse(
            f"τ = 0.1 on the last layer brings success {falls}, uncompressed and mean of the "
            "HashNets", "95.81% to 1.24%, 87.99% to 4.77%", softmax, stated, plain,
        )
        for softmax in SOFTMAX
    ]  # fmt: skip
    collapse += [
        _collapse(
            f"(ours) trained for long without regularization, τ = 0.1 on the last layer brings "
            f"success {falls}, uncompressed and 1/64", "–", softmax, trained, plain,
        )
        for softmax in SOFTMAX
    ]  # fmt: skip
    return [
        *collapse,
        _margins(plain),
        holds(
            "(ours) some setting that keeps the accuracy brings the paper's number",
            "–", [("any setting", bool(low))], listed or "none",
        ),
        holds(
            f"(ours) where it appears, the same one step on the margin restores success (at least "
            f"{100 * HIGH:g}%): the gradient was hidden", "–",
            [(f"{_name(r)}, {r['rewrite']}", r["step"] >= HIGH) for r in low],
            f"least {share(min(r['step'] for r in low))}%" if low else "–",
        ),
        _robust(fallen, pgd),
    ]  # fmt: skip


def _robust(fallen: Sequence[dict[str, Any]], pgd: Pgd) -> Verdict:
    """Whether a defense that seems to work protects where an attack can fail."""
    cases, ours = [], []
    for network, label, machine in dict.fromkeys(
        (r["network"], r["rewrite"], r["machine"]) for r in fallen if r["network"] in LABELS
    ):
        pair = Pair("", pgd[network, label, machine], pgd[network, NONE, machine])
        what = f"{LABELS[network]} {machine}, {label}"
        cases.append((what, pair.state != "confirmed"))
        ours.append((pair.difference, what))
    most = f"most: {max(ours)[1]}, {100 * max(ours)[0]:.1f} points" if ours else "–"
    return holds(
        "(ours) wherever the naive success falls by 10 points or more, so that a defense seems to "
        f"work, PGD on the margin at ε = {TELLING:g} is not seen to succeed less often than on the "
        "undefended network (95%)", "–", cases, most,
    )  # fmt: skip


def _margins(plain: dict[tuple[str, ...], dict[str, Any]]) -> Verdict:
    """Whether training on widens margins."""
    cases = [
        (f"{LABELS[long]} {m}", plain[short, m, s]["margin"], record["margin"])
        for short, long in LENGTHS
        for (n, m, s), record in plain.items()
        if n == long and s == SOFTMAX[0] and (short, m, s) in plain
    ]
    return holds(
        "(ours) training on, without regularization, widens the median margin", "–",
        [(what, before < after) for what, before, after in cases],
        "; ".join(f"{what} {number(a, 1)} to {number(b, 1)}" for what, a, b in cases),
    )  # fmt: skip
