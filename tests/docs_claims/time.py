"""docs/conclusions.md, Time: what the study skip says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.docs_claims.rendered import Row, tables


def _rows(rewrite: str) -> tuple[Row, list[Row]]:
    """(uncompressed, the compressed ones) behind a rewrite."""
    dense, *hashed = [row for row in tables("skip")[0] if row["rewrite"] == rewrite]
    assert dense["rate"] == "1"
    return dense, hashed


def _span(rows: Sequence[Row], column: str, digits: int = 1) -> str:
    values = [float(row[column].split()[0]) for row in rows]
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


def claims() -> Iterator[str]:
    """Every number of the section, where it stands."""
    dense, hashed = _rows("none")
    yield (
        f"uncompressed a fully connected layer expands {dense['fc columns']}% of its columns, "
        f"compressed {_span(hashed, 'fc columns')}%"
    )
    yield (
        f"an inference is {dense['gain']} times as fast uncompressed and "
        f"{_span(hashed, 'gain', 2)} times compressed"
    )
    layers, whole = "class from layers", "from the whole"
    yield (
        f"the class is told right of {dense[layers].split()[0]}% of the images uncompressed, of "
        f"{_span(hashed, layers)}% compressed"
    )
    yield f"of {_span([dense, *hashed], whole)}%, whatever the rate"
    last, behind = _rows("inhibition, last"), _rows("inhibition, all")
    assert [row["cycles"] for row in (last[0], *last[1])] == [
        row["cycles"] for row in (dense, *hashed)
    ]
    yield (
        f"a fully connected layer then expands {_span([behind[0], *behind[1]], 'fc columns')}% "
        "of its columns"
    )
    yield f"{_span([dense, *hashed], 'attack', 3)} times as long within ε = 0.1"
    yield f"uniform noise of that size {_span([dense, *hashed], 'uniform noise', 3)} times"
