"""What images take on an engine that skips: how cycles and energy spread, and what was saved."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.images import ImageTiming, Wanted
from hwsim.cost.timing import analyze
from hwsim.program.program import Program
from hwsim.units import sequencer

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Percentiles:
    """Of one number an image. p5, p95: the 5th and the 95th percentile, between images linear."""

    mean: float
    min: float
    p5: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> Percentiles:
        """values: (N,), N >= 1."""
        p5, p95 = np.percentile(values, (5, 95))
        ends = float(values.min()), float(values.max())
        return cls(float(values.mean()), ends[0], float(p5), float(p95), ends[1])


@dataclass(frozen=True)
class LayerSpread:
    """A layer that skips. plain: its cycles where nothing is skipped.

    bound: mean cycles were its list known before it starts. columns: mean share of the columns
    that were expanded.
    """

    name: str
    cycles: Percentiles
    plain: int
    bound: float
    columns: float


@dataclass(frozen=True)
class Distribution:
    """Cycles and nJ of images. plain_*: of the same program on the engine without skipping."""

    images: int
    cycles: Percentiles
    energy_nj: Percentiles
    plain_cycles: int
    plain_energy_nj: float
    layers: tuple[LayerSpread, ...]

    @property
    def speed_up(self) -> float:
        """Of the mean image."""
        return self.plain_cycles / self.cycles.mean

    @property
    def fc_speed_up(self) -> float:
        """Of the mean image, in the layers that skip."""
        return sum(one.plain for one in self.layers) / self._fc_cycles

    @property
    def bound_share(self) -> float:
        """Mean cycles of the layers that skip, were the scan free, over what they take."""
        return sum(one.bound for one in self.layers) / self._fc_cycles

    @property
    def energy_gain(self) -> float:
        """Of the mean image."""
        return self.plain_energy_nj / self.energy_nj.mean

    @property
    def _fc_cycles(self) -> float:
        return sum(one.cycles.mean for one in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {
            **dataclasses.asdict(self),
            "speed_up": self.speed_up,
            "fc_speed_up": self.fc_speed_up,
            "bound_share": self.bound_share,
            "energy_gain": self.energy_gain,
        }


def costs(timing: ImageTiming, wanted: Wanted, count: int) -> Arrays:
    """What a distribution is of, image by image: for ``hwsim.engine.cycles.counted``."""
    counters = timing.counters(wanted, count)
    return {
        "cycles": counters["cycles"],
        "columns": counters["columns"],
        "bound": timing.bound(wanted, count),
        "energy_nj": timing.energy_nj(wanted, count),
    }


def distribution(program: Program, timing: ImageTiming, found: Arrays) -> Distribution:
    """Of the ``costs`` of at least one image; ``program`` skips in at least one layer."""
    plain = analyze(program.skipping(False))
    layers = tuple(
        LayerSpread(
            timing.layers[number].name,
            Percentiles.of(found["cycles"][:, number]),
            plain.layers[number].cycles,
            float(found["bound"][:, number].mean()),
            float(found["columns"][:, number].mean()) / timing.layers[number].columns,
        )
        for number in timing.skipping
    )
    return Distribution(
        images=len(found["cycles"]),
        cycles=Percentiles.of(found["cycles"].sum(1) + sequencer.START),
        energy_nj=Percentiles.of(found["energy_nj"]),
        plain_cycles=plain.cycles,
        plain_energy_nj=plain.energy.nj,
        layers=layers,
    )
