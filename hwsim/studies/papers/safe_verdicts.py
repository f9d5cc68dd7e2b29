"""Verdicts of the study safecompress: the paper's claims, and those that a reviewer would add."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from hwsim.studies.judge.claims import Pair, Verdict, holds, ordered, untested
from hwsim.studies.judge.findings import share
from hwsim.studies.papers.safe_lines import ATTACKERS, DENSE, SafeLine, dense

#: SafeCompress by who tests, and who judges it: an attacker of that kind, and a threshold on the
#: loss, which a black box knows too.
JUDGES = {"bmia": ("bmia", "loss"), "wmia": ("wmia",), "mmia": ("mmia", "wmia", "loss")}
SAFE = tuple(JUDGES)
PRUNED = ("one-shot", "iterative")
#: Task accuracy that may be lost, or is called the same.
LOSS = 0.02
#: Share of the variance that the gap must explain for a leak to be called its own.
EXPLAINED = 0.5

PAPER = "SafeCompress, 2022 and 2024"
NOBODY = "nobody has said"


def verdicts(lines: Sequence[SafeLine]) -> list[Verdict]:
    """By the rules of hwsim.studies.judge.claims; a claim without its networks is not tested."""
    known = {(one.data, one.density, one.method): one for one in lines}
    whole = {one.data: one for one in lines if one.method == DENSE}
    safe = [one for one in lines if one.method in SAFE and one.data in whole]

    def against(claim: str, paper: str, methods: Sequence[str], others: Sequence[str]) -> Verdict:
        """Told less of ``methods`` than of ``others``, of the same data at the same density."""
        pairs: list[Pair] = []
        for one in lines:
            if one.method in methods:
                for other in others:
                    twin = known.get((one.data, one.density, other))
                    if twin is not None:
                        pairs += _pairs(one, twin)
        return ordered(claim, paper, pairs, _extent(pairs))

    falls = [pair for one in safe for pair in _pairs(one, whole[one.data])]
    both = [
        pair
        for one in safe
        if one.method == "mmia"
        for pair in _pairs(one, whole[one.data], ("bmia", "loss", "wmia"))
    ]
    return [
        ordered("SafeCompress is told less of than the dense network", PAPER, falls,
                _extent(falls)),
        _accurate(safe, whole),
        ordered("MMIA-SafeCompress is told less of by black box and white box", PAPER, both,
                _extent(both)),
        against("SafeCompress is told less of than pruned networks of its density", PAPER,
                SAFE, PRUNED),
        against("and than adversarial regularization at its density", PAPER, SAFE,
                ("regularized",)),
        against("and than the same training without a choice, or with a random one (ours)",
                "its public code makes no choice", SAFE, ("untested", "random")),
        _matched(safe, [one for one in lines if dense(one)]),
        against("SafeCompress on hashed words is told less of than hashing at one rate (ours)",
                NOBODY, ("hash-bmia", "hash-mmia"), ("hash",)),
        *(_leaks(lines, width) for width in ("8-bit", "4-bit")),
        _explained(lines),
    ]  # fmt: skip


def _pairs(lower: SafeLine, upper: SafeLine, judges: Sequence[str] = ()) -> list[Pair]:
    """One for each who judges the method of ``lower``."""
    return [
        Pair(
            f"{lower.what} against {upper.method} by {who}",
            lower.rate("float", who), upper.rate("float", who),
        )
        for who in judges or JUDGES[lower.method.removeprefix("hash-")]
    ]  # fmt: skip


def _extent(pairs: Sequence[Pair]) -> str:
    """By how much, in the mean."""
    if not pairs:
        return ""
    mean = 100 * statistics.mean(pair.difference for pair in pairs)
    most = max(pairs, key=lambda pair: pair.difference)
    return f"mean {mean:+.1f} points; most: {most.what}, {share(most.upper)} → {share(most.lower)}"


def _accurate(safe: Sequence[SafeLine], whole: dict[str, SafeLine]) -> Verdict:
    def lost(one: SafeLine) -> float:
        task = whole[one.data].rate("float", "task").value
        return task - one.rate("float", "task").value

    losses = [100 * lost(one) for one in safe]
    ours = f"lost: {min(losses):+.1f} to {max(losses):+.1f} points" if losses else ""
    return holds(
        f"and keeps its accuracy, within {100 * LOSS:g} points", PAPER,
        [(one.what, lost(one) <= LOSS) for one in safe], ours,
    )  # fmt: skip


def _matched(safe: Sequence[SafeLine], denses: Sequence[SafeLine]) -> Verdict:
    """Against the dense network of any length of training that is at least as accurate.

    Of data of which no dense network was trained shorter, nothing is matched.
    """
    pairs: list[Pair] = []
    shorter = {other.data for other in denses if other.method != DENSE}
    for one in safe:
        if one.data not in shorter:
            continue
        least = one.rate("float", "task").value - LOSS
        able = [
            other
            for other in denses
            if other.data == one.data and other.rate("float", "task").value >= least
        ]
        for who in JUDGES[one.method] if able else ():
            pairs += _pairs(one, min(able, key=_by(who)), (who,))
    return ordered(
        "SafeCompress is told less of than a dense network, trained shorter, that is as accurate "
        "(ours)",
        "compared at equal epochs", pairs, _extent(pairs),
    )  # fmt: skip


def _by(who: str) -> Callable[[SafeLine], float]:
    return lambda line: line.rate("float", who).value


def _leaks(lines: Sequence[SafeLine], width: str) -> Verdict:
    pairs = [
        Pair(f"{one.what} by {who}", one.rate(width, who), one.rate("float", who))
        for one in lines
        if width in one.machines
        for who in ("bmia", "wmia", "loss")
    ]
    kept = [
        one.rate("float", "task").value - one.rate(width, "task").value
        for one in lines
        if width in one.machines
    ]
    ours = _extent(pairs)
    if kept:
        ours += f"; accuracy lost: {100 * statistics.mean(kept):.1f} points in the mean"
    return ordered(f"the {width} engine is told less of than its float twin (ours)", NOBODY, pairs,
                   ours)  # fmt: skip


def _explained(lines: Sequence[SafeLine]) -> Verdict:
    claim = (
        f"what is told follows the gap: it explains {100 * EXPLAINED:g}% of the variance between "
        "networks (ours)"
    )
    paper = "Gonon et al. 2023: sparsity, privacy and error move together"
    gaps = [one.gap("float").value for one in lines]
    if len(lines) < 3 or len({*gaps}) < 2:
        return untested(claim, paper, "fewer than three networks are there")
    squares = {}
    for who in ATTACKERS:
        told = [one.rate("float", who).value for one in lines]
        squares[who] = statistics.correlation(gaps, told) ** 2 if len({*told}) > 1 else 0.0
    return holds(
        claim, paper, [(who, value >= EXPLAINED) for who, value in squares.items()],
        ", ".join(f"{who}: {100 * value:.0f}%" for who, value in squares.items()),
    )  # fmt: skip
