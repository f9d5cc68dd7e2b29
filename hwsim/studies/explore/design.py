"""Designs: a network on an engine, and the grid of them that a user asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import product
from typing import Any

from hwsim.errors import ConfigError, InputError
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.ecc import Ecc
from hwsim.studies.runner.machines import Subject

#: Designs of a grid: more would not be looked at, and would take days.
MOST_DESIGNS = 200_000


@dataclass(frozen=True)
class EngineChoice:
    """The axes that are the engine's. Fields as of ``EngineConfig``; bits: activations and weights.

    bandwidth: bytes a cycle of weights that are kept off chip, None on chip; no part of the engine
    in Verilog.
    """

    rows: int
    cols: int
    banks: int
    bits: int
    index: str
    skip: bool
    ecc: Ecc
    bandwidth: float | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """Fields of ``EngineConfig``, widths apart."""
        return {
            "rows": self.rows, "cols": self.cols, "banks": self.banks, "index_mode": self.index,
            "skip": self.skip, "ecc": self.ecc,
        }  # fmt: skip

    def config(self, base: EngineConfig) -> EngineConfig:
        """The engine: ``base`` with these axes. Raises ConfigError where that is none."""
        return base.replace(**self.changes, act_w=self.bits, wgt_w=self.bits, batch=1)

    @classmethod
    def of(cls, base: EngineConfig) -> EngineChoice:
        """Where ``base`` itself stands."""
        return cls(
            base.rows, base.cols, base.banks, base.act_w, base.index_mode, base.skip, base.ecc
        )

    @property
    def text(self) -> str:
        """``16×8/32 8b hash skip secded 4B``: array and banks, width, index, options."""
        words = [f"{self.rows}×{self.cols}/{self.banks}", f"{self.bits}b", self.index]
        words += ["skip"] if self.skip else []
        words += [self.ecc] if self.ecc != "none" else []
        words += [] if self.bandwidth is None else [f"{self.bandwidth:g}B"]
        return " ".join(words)


@dataclass(frozen=True)
class Design:
    """A network on an engine."""

    network: str
    engine: EngineChoice

    def subject(self, base: str) -> Subject:
        """The machine whose numbers it computes: these depend on the width, not on the array."""
        return Subject(self.network, "fixed", (), self.engine.bits, base)

    def fields(self) -> dict[str, Any]:
        """For records."""
        return {"network": self.network, **{f.name: getattr(self.engine, f.name)
                                            for f in fields(self.engine)}}  # fmt: skip


@dataclass(frozen=True)
class DesignAxes:
    """What takes which values; in the order in which a grid counts through them."""

    networks: tuple[str, ...]
    bits: tuple[int, ...]
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    banks: tuple[int, ...]
    index: tuple[str, ...]
    skip: tuple[bool, ...]
    ecc: tuple[Ecc, ...]
    bandwidth: tuple[float | None, ...] = (None,)

    @property
    def values(self) -> dict[str, tuple[Any, ...]]:
        """Name of an axis -> its values."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @property
    def size(self) -> int:
        """Combinations, those that are no engine included."""
        size = 1
        for values in self.values.values():
            size *= len(values)
        return size

    def design(self, chosen: Mapping[str, Any]) -> Design:
        """The one with these values."""
        engine = {name: value for name, value in chosen.items() if name != "networks"}
        return Design(chosen["networks"], EngineChoice(**engine))

    def __iter__(self) -> Iterator[Design]:
        names = list(self.values)
        for values in product(*self.values.values()):
            yield self.design(dict(zip(names, values, strict=True)))


class DesignGrid:
    """The designs of the axes that are engines. refused: why others are none -> how many.

    Raises InputError where there are too many, where all of them are refused, and where no
    choice of axes gives the base.
    """

    def __init__(self, axes: DesignAxes, base: EngineConfig) -> None:
        if base.act_w != base.wgt_w:
            raise InputError(
                f"{base.name} has activations of {base.act_w} bits and weights of {base.wgt_w}: "
                "designs have one width for both; choose such an engine"
            )
        if axes.size > MOST_DESIGNS:
            raise InputError(
                f"{axes.size:,} combinations: give fewer values, {MOST_DESIGNS:,} are the most"
            )
        self.axes, self.base = axes, base
        self.refused: Counter[str] = Counter()
        self._reasons: dict[EngineChoice, str | None] = {}
        self.designs: list[Design] = []
        for design in axes:
            reason = self.refusal(design.engine)
            if reason is None:
                self.designs.append(design)
            else:
                self.refused[reason] += 1
        if not self.designs:
            reason, _ = self.refused.most_common(1)[0]
            raise InputError(f"none of {axes.size:,} combinations is an engine: {reason}")

    def refusal(self, engine: EngineChoice) -> str | None:
        """Why it is no engine, None where it is one."""
        if engine not in self._reasons:
            try:
                engine.config(self.base)
            except ConfigError as error:
                self._reasons[engine] = str(error).removeprefix("configuration: parameters: ")
            else:
                self._reasons[engine] = None
        return self._reasons[engine]

    @cached_property
    def reference(self) -> tuple[Design, ...]:
        """Every network on the engine that the axes start from, whether the grid has it or not."""
        engine = EngineChoice.of(self.base)
        return tuple(Design(network, engine) for network in self.axes.networks)
