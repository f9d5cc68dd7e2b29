"""docs/conclusions.md, Membership: what the study safecompress says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hwsim.files import markdown
from tests.docs_claims.page import ROOT
from tests.docs_claims.rendered import Row, tables, verdict

SAFE = ("bmia", "wmia", "mmia")


def _row(data: str, method: str) -> Row:
    """Of the dense network, or at density 0.1."""
    density = "1" if method.startswith("dense") else "0.1"
    (found,) = [
        row
        for row in tables("safecompress")[0]
        if (row["data"], row["method"], row["density"]) == (data, method, density)
    ]
    return found


def _span(rows: Sequence[Row], column: str) -> str:
    values = [float(row[column]) for row in rows]
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low} to {high}"


def claims() -> Iterator[str]:
    """Every number of the section, where it stands."""
    news = "newsgroups"
    dense, hashed, pruned = (_row(news, method) for method in ("dense", "hash", "one-shot"))
    safe, free = [_row(news, method) for method in SAFE], _row(news, "untested")
    yield (
        f"of 20 Newsgroups a white box tells {dense['wmia']}% uncompressed and "
        f"{_span(safe, 'wmia')}% of networks at density 0.1 that an attacker chose"
    )
    yield f"a threshold on the loss {dense['loss']}% and {_span(safe, 'loss')}%"
    yield (
        f"They are right of {_span(safe, 'accuracy')}% of the test texts, the dense network of "
        f"{dense['accuracy']}%"
    )
    yield (
        f"without any choice the white box tells {free['wmia']}%, pruned at once {pruned['wmia']}%"
    )
    yield f"{hashed['wmia']}% of a hashed network with as many words as the sparse one has weights"
    same = [[row[head] for head in row if head not in ("method",)] for row in safe[:2]]
    assert same[0] == same[1]
    short = _row(news, "dense, 0.25 of epochs")
    yield (
        f"trained for a quarter of the epochs the dense network is right of {short['accuracy']}% "
        f"and tells the white box {short['wmia']}%"
    )
    for width in ("8-bit", "4-bit"):
        rows = [r for r in tables("safecompress")[0] if r[f"{width} wmia"] != "–"]
        apart = [float(r[f"{width} wmia"]) - float(r["wmia"]) for r in rows]
        mean = sum(apart) / len(apart)
        yield f"{width[0]} bits {mean:+.1f} points in the mean of {len(rows)} networks".replace(
            "-", "−"
        )
    shares = verdict("safecompress", "what is told follows the gap")["ours"]
    found = dict(re.findall(r"(\w+): (\d+)%", shares))
    yield (
        f"explains {found['loss']}% of the variance of what the loss tells and {found['wmia']}% of "
        "the white box's"
    )
    done = re.search(
        r"(\d+) of (\d+) rows", markdown.get(ROOT / "docs/reproduction.md", "safecompress")
    )
    if done:
        yield f"{done[1]} of the {done[2]} rows"
