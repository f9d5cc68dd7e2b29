"""The attacks of the suite, and what each of them did to every image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Attack, judge
from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.core.minimizing import MinimizingAttack
from hwsim.attacks.known import make_attack
from hwsim.attacks.pgd import PGD
from hwsim.audit.evidence import GAINED, Attempt, Convergence, Family, bits
from hwsim.audit.gradients import NAIVE, make_loss, usable_losses
from hwsim.engine.module import Engine

#: Steps of the unbounded attack, each of 2/steps: it could cross the whole range twice.
UNBOUNDED_STEPS = 100
#: Runs and steps of C&W's L2 attack. Few: its task is to find anything at all.
CW_RUNS, CW_STEPS = 5, 50
#: PGD is given more steps while that helps, but no more than so many times its own.
LONGEST = 8
#: A loss that still rises by more than this share of its range is not done (Pintor et al. 2022).
UNFINISHED = 0.05


@dataclass(frozen=True)
class Effort:
    """What the suite spends on an image.

    epsilons: L∞, rising. steps: of PGD. draws: of random noise for each ε, half of each kind.
    queries: of the square attack for each ε.
    """

    epsilons: tuple[float, ...]
    steps: int = 40
    draws: int = 1000
    queries: int = 500


@dataclass(frozen=True)
class Trial:
    """One attack that is to be made. source: what it is crafted on, "" for the engine itself.

    cost: inferences per image and backward passes, two inferences each, at most.
    """

    name: str
    family: Family
    loss: str
    attack: Attack
    epsilons: tuple[float, ...]
    cost: int
    source: str = ""


def trials(engine: Engine, effort: Effort, sources: Sequence[str] = ()) -> Iterator[Trial]:
    """Every attack of the suite, the cheap ones first; transfer starts at each of ``sources``."""
    space = engine.space
    eps, steps, count = effort.epsilons, effort.steps, len(effort.epsilons)
    once, often = 3 + count, count * (3 * steps + 1)

    def gradient(loss: str, source: str = "") -> Iterator[Trial]:
        family: Family = "transfer" if source else "one-step"
        label = f"{loss} from {source}" if source else loss
        one = make_attack("fgsm", loss=make_loss(loss, engine), space=space)
        yield Trial(f"fgsm {label}", family, loss, one, eps, once, source)
        # Images that are to carry over take every step.
        many = make_attack(
            "pgd", loss=make_loss(loss, engine), space=space, steps=steps, early_exit=not source
        )
        family = "transfer" if source else "iterated"
        yield Trial(f"pgd {label}", family, loss, many, eps, often, source)

    for loss in usable_losses(engine.program.classes):
        yield from gradient(loss)
    # An ε at which a value may become any other.
    unbounded = space.span
    for loss in usable_losses(engine.program.classes):
        bim = make_attack("bim", loss=make_loss(loss, engine), space=space, steps=UNBOUNDED_STEPS)
        name = f"unbounded {loss}"
        yield Trial(name, "unbounded", loss, bim, (unbounded,), 3 * UNBOUNDED_STEPS)
    cw = make_attack(
        "cw-l2",
        binary_search_steps=CW_RUNS,
        steps=CW_STEPS,
        step_size=0.1,
        initial_const=1.0,
        space=space,
    )
    reach = (*eps, unbounded) if eps[-1] < unbounded else eps
    yield Trial("cw-l2", "minimizing", "margin", cw, reach, 3 * CW_RUNS * CW_STEPS)
    for source in sources:
        yield from gradient(NAIVE, source)
    half = max(1, effort.draws // 2)
    for kind in ("sign", "uniform"):
        noise = make_attack("noise", kind=kind, draws=half, space=space)
        yield Trial(f"noise {kind}", "gradient-free", "", noise, eps, count * half)
    if find_spec("art") is not None:
        square = make_attack("square", steps=effort.queries, space=space)
        yield Trial("square", "gradient-free", "margin", square, eps, count * effort.queries)


def skipped() -> dict[str, str]:
    """Attacks that this installation cannot make, and why."""
    if find_spec("art") is not None:
        return {}
    return {"square": "needs the Adversarial Robustness Toolbox: pip install 'hwsim[blackbox]'"}


def attempt(
    trial: Trial, engine: Engine, inputs: Tensor, labels: Tensor, source: nn.Module | None = None
) -> Attempt:
    """Make it: craft on ``source`` (default: the engine), judge on the engine."""
    goal, attack = Untargeted(labels), trial.attack
    crafted_on = engine if source is None else source
    if isinstance(attack, MinimizingAttack):
        result = attack.minimize(engine, inputs, goal)
        # Whatever it minimized: an image counts where its largest change fits.
        far = torch.where(result.success, result.linf, torch.inf)
        success = [
            far <= attack.space.effective(e) + 1e-6 * attack.space.span for e in trial.epsilons
        ]
        results = [result]
    else:
        results = attack.sweep(crafted_on, inputs, goal, epsilons=trial.epsilons)
        success = [r.success for r in results]
        if source is not None:
            success = [goal.is_adversarial(judge(engine, r.adversarial)) for r in results]
    blind = torch.stack([r.zero_gradient for r in results]).all(0)
    return Attempt(
        name=trial.name,
        family=trial.family,
        loss=trial.loss,
        source=trial.source,
        epsilons=trial.epsilons,
        success=[bits(row.tolist()) for row in success],
        zero_gradient=int(blind.sum()),
        forward=float(sum(r.forward.double().mean() for r in results)),
        backward=float(sum(r.backward.double().mean() for r in results)),
    )


def converge(
    engine: Engine,
    inputs: Tensor,
    labels: Tensor,
    loss: str,
    steps: int,
    made: Attempt,
) -> tuple[list[Convergence], Attempt]:
    """PGD again on the images that ``made`` missed, with its steps doubled while that helps.

    Returns what each ε came to, and the longer attack with all images that either has fooled.
    """
    rows, success, passes = [], [], 0.0
    for epsilon, hit in zip(made.epsilons, made.table, strict=True):
        left = torch.from_numpy(~hit)
        now, unfinished, gained = steps, 0, 0
        fooled = torch.zeros(1, int(left.sum()), dtype=torch.bool)
        while bool(left.any()):
            seen = _longer(engine, inputs[left], labels[left], loss, epsilon, steps, 2 * now)
            passes += len(seen) * float(left.double().mean())
            if now == steps:
                measure = make_loss(loss, engine)
                losses = [measure(z, labels[left]).double() for z in seen[: steps + 1]]
                unfinished = int(still_rising(torch.stack(losses).numpy()).sum())
            fooled = torch.stack([z.argmax(1) != labels[left] for z in seen])
            gained = int((fooled.any(0) & ~fooled[: now + 1].any(0)).sum())
            if gained <= GAINED * len(labels) or 2 * now >= LONGEST * steps:
                break
            now *= 2
        reached = torch.from_numpy(hit.copy())
        reached[left] = fooled.any(0)
        success.append(bits(reached.tolist()))
        rows.append(Convergence(made.name, epsilon, int(left.sum()), unfinished, now, gained))
    longer = replace(
        made, name=f"{made.name}, longer", family="longer", success=success,
        forward=made.forward + passes, backward=made.backward + passes,
    )  # fmt: skip
    return rows, longer


def _longer(
    engine: Engine, inputs: Tensor, labels: Tensor, loss: str, epsilon: float, steps: int, many: int
) -> list[Tensor]:
    """Answers to PGD of ``many`` steps that begins as PGD of ``steps`` does: with the same step."""
    space = engine.space
    attack = PGD(
        loss=make_loss(loss, engine), space=space, steps=many, early_exit=False,
        step_size=min(space.span, PGD.reach * space.effective(epsilon) / steps),
    )  # fmt: skip
    return _answers(attack, engine, inputs, labels, epsilon)


def _answers(
    attack: PGD, engine: Engine, inputs: Tensor, labels: Tensor, epsilon: float
) -> list[Tensor]:
    """(N, classes) logits at the images of each step, the one after the last step included."""
    seen: list[Tensor] = []
    hook = engine.register_forward_hook(lambda _, __, logits: seen.append(logits.detach().clone()))
    try:
        attack(engine, inputs, Untargeted(labels), epsilon=epsilon, batch_size=len(inputs))
    finally:
        hook.remove()
    return seen[1:]  # the first answer is the clean one


def still_rising(losses: np.ndarray) -> np.ndarray:
    """(N,) bool from (T, N) losses of an ascent: Pintor et al.'s incomplete optimization.

    The best loss so far, scaled to 0 … 1 for each image, rises by more than ``UNFINISHED`` over the
    last tenth of the steps (they take the last 10 of theirs).
    """
    best = np.maximum.accumulate(losses, 0)
    span = best[-1] - losses.min(0)
    gain = best[-1] - best[-1 - math.ceil((len(losses) - 1) / 10)]
    rising: np.ndarray = gain > UNFINISHED * np.where(span > 0, span, np.inf)
    return rising
