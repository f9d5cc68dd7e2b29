"""The units composed: a Program applied to a batch of integer images, exactly and fast.

Batches are cut into chunks (see ``chunks``); each goes through all stages on one thread, its maps
alive as long as somebody reads them.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.changes import Changed
from hwsim.engine.chunks import in_chunks
from hwsim.engine.kernels import Kernel
from hwsim.engine.pixels import ToCodes
from hwsim.engine.precision import no_autocast
from hwsim.engine.requantizing import add, requantize, requantize_wrapping
from hwsim.engine.stages import Stage, stages_of
from hwsim.engine.tape import Chunk, Maps, Tape, part
from hwsim.numbers import fixedpoint
from hwsim.program.layers import AddLayer, AffineLayer, AverageLayer, LutLayer, PoolLayer
from hwsim.program.program import Program
from hwsim.program.workspace import image_bytes
from hwsim.units import average as average_unit
from hwsim.units import pool as pool_unit
from hwsim.units.post import Words


class Datapath:
    """Runs a Program on batches. Thread-safe; holds packed weights, never changes the Program."""

    def __init__(self, program: Program, trusted: frozenset[Kernel]) -> None:
        self.program, self.config = program, program.config
        self.map_dtype = np.uint8 if self.config.act_w <= 8 else np.int32
        self.stages = stages_of(program, trusted)
        self._bytes = image_bytes(program, 4), image_bytes(program, 8)
        self._to_codes = ToCodes(program.input, self.config.act_max)

    @property
    def image_bytes(self) -> int:
        """Working memory of one image with the kernels that are in use now."""
        wide = any(stage.sums is not None and stage.sums.word == 8 for stage in self.stages)
        return self._bytes[wide]

    def grid(self, images: NDArray[np.floating]) -> NDArray[Any]:
        """Float images (N, C, H, W) -> codes 0 … 2^A − 1, (N, H, W, C)."""
        count, channels, height, width = images.shape
        out = np.empty((count, height, width, channels), self.map_dtype)
        self._to_codes(images, out)
        return out

    def with_stages(self, program: Program, replaced: Mapping[int, Stage]) -> Datapath:
        """A twin that shares all stages but some; ``program`` has their layers.

        What is packed for the others is not packed, and not proved, again.
        """
        twin = copy.copy(self)
        twin.program = program
        twin.stages = [replaced.get(index, stage) for index, stage in enumerate(self.stages)]
        return twin

    def run(
        self,
        maps: NDArray[Any],
        *,
        states: bool = False,
        kept_maps: bool = False,
        kept_sums: bool = False,
    ) -> Tape:
        """A batch of gridded images through all layers, chunk by chunk, in integers.

        Parameters
        ----------
        maps : array (N, H, W, C) of ``map_dtype``
            Integers 0 … 2^A − 1, as of ``grid``. N may be 0.
        states, kept_maps, kept_sums : bool
            Whether the tape holds what ``Backward`` needs, the feature maps, and with both of them
            what ``again`` needs.

        Returns
        -------
        Tape
            With integer logits (N, classes); whatever the caller's autocast asks for.
        """

        def task(piece: slice) -> Chunk:
            found: list[Any] = []
            seen: Maps = {}
            sums: Maps = {}
            logits = self.chunk(
                maps[piece],
                found if states else None,
                seen if kept_maps else None,
                sums if kept_sums else None,
            )
            return Chunk(piece, logits, found, seen, sums)

        with no_autocast():
            chunks = in_chunks(len(maps), task, each=self.image_bytes)
        none = np.zeros((0, self.program.classes), np.int64)
        return Tape(self, chunks, np.concatenate([none, *(chunk.logits for chunk in chunks)]))

    def feature_maps(self, maps: NDArray[Any]) -> list[NDArray[Any]]:
        """Output (N, H, W, C) of every stage but the last; pools are fused with their layer."""
        chunks = self.run(maps, kept_maps=True).chunks
        found = []
        for stage in self.stages[:-1]:
            channels, height, width = stage.out_shape
            none = np.zeros((0, height, width, channels), self.map_dtype)
            found.append(np.concatenate([none, *(chunk.output(stage) for chunk in chunks)]))
        return found

    def chunk(
        self,
        images: NDArray[Any],
        states: list[Any] | None = None,
        kept: Maps | None = None,
        sums: Maps | None = None,
    ) -> NDArray[np.int64]:
        """One chunk (N, H, W, C) of gridded images -> integer logits (N, classes).

        ``states``, if given, receives one entry per stage for the backward pass; ``kept`` every
        map by its number; ``sums`` those of each weighted stage, by its number.
        """
        maps: Maps = {0: images}
        for index, stage in enumerate(self.stages):
            sources = [part(maps, place, stage.layer.in_shape[0]) for place in stage.sources]
            given = None
            if sums is not None and stage.sums is not None:
                given = sums[index] = stage.sums(sources[0])
            if stage.last:
                if states is not None:
                    states.append(None)
                if kept is not None:
                    kept.update(maps)
                return self.logits(stage, sources[0], given)
            out, state = self._step(stage, sources, states is not None, given)
            self._write(stage, out, maps)
            if states is not None:
                states.append(state)
            if kept is not None:
                kept.update(maps)
            for number in stage.done:
                del maps[number]
        raise AssertionError("a checked program ends in its output layer")

    def again(self, chunk: Chunk, changes: Mapping[int, Changed]) -> NDArray[np.int64]:
        """Logits (n, classes) of images of a ``Tape`` with other weights in some stages.

        chunk: with maps and sums, of a run of this datapath. changes: at least one, by number of
        the stage. Nothing in front of the first of them is computed again, nor what nothing new
        flows into, and of the first itself only what the weights add or take.
        """
        first = min(changes)
        maps, new = self._maps_of(chunk), set[int]()
        for index in range(first, len(self.stages)):
            stage, sums = self.stages[index], None
            if index not in changes and not stage.reads(new):
                if stage.last:
                    return chunk.logits
                continue
            sources = [part(maps, place, stage.layer.in_shape[0]) for place in stage.sources]
            if index == first and not stage.last:
                out = changes[index].output(sources[0], chunk.sums[index], chunk.output(stage))
                self._write(stage, out, maps, new)
                continue
            if index in changes:
                assert stage.sums is not None
                clean = chunk.sums[index] if index == first else stage.sums(sources[0])
                sums, stage = changes[index].sums(sources[0], clean), changes[index].stage
            if stage.last:
                return self.logits(stage, sources[0], sums)
            self._write(stage, self._step(stage, sources, False, sums)[0], maps, new)
        raise AssertionError("a checked program ends in its output layer")

    def behind(self, chunk: Chunk, changed: Collection[int], sums: NDArray[Any]) -> Chunk:
        """What a run of this datapath leaves behind, states, maps and sums, of images again.

        chunk: of a run of one that had the same stages but those ``changed``, by number, at least
        one, all with weights. sums: of the first of them.
        """
        first = min(changed)
        maps, states, new = self._maps_of(chunk), chunk.states[:first], set[int]()
        found = chunk.sums | {first: sums}
        for index in range(first, len(self.stages)):
            stage, given = self.stages[index], None
            if index not in changed and not stage.reads(new):
                if stage.last:
                    return Chunk(chunk.piece, chunk.logits, [*states, None], maps, found)
                states.append(chunk.states[index])
                continue
            sources = [part(maps, place, stage.layer.in_shape[0]) for place in stage.sources]
            if stage.sums is not None:
                given = found[index] = found[index] if index == first else stage.sums(sources[0])
            if stage.last:
                logits = self.logits(stage, sources[0], given)
                return Chunk(chunk.piece, logits, [*states, None], maps, found)
            out, state = self._step(stage, sources, True, given)
            self._write(stage, out, maps, new)
            states.append(state)
        raise AssertionError("a checked program ends in its output layer")

    def _maps_of(self, chunk: Chunk) -> Maps:
        """Its maps, to be written again from any stage on."""
        return {
            number: found.copy() if number in self._patched else found
            for number, found in chunk.maps.items()
        }

    @cached_property
    def _patched(self) -> frozenset[int]:
        """Maps that are written part by part, in place."""
        return frozenset(
            stage.target.map
            for stage in self.stages
            if stage.target is not None
            and stage.out_shape[0] != self.program.maps[stage.target.map].shape[0]
        )

    def _write(
        self, stage: Stage, out: NDArray[Any], maps: Maps, new: set[int] | None = None
    ) -> None:
        """``out`` to its place; the first to write to a map of several parts makes it.

        new: gets the number of the map.
        """
        assert stage.target is not None
        number, first = stage.target.map, stage.target.channel
        if new is not None:
            new.add(number)
        channels, height, width = self.program.maps[number].shape
        if out.shape[3] == channels:
            maps[number] = out
            return
        if number not in maps:
            maps[number] = np.empty((len(out), height, width, channels), self.map_dtype)
        maps[number][..., first : first + out.shape[3]] = out

    def logits(
        self, stage: Stage, source: NDArray[Any], sums: NDArray[Any] | None = None
    ) -> NDArray[np.int64]:
        """Integer logits (N, classes) of what the last stage reads; sums: where they are known."""
        assert stage.post is not None
        found = self.sums(stage, source) if sums is None else sums
        logits = found.reshape(len(source), -1).astype(np.int64) + stage.post.bias
        return fixedpoint.wrapped(logits, self.config.acc_w) if stage.post.wraps else logits

    def sums(self, stage: Stage, source: NDArray[Any]) -> NDArray[Any]:
        """What post takes, exact integers (N, OH, OW, C)."""
        layer = stage.layer
        if stage.sums is not None:
            return stage.sums(source)
        if isinstance(layer, AffineLayer):
            # One channel of a map of several has steps that a flat view of it would keep.
            return np.ascontiguousarray(source)
        assert isinstance(layer, AverageLayer)
        channels, height, width = layer.out_shape
        out = np.empty((len(source), height, width, channels), np.int32)
        average_unit.window_sums(source, layer.window.kernel, layer.window.stride, out)
        return out

    def step(
        self, stage: Stage, sources: list[NDArray[Any]], sums: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """What a stage but the last writes, (N, OH, OW, C), of what it reads; sums: if known."""
        return self._step(stage, sources, False, sums)[0]

    def _step(
        self,
        stage: Stage,
        sources: list[NDArray[Any]],
        keep: bool,
        sums: NDArray[Any] | None,
    ) -> tuple[NDArray[Any], Any]:
        """(output, state) of a stage; the state is None unless it is to be kept.

        sums: of a weighted stage, where they are known.
        """
        channels, height, width = stage.out_shape
        out = np.empty((len(sources[0]), height, width, channels), self.map_dtype)
        if isinstance(stage.layer, PoolLayer):
            window = stage.layer.window
            winner = np.empty(out.shape, np.uint8)
            corner = window.padding[:2]
            pool_unit.max_pool(sources[0], window.kernel, window.stride, corner, out, winner)
            return out, winner
        if isinstance(stage.layer, LutLayer):
            np.take(stage.layer.table.astype(self.map_dtype), sources[0], out=out, mode="clip")
            return out, sources[0] if keep else None
        state = np.empty(out.shape, np.uint8) if keep else None
        assert stage.post is not None
        lanes = stage.sums.lanes if stage.sums is not None else None
        if stage.post.wraps:
            adds = isinstance(stage.layer, AddLayer)
            known = self.sums(stage, sources[0]) if sums is None and not adds else sums
            requantize_wrapping(
                self.config, stage.post, sources if known is None else [known], out, state
            )
        elif isinstance(stage.layer, AddLayer):
            add(stage.post, sources, out, state)
        elif sums is not None:
            requantize(stage, stage.post, sums, out, state)
        elif lanes is not None and state is None and stage.pool is None and stage.post.away is None:
            assert isinstance(stage.post.words, Words)
            lanes.codes(sources[0], stage.post.words, stage.post.lo, stage.post.hi, out)
        else:
            requantize(stage, stage.post, self.sums(stage, sources[0]), out, state)
        return out, state
