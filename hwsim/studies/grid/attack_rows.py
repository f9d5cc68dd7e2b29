"""The pure functions behind all studies: a machine and plain parameters in, one row out.

Flags of images travel as hexadecimal text (``pack``), so that a row says which images an attack
fooled and rows can be joined image by image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.attacks.core.base import input_gradient, judge
from hwsim.attacks.core.criteria import Goal, Targeted, Untargeted
from hwsim.attacks.core.losses import Loss, ProbabilityLoss
from hwsim.engine.module import Engine
from hwsim.errors import HwsimError
from hwsim.runs import make_attack as crafting
from hwsim.runs.settings import Request
from hwsim.studies.runner import machines as subjects
from hwsim.studies.runner.machines import Subject
from hwsim.studies.runner.task import Row, version

#: Images that are crafted at once.
BATCH = 64
#: Exponents of the decades into which magnitudes of gradients are sorted; below, and 0, apart.
DECADES = range(-45, 4)
#: Quantiles of margins and magnitudes that rows carry.
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999, 1.0)


#: Where libraries of 2017 cut a probability off before its logarithm (Keras' epsilon).
CLIP = 1e-7


def clipped(logits: Tensor) -> Tensor:
    """(N, classes) float32 softmax; certainty itself where the winner is within CLIP of it.

    A clipped probability passes no gradient: with these, −ln p of the winner has none.
    """
    p = torch.softmax(logits, 1)
    top = p.max(1, keepdim=True)
    sure = top.values > torch.tensor(1 - CLIP, dtype=p.dtype)
    return torch.where(sure, torch.zeros_like(p).scatter(1, top.indices, 1.0), p)


def _loss(settings: Request, model: nn.Module) -> Loss:
    if settings.probabilities == "clipped" and settings.loss == "cross-entropy":
        return ProbabilityLoss(clipped)
    return crafting.loss(settings, model if isinstance(model, Engine) else None)


def pack(flags: Tensor) -> str:
    """(N,) bool -> hexadecimal text, first image in the highest bit."""
    return np.packbits(flags.numpy().astype(np.bool_)).tobytes().hex()


def unpack(text: str, count: int) -> NDArray[np.bool_]:
    """What ``pack`` wrote for ``count`` images."""
    whole = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
    found: NDArray[np.bool_] = whole[:count].astype(np.bool_)
    return found


@version(1)
def accuracy(subject: Mapping[str, Any], samples: int, part: Sequence[int]) -> Row:
    """Test images answered correctly: {images, correct}."""
    one = Subject.of(subject)
    x, labels = subjects.images(one, samples, (part[0], part[1]))
    right = judge(subjects.model(one), x, batch_size=256).argmax(1) == labels
    return {"images": len(x), "correct": int(right.sum())}


@version(1)
def attack(
    subject: Mapping[str, Any],
    name: str,
    budgets: Sequence[float | None],
    samples: int,
    part: Sequence[int],
    loss: str = "cross-entropy",
    probabilities: str = "float32",
    targeted: bool = False,
    options: Mapping[str, Any] | None = None,
    judges: Sequence[Mapping[str, Any]] = (),
) -> Row:
    """An attack of hwsim.runs.attack_catalog, crafted on the subject, judged by it and by
    ``judges``.

    budgets: rising, None for no bound. probabilities: of hwsim.runs.settings, or ``clipped``, the
    float32 softmax with CLIP (for untargeted attacks). targeted: a random other class, the same for
    every machine; else the goal is to leave the machine's own answer, as Algorithm 1 of Liu et al.
    2018 has it. Row: images; correct, the subject's clean answers that are the label; reached, for
    each budget the images whose goal was reached (untargeted: the answer changed); zero, images
    that never had a nonzero gradient; l2, sums of L2 distances over the correct images that reached
    it and, as l2_all, over all; passes, forward and backward an image, summed; judged, for each
    judge {correct, reached}, where untargeted means an answer other than the label.
    """
    one = Subject.of(subject)
    x, labels = subjects.images(one, samples, (part[0], part[1]))
    model = subjects.model(one)
    epsilons = tuple(math.inf if b is None else float(b) for b in budgets)
    settings = Request(
        attack=name, model=one.network, epsilons=epsilons, samples=samples, loss=loss,
        probabilities=probabilities, target="random" if targeted else None,
        options=dict(options or {}),
    )  # fmt: skip
    made = crafting.attack(settings, one.grid, math.prod(x.shape[1:]), loss=_loss(settings, model))
    answer = judge(model, x).argmax(1)
    goal = _goal(labels, answer, targeted, samples, (part[0], part[1]), x, model)
    correct = answer == labels
    row: Row = {
        "images": len(x), "correct": pack(correct), "reached": [], "l2": [], "l2_all": [],
        "passes": [], "judged": [],
    }  # fmt: skip
    zero = torch.ones(len(x), dtype=torch.bool)
    found = made.sweep(model, x, goal, epsilons=epsilons, batch_size=BATCH)
    for result in found:
        zero &= result.zero_gradient
        row["reached"].append(pack(result.success))
        row["l2"].append(float(result.l2[result.success & correct].sum()))
        row["l2_all"].append(float(result.l2.sum()))
        row["passes"].append([int(result.forward.sum()), int(result.backward.sum())])
    row["zero"] = pack(zero)
    for other in judges:
        by = subjects.model(Subject.of(other))
        seen = Targeted(goal.loss_labels, labels) if targeted else Untargeted(labels)
        reached = [pack(seen.is_adversarial(judge(by, r.adversarial))) for r in found]
        right = judge(by, x).argmax(1) == labels
        row["judged"].append({"correct": pack(right), "reached": reached})
    return row


def _goal(
    labels: Tensor, answer: Tensor, targeted: bool, samples: int, part: tuple[int, int], x: Tensor,
    model: nn.Module,
) -> Goal:  # fmt: skip
    if not targeted:
        return Untargeted(answer)
    classes = judge(model, x[:1]).shape[1]
    hop = np.random.default_rng(0).integers(1, classes, samples)
    number, parts = part
    mine = torch.from_numpy(hop[samples * number // parts : samples * (number + 1) // parts])
    return Targeted((labels + mine) % classes, labels)


@version(1)
def gradients(
    subject: Mapping[str, Any],
    samples: int,
    part: Sequence[int],
    loss: str = "cross-entropy",
    probabilities: str = "float64",
) -> Row:
    """Magnitudes of ∂loss/∂pixel at the clean images, in decades.

    Row: images, correct; pixels: counts of |g| in each decade of DECADES, [10^d, 10^(d+1)), those
    below them in ``tiny`` and exact zeros in ``zero``; means: the same for the mean |g| of an
    image; blind: images whose gradient is exactly zero everywhere; margins: of the right class in
    nats, quantiles as QUANTILES.
    """
    one = Subject.of(subject)
    x, labels = subjects.images(one, samples, (part[0], part[1]))
    model = subjects.model(one)
    settings = Request(
        attack="fgsm", model=one.network, epsilons=(1.0,), samples=samples, loss=loss,
        probabilities=probabilities,
    )  # fmt: skip
    what = _loss(settings, model)
    found, logits = [], []
    for start in range(0, len(x), BATCH):
        cut = slice(start, start + BATCH)
        g, z = input_gradient(model, x[cut], Untargeted(labels[cut]), what)
        found.append(g.double().abs().flatten(1))
        logits.append(z.double())
    g, z = torch.cat(found), torch.cat(logits)
    own = z.gather(1, labels[:, None]).flatten()
    lead = own - z.scatter(1, labels[:, None], -torch.inf).max(1).values
    return {
        "images": len(x),
        "correct": int((z.argmax(1) == labels).sum()),
        "pixels": decades(g.numpy()),
        "means": decades(g.mean(1).numpy()),
        "blind": int((g == 0).all(1).sum()),
        "margins": [float(q) for q in np.quantile(lead.numpy(), QUANTILES)],
    }


@version(1)
def leads(subject: Mapping[str, Any], samples: int, part: Sequence[int]) -> Row:
    """How sure a machine is of clean images, image by image in nats to three decimals.

    Row: images; margins: of the right class over the best other one, negative where the answer is
    wrong; leads: of the answer over the second class.
    """
    one = Subject.of(subject)
    x, labels = subjects.images(one, samples, (part[0], part[1]))
    z = judge(subjects.model(one), x, batch_size=256).double()
    own = z.gather(1, labels[:, None]).flatten()
    margin = own - z.scatter(1, labels[:, None], -torch.inf).max(1).values
    top = z.topk(2, 1).values
    return {
        "images": len(x),
        "margins": [round(v, 3) for v in margin.tolist()],
        "leads": [round(v, 3) for v in (top[:, 0] - top[:, 1]).tolist()],
    }


def decades(values: NDArray[np.float64]) -> dict[str, Any]:
    """Counts of magnitudes: {decades: one for each of DECADES, tiny, zero}."""
    flat = values.ravel()
    if not np.isfinite(flat).all():
        raise HwsimError("a gradient is not finite: the network or an attack's loss overflows")
    exact = flat > 0
    place = np.floor(np.log10(flat[exact])).astype(np.int64) - DECADES.start
    inside = np.clip(place[place >= 0], 0, len(DECADES) - 1)
    return {
        "decades": np.bincount(inside, minlength=len(DECADES)).tolist(),
        "tiny": int((place < 0).sum()),
        "zero": int((~exact).sum()),
    }
