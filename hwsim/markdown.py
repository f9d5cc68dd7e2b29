"""Tables in the Markdown files of the documentation, put there by the commands that measure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwsim.atomic import replacing
from hwsim.errors import InputError


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def put(path: Path, name: str, text: str) -> None:
    """Put ``text`` between the two comments that carry ``name`` in a Markdown file.

    Raises InputError if the file is not there or has no such place.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise InputError(f"{path}: no place for a table between {begin} and {end}")
    with replacing(path) as temporary:
        temporary.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
