"""docs/audit.md: thresholds are the audit's, and what was measured stands in its tables."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hwsim.attacks.evaluate.rates import Rate
from hwsim.audit import attempts, evidence, flags
from hwsim.units.softmax import EXP_LUT
from tests.docs_claims.page import Page
from tests.docs_claims.rendered import Row, printed, row


def _claims() -> Iterator[str]:
    yield from _thresholds()
    yield from _leads()
    yield from _worst_case()
    yield from _cost()


def _thresholds() -> Iterator[str]:
    yield f"more than {flags.ZERO_IMAGES:.0%} of the images have an exactly zero input gradient"
    yield f"Why this threshold: {flags.ZERO_IMAGES:.0%}: an undefended network"
    yield f"black or white leave more than {flags.UNBOUNDED_LEFT:.0%} of the images"
    yield f"Why this threshold: {flags.UNBOUNDED_LEFT:.0%} allows one of 64 images"
    assert 1 <= flags.UNBOUNDED_LEFT * 64 < 2
    gained = f"{evidence.GAINED:.0%}"
    yield f"doubling PGD's steps makes more than {gained} of all images fall"
    yield f"best loss still rose by more than {attempts.UNFINISHED:.0%} of its range"
    yield f"(the published indicator, {attempts.UNFINISHED:.0%} of its range"
    yield f"as long as a doubling adds more than {gained}"
    yield f"{gained} is less than half the width of the 95% interval of a success at 64 images"
    low, high = Rate(32, 64).interval
    assert (high - low) / 2 > evidence.GAINED
    yield f"them adds no more than {gained}"
    yield f"more than {flags.SATURATED:.0%} of a hidden feature map"
    yield f"more than {flags.TIED:.0%} of the images have a tie"
    yield f"{flags.SATURATED:.0%} is thirty times that"


def _leads() -> Iterator[str]:
    yield f"exactly 1 from a lead of {math.log(EXP_LUT[0]):.0f} nats"
    # A float32 is 0 below half of its smallest number, 2^-149.
    yield f"float32 needs a lead of {150 * math.log(2):.0f} nats"


def _audits(name: str, tau: str) -> Row:
    return row(printed("audit-worst-case"), network=name, bits="8", tau=tau)


def _shares(found: Row) -> list[list[int]]:
    """Naive and worst case at each ε, percent."""
    (cell,) = [found[head] for head in found if head.startswith("naive")]
    return [[int(number) for number in pair.split(" → ")] for pair in cell.split(", ")]


def _worst_case() -> Iterator[str]:
    both = [_shares(_audits("mnist-cnn", tau)) for tau in ("–", "0.1")]
    large = [_shares(_audits("mnist-cnn-h64", tau)) for tau in ("–", "0.1")]
    falls = [
        before[0] - after[0]
        for plain, inhibited in (both, large)
        for before, after in zip(plain, inhibited, strict=True)
    ]
    yield f"Inhibition lowers the naive number by up to {max(falls)} points"
    (before, after), rest = ([shares[0][1] for shares in both], [s[1:] for s in both])
    (certain,) = {worst for shares in rest for _, worst in shares}
    yield f"({before} to {after}% at ε = 0.1 on mnist-cnn, {certain}% from 0.2 on)"
    yield f"its {_audits('mnist-cnn-h64', '–')['wall, busy machine']} are what was left"
    flagged = {(found["τ"] != "–", found["flags"] != "none") for found in printed("audit-one-step")}
    assert flagged == {(False, False), (True, True)}


def _cost() -> Iterator[str]:
    """The sum in the sentence is that of its own parts, to two digits."""
    needs, rates = (5000, 1100, 2000), (4700, 1060, 1300)
    yield "{:,} inferences, {:,} gradients and {:,} queries of the square attack".format(*needs)
    yield "{:,} inferences, {:,} gradients and {:,} queries a second".format(*rates)
    seconds = 64 * sum(need / rate for need, rate in zip(needs, rates, strict=True))
    yield f"64 images of mnist-cnn about {round(seconds, -1):.0f} seconds of one core"


PROBES = "python -m tests.bench.audit_table"

PAGE = Page(
    "docs/audit.md",
    _claims,
    fixed={
        "so success must be 100%": "what no limit means",
        "from a lead of 17 nats": "held by test_gradients_vanish_at_the_documented_margins",
    },
    history={
        "17%, 4%, 1% of 500 images on mnist-cnn, -h16, -h64 at 8 bits, 13%, 1%, 1% at 4": PROBES,
        "90% and 40% of 200 images on mnist-cnn and -h64": PROBES,
        "with τ = 0.5, 99% and 94%, and 50% of mnist-cnn's have no gradient": PROBES,
        "falls to FGSM in 62% through cross-entropy and in 89% through the margin": PROBES,
        "-h64, 60% and 80%": PROBES,
        "steps still adds 6%": PROBES,
        "clips at most 0.16% of a feature map at 4 bits": "hwsim.audit.integers",
    },
)
