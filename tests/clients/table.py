"""`python -m tests.clients.table`: docs/libraries.md, what of each library runs; and its reader."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.clients.libraries.attempts import (
    CLAMP,
    FAILS,
    RUNS,
    UNTRIED,
    Case,
    Fate,
    fate,
    victims,
)
from tests.clients.libraries.known import LIBRARIES, cases, installed
from tests.clients.libraries.reasons import REASONS

PATH = Path("docs/libraries.md")

TEXT = """# Other people's attacks on the Engine

Written by `python -m tests.clients.table`; a test compares it with what happens. Every attack of
the three libraries that takes images, found by looking into them, is called as its documentation
asks, with its own defaults but for a small budget of steps and queries, on four images:

- **runs**: on `Engine(program)` as it is;
- **with `outside="clamp"`**: it looks beyond [0, 1] on its way, and runs on
  `Engine(program, outside="clamp")`;
- **does not run**: on neither, nor on the float network that was compiled, an ordinary PyTorch
  module, where it ends in the same error;
- **not tried**: it needs a package that the tests do not install.

What is marked *when written* compiles itself for half a minute in every process. It ran when this
page was written, and the test, which runs one of its kind, does not repeat it.
"""
WHEN_WRITTEN = "*when written*"


def row(case: Case, kind: str) -> tuple[str, str, str]:
    """Attack, fate, remark."""
    reason = REASONS.get((case.library, case.name))
    cause = reason.cause if reason and kind in (FAILS, UNTRIED) else ""
    marks = [cause or case.how, WHEN_WRITTEN if case.compiles else ""]
    return case.name, kind, "; ".join(mark for mark in marks if mark)


def section(library: str, found: list[tuple[Case, Fate]]) -> str:
    """Heading, counts, table, and what has no place in it."""
    kinds = [fate.kind for _, fate in found]
    counts = [f"{kinds.count(RUNS)} run as they are", f"{kinds.count(CLAMP)} {CLAMP}"]
    if failing := kinds.count(FAILS):
        counts.append(f"{failing} do{'es' if failing == 1 else ''} not run")
    if untried := kinds.count(UNTRIED):
        counts.append(f"{untried} were not tried")
    lines = [heading(library), "", f"{len(found)} attacks: {', '.join(counts)}.", ""]
    lines += ["| attack | fate | how it is called, or why it does not run |", "|---|---|---|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in (row(c, f.kind) for c, f in found)]
    if left := LIBRARIES[library].NO_CASE:
        lines += ["", "No attacks on images of a compiled network:", ""]
        lines += [f"- {name}: {why}" for name, why in left.items()]
    return "\n".join(lines) + "\n"


def heading(library: str) -> str:
    """With the version that is installed."""
    return f"## {library} {installed(library)}"


def listed(page: str, library: str) -> list[tuple[str, ...]]:
    """The rows of the page on a library of the installed version; none if it has no section."""
    _, found, rest = page.partition(heading(library) + "\n")
    lines = rest.split("\n## ")[0].splitlines() if found else []
    table = [line for line in lines if line.startswith("| ")][1:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table]


def main() -> None:
    """Write the page; processor seconds of each attack go to standard error."""
    models, sections = victims(), []
    for library in LIBRARIES:
        found = []
        for case in cases(library):
            began = time.process_time()
            found.append((case, fate(case, models)))
            taken = time.process_time() - began
            print(f"{library} {case.name} {taken:.1f} s", file=sys.stderr, flush=True)
        sections.append(section(library, found))
    PATH.write_text("\n".join([TEXT, *sections]))


if __name__ == "__main__":
    main()
