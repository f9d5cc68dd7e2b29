"""The command line of ``make hostile``, which is that of ``make fuzz`` with other subjects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwsim.files import markdown
from tests.fuzz.command import Command
from tests.fuzz.rounds import Fuzz

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
PLACE = "hostile"


def chosen(name: str | None, command: Command) -> Sequence[Any]:
    """The subjects of an area, one of a name, or all."""
    from tests.hostile import areas  # with torch: not for a refusal

    return command.part(areas.subjects(), name, "subject")


def table(run: Fuzz, minutes: float, seed: int) -> str:
    """What was done, as it stands in docs/reliability.md."""
    rows = []
    for one in run.subjects:
        done = run.progress[one.name]
        found = f"FAILED at seed {done.failed[0]}" if done.failed else one.said()  # type: ignore[attr-defined]
        rows.append([one.area, one.name, f"{done.examples:,} of {one.wanted:,}", found])
    head = ["area", "what", "cases, of those wanted", "what came of them"]
    return f"`make hostile MINUTES={minutes:g} SEED={seed}`:\n\n{markdown.table(head, rows)}"


def main(arguments: list[str]) -> int:
    """0 if nothing was found, 1 if something was, 130 if interrupted before anything was."""
    parser = HOSTILE.parser()
    parser.add_argument("--docs", action="store_true", help=f"put the counts into docs/{PAGE.name}")
    options = parser.parse_args(arguments)
    if options.docs:
        if options.only is not None:
            HOSTILE.refuse("--docs is for a whole run: leave --only out")
        markdown.get(PAGE, PLACE)  # before the work, not behind it
    code, run = HOSTILE.run(options)
    if options.docs and code != 130:
        markdown.put(PAGE, PLACE, table(run, options.minutes, options.seed))
        print(f"docs/{PAGE.name}: {PLACE}")
    return code


HOSTILE = Command("hostile", "Damage, kills and lies, for as long as asked.", "cases", chosen)
