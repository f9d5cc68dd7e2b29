"""Many sets of faults in one program on the same images: only what each can reach is computed.

Layers before the first fault are never run again. In a layer with faults the clean accumulators
are corrected by what the changed weights add, for the outputs that they belong to, or where these
are many all of them computed again. From there on only images go through the network whose maps
are others than they were, until they are the same again. Exact: the answers are those of
``Engine(inject(program, faults))``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.forward import Datapath
from hwsim.engine.moved_inputs import MovedInputs
from hwsim.engine.precision import no_autocast
from hwsim.engine.requantizing import NARROW
from hwsim.engine.selfcheck import trusted_kernels
from hwsim.engine.stages import Stage
from hwsim.engine.tape import part
from hwsim.faults.fault import Fault
from hwsim.faults.faulty_stage import FaultyStage
from hwsim.faults.inject import held_words
from hwsim.faults.layers import FaultyMemory, Readers
from hwsim.faults.pieces import cut, in_pieces
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from hwsim.program.wires import Place
from hwsim.rom.words import WordReader

Maps = dict[int, NDArray[Any]]
#: Bytes that the clean accumulators of all layers may take, and weights beside them.
BUDGET = 1 << 30


@dataclass(frozen=True)
class TrialAnswers:
    """What faults made of the images.

    logits: int64 (N, classes). moved: images whose logits are not what they were, rising.
    sums, products: accumulators that wrapped, and p or logits, over all images.
    """

    logits: NDArray[np.int64]
    moved: NDArray[np.int64]
    sums: int
    products: int


class Trials:
    """A program without faults, and images that it has answered.

    Parameters
    ----------
    program : Program
        Checked, and without faults.
    images : array (N, H, W, C) of codes
        As ``Engine.grid`` gives them.
    bounds : mapping, optional
        By the number of a layer what its engine saturates the weights to that it reads, of which
        no clean one lies beyond: without faults the answers are those without bounds.
    """

    def __init__(
        self, program: Program, images: NDArray[Any], bounds: Mapping[int, int] | None = None
    ) -> None:
        self.program, self.images = program, images
        self.datapath = Datapath(program, trusted_kernels())
        self._read = WordReader(program, bounds)
        self._readers: dict[int, Readers] = {}
        self._sums: dict[int, NDArray[Any]] = {}
        self._inputs: dict[int, MovedInputs | None] = {}
        self._kept = 0
        tape = self.datapath.run(images, kept_maps=True)
        self.logits = tape.logits
        self._maps: Maps = {}
        for number in tape.chunks[0].maps if tape.chunks else ():
            self._maps[number] = np.concatenate([chunk.maps[number] for chunk in tape.chunks])

    def run(self, faults: Sequence[Fault]) -> TrialAnswers:
        """The answers with these faults; the program stays as it is.

        Raises InputError as ``inject``.
        """
        words = held_words(self._read, {}, faults)
        memory = FaultyMemory(self.program, words, self._read)
        with no_autocast():
            return _TrialRun(self, memory).answers()

    # --- what a run asks for ----------------------------------------------------------------------

    def clean(self, stage: Stage, rows: NDArray[np.int64] | None) -> list[NDArray[Any]]:
        """What a stage reads without faults, of all images or of some."""
        return [self.read(stage, place, rows) for place in stage.sources]

    def read(self, stage: Stage, place: Place, rows: NDArray[np.int64] | None) -> NDArray[Any]:
        """The same of one of its sources."""
        found = part(self._maps, place, stage.layer.in_shape[0])
        return found if rows is None else found[rows]

    def written(self, number: int) -> NDArray[Any]:
        """A map of all images without faults."""
        return self._maps[number]

    def output(self, stage: Stage) -> NDArray[Any]:
        """What a stage writes without faults."""
        assert stage.target is not None
        return part(self._maps, stage.target, stage.out_shape[0])

    def readers_of(self, number: int) -> Readers:
        """Who reads which word of a layer with weights, by its number in the program."""
        if number not in self._readers:
            layer = self.program.layers[number]
            assert isinstance(layer, MacLayer)
            self._readers[number] = Readers(layer)
        return self._readers[number]

    def sums(self, stage: Stage) -> NDArray[Any]:
        """Clean accumulators of a stage, (C, N, OH, OW), kept as far as there is room."""
        found = self._sums.get(stage.number)
        if found is None:
            pieces = (self.datapath.sums(stage, one) for one in cut(self.clean(stage, None)[0]))
            parts = [_integers(piece).transpose(3, 0, 1, 2) for piece in pieces]
            # In this order in memory, too: left to itself, ``concatenate`` keeps that of the parts.
            whole = (len(parts[0]), len(self.images), *parts[0].shape[2:])
            found = np.concatenate(parts, 1, out=np.empty(whole, parts[0].dtype))
            if self._kept + found.nbytes <= BUDGET:
                self._kept += found.nbytes
                self._sums[stage.number] = found
        return found

    def sums_of(self, stage: Stage, rows: NDArray[np.int64], source: NDArray[Any]) -> NDArray[Any]:
        """Accumulators (k, OH, OW, C) of a stage of images ``rows`` that now read ``source``.

        With the weights as they are without faults.
        """
        inputs = self._inputs_of(stage)
        found = None if inputs is None else inputs(rows, source)
        if found is None:
            return in_pieces(lambda one: self.datapath.sums(stage, one), [source])
        return found

    def _inputs_of(self, stage: Stage) -> MovedInputs | None:
        """Of a fully connected stage whose accumulators are kept, else None."""
        number, layer = stage.number, stage.layer
        if not isinstance(layer, MacLayer) or layer.kind != "fc":
            return None
        if number not in self._inputs:
            made, sums = None, self.sums(stage)
            if number in self._sums:
                made = MovedInputs(stage, self.clean(stage, None)[0], sums)
                if self._kept + made.nbytes > BUDGET:
                    made = None
                else:
                    self._kept += made.nbytes
            self._inputs[number] = made
        return self._inputs[number]


class _TrialRun:
    """One set of faults. rows: images that differ so far; moved: their maps, where they may."""

    def __init__(self, trials: Trials, memory: FaultyMemory) -> None:
        self._trials, self._memory = trials, memory
        self.rows: NDArray[np.int64] = np.zeros(0, np.int64)
        self.moved: Maps = {}
        self._wrapped = np.zeros(2, np.int64)

    def answers(self) -> TrialAnswers:
        trials = self._trials
        for stage in trials.datapath.stages:
            faulty = FaultyStage.of(trials, stage, self._memory, len(self.rows))
            if stage.last:
                return self._logits(stage, faulty)
            touched = [place.map in self.moved for place in stage.sources]
            if len(self.rows) and (any(touched) or faulty):
                self._write(stage, self._step(stage, faulty))
            if faulty is not None:
                self._diverge(stage, faulty)
                self._wrapped += faulty.wrapped
            for number in stage.done:
                self.moved.pop(number, None)
            self._settle()
        raise AssertionError("a checked program ends in its output layer")

    def _step(self, stage: Stage, faulty: FaultyStage | None) -> NDArray[Any]:
        """What the stage makes of the images that differ."""
        sources = self._sources(stage)
        if faulty is not None:
            return faulty.output(self.rows, sources)
        trials = self._trials
        step = trials.datapath.step
        if stage.mac is not None and stage.mac.kind == "fc":
            return step(stage, sources, trials.sums_of(stage, self.rows, sources[0]))
        return in_pieces(lambda *some: step(stage, list(some)), sources)

    def _sources(self, stage: Stage) -> list[NDArray[Any]]:
        """What the stage reads of the images that differ."""
        channels = stage.layer.in_shape[0]
        return [
            part(self.moved, place, channels)
            if place.map in self.moved
            else self._trials.read(stage, place, self.rows)
            for place in stage.sources
        ]

    def _write(self, stage: Stage, out: NDArray[Any]) -> None:
        """``out`` of the images that differ to the stage's place in their maps."""
        assert stage.target is not None
        number, first = stage.target.map, stage.target.channel
        if number not in self.moved:
            self.moved[number] = self._trials.written(number)[self.rows]
        self.moved[number][..., first : first + out.shape[3]] = out

    def _diverge(self, stage: Stage, faulty: FaultyStage) -> None:
        """Images that were as ever, and are not any more behind this stage."""
        trials = self._trials
        new, out = faulty.diverging(self._others())
        if not len(new):
            return
        # All maps that differ for some image are kept for all images that differ.
        for number, one in self.moved.items():
            self.moved[number] = np.concatenate([one, trials.written(number)[new]])
        before = len(self.rows)
        self.rows = np.concatenate([self.rows, new])
        assert stage.target is not None
        number, first = stage.target.map, stage.target.channel
        written = trials.written(number)
        if number not in self.moved and out.shape == (len(self.rows), *written.shape[1:]):
            self.moved[number] = out
            return
        if number not in self.moved:
            self.moved[number] = written[self.rows]
        self.moved[number][before:, ..., first : first + out.shape[3]] = out

    def _others(self) -> NDArray[np.int64]:
        """Images that do not differ."""
        every = np.arange(len(self._trials.images))
        return np.setdiff1d(every, self.rows, assume_unique=True)

    def _settle(self) -> None:
        """Forget images whose maps are all as they were."""
        if not len(self.rows):
            return
        differs = np.zeros(len(self.rows), bool)
        for number, one in self.moved.items():
            there = self._trials.written(number)[self.rows]
            differs |= (one != there).any((1, 2, 3))
        if not differs.all():
            self.rows = self.rows[differs]
            self.moved = {number: one[differs] for number, one in self.moved.items()}

    def _logits(self, stage: Stage, faulty: FaultyStage | None) -> TrialAnswers:
        trials = self._trials
        logits, sources = trials.logits.copy(), self._sources(stage)
        if faulty is not None:
            others = self._others()
            logits[others] = faulty.clean_logits(others)
            if len(self.rows):
                logits[self.rows] = faulty.logits(self.rows, sources[0])
            self._wrapped += faulty.wrapped
        elif len(self.rows):
            sums = trials.sums_of(stage, self.rows, sources[0])
            logits[self.rows] = trials.datapath.logits(stage, sources[0], sums)
        moved = np.flatnonzero((logits != trials.logits).any(1))
        return TrialAnswers(logits, moved, *self._wrapped.tolist())


def _integers(sums: NDArray[Any]) -> NDArray[Any]:
    """Exact sums as integers, of 32 bits where their type says that they fit."""
    return sums.astype(np.int32 if sums.dtype in NARROW else np.int64)
