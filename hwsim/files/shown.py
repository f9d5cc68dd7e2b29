"""The one guard for what is printed: nothing from a file can move the cursor or fake a line."""

from __future__ import annotations

import os

import click

#: Narrower than this nothing can be laid out; a terminal that says so does not know.
LEAST_WIDTH = 20
#: Characters of a name in a table: files name layers by paths.
NAME = 24


def usable_columns() -> bool:
    """Whether COLUMNS is set, and to a width that something can be laid out in."""
    columns = os.environ.get("COLUMNS", "")
    return columns.isascii() and columns.isdigit() and LEAST_WIDTH <= int(columns[:6]) < 100_000


def shown(text: str) -> str:
    """``text`` with line breaks, and every other character that cannot be seen as an escape.

    That is control characters, ESC among them, overrides of the direction of writing, characters
    without a width, and halves of characters.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in text)


def _escape(c: str) -> str:
    return c.encode("unicode_escape").decode("ascii")


def tail(name: str, width: int = NAME) -> str:
    """The end of a name that is too long, which says more than its beginning."""
    return name if len(name) <= width else f"…{name[1 - width :]}"


def say(text: str, *, err: bool = False) -> None:
    """Print lines of text to stdout, or to stderr; see ``shown``."""
    click.echo(shown(text), err=err)
