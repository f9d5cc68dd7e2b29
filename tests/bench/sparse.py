"""An epoch of SafeCompress with three candidates against one of plain sparse training.

CPU time of the two epochs from one update to the next, the last but one of each training: by then
attackers have a warm start. Both train LeNet-5 on 5,000 digits, in turns.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from hwsim.models import zoo
from hwsim.models.train_network import Data
from hwsim.training.sparse.compress import compress
from hwsim.training.sparse.network import drawn
from hwsim.training.sparse.settings import Settings
from hwsim.training.sparse.sides import TargetData
from hwsim.training.sparse.updates import PERIOD
from tests.bench.measure import Line

IMAGES, ROUNDS = 5000, 2
#: An update behind each of the first two periods; what is timed begins with the second.
EPOCHS = 3 * PERIOD


def _epoch(method: str, data: TargetData) -> float:
    """CPU seconds of an epoch, averaged over the last period."""
    settings = Settings()
    settings = replace(settings, recipe=replace(settings.recipe, epochs=EPOCHS))
    ended: dict[int, float] = {}

    def on_step(epoch: int, step: int, loss: float, what: str) -> None:
        ended[epoch] = time.process_time()

    compress(method, zoo.build("lenet5"), data, settings, on_step=on_step)
    return (ended[EPOCHS - 1] - ended[EPOCHS - 1 - PERIOD]) / PERIOD


def epoch() -> Line:
    """BMIA-SafeCompress; what WMIA and MMIA cost is in the note."""
    _, data = drawn(Data.load("mnist"), IMAGES, seed=0)
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for method in ("untested", "bmia", "wmia", "mmia"):
            best[method] = min(best.get(method, float("inf")), _epoch(method, data))
    return Line(
        "safecompress-epoch", best["bmia"], best["untested"], "CPU s",
        best["bmia"] / best["untested"], "sparse training without tests", "≤ 1.6", _note(best),
    )  # fmt: skip


def _note(best: Mapping[str, float]) -> str:
    others = ", ".join(
        f"{name} {best[name] / best['untested']:.2f} times" for name in ("wmia", "mmia")
    )
    return f"an epoch of LeNet-5 on {IMAGES:,} digits, an update every {PERIOD} epochs; {others}"
