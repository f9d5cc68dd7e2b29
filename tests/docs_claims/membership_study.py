"""docs/conclusions.md, Membership: what the rows of the study safecompress say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hwsim.files import markdown
from tests.docs_claims.page import ROOT
from tests.docs_claims.rendered import Row, tables, verdict

SAFE = ("bmia", "wmia", "mmia")


def _rows() -> dict[str, Row]:
    """Of 20 Newsgroups, dense or at density 0.1, by method."""
    return {
        row["method"]: row
        for row in tables("safecompress")[0]
        if row["data"] == "newsgroups" and row["density"] in ("1", "0.1")
    }


def _span(rows: Sequence[Row], column: str) -> str:
    values = [float(row[column]) for row in rows]
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low} to {high}"


def claims() -> Iterator[str]:
    """Every number of the section, where it stands."""
    rows = _rows()
    dense, free, hashed = rows["dense"], rows["untested"], rows["hash"]
    safe = [rows[method] for method in SAFE if method in rows]
    yield (
        f"a white box tells {dense['wmia']}% uncompressed and {_span(safe, 'wmia')}% of networks "
        "at density 0.1 that an attacker chose"
    )
    yield f"a threshold on the loss {dense['loss']}% and {_span(safe, 'loss')}%"
    yield (
        f"They are right of {_span(safe, 'accuracy')}% of the test texts, the dense network of "
        f"{dense['accuracy']}%"
    )
    yield (
        f"without any choice the white box tells {free['wmia']}% and the threshold {free['loss']}%"
    )
    yield (
        f"{hashed['wmia']}% of a hashed network with as many words as the sparse one has weights"
    )
    half = rows["dense, 0.5 of epochs"]
    yield (
        f"trained for half of the epochs the dense network is right of {half['accuracy']}% and "
        f"tells the white box {half['wmia']}%"
    )
    every = tables("safecompress")[0]
    for width in ("8-bit", "4-bit"):
        apart = [float(row[f"{width} wmia"]) - float(row["wmia"]) for row in every]
        mean = f"{sum(apart) / len(apart):+.1f}".replace("-", "−")
        yield f"{width[0]} bits {mean} points in the mean of {len(every)} networks"
    shares = verdict("safecompress", "what is told follows the gap")["ours"]
    found = dict(re.findall(r"(\w+): (\d+)%", shares))
    yield (
        f"explains {found['loss']}% of the variance of what the loss tells and {found['wmia']}% of "
        "the white box's"
    )
    yield f"the published black box tells {dense['bmia']}% of the dense network"
    text = markdown.get(ROOT / "docs/reproduction.md", "safecompress")
    done = re.search(r"(\d+) of (\d+) rows", text)
    assert done is not None
    yield f"{done[1]} of the {done[2]} rows"
