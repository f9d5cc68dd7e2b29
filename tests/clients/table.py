"""`python -m tests.clients.table [LIBRARY …]`: docs/libraries.md, what of each library runs."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.clients.attempts import CASES, RUNS, Fate, fates, versions

PATH = Path("docs/libraries.md")

TEXT = """# Other people's attacks on the Engine

`python -m tests.clients.table`: every attack of the libraries that takes images, found by looking
into them, with its own defaults but for a small budget, on four images. Where one does not run on
`Engine(program)`, it is tried on `Engine(program, outside="clamp")` and on the float network that
was compiled: what stops there too is the library's own requirement and not the engine's fault.
*Too long* says that an attempt took more seconds than a test can wait; it is not judged.

"""


def table(found: list[Fate]) -> str:
    """Markdown rows."""
    rows = ["| attack | `Engine(program)` | `outside=\"clamp\"` | float network | fault |", "|---|---|---|---|---|"]  # fmt: skip  # noqa: E501
    for fate in found:
        cells = [fate.name, fate.engine, fate.clamped, fate.float, fate.fault]
        rows.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Write the page."""
    text = TEXT
    for library in sys.argv[1:] or CASES:
        found = fates(library)
        runs = sum(fate.engine == RUNS for fate in found)
        more = sum(fate.engine != RUNS and fate.clamped == RUNS for fate in found)
        text += f"## {library} {versions()[library]}\n\n"
        text += (
            f'{len(found)} attacks: {runs} run as they are, {more} more with `outside="clamp"`.\n\n'
        )
        text += table(found) + "\n"
        PATH.write_text(text.rstrip() + "\n")


if __name__ == "__main__":
    main()
