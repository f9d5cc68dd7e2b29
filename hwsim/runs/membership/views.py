"""What an attacker on membership sees of the engine: the same records as of a float network."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.attacks.membership.records import Records
from hwsim.attacks.membership.seen import observe
from hwsim.engine.cycles import timing_of
from hwsim.engine.module import Engine
from hwsim.errors import InputError

#: Samples that are looked at together.
BATCH = 500


def engine_records(
    engine: Engine, x: Tensor, labels: Tensor, view: str = "engine", white: bool = False
) -> Records:
    """Samples (N, …) as the engine answers them.

    Parameters
    ----------
    engine : Engine
        Of any width of words.
    x, labels : Tensor
        As the program takes them, within its input's range; int64 (N,).
    view : str
        ``engine``: real-valued logits. ``probabilities``: multiples of 2^-16, as the unit gives
        them. ``class``: the answer. ``cycles``: that, and cycles of the layers that skip.
    white : bool
        With the logits also loss and gradient: the softmax is exact, the last layer's input are the
        codes that the array reads.

    Raises
    ------
    InputError
        For ``cycles`` of an engine whose time is the same for all images, and an unknown view.
    """
    if view not in ("engine", "probabilities", "class", "cycles"):
        raise InputError(f"unknown view {view!r} of an engine")
    columns = list(timing_of(engine.program).varying) if view == "cycles" else []
    if view == "cycles" and not columns:
        raise InputError(
            f"the engine {engine.program.config.name} takes the same time for all images: give "
            "--skip, or a configuration with skip = true"
        )
    integers, codes, cycles = [], [], []
    with torch.no_grad():
        for part in x.split(BATCH):
            integers.append(engine.integer_logits(part).numpy())
            if white and view == "engine":
                codes.append(_last_codes(engine, part))
            if columns:
                cycles.append(engine.cycles(part)[:, columns])
    raw = np.concatenate(integers)
    answers, classes = torch.from_numpy(raw.argmax(1)), engine.program.classes
    if view in ("class", "cycles"):
        counted = torch.from_numpy(np.concatenate(cycles)) if columns else None
        return Records(labels, answers, classes, cycles=counted)
    # Behind the largest, as float32 holds them: softmax and differences stay the same.
    real = torch.from_numpy((raw - raw.max(1, keepdims=True)) * engine.program.logit_scale)
    if view == "probabilities":
        found = engine.probabilities(torch.from_numpy(engine.real(raw)))
        return Records(labels, answers, classes, found, "probabilities")
    if not white:
        return Records(labels, answers, classes, real.float())
    return Records(
        labels, answers, classes, real.float(),
        losses=F.cross_entropy(real, labels, reduction="none"),
        features=torch.from_numpy(np.concatenate(codes)),
        residuals=(real.softmax(1) - F.one_hot(labels, classes)).float(),
    )  # fmt: skip


def _last_codes(engine: Engine, x: Tensor) -> NDArray[np.float32]:
    """(n, F) codes that the last layer reads."""
    maps = engine.feature_maps(x)
    found = maps[-1] if maps else engine.grid(x).transpose(0, 3, 1, 2)
    return found.reshape(len(x), -1).astype(np.float32)


def float_records(module: nn.Module, x: Tensor, labels: Tensor, white: bool = False) -> Records:
    """The same samples as the float network answers them: logits, and loss and gradient."""
    return observe(module, x, labels, "white" if white else "logits")


def shadow_records(module: nn.Module, x: Tensor, labels: Tensor, view: str) -> Records:
    """A shadow model's logits; beside the probability unit its probabilities cut to 16 bits."""
    seen = observe(module, x, labels, "probabilities" if view == "probabilities" else "logits")
    if view != "probabilities":
        return seen
    assert seen.outputs is not None
    cut = (seen.outputs.double() * 65536).floor() / 65536
    return Records(seen.labels, seen.answers, seen.classes, cut.float(), "probabilities")
