"""What a batch gives on ``default``, for docs/timing.md."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

from hwsim import compile, load_config
from hwsim.cost.timing import TimingReport, analyze
from hwsim.files import markdown
from hwsim.models import zoo
from hwsim.program.program import Program

CONFIG, BATCH = "default", 8
#: Networks and the images that they take.
NETWORKS = {
    "mnist-cnn": (1, 28, 28),
    "mnist-cnn-h16": (1, 28, 28),
    "mnist-cnn-h16-banked": (1, 28, 28),
    "lenet5": (1, 28, 28),
    "c0": (3, 32, 32),
}
HEAD = [
    "network", "cycles an image", f"in a batch of {BATCH}", "gain",
    "fc alone", "in a batch", "gain",
    "energy an image, µJ: stored index", "in a batch", "gain", "hashed index", "in a batch", "gain",
    "bits of its maps", "in a batch",
]  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A network on ``default``, and a full batch of it on the same engine with a batch of BATCH."""

    alone: TimingReport
    batch: TimingReport

    @property
    def cycles(self) -> tuple[float, float]:
        """Cycles of an image."""
        return self.alone.cycles, self.batch.cycles_per_image

    @property
    def fc(self) -> tuple[float, float]:
        """The same, of fc layers."""
        alone, batch = (
            sum(layer.cycles for layer in one.layers if layer.kind == "fc") / one.images
            for one in (self.alone, self.batch)
        )
        return alone, batch

    @property
    def microjoules(self) -> tuple[float, float]:
        """Energy of an image."""
        return self.alone.nj_per_image / 1000, self.batch.nj_per_image / 1000

    @property
    def map_bits(self) -> tuple[int, int]:
        """Bits of activation memory that the maps need at once."""
        config = self.alone.config
        bits = self.alone.act_lines.lines * config.cols * config.act_w
        return bits, self.batch.config.batch * bits


@cache
def _program(name: str) -> Program:
    # Cycles and energy depend on sizes and hashes: any images will do to compile.
    noise = torch.rand(8, *NETWORKS[name], generator=torch.Generator().manual_seed(0))
    return compile(zoo.load(name).eval(), noise, load_config(CONFIG))


@cache
def pair(name: str, mode: str) -> Pair:
    """``name`` with indices ``sram`` or ``hash``."""
    program = _program(name)
    alone = program.config.replace(index_mode=mode)
    batched = alone.replace(batch=BATCH)
    return Pair(
        analyze(program.replace(config=alone)), analyze(program.replace(config=batched), BATCH)
    )


def table() -> str:
    """Cycles and energy of an image alone and in a batch, a network a line."""
    rows = []
    for name in NETWORKS:
        stored, hashed = pair(name, "sram"), pair(name, "hash")
        row = [name]
        for numbers, form in (
            (stored.cycles, ",.0f"), (stored.fc, ",.0f"), (stored.microjoules, ",.1f"),
            (hashed.microjoules, ",.1f"),
        ):  # fmt: skip
            alone, batch = numbers
            row += [f"{alone:{form}}", f"{batch:{form}}", f"{alone / batch:.2f}"]
        rows.append([*row, *(f"{bits:,}" for bits in stored.map_bits)])
    return markdown.table(HEAD, rows)
