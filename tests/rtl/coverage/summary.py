"""Coverage of each module, its holes, and whether each hole is explained."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwsim.rtl.tree import RTL
from tests.rtl.coverage.points import TOGGLE, Counts, CoverageError, Point

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HOLES = Path(__file__).parent.parent / "coverage_holes.toml"


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    covered: int = 0
    total: int = 0

    @property
    def percent(self) -> float:
        """100 where there is nothing to cover."""
        return 100 * self.covered / self.total if self.total else 100.0

    def __add__(self, other: Share) -> Share:
        return Share(self.covered + other.covered, self.total + other.total)

    def __str__(self) -> str:
        return f"{self.percent:.1f}%" if self.total else "-"


@dataclass(frozen=True)
class Explanation:
    """Why a line may stay uncovered. text: the line, without the blanks around it."""

    file: str
    text: str
    reason: str


@dataclass(frozen=True)
class Hole:
    """A line of which something was never run. what: the points that were not reached."""

    file: str
    line: int
    text: str
    what: tuple[str, ...]
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {', '.join(self.what)}: {self.text}"


@dataclass(frozen=True)
class Module:
    """line: lines of which every point was reached, both ways of a condition among them."""

    name: str
    line: Share
    toggle: Share
    untoggled: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """stale: explanations of lines that are covered or gone."""

    modules: tuple[Module, ...]
    holes: tuple[Hole, ...]
    stale: tuple[Explanation, ...]

    @property
    def line(self) -> Share:
        return sum((module.line for module in self.modules), Share())

    @property
    def toggle(self) -> Share:
        return sum((module.toggle for module in self.modules), Share())

    def complaints(self, least: float) -> list[str]:
        """What is wrong with it; empty if nothing. least: percent of the lines."""
        found = []
        if self.line.percent < least:
            found.append(f"line coverage {self.line.percent:.1f}% is below {least:g}%")
        found += [f"no test covers {hole}" for hole in self.holes if not hole.reason]
        found += [
            f"{HOLES.name} explains a line that is covered or gone: {one.file}: {one.text}"
            for one in self.stale
        ]
        return found


def read_explanations(path: Path = HOLES) -> list[Explanation]:
    """The reviewed list; raises CoverageError for anything but file, text and reason."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("hole", [])
        found = [Explanation(**entry) for entry in entries]
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise CoverageError(f"{path.name}: {error}") from None
    for one in found:
        if len(one.reason.split()) < 3:
            raise CoverageError(f"{path.name}: {one.file}: {one.text}: no reason")
    return found


def summarize(
    counts: Counts, explanations: Sequence[Explanation] = (), folder: Path = RTL
) -> Summary:
    """Coverage of all modules of ``folder``; modules that nothing simulated count as uncovered."""
    sources = {
        path.name: path.read_text(encoding="utf-8").splitlines()
        for path in sorted(folder.rglob("hne_*.v"))
        if path.parent.name != "sim"  # a bench, no part of the engine
    }
    missed: dict[tuple[str, int], list[str]] = {}
    lines: dict[str, set[int]] = defaultdict(set)
    toggles: dict[str, dict[Point, int]] = defaultdict(dict)
    for point, count in sorted(counts.items()):
        if point.file not in sources:
            continue
        if point.kind == TOGGLE:
            toggles[point.file][point] = count
            continue
        lines[point.file].update(point.lines)
        if count == 0:
            for line in point.lines:
                missed.setdefault((point.file, line), []).append(point.what)
    reasons = {(one.file, one.text): one for one in explanations}
    used, holes = set(), []
    for (file, line), what in sorted(missed.items()):
        text = sources[file][line - 1].strip()
        known = reasons.get((file, text))
        used.add((file, text))
        holes.append(Hole(file, line, text, tuple(what), known.reason if known else ""))
    modules = []
    for file in sources:
        if not lines[file] and not toggles[file]:
            raise CoverageError(f"{file}: no simulation has this module")
        gone = sum(1 for name, _ in missed if name == file)
        never = [point.what for point, count in toggles[file].items() if count == 0]
        modules.append(
            Module(
                file.removesuffix(".v"),
                Share(len(lines[file]) - gone, len(lines[file])),
                Share(len(toggles[file]) - len(never), len(toggles[file])),
                tuple(never),
            )
        )
    stale = tuple(one for key, one in reasons.items() if key not in used)
    return Summary(tuple(modules), tuple(holes), stale)
