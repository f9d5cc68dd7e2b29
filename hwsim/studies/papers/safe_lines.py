"""What the study safecompress compares: one way of making a network, all seeds together."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.plan import Answers

#: As of hwsim.studies.grid.safe_rows, in the order of the table.
ATTACKERS = ("bmia", "wmia", "mmia", "loss")
DENSE = "dense"


@dataclass(frozen=True)
class SafeLine:
    """data: name of the target. method: of ``compress``, or a dense network of fewer epochs."""

    data: str
    method: str
    density: float
    rows: Sequence[Mapping[str, Any]]

    @property
    def what(self) -> str:
        name = f"{self.data.removeprefix('small-')}, {self.method}"
        return name if self.density == 1.0 else f"{name} {self.density:g}"

    @property
    def machines(self) -> tuple[str, ...]:
        """``float`` and the engine's widths, falling, as far as every seed has them."""
        names = [row["machines"].keys() for row in self.rows]
        shared = {name for name in names[0] if all(name in other for other in names)}
        widths = sorted((int(name.split("-")[0]) for name in shared - {"float"}), reverse=True)
        return ("float", *(f"{width}-bit" for width in widths))

    def rate(self, machine: str, what: str) -> Rate:
        """``task``, ``members``, ``others`` or an attacker's name: right of all seeds' asked."""
        counts = [row["machines"][machine][what] for row in self.rows]
        return Rate(sum(c["right"] for c in counts), sum(c["asked"] for c in counts))

    def gap(self, machine: str) -> Rate:
        """Right of who takes a right answer for a member's and a wrong one for another's."""
        members, others = self.rate(machine, "members"), self.rate(machine, "others")
        wrong = others.total - others.successes
        return Rate(members.successes + wrong, members.total + others.total)

    def auc(self, machine: str, who: str = "mmia") -> float:
        """Mean over seeds."""
        return statistics.mean(row["machines"][machine][who]["auc"] for row in self.rows)

    def tpr(self, machine: str, who: str = "mmia") -> Rate | None:
        """Members found at 1% of false alarms; None where that cannot be measured."""
        counts = [row["machines"][machine][who]["tpr1"] for row in self.rows]
        if None in counts:
            return None
        return Rate(sum(c["right"] for c in counts), sum(c["asked"] for c in counts))


def dense(line: SafeLine) -> bool:
    """Whether nothing was left out, however long it was trained."""
    return line.density == 1.0 and line.method.startswith(DENSE)


def gathered(answers: Answers, present: Sequence[str]) -> list[SafeLine]:
    """A line of every point that has rows: by data, density falling, methods as they came."""
    found: dict[tuple[str, float, str], list[Mapping[str, Any]]] = {}
    for one in answers.found:
        key = (one.fields["data"], one.fields["density"], one.fields["method"])
        found.setdefault(key, []).append(one.row)
    keys = sorted(found, key=lambda key: (present.index(key[0]), -key[1]))
    return [SafeLine(data, method, density, found[data, density, method])
            for data, density, method in keys]  # fmt: skip
