"""Where the lanes of the array and of the pool read and write in an engine that takes batches.

The array and the pool themselves are in slow_batch.py, the memory is in paged_memory.py.
"""

from __future__ import annotations

from collections import Counter

from hwsim.program.layers import Layer, MacLayer, Window
from hwsim.program.program import Program
from hwsim.program.wires import Wire
from tests.property.paged_memory import Cell, PagedMemory, Room


class Lanes:
    """Where the lanes of one run read and write. images: those of a run; of fc, all of the batch.

    Of an fc layer lane n is image n, of all others a pixel x of the one image.
    """

    def __init__(
        self, program: Program, layer: Layer, wire: Wire, memory: PagedMemory, images: range
    ) -> None:
        self.layer, self.memory, self.images = layer, memory, images
        self.cols = program.config.cols
        self.streams = isinstance(layer, MacLayer) and layer.kind == "fc"
        self.sources = [Room(program, place) for place in wire.sources]
        self.target = Room(program, wire.target) if wire.target is not None else None
        self.window = getattr(layer, "window", None) or Window((1, 1))
        self.fill = layer.fill if isinstance(layer, MacLayer) else None
        self.logits: dict[int, list[int]] = {image: [] for image in images}
        self.events = Counter[str]()

    def column(self, c: int, y: int, x: int) -> list[int]:
        """One input of an fc layer, of every image at once."""
        (source,) = self.sources
        line = source.line(c, y, x)
        self.events["act_reads"] += len(self.images)
        return self.memory.read([Cell((x + n) % self.cols, n, line) for n in self.images])

    def spots(self, pixel: int) -> tuple[int, list[int]]:
        """(row, columns) of the outputs of a pixel tile."""
        width = self.layer.out_shape[2]
        y, tile = divmod(pixel, -(-width // self.cols))
        return y, list(range(tile * self.cols, min((tile + 1) * self.cols, width)))

    def tap(
        self, source: int, c: int, kernel: tuple[int, int], pixel: int, lanes: range
    ) -> dict[int, int | None]:
        """What some lanes read in one cycle: codes, or None outside the map."""
        (image,) = self.images
        _, height, width = self.layer.in_shape
        row, columns = self.spots(pixel)
        y = row * self.window.stride[0] + kernel[0] - self.window.padding[0]
        found: dict[int, int | None] = {}
        cells: dict[int, Cell] = {}
        for lane in lanes:
            if lane >= len(columns):
                continue  # beyond the width: nobody looks at what it holds
            x = columns[lane] * self.window.stride[1] + kernel[1] - self.window.padding[1]
            found[lane] = None
            if 0 <= y < height and 0 <= x < width:
                cells[lane] = self.sources[source].cell(image, c, y, x)
        self.events["act_reads"] += len(cells)
        return found | dict(zip(cells, self.memory.read(list(cells.values())), strict=True))

    def write(self, channel: int, pixel: int, codes: list[int]) -> None:
        """A result of every lane: one line of a map, or a logit of every image."""
        self.events["biased" if self.target is None else "act_writes"] += len(codes)
        if self.target is None:
            for image, code in zip(self.images, codes, strict=True):
                self.logits[image].append(code)
        elif self.streams:
            line = self.target.line(channel, 0, 0)
            self.memory.write(
                {Cell(n, n, line): code for n, code in zip(self.images, codes, strict=True)}
            )
        else:
            (image,) = self.images
            y, columns = self.spots(pixel)
            self.memory.write(
                {
                    self.target.cell(image, channel, y, x): code
                    for x, code in zip(columns, codes, strict=True)
                }
            )
