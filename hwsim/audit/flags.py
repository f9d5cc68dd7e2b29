"""The verdict of each flag, from the evidence alone. Thresholds are explained in docs/audit.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hwsim.attacks.evaluate.rates import Rate
from hwsim.audit.agreement import MODES
from hwsim.audit.evidence import GAINED, Attempt, Evidence
from hwsim.audit.flag_texts import FLAGS
from hwsim.audit.gradients import ADAPTIVE, CHIP, NAIVE
from hwsim.audit.statistics import ALPHA, Comparison, compare
from hwsim.files.shown import tail

#: Share of images without any gradient that is more than an accident.
ZERO_IMAGES = 0.01
#: Share of images on which the naive gradient lacks its largest term: the typical image.
NO_WINNER = 0.5
#: Share of images that an unbounded attack may leave.
UNBOUNDED_LEFT = 0.02
#: Images that survive the smallest ε before their fate at the largest says something.
SURVIVORS = 10
#: Cosine below which a gradient is no guide.
COSINE = 0.3
#: Shares of saturated activations, and of tied images.
SATURATED, TIED = 0.05, 0.05


@dataclass(frozen=True)
class FlagVerdict:
    """raised: None where nothing could be measured. finding: one line. rows: what it rests on."""

    key: str
    raised: bool | None
    finding: str
    rows: list[dict[str, Any]] = field(default_factory=list)


def judge_all(evidence: Evidence) -> list[FlagVerdict]:
    """One verdict for each of meaning.FLAGS, in that order."""
    return [_JUDGES[flag.key](evidence) for flag in FLAGS]


def zero_gradient(evidence: Evidence) -> FlagVerdict:
    """Exact zeros on clean images, by loss."""
    rows = [asdict(row) for row in evidence.gradients]
    if not rows:
        return FlagVerdict("zero-gradient", None, "not measured")
    n, found = evidence.images, []
    for row in evidence.gradients:
        if row.loss != CHIP and row.zero_images > ZERO_IMAGES * n:
            found.append(f"{row.loss}: no gradient at all on {_of(row.zero_images, n)}")
        elif row.loss == NAIVE and row.no_winner > NO_WINNER * n:
            found.append(f"{row.loss}: the answered class has no term on {_of(row.no_winner, n)}")
    naive = next((row for row in evidence.gradients if row.loss == NAIVE), None)
    lost = naive.no_winner if naive else 0
    quiet = f"none vanishes; the answered class has no float32 term on {_of(lost, n)}"
    return FlagVerdict("zero-gradient", bool(found), "; ".join(found) or quiet, rows)


def other_loss_wins(evidence: Evidence) -> FlagVerdict:
    """The adaptive losses against the naive one."""
    return _ranking(
        evidence,
        "other-loss-wins",
        [(f"{kind} {loss}", f"{kind} {NAIVE}") for kind in ("fgsm", "pgd") for loss in ADAPTIVE],
    )


def one_step_wins(evidence: Evidence) -> FlagVerdict:
    """FGSM against PGD, loss by loss."""
    losses = [a.loss for a in evidence.attempts.values() if a.family == "iterated"]
    return _ranking(evidence, "one-step-wins", [(f"fgsm {x}", f"pgd {x}") for x in losses])


def blind_wins(evidence: Evidence) -> FlagVerdict:
    """Noise, square attack and transfer against the white-box attack of the same kind."""
    pairs = []
    for made in evidence.attempts.values():
        if made.family == "gradient-free":
            pairs.append((made.name, f"pgd {NAIVE}"))
        elif made.family == "transfer":
            pairs.append((made.name, f"{made.name.split()[0]} {NAIVE}"))
    return _ranking(evidence, "blind-wins", pairs)


def not_rising(evidence: Evidence) -> FlagVerdict:
    """Success of PGD over ε, for every loss but the chip's own."""
    rows, found = [], []
    made = [a for a in evidence.attempts.values() if a.family == "iterated"]
    made = [a for a in made if len(a.epsilons) > 1]
    tests = sum(a.loss != CHIP for a in made)
    for one in made:
        table = one.table
        lost = max((_lost(one, at) for at in range(len(table) - 1)), key=lambda pair: -pair.p)
        stuck = table[:, ~table[0]]
        survivors, fallen = stuck.shape[1], int(stuck[-1].sum())
        rows.append(asdict(lost) | {"survivors": survivors, "fallen": fallen, "attack": one.name})
        if one.loss == CHIP:
            continue
        if lost.p < ALPHA / tests:
            found.append(f"{one.name} loses {lost.above} images between {lost.weak}")
        elif survivors >= SURVIVORS and Rate(fallen, survivors).interval[1] < 0.5:
            found.append(
                f"{one.name}: of {survivors} images that survive ε = {one.epsilons[0]:g}, "
                f"{fallen} fall at {one.epsilons[-1]:g}"
            )
    if not rows:
        return FlagVerdict("not-rising", None, "not measured: give more than one epsilon")
    return FlagVerdict(
        "not-rising", bool(found), "; ".join(found) or "it rises for every loss", rows
    )


def _lost(made: Attempt, at: int) -> Comparison:
    """Images fooled at one ε and not at the largest."""
    pair = f"ε = {made.epsilons[at]:g} and {made.epsilons[-1]:g}"
    first, last = made.table[at : at + 1], made.table[-1:]
    return compare(pair, made.name, made.epsilons[-1:], first, last)


def unbounded_fails(evidence: Evidence) -> FlagVerdict:
    """ε = 1, every loss but the chip's own."""
    rows: list[dict[str, Any]] = []
    found, most = [], 0
    for made in evidence.attempts.values():
        if made.family != "unbounded":
            continue
        left = evidence.images - int(made.table[-1].sum())
        rows.append({"attack": made.name, "left": left, "images": evidence.images})
        if made.loss == CHIP:
            continue
        most = max(most, left)
        if left > UNBOUNDED_LEFT * evidence.images:
            found.append(f"{made.loss} leaves {_of(left, evidence.images)}")
    if not rows:
        return FlagVerdict("unbounded-fails", None, "not measured")
    quiet = f"no loss leaves more than {_of(most, evidence.images)}"
    return FlagVerdict("unbounded-fails", bool(found), "; ".join(found) or quiet, rows)


def unfinished(evidence: Evidence) -> FlagVerdict:
    """PGD with more steps on what it missed: does doubling them still help?"""
    rows, found = [asdict(row) for row in evidence.convergence], []
    if not rows:
        return FlagVerdict("unfinished", None, "not measured")
    n = evidence.images
    for row in evidence.convergence:
        if row.gained > GAINED * n:
            found.append(
                f"{row.attack} at ε = {row.epsilon:g}: {2 * row.steps} steps, not {row.steps}, "
                f"gain {_of(row.gained, n)}; on {row.unfinished} the loss was still rising at first"
            )
    best = max(evidence.convergence, key=lambda row: row.gained)
    enough = max(row.steps for row in evidence.convergence)
    quiet = f"{enough} steps are enough: twice as many gain at most {_of(best.gained, n)}"
    return FlagVerdict("unfinished", bool(found), "; ".join(found) or quiet, rows)


def short_depth(depth: str) -> str:
    """``after`` and the end of a layer's name, which in files of others is a path."""
    layer = depth.removeprefix("after ")
    return depth if depth == layer else f"after {tail(layer)}"


def gradient_disagrees(evidence: Evidence) -> FlagVerdict:
    """Each depth and mode by its best step width."""
    rows = [asdict(row) for row in evidence.agreement]
    best: dict[tuple[str, str], float] = {}
    for row in evidence.agreement:
        for mode in MODES:
            value = row.cosine[mode]
            if row.probe == "directions" and value is not None:
                place = (row.depth, str(mode))
                best[place] = max(best.get(place, -1.0), value)
    if not best:
        return FlagVerdict("gradient-disagrees", None, "not measured: nothing moves the logits")
    found = [
        f"{short_depth(at)} ({how}): {value:.2f}"
        for (at, how), value in best.items()
        if value < COSINE
    ]
    (at, how), least = min(best.items(), key=lambda item: item[1])
    quiet = f"lowest cosine {least:.2f}, {short_depth(at)}, {how}"
    return FlagVerdict("gradient-disagrees", bool(found), "; ".join(found) or quiet, rows)


def saturated(evidence: Evidence) -> FlagVerdict:
    """Feature maps at their ends and logits that tie."""
    ties = evidence.ties
    if ties is None:
        return FlagVerdict("saturated", None, "not measured")
    found = [
        f"{row.saturated:.1%} of layer {row.layer} is saturated"
        for row in evidence.saturation
        if row.saturated > SATURATED
    ]
    for what, count in (("tie for the first place", ties.top), ("tie in DLR", ties.dlr)):
        if count > TIED * ties.images:
            found.append(f"{what}: {_of(count, ties.images)}")
    worst = max((row.saturated for row in evidence.saturation), default=0.0)
    quiet = f"at most {worst:.2%} of a layer; {_of(ties.top, ties.images)} tie"
    rows = [asdict(row) for row in evidence.saturation] + [asdict(ties)]
    return FlagVerdict("saturated", bool(found), "; ".join(found) or quiet, rows)


def unstable(evidence: Evidence) -> FlagVerdict:
    """Bit for bit."""
    seen = evidence.stability
    if seen is None:
        return FlagVerdict("unstable", None, "not measured")
    finding = f"{seen.different:,} of {seen.logits:,} repeated logits differ"
    return FlagVerdict("unstable", seen.different > 0, finding, [asdict(seen)])


def _ranking(evidence: Evidence, key: str, pairs: Iterable[tuple[str, str]]) -> FlagVerdict:
    """Raised where the first of a pair beats the second, corrected for the number of pairs."""
    made = evidence.attempts
    usable = [(a, b) for a, b in pairs if a in made and b in made]
    found, rows = [], []
    for weak, strong in usable:
        shared = [e for e in made[weak].epsilons if e in made[strong].epsilons]
        rows.append(_compared(made[weak], made[strong], shared))
    for row in rows:
        if row.p < ALPHA / len(rows):
            found.append(
                f"{row.weak} beats {row.strong} on {row.above} images, loses on {row.below}"
            )
    if not rows:
        return FlagVerdict(key, None, "not measured")
    nearest = min(rows, key=lambda row: row.p)
    quiet = (
        f"nearest: {nearest.weak} beats {nearest.strong} on {nearest.above} images, loses on "
        f"{nearest.below}"
    )
    return FlagVerdict(key, bool(found), "; ".join(found) or quiet, [asdict(row) for row in rows])


def _compared(weak: Attempt, strong: Attempt, epsilons: Sequence[float]) -> Comparison:
    def part(made: Attempt) -> Any:
        return made.table[[list(made.epsilons).index(e) for e in epsilons]]

    return compare(weak.name, strong.name, epsilons, part(weak), part(strong))


def _of(count: int, total: int) -> str:
    return f"{count} of {total} images"


_JUDGES: dict[str, Callable[[Evidence], FlagVerdict]] = {
    "zero-gradient": zero_gradient,
    "other-loss-wins": other_loss_wins,
    "one-step-wins": one_step_wins,
    "blind-wins": blind_wins,
    "not-rising": not_rising,
    "unbounded-fails": unbounded_fails,
    "unfinished": unfinished,
    "gradient-disagrees": gradient_disagrees,
    "saturated": saturated,
    "unstable": unstable,
}
