"""What a batch leaves behind in a datapath: maps, states and sums, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.chunks import in_chunks
from hwsim.engine.precision import no_autocast
from hwsim.engine.stages import Stage
from hwsim.program.wires import Place

if TYPE_CHECKING:
    from hwsim.engine.forward import Datapath

Maps = dict[int, NDArray[Any]]
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Chunk:
    """Images that went through the datapath together, and what they left there.

    piece: which images of the batch. logits: int64 (n, classes). states: one entry a stage, as of
    ``Stage``; empty where nobody asked for them. maps: by number, integers (n, H, W, C); map 0 are
    the images; those between a layer and its fused pool do not exist. Empty likewise. sums:
    by number of the stage, what its weights gave, (n, OH, OW, C). Empty likewise.
    """

    piece: slice
    logits: NDArray[np.int64]
    states: list[Any]
    maps: Maps
    sums: Maps = field(default_factory=dict)

    def source(self, stage: Stage) -> NDArray[Any]:
        """What a stage read (its first source), (n, H, W, C)."""
        return part(self.maps, stage.sources[0], stage.layer.in_shape[0])

    def output(self, stage: Stage) -> NDArray[Any]:
        """What a stage wrote."""
        assert stage.target is not None
        return part(self.maps, stage.target, stage.out_shape[0])


def part(maps: Maps, place: Place, channels: int) -> NDArray[Any]:
    """The channels of a place, contiguous: the map itself, or a copy of some of its channels.

    Views would have every loop compiled once more for each order of bytes in memory.
    """
    found = maps[place.map]
    if place.channel == 0 and channels == found.shape[3]:
        return found
    return np.ascontiguousarray(found[..., place.channel : place.channel + channels])


@dataclass(frozen=True, eq=False)
class Tape:
    """What a batch left behind in ``datapath``, for its backward passes and for who looks inside.

    logits: int64 (N, classes), each worth v · 2^-logit_frac.
    """

    datapath: Datapath
    chunks: Sequence[Chunk]
    logits: NDArray[np.int64]

    def each(self, task: Callable[[Chunk], Result]) -> Sequence[Result]:
        """``task`` of every chunk in order, on as many threads as torch may use."""
        longest = max((len(chunk.logits) for chunk in self.chunks), default=0)
        with no_autocast():
            return in_chunks(
                len(self.chunks),
                lambda one: task(self.chunks[one.start]),
                1,
                self.datapath.image_bytes * longest,
            )
