"""An engine that skips zeros as what attacks on latency slow down: ``hwsim.attacks.latency``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.attacks.latency import Observed
from hwsim.cost.images import Wanted
from hwsim.cost.sponge import sponge_energy
from hwsim.engine.cycles import timing_of
from hwsim.engine.density import Columns, Density, Smooth
from hwsim.engine.module import Engine
from hwsim.engine.tape import Chunk, Tape, part
from hwsim.errors import InputError
from hwsim.program.layers import PoolLayer
from hwsim.units import sequencer

Objective = Literal["cycles", "energy"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
#: (images) -> densities (N,), gradients shaped as the images; of somebody's stand-in for the cost.
Climb = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Costs:
    """Of N images. cycles: int64 (N,), ``total`` of the counters. varying: int64 (N,), those of
    the layers that skip. energy: float64 (N,), nJ.

    sponge: float64 (N,), nJ by the sponge papers' model. answers: int64 (N,), classes.
    """

    cycles: NDArray[np.int64]
    varying: NDArray[np.int64]
    energy: NDArray[np.float64]
    sponge: NDArray[np.float64]
    answers: NDArray[np.int64]

    @property
    def edp(self) -> NDArray[np.float64]:
        """Energy times cycles."""
        return self.energy * self.cycles


class SkippingMachine:
    """What an Engine does with images, counted: a ``Machine`` of ``Latency``.

    objective: ``cycles``, or ``energy`` in nJ. smooth, width: of the ``Density`` that stands for
    it. climb: another stand-in, of a network that is not this engine.

    Raises InputError where no cycle depends on the image: the engine does not skip, or nothing in
    the network does.
    """

    def __init__(
        self,
        engine: Engine,
        objective: Objective = "cycles",
        *,
        smooth: Smooth = "sums",
        width: float = 2.0,
        climb: Climb | None = None,
    ) -> None:
        if objective not in OBJECTIVES:
            raise InputError(
                f"unknown objective {objective!r}: choose from {', '.join(OBJECTIVES)}"
            )
        self.model, self.objective = engine, objective
        program = engine.program
        if not program.config.skip:
            raise InputError(
                f"the engine {program.config.name!r} skips no zeros, so no cycle depends on the "
                "image: add --skip, or skip = true to its configuration"
            )
        self._timing = timing = timing_of(program)
        if not timing.varying:
            raise InputError(
                "no fully connected layer of this network has a fan-in of at most "
                f"{program.config.skip_columns} (skip_columns), and no convolution leaves out "
                "columns, so no cycle depends on the image"
            )
        energy = objective == "energy"
        self.columns = [
            Columns(
                number,
                timing.column_nj(number) if energy else timing.column_cycles(number),
                program.config.cols if number in timing.slotted else 1,
            )
            for number in timing.varying
        ]
        self._density = Density(engine, self.columns, smooth, width)
        self._climb = climb
        self._stages = {
            stage.number: stage
            for stage in engine.datapath.stages
            if stage.number in timing.varying
        }

    def look(self, x: Tensor, gradient: bool = False) -> Observed:
        """Cost and answers; the gradient of the density, or of whoever else climbs."""
        uphill = None
        if gradient and self._climb is None:
            tape = self._density.tape(x)
            uphill = torch.from_numpy(self._density.of(tape)[1]).reshape(x.shape)
        else:
            tape = self.model.datapath.run(self.model.grid(x), kept_maps=True)
            if gradient and self._climb is not None:
                uphill = self._climb(x)[1]
        wanted = self._wanted(tape)
        if self.objective == "energy":
            cost = self._timing.energy_nj(wanted, len(x))
        else:
            cost = _total(self._cycles(wanted, len(x))).astype(np.float64)
        answers = torch.from_numpy(tape.logits.argmax(1))
        return Observed(torch.from_numpy(cost), answers, uphill)

    def costs(self, x: Tensor) -> Costs:
        """All that is counted of images (N, C, H, W)."""
        tape = self.model.datapath.run(self.model.grid(x), kept_maps=True)
        wanted = self._wanted(tape)
        moved = [np.zeros((2, 0), np.int64), *(self._moved(chunk) for chunk in tape.chunks)]
        read, written = np.concatenate(moved, 1)
        cycles = self._cycles(wanted, len(x))
        return Costs(
            _total(cycles),
            cycles[:, list(wanted)].sum(1),
            self._timing.energy_nj(wanted, len(x)),
            sponge_energy(self.model.program, read, written),
            tape.logits.argmax(1),
        )

    @property
    def worst(self) -> Costs:
        """What an image without a zero would cost, (1,) each; the sponge papers' is not told."""
        full = self._timing.full()
        none = np.full(1, np.nan)
        cycles = self._cycles(full, 1)
        varying = cycles[:, list(full)].sum(1)
        return Costs(
            _total(cycles), varying, self._timing.energy_nj(full, 1), none, np.zeros(1, np.int64)
        )

    def _cycles(self, wanted: Wanted, count: int) -> NDArray[np.int64]:
        """Of each layer, (N, layers)."""
        found: NDArray[np.int64] = self._timing.counters(wanted, count)["cycles"]
        return found

    def _wanted(self, tape: Tape) -> Wanted:
        nothing = self._timing.nothing()
        return {
            number: np.concatenate(
                [
                    nothing[number],
                    *(self._timing.read(number, chunk.source(stage)) for chunk in tape.chunks),
                ]
            )
            for number, stage in self._stages.items()
        }

    def _moved(self, chunk: Chunk) -> NDArray[np.int64]:
        """Values that are not 0 in what the layers read, and in what they write: (2, N)."""
        datapath, program = self.model.datapath, self.model.program
        read, written = np.zeros((2, len(chunk.logits)), np.int64)
        for stage in datapath.stages:
            sources = [part(chunk.maps, place, stage.layer.in_shape[0]) for place in stage.sources]
            zeros = [numbers.zero for numbers in program.numbers[stage.number]]
            for source, zero in zip(sources, zeros, strict=True):
                read += _others(source, zero)
            if stage.last:
                written += _others(chunk.logits, 0)
                continue
            behind = zeros[0] if isinstance(stage.layer, PoolLayer) else stage.layer.zero
            if stage.pool is not None:
                # The map in front of a pool that is taken in the same pass.
                between = datapath.step(replace(stage, pool=None), sources)
                inner = _others(between, behind)
                read, written = read + inner, written + inner
            written += _others(chunk.output(stage), behind)
        return np.stack([read, written])


def _total(cycles: NDArray[np.int64]) -> NDArray[np.int64]:
    return cycles.sum(1) + sequencer.START


def _others(codes: NDArray[np.integer], zero: int) -> NDArray[np.int64]:
    """How many codes of each image are not ``zero``."""
    flat = codes.reshape(len(codes), -1)
    counts: NDArray[np.int64] = np.count_nonzero(flat != zero, axis=1).astype(np.int64)
    return counts
