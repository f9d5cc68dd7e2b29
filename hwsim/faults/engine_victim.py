"""The engine as the victim of a bit search: weights.mem and index.mem, bit by bit.

A flip is tried from the layer on that it is in: maps and sums in front of it are those of the pass
before, and the sums of the layer itself follow from them (``engine.changes``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine.backward import GradientMode
from hwsim.engine.changes import Changed
from hwsim.engine.module import Engine
from hwsim.engine.selfcheck import trusted_kernels
from hwsim.engine.tape import Chunk, Tape
from hwsim.engine.weight_gradient import gradients
from hwsim.errors import InputError
from hwsim.faults.bits import handed_out
from hwsim.faults.fault import Fault
from hwsim.faults.inject import inject
from hwsim.faults.objective import F64, I64, Objective
from hwsim.faults.search import Flip, Gains, Part, Victim, first_of
from hwsim.faults.stored import Stored
from hwsim.numbers.fixedpoint import wrapped
from hwsim.program.program import Program

SEARCHED = ("weights", "index")


@dataclass(frozen=True, eq=False)
class Slopes:
    """The objective's gradient by the words of a part, float64.

    part, number: of the part, and of its layer. plain, negated: (words,), by those who take a word
    as it is, and by those who negate it; of indices by the virtual weight of each, and none.
    """

    part: int
    number: int
    plain: F64
    negated: F64


class EngineVictim(Victim):
    """A program whose memories are attacked, on a batch of images.

    images: (N, *input shape) as the engine takes them. memories: ``weights``, ``index`` or both.
    bounds: by layer number, the magnitude that what a layer reads of the weights is saturated to.
    gradient: what says which bits are tried, a mode of ``Engine`` that has one by weights; what a
    tried bit does is exact with any.

    Raises InputError for another memory, for finite differences, which are of images only, for an
    engine with check bits, which only ``guarded_victim`` knows, and where a program has no such
    words: an engine that computes its indices stores none, a dense layer needs none.
    """

    def __init__(
        self,
        program: Program,
        images: Tensor,
        memories: Sequence[str] = ("weights",),
        bounds: Mapping[int, int] | None = None,
        gradient: GradientMode = "ste",
    ) -> None:
        if gradient == "finite-difference":
            raise InputError(
                "a search goes by gradients by weights, and finite differences are of images only: "
                "choose ste or ste-bfloat16"
            )
        self.program, self._mode = program, gradient
        self.stored = Stored(program, bounds)
        self._numbers: list[int] = []
        self.parts = self._parts_of(program, memories)
        #: All that was kept, as faults.
        self.faults: list[Fault] = []
        engine = Engine(program, gradient)
        self._grid, self._codes = engine.grid, engine.grid(images)
        self._run_on(engine)

    def _run_on(self, engine: Engine) -> None:
        self._datapath, self._backward = engine.datapath, engine.pullback
        self._stages = {stage.number: n for n, stage in enumerate(self._datapath.stages)}
        self._tape: Tape | None = None
        #: What makes it of the one before the last flips, where there is one.
        self._behind: Callable[[], Tape] | None = None

    def _parts_of(self, program: Program, memories: Sequence[str]) -> tuple[Part, ...]:
        config = program.config
        for name in memories:
            if name not in SEARCHED:
                raise InputError(
                    f"a search flips bits of {' and '.join(SEARCHED)}, not of {name!r}"
                )
        if config.ecc != "none":
            raise InputError(
                f"configuration {config.name} has check bits (ecc = {config.ecc}): a search for "
                "single bits that knows nothing of them says nothing about it: choose one without"
            )
        if "index" in memories and config.index_mode == "hash":
            raise InputError(
                f"configuration {config.name} computes its indices and stores none: there is no "
                "index.mem to flip bits of; choose one with index_mode = sram"
            )
        parts = []
        for number, layer in self.stored.layers.items():
            if "weights" in memories:
                parts.append(Part(layer.name, "weights", layer.spec.real_weights, config.wgt_w))
                self._numbers.append(number)
            if "index" in memories and layer.spec.scheme != "dense":
                entries = layer.spec.virtual_weights
                parts.append(Part(layer.name, "index", entries, 1 + config.addr_w))
                self._numbers.append(number)
        if not parts:
            what = "indices" if tuple(memories) == ("index",) else "weights"
            raise InputError(
                f"the network has no stored {what}: nothing to flip"
                + (", every layer of it is dense" if what == "indices" else "")
            )
        return tuple(parts)

    @property
    def tape(self) -> Tape:
        """What the batch left behind with the words as they are."""
        if self._tape is None and self._behind is not None:
            self._tape = self._behind()
        elif self._tape is None:
            self._tape = self._datapath.run(
                self._codes, states=True, kept_maps=True, kept_sums=True
            )
        self._behind = None
        return self._tape

    def _tape_behind(self, before: Tape, changes: Mapping[int, Changed]) -> Tape:
        """The same from the tape before these changes: only these and what they reach are new."""
        first = min(changes)
        stage = before.datapath.stages[first]

        def task(chunk: Chunk) -> Chunk:
            sums = changes[first].sums(chunk.source(stage), chunk.sums[first])
            return self._datapath.behind(chunk, changes, sums)

        chunks = before.each(task)
        return Tape(self._datapath, chunks, np.concatenate([chunk.logits for chunk in chunks]))

    def logits(self) -> F64:
        return self._real(self.tape.logits)

    def _real(self, integers: NDArray[np.int64]) -> F64:
        return integers.astype(np.float64) * self.program.logit_scale

    # ------------------------------------------------------------ first order

    def gains(self, objective: Objective, k_top: int | None) -> list[Gains]:
        return [self.gains_along(slopes, k_top) for slopes in self.slopes(objective)]

    def gains_along(self, slopes: Slopes, k_top: int | None) -> Gains:
        """Of one part."""
        if self.parts[slopes.part].memory == "index":
            return self._index_gains(slopes, k_top)
        return self._word_gains(slopes, k_top)

    def slopes(self, objective: Objective) -> list[Slopes]:
        """One a part: the objective's gradient by what its words are handed out as."""
        by_weight = self._gradient(objective)
        by_word = self._by_word(by_weight) if self._searches("weights") else None
        found = []
        for at, (part, number) in enumerate(zip(self.parts, self._numbers, strict=True)):
            if part.memory == "index":
                plain = by_weight[number].reshape(-1)
                found.append(Slopes(at, number, plain, np.zeros(0)))
            else:
                assert by_word is not None
                here = self.here(number, part.words)
                found.append(Slopes(at, number, by_word[0][here], by_word[1][here]))
        return found

    def here(self, number: int, words: int) -> slice:
        """Where the real weights of a layer stand among the stored words."""
        base = self.stored.places[number].weight_base * self.program.config.banks
        return slice(base, base + words)

    def masks(self, memory: str) -> tuple[I64, tuple[tuple[int, ...], ...] | None]:
        """What a move does to the bits of a word that count: masks (m,), and the bits that the move
        of each column flips where that is not the bit itself.
        """
        config = self.program.config
        width = config.wgt_w if memory == "weights" else 1 + config.addr_w
        return np.int64(1) << np.arange(width, dtype=np.int64), None

    def _searches(self, memory: str) -> bool:
        return any(part.memory == memory for part in self.parts)

    def _gradient(self, objective: Objective) -> dict[int, NDArray[np.float64]]:
        """By layer number: the objective's gradient by a step of each virtual weight, float64."""
        seed = objective.slope(self.logits())
        # Confident answers leave tiny slopes; float32 holds more of them at the size of 1.
        size = float(np.abs(seed).max()) or 1.0
        seeds = torch.from_numpy(seed / size)
        found = gradients(self._backward, self.tape, seeds, rest=False)
        return {
            number: weights.double().numpy() * layer.weight_scale[:, None] * size
            for (number, layer), weights in zip(
                self.stored.layers.items(), found.weights, strict=True
            )
        }

    def _by_word(
        self, by_weight: Mapping[int, NDArray[np.float64]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sums over the readers of each word, those that take it as it is and those that negate."""
        size = len(self.stored.words)
        plain, negated = np.zeros(size), np.zeros(size)
        for number, gradient in by_weight.items():
            layer = self.stored.layers[number]
            if number not in self.stored.negative:
                base = self.stored.places[number].weight_base * self.program.config.banks
                plain[base : base + layer.spec.real_weights] += gradient.T.reshape(-1)
                continue
            words = self.stored.word_of(number, self.stored.addresses(number))
            negative = self.stored.negative[number].reshape(-1)
            flat = gradient.reshape(-1)
            loaded = words >= 0
            for total, which in ((plain, ~negative & loaded), (negated, negative & loaded)):
                total += np.bincount(words[which], flat[which], size)
        return plain, negated

    def _word_gains(self, slopes: Slopes, k_top: int | None) -> Gains:
        chosen = self.looked_at(slopes, np.abs(slopes.plain - slopes.negated), k_top)
        masks, columns = self.masks("weights")
        words = self.stored.words[self.here(slopes.number, len(slopes.plain))][chosen]
        every = wrapped(words[:, None] ^ masks, self.program.config.wgt_w)
        return Gains(chosen, self.word_rises(slopes, chosen, words, every), columns)

    def word_rises(self, slopes: Slopes, at: I64, words: I64, every: I64) -> F64:
        """What it adds, to first order, that the words ``at`` become ``every`` (k, m)."""
        width, yes = self.program.config.wgt_w, np.ones(1, np.bool_)
        now = self.stored.within(slopes.number, words)[:, None]
        new = self.stored.within(slopes.number, every)
        back = handed_out(new, yes, width) - handed_out(now, yes, width)
        plain, negated = slopes.plain[at][:, None], slopes.negated[at][:, None]
        return plain * (new - now) + negated * back

    def _index_gains(self, slopes: Slopes, k_top: int | None) -> Gains:
        chosen = self.looked_at(slopes, np.abs(slopes.plain), k_top)
        masks, columns = self.masks("index")
        now = self.stored.weights[slopes.number].reshape(-1)[chosen]
        moves = self.stored.every_index(slopes.number, chosen, masks) - now[:, None]
        return Gains(chosen, slopes.plain[chosen][:, None] * moves, columns)

    def looked_at(self, slopes: Slopes, sizes: F64, k_top: int | None) -> I64:
        """The words of a part with the largest gradients."""
        return first_of(sizes, k_top)

    # ------------------------------------------------------------ flips

    def trial(self, flips: Sequence[Flip]) -> F64:
        changes = self._changes(self._after(flips))
        if not changes:
            return self.logits()
        if not all(change.possible for change in changes.values()):
            faulty = Engine(self.held([*self.faults, *map(self.fault, flips)]))
            return self._real(faulty.datapath.run(self._codes).logits)
        parts = self.tape.each(lambda chunk: self._datapath.again(chunk, changes))
        return self._real(np.concatenate(list(parts)))

    def keep(self, flips: Sequence[Flip]) -> None:
        changes = self._changes(self._after(flips))
        self._store(flips)
        self.faults += [self.fault(flip) for flip in flips]
        possible = all(change.possible for change in changes.values())
        if not possible:
            self._run_on(Engine(self.held(self.faults), self._mode))
        if not changes or not possible:
            return
        trusted = trusted_kernels()
        stages = {index: change.kept(trusted) for index, change in changes.items()}
        layers = list(self._datapath.program.layers)
        for stage in stages.values():
            layers[stage.number] = stage.layer
        program = self._datapath.program.replace(layers=tuple(layers))
        self._datapath = self._datapath.with_stages(program, stages)
        self._backward = self._backward.of(self._datapath, stages)
        before, self._tape = self._tape, None
        self._behind = None if before is None else partial(self._tape_behind, before, changes)

    def _store(self, flips: Sequence[Flip]) -> None:
        """Flip them in the words, and in what becomes of those."""
        number, memory, bits = self._sorted_out(flips)
        if memory == "weights":
            self.stored.keep_word_flips(number, bits)
        else:
            self.stored.keep_index_flips(number, bits)

    def held(self, faults: Sequence[Fault]) -> Program:
        """The long way: the program with everything in its memories."""
        return inject(self.program, faults)

    def _sorted_out(self, flips: Sequence[Flip]) -> tuple[int, str, list[tuple[int, int]]]:
        """(layer number, memory, words and bits) of flips of one part."""
        (part,) = {flip.part for flip in flips}
        bits = [(flip.word, flip.bit) for flip in flips]
        return self._numbers[part], self.parts[part].memory, bits

    def _after(self, flips: Sequence[Flip]) -> dict[int, tuple[I64, I64]]:
        number, memory, bits = self._sorted_out(flips)
        if memory == "weights":
            return self.stored.after_word_flips(number, bits)
        return self.stored.after_index_flips(number, bits)

    def _changes(self, after: Mapping[int, tuple[I64, I64]]) -> dict[int, Changed]:
        """Stages whose weights really become others."""
        changes: dict[int, Changed] = {}
        for number, (entries, values) in after.items():
            now = self.stored.weights[number]
            moved = now.reshape(-1)[entries] != values
            if moved.any():
                weights = now.copy()
                weights.reshape(-1)[entries[moved]] = values[moved]
                index = self._stages[number]
                changes[index] = Changed(
                    self._datapath.stages[index], weights, entries[moved], self.program.config
                )
        return changes

    def word(self, part: int, word: int) -> int:
        number = self._numbers[part]
        if self.parts[part].memory == "index":
            return self.stored.entry(number, word)
        value = self.stored.words[self.stored.word_of(number, word)]
        return int(value) & ((1 << self.program.config.wgt_w) - 1)

    def fault(self, flip: Flip) -> Fault:
        """Where the bit stands in the memories of an image."""
        number = self._numbers[flip.part]
        if self.parts[flip.part].memory == "index":
            return self.stored.index_fault(number, flip.word, flip.bit)
        return self.stored.word_fault(number, flip.word, flip.bit)

    def answers(self, images: Any) -> NDArray[np.int64]:
        return self._datapath.run(self._grid(images)).logits.argmax(1)
