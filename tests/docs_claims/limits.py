"""Pages whose few numbers are limits and constants of the program."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hwsim.bus.constants import ALIVE_TICKS
from hwsim.compiler.rounding import POOR
from hwsim.rtl.exchange import SILENCE
from hwsim.units.softmax import EXP_LUT
from tests.docs_claims.page import Page
from tests.hostile.artefact import Artefact
from tests.hostile.model_files import Model


def _architecture() -> Iterator[str]:
    yield f"Once the winner leads by about {math.log(EXP_LUT[0]):.0f} nats"


def _reliability() -> Iterator[str]:
    own, theirs = Artefact, Model
    yield f"{own.seconds:.0f} s without an end, {own.memory >> 20} MiB of memory"
    yield f"{theirs.seconds:.0f} s of processor time, {theirs.memory >> 30} GiB of memory"
    yield f"ended after {SILENCE:.0f} s without a sign of life"
    yield (
        f"every {ALIVE_TICKS:,} clock cycles of the simulation ({ALIVE_TICKS / 1000:.0f} s at "
        "1,000 cycles a second)"
    )


def _network() -> Iterator[str]:
    yield f"when rounding leaves less than {POOR:.0f} dB of its output"


EXPORT = "hwsim export cifar-mobilenet --format qcdq --samples 500"

PAGES = (
    Page("docs/howto/export.md", history={"500 of 500 answers and 88% of the logits": EXPORT}),
    Page("docs/architecture.md", _architecture),
    Page("docs/reliability.md", _reliability),
    Page("docs/howto/network.md", _network),
)
