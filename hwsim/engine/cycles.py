"""How long an Engine takes for given images: the counters of the Verilog, batched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hwsim.cost.images import Counters, ImageTiming
from hwsim.engine.chunks import in_chunks
from hwsim.engine.precision import no_autocast
from hwsim.engine.tape import Maps, part
from hwsim.program.program import Program

if TYPE_CHECKING:
    from hwsim.engine.forward import Datapath

#: Counting conflicts takes longer than an image: once a program.
_TIMINGS: WeakKeyDictionary[Program, ImageTiming] = WeakKeyDictionary()


def timing_of(program: Program) -> ImageTiming:
    """What the images of a program cost; kept as long as the program."""
    if program not in _TIMINGS:
        _TIMINGS[program] = ImageTiming(program)
    return _TIMINGS[program]


def counters_of(datapath: Datapath, images: NDArray[Any]) -> Counters:
    """``ImageTiming.counters`` of gridded images (N, H, W, C)."""
    timing = timing_of(datapath.program)
    if not timing.skipping:
        return timing.counters({}, len(images))
    readers = [stage for stage in datapath.stages if stage.number in timing.skipping]

    def task(piece: slice) -> Counters:
        maps: Maps = {}
        datapath.chunk(images[piece], kept=maps)
        wanted = {}
        for stage in readers:
            read = part(maps, stage.sources[0], stage.layer.in_shape[0])
            wanted[stage.number] = (read != 0).transpose(0, 3, 1, 2).reshape(len(read), -1)
        return timing.counters(wanted, len(images[piece]))

    with no_autocast():
        found = in_chunks(len(images), task, each=datapath.image_bytes)
    none = timing.counters({number: np.zeros((0, one.fan_in), np.bool_)
                            for number, one in timing.skipping.items()}, 0)  # fmt: skip
    return {name: np.concatenate([none[name], *(one[name] for one in found)]) for name in none}


class Timed:
    """What an Engine says about time, image by image."""

    datapath: Datapath

    def grid(self, x: Tensor) -> NDArray[Any]:
        """The images as the pixel pins carry them."""
        raise NotImplementedError

    def cycles(self, x: Tensor) -> NDArray[np.int64]:
        """Cycles of each layer, its instruction included, int64 (N, layers), as the Verilog counts.

        x: as of ``forward``. An image takes their sum and one, sequencer.START. Only
        on an engine that skips zeros (``EngineConfig.skip``) do images differ.
        """
        return self.cycles_of_codes(self.grid(x))

    def cycles_of_codes(self, maps: NDArray[Any]) -> NDArray[np.int64]:
        """The same of gridded images (N, H, W, C)."""
        return counters_of(self.datapath, maps)["cycles"]

    def counters(self, x: Tensor) -> Counters:
        """Counters of each layer by name, int64 (N, layers): those that an image decides."""
        return counters_of(self.datapath, self.grid(x))
