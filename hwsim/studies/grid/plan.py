"""What a user asked a study for, and the points of its grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hwsim.studies.runner.machines import Subject, digests
from hwsim.studies.runner.task import Row, Task


@dataclass(frozen=True)
class Plan:
    """quick: fewer images and milder adaptive attacks. samples: images of every row, None for the
    study's own number. bits: widths of the fixed-point side, each a column. config: its engine.
    """

    quick: bool = False
    samples: int | None = None
    bits: tuple[int, ...] = (8,)
    config: str = "default"

    def images(self, full: int, quick: int) -> int:
        """Images for a row that would take ``full`` or, with --quick, ``quick``."""
        return self.samples or (quick if self.quick else full)

    def machines(self, network: str, *apply: str) -> Iterator[tuple[str, Subject]]:
        """(name, subject): ``float``, on the first width's pixel grid, then ``8-bit`` …"""
        first = self.bits[0]
        # The float network has no engine: its rows serve every configuration.
        yield "float", Subject(network, "float", apply, first)
        for bits in self.bits:
            yield f"{bits}-bit", Subject(network, "fixed", apply, bits, self.config)

    @property
    def names(self) -> list[str]:
        """Of the machines, in the order of all columns."""
        return ["float", *(f"{bits}-bit" for bits in self.bits)]


@dataclass(frozen=True)
class Point:
    """One point of a study's grid: what the study calls it, and what computes it."""

    fields: Mapping[str, Any]
    function: str
    parameters: Mapping[str, Any]
    cost: float = 1.0

    def task(self) -> Task:
        """Raises HwsimError for a network that is damaged and for data that are not there."""
        inputs = digests(self.function, self.parameters)
        return Task(self.function, self.parameters, inputs, self.cost)


@dataclass(frozen=True)
class PointRow:
    """A point and its row."""

    fields: Mapping[str, Any]
    row: Row


@dataclass
class Answers:
    """All of a study, to be asked by fields."""

    found: list[PointRow] = field(default_factory=list)

    def of(self, **fields: Any) -> list[Row]:
        """Rows whose point has all these fields, in the order of the grid."""
        return [a.row for a in self.found if all(a.fields.get(k) == v for k, v in fields.items())]
