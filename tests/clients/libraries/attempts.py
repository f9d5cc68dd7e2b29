"""One attack of a library on three models, and its fate, which no clock decides.

Every attack runs with its own defaults but for a small budget of steps or queries, on the engine
as it is, on the engine with ``outside="clamp"`` where that is needed, and on the float network that
the engine was compiled from where that is needed too: what stops on an ordinary PyTorch network is
not the engine's fault.
"""

from __future__ import annotations

import io
import logging
import os
import random
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwsim import Engine, compile

CLASSES, SIDE, IMAGES = 10, 8, 4
RUNS, CLAMP, FAILS = "runs", 'with `outside="clamp"`', "does not run"
UNTRIED = "not tried"  # another package is missing
#: Seconds of processor time, which other load does not change, after which an attack is taken to
#: hang: an error of the test, and never a fate. The longest takes a tenth of it, to be compiled.
GUARD = 300


class Hung(BaseException):
    """An attack that does not end. No Exception: libraries catch these."""


@dataclass(frozen=True)
class Victim:
    """What is attacked.

    model
        (N, 3, SIDE, SIDE) floats in [0, 1] -> (N, CLASSES) logits.
    images, labels
        IMAGES of them on the grid, and what the model says: a different class for each.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor

    @property
    def targets(self) -> Tensor:
        """A class for each image to be turned into: the next image's."""
        return self.labels.roll(1)

    @property
    def others(self) -> Tensor:
        """An image of the class ``targets`` for each: where attacks that need one may start."""
        return self.images.roll(1, 0)


@dataclass(frozen=True)
class Case:
    """An attack of a library: ``run(victim)`` gives its images (N, C, H, W).

    how
        What its documentation asks for beyond a model, images and labels; "" for nothing.
    compiles
        Whether it compiles itself for half a minute, each time anew: not for the test.
    """

    library: str
    name: str
    run: Callable[[Victim], Tensor]
    how: str = ""
    compiles: bool = False


@dataclass(frozen=True)
class Fate:
    """RUNS, or the first line of the error, on each of the three; "" where it was not tried."""

    library: str
    name: str
    how: str
    engine: str
    clamped: str = ""
    float: str = ""

    @property
    def kind(self) -> str:
        """RUNS, CLAMP, UNTRIED or FAILS."""
        if self.engine == RUNS:
            return RUNS
        if self.clamped == RUNS:
            return CLAMP
        return UNTRIED if self.engine.startswith("ModuleNotFoundError") else FAILS

    @property
    def engines_fault(self) -> bool:
        """Whether it runs on an ordinary network and on neither engine."""
        return self.kind == FAILS and self.float == RUNS


def attempt(case: Case, victim: Victim) -> str:
    """RUNS, or one line that says why not.

    Raises
    ------
    Hung
        After GUARD seconds of processor time.
    """

    def ring(*_: Any) -> None:
        raise Hung(f"{case.library}'s {case.name} has not ended in {GUARD} s of processor time")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, GUARD)
    try:
        with _alone():
            images = case.run(victim)
    except Exception as error:  # whatever a library may raise is the result here
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {' '.join(lines)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    if tuple(images.shape) != tuple(victim.images.shape):
        return f"returns no images: shape {tuple(images.shape)}"
    if not bool(torch.isfinite(images).all()):
        return "returns NaN"
    if float(images.min()) < -1e-5 or float(images.max()) > 1 + 1e-5:
        return "returns images outside [0, 1]"
    return RUNS


def fate(case: Case, victims: dict[str, Victim]) -> Fate:
    """What becomes of the attack; the next of the three is tried only where it does not run.

    One that runs on the engine as it is runs on the clamping one too: it never saw the difference.
    """
    said = [case.library, case.name, case.how]
    for model in ("engine", "clamped", "float"):
        said.append(attempt(case, victims[model]))
        if said[-1] == RUNS:
            break
    return Fate(*said)


@contextmanager
def _alone() -> Iterator[None]:
    """Seeded, in an empty folder, without the libraries' progress bars, prints and warnings."""
    before, folder = np.random.get_state(), os.getcwd()  # noqa: NPY002 - what the libraries draw from
    logging.disable(logging.CRITICAL)
    try:
        with (
            tempfile.TemporaryDirectory() as empty,
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
            torch.random.fork_rng(),
        ):
            os.chdir(empty)  # ART's GeoDA keeps a file there, and takes one that it finds
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002
            try:
                yield
            finally:
                os.chdir(folder)
    finally:
        logging.disable(logging.NOTSET)
        np.random.set_state(before)  # noqa: NPY002


def victims(seed: int = 0) -> dict[str, Victim]:
    """The engine, the engine that clamps, and the float network that both were compiled from.

    Colour images, since some attacks take no grey ones, with black and white parts, as photographs
    have, and noise: an attack that looks beyond [0, 1] has occasion to. Of many, those are taken of
    which the network is surest, each of another class, so that no rounding turns a label.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(8 * (SIDE // 2) ** 2, CLASSES),
        ).eval()  # fmt: skip
        coarse = nn.functional.interpolate(torch.rand(512, 3, 2, 2), SIDE)
        noisy = 2 * coarse - 0.5 + 0.1 * torch.randn(512, 3, SIDE, SIDE)
        drawn = torch.floor(noisy.clamp(0, 1) * 255 + 0.5) / 255
        program = compile(module, drawn)
    engine = Engine(program)
    with torch.no_grad():
        top = module(drawn).topk(2)
    margin, labels = top.values[:, 0] - top.values[:, 1], engine(drawn).argmax(1)
    chosen: list[int] = []
    for index in margin.argsort(descending=True).tolist():
        if len(chosen) < IMAGES and labels[index] not in labels[chosen]:
            chosen.append(index)
    x, y = drawn[chosen], labels[chosen]
    assert len(chosen) == IMAGES
    assert torch.equal(module(x).argmax(1), y), "the network and the engine disagree"
    models = {"engine": engine, "clamped": Engine(program, outside="clamp"), "float": module}
    return {name: Victim(model, x, y) for name, model in models.items()}
