"""Rows of the tables that stand in a page, as `hwsim study` and the measurements wrote them."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.files import markdown
from tools.tables import measured
from tools.tables.blocks import ROOT

Row = dict[str, str]


def tables(place: str, page: str = "docs/reproduction.md") -> list[list[Row]]:
    """All tables of a generated place: of each row, what stands under which head."""
    found: list[list[Row]] = []
    head: list[str] = []
    for line in markdown.get(ROOT / page, place).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            head = []
        elif not head:
            head = _distinct(cells)
            found.append([])
        elif set(cells[0]) != {"-"}:
            found[-1].append(dict(zip(head, cells, strict=True)))
    return found


def _distinct(heads: Sequence[str]) -> list[str]:
    """Of columns of a name the second gets an apostrophe, the third two."""
    found: list[str] = []
    for name in heads:
        while name in found:
            name += "'"
        found.append(name)
    return found


def row(rows: Sequence[Row], **where: str) -> Row:
    """The one row with these cells; ``eps`` and ``tau`` stand for ε and τ, ``_`` for a space."""
    named = {"eps": "ε", "tau": "τ"}
    wanted = {named.get(key, key).replace("_", " "): value for key, value in where.items()}
    (found,) = [row for row in rows if wanted.items() <= row.items()]
    return found


def study(place: str, **where: str) -> Row:
    """A row of a study's first table."""
    return row(tables(place)[0], **where)


def verdict(place: str, begins: str) -> Row:
    """The claim of a study that begins so."""
    (found,) = [row for row in tables(place)[1] if row["claim"].startswith(begins)]
    return found


def printed(name: str) -> list[Row]:
    """Rows of docs/measured, as printed; of two columns of a name the second gets an apostrophe."""
    kept = measured.read(name)
    head = _distinct(kept["head"])
    return [dict(zip(head, cells, strict=True)) for cells in kept["rows"]]


def spread(cell: str) -> tuple[str, str, str]:
    """``mean [least–largest]`` in its three parts."""
    mean, _, rest = cell.partition(" [")
    least, _, most = rest.rstrip("]").partition("–")
    return mean, least, most
