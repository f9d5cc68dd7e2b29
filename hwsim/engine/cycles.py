"""How long an Engine takes for given images: the counters of the Verilog, batched."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hwsim.cost.images import Counters, ImageTiming, Wanted, report_of
from hwsim.cost.timing import TimingReport
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


def counted(
    datapath: Datapath,
    images: NDArray[Any],
    count: Callable[[ImageTiming, Wanted, int], dict[str, NDArray[Any]]],
) -> dict[str, NDArray[Any]]:
    """What ``count`` says of gridded images (N, H, W, C), chunk by chunk, one row an image."""
    timing = timing_of(datapath.program)
    if not timing.varying:
        return count(timing, {}, len(images))
    readers = [stage for stage in datapath.stages if stage.number in timing.varying]

    def task(piece: slice) -> dict[str, NDArray[Any]]:
        maps: Maps = {}
        datapath.chunk(images[piece], kept=maps)
        wanted = {}
        for stage in readers:
            read = part(maps, stage.sources[0], stage.layer.in_shape[0])
            wanted[stage.number] = timing.read(stage.number, read)
        return count(timing, wanted, len(images[piece]))

    none = count(timing, timing.nothing(), 0)
    with no_autocast():
        found = in_chunks(len(images), task, each=datapath.image_bytes)
    return {name: np.concatenate([none[name], *(one[name] for one in found)]) for name in none}


class CountsCycles:
    """What an Engine says about time, image by image."""

    datapath: Datapath

    if TYPE_CHECKING:

        def grid(self, x: Tensor) -> NDArray[Any]:
            """The images as the pixel pins carry them."""

    def cycles(self, x: Tensor) -> NDArray[np.int64]:
        """Cycles of each layer, its instruction included, int64 (N, layers), as the Verilog counts.

        x: as of ``forward``. An image takes their sum and one, sequencer.START. Only on an engine
        that skips zeros (``EngineConfig.skip``) do images differ.
        """
        return self.cycles_of_codes(self.grid(x))

    def cycles_of_codes(self, maps: NDArray[Any]) -> NDArray[np.int64]:
        """The same of gridded images (N, H, W, C)."""
        return self.counters_of_codes(maps)["cycles"]

    @property
    def worst_cycles(self) -> NDArray[np.int64]:
        """Cycles of each layer, int64 (layers,), that no image exceeds: floors that hide all."""
        return timing_of(self.datapath.program).worst

    def counters(self, x: Tensor) -> Counters:
        """Counters of each layer by name, int64 (N, layers): those that an image decides."""
        return self.counters_of_codes(self.grid(x))

    def counters_of_codes(self, maps: NDArray[Any]) -> Counters:
        """The same of gridded images (N, H, W, C)."""
        codes = np.ascontiguousarray(maps, self.datapath.map_dtype)
        return counted(self.datapath, codes, ImageTiming.counters)

    def image_report(self, report: TimingReport, image: NDArray[Any]) -> TimingReport:
        """``report``, of ``analyze``, with the cycles and counters of one image.

        image: integers (C, H, W) in 0 … 2^ACT_W − 1, as of RtlEngine.
        """
        if not self.datapath.config.skip:
            return report
        return report_of(report, self.counters_of_codes(image.transpose(1, 2, 0)[None]), 0)
