"""The command line of ``make hostile``, which is that of ``make fuzz`` with other subjects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwsim.files import markdown
from tests.fuzz.command import Command
from tests.fuzz.rounds import Fuzz

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
#: The page has a table for each area, between comments of this name.
PLACE = "hostile-{area}"


def chosen(name: str | None, command: Command) -> Sequence[Any]:
    """The subjects of an area, one of a name, or all."""
    from tests.hostile import areas  # with torch: not for a refusal

    return command.part(areas.subjects(), name, "subject")


def table(run: Fuzz, area: str, command: str) -> str:
    """What was done in an area, as it stands in docs/reliability.md."""
    rows = []
    for one in run.subjects:
        if one.area == area:
            done = run.progress[one.name]
            found = f"FAILED at seed {done.failed[0]}" if done.failed else one.said()  # type: ignore[attr-defined]
            rows.append([one.name, f"{done.examples:,} of {one.wanted:,}", found])
    head = ["what", "cases, of those wanted", "what came of them"]
    return f"`{command}`:\n\n{markdown.table(head, rows)}"


def main(arguments: list[str]) -> int:
    """0 if nothing was found, 1 if something was, 130 if interrupted before anything was."""
    parser = HOSTILE.parser()
    parser.add_argument("--docs", action="store_true", help=f"put the counts into docs/{PAGE.name}")
    options = parser.parse_args(arguments)
    areas = _areas(options.only) if options.docs else []
    code, run = HOSTILE.run(options)
    for area in areas if code != 130 else []:
        only = f" ONLY={options.only}" if options.only else ""
        command = f"make hostile MINUTES={options.minutes:g} SEED={options.seed}{only}"
        markdown.put(PAGE, PLACE.format(area=area), table(run, area, command))
        print(f"docs/{PAGE.name}: {area}")
    return code


def _areas(only: str | None) -> list[str]:
    """The areas whose tables are to be written; refuses, before the work, what is less than one."""
    found = list(dict.fromkeys(one.area for one in chosen(only, HOSTILE)))
    if only is not None and only not in found:
        HOSTILE.refuse("--docs is for whole areas: leave --only out, or name an area")
    for area in found:
        markdown.get(PAGE, PLACE.format(area=area))
    return found


HOSTILE = Command("hostile", "Damage, kills and lies, for as long as asked.", "cases", chosen)
