"""The console of all commands: text as it is, at a width in which something can be laid out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from hwsim.files.shown import shown, usable_columns


class Screen(Console):
    """A console that prints text as it is: no markup, no emoji codes, everything ``shown``.

    Without a ``width`` it takes the terminal's, or COLUMNS where that is a width at all.
    """

    def __init__(self, **options: Any) -> None:
        if not usable_columns():  # rich would believe a width of 0, and print nothing
            options["_environ"] = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
        super().__init__(markup=False, emoji=False, **options)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """As rich does, without reading markup in the text."""
        text = Text(shown(status)) if isinstance(status, str) else status
        return super().status(text, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As rich does, with the text of every segment ``shown``."""
        for segment in super().render(renderable, options):
            if segment.control is None and not segment.text.isprintable():
                yield Segment(shown(segment.text), segment.style)
            else:
                yield segment
