"""What only integers do: saturate, tie, and never give two answers to one question."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hwsim.attacks.core.noise import Noise
from hwsim.audit.evidence import Saturation, Stability, Ties
from hwsim.engine.module import Engine
from hwsim.units.softmax import probabilities_at

#: Batches into which the same images are cut.
CUTS = (1, 3, 7, 16, 64)


def saturation(engine: Engine, inputs: Tensor) -> list[Saturation]:
    """Each hidden feature map of the clean images, behind its pool."""
    top = engine.program.config.act_max
    names = [stage.name for stage in engine.datapath.stages[:-1]]
    return [
        Saturation(name, float(np.mean(maps == top)), float(np.mean(maps == 0)))
        for name, maps in zip(names, engine.feature_maps(inputs), strict=True)
    ]


def ties(engine: Engine, inputs: Tensor) -> Ties:
    """Integer logits of the clean images, and what the probability unit makes of them."""
    logits = engine.integer_logits(inputs)
    best = logits.topk(min(3, logits.shape[1]), 1).values
    p = probabilities_at(logits.numpy(), engine.program.logit_scale)
    return Ties(
        images=len(logits),
        top=int((best[:, 0] == best[:, 1]).sum()),
        dlr=int((best[:, 0] == best[:, -1]).sum()) if best.shape[1] == 3 else 0,
        one_hot=int((p.max(1) == 1 << 16).sum()),
    )


def stability(engine: Engine, inputs: Tensor) -> Stability:
    """The same images and as many of noise, again and again: other batches, order, threads.

    A fresh Engine takes part too. Every integer logit is compared with those of the first run.
    """
    low, high = engine.bounds
    images = torch.cat([inputs, Noise(inputs).uniform(low, high)])
    first = engine.integer_logits(images)
    backwards = torch.arange(len(images)).flip(0)
    runs = [engine.integer_logits(images), Engine(engine.program).integer_logits(images)]
    runs += [engine.integer_logits(images[backwards])[backwards]]
    for cut in CUTS:
        runs.append(torch.cat([engine.integer_logits(part) for part in images.split(cut)]))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        runs.append(engine.integer_logits(images))
    finally:
        torch.set_num_threads(threads)
    different = sum(int((run != first).sum()) for run in runs)
    return Stability(1 + len(runs), first.numel() * len(runs), different)
