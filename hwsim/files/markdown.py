"""Tables in the Markdown files of the documentation, put there by the commands that measure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwsim.errors import InputError
from hwsim.files.file import replacing


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def read(path: Path) -> str:
    """The text of a file. Raises InputError if it is not there, or no text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None


def get(path: Path, name: str) -> str:
    """The text between the two comments that carry ``name``, without white space around it.

    Raises InputError if the file is not there or has no such place.
    """
    return _parts(path, name)[1].strip()


def _parts(path: Path, name: str) -> tuple[str, str, str]:
    """Before, between and after the comments, which belong to none."""
    begin, end = _marks(name)
    before, found, rest = read(path).partition(begin)
    inside, closed, after = rest.partition(end)
    if not found or not closed:
        raise InputError(f"{path}: no place for a table between {begin} and {end}")
    return before, inside, after


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def put(path: Path, name: str, text: str) -> None:
    """Put ``text`` between the two comments that carry ``name`` in a Markdown file.

    Raises InputError if the file is not there or has no such place.
    """
    begin, end = _marks(name)
    before, _, after = _parts(path, name)
    with replacing(path) as temporary:
        temporary.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
