"""How often an attack succeeds: crafted on one model, judged by another, with its denominator."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Attack, Progress, judge
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.checks import (
    as_epsilons,
    as_inputs,
    check_batch_size,
    check_labels,
    check_schedule,
)
from hwsim.attacks.core.criteria import Goal, Targeted, Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.labels import Labels, as_labels
from hwsim.attacks.core.result import distances
from hwsim.attacks.evaluate.schedule import cumulative

_Z95 = 1.959963984540054  # 97.5% quantile of the normal distribution


@dataclass(frozen=True)
class Rate:
    """``successes`` of ``total`` > 0."""

    successes: int
    total: int

    def __post_init__(self) -> None:
        if self.total < 1:
            raise AttackError(
                "no inputs to count on: the judge classifies none of them correctly "
                "(or has reached the target on all of them already)"
            )

    @property
    def value(self) -> float:
        return self.successes / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% score interval (Wilson 1927)."""
        n, p, z2 = self.total, self.value, _Z95**2
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        # At p = 0 and 1 the ends are exactly 0 and 1, which rounding would miss.
        low = 0.0 if self.successes == 0 else middle - half
        return low, 1.0 if self.successes == n else middle + half


def success_rate(success: Tensor, correct: Tensor) -> Rate:
    """Share of ``success`` among the inputs that the judge classified ``correct``ly, (N,) bool."""
    return Rate(int((success & correct).sum()), int(correct.sum()))


def _sum(a: Any, b: Any) -> Any:
    """Sum of numbers, or entry by entry of equally shaped dicts and tuples of numbers."""
    if isinstance(a, dict):
        return {key: _sum(a[key], b[key]) for key in a}
    return tuple(map(_sum, a, b)) if isinstance(a, tuple) else a + b


@dataclass(frozen=True)
class Tally:
    """Counts of a cross evaluation; those of two sets of inputs add up.

    Keys of ``success`` and ``success_escalated`` read "<crafted on>_<judged by>", their values
    have one entry per ε. ``success``: single ε, against the labels, denominator
    ``correct[judge]``. ``success_escalated``: Algorithm 1 up to ε, against the judge's own
    prediction, denominator ``escalated_total[judge]``: every input, less (targeted) those that
    the judge sees as the target already. ``zero_gradient``: images whose gradient on the crafting
    model is exactly zero in every pixel, at every step and ε, out of ``samples``.

    By crafting model, one entry per ε: ``distortion``, sums of L0, L1, L2 and L∞ over the
    successes that ``success`` counts on that model; ``forward`` and ``backward``, passes summed
    over the samples; ``adaptive``, successes of the counterpart attack (empty without one).
    """

    epsilons: tuple[float, ...]
    effective_epsilons: tuple[float, ...]
    samples: int
    correct: dict[str, int]
    escalated_total: dict[str, int]
    zero_gradient: dict[str, int]
    success: dict[str, tuple[int, ...]]
    success_escalated: dict[str, tuple[int, ...]]
    distortion: dict[str, tuple[tuple[float, ...], ...]]
    forward: dict[str, tuple[int, ...]]
    backward: dict[str, tuple[int, ...]]
    adaptive: dict[str, tuple[int, ...]]

    def __add__(self, other: Tally) -> Tally:
        if self.epsilons != other.epsilons or self.success.keys() != other.success.keys():
            raise AttackError("two tallies of different epsilons or models do not add up")

        mine, theirs = asdict(self), asdict(other)
        parts = {key: _sum(mine[key], theirs[key]) for key in mine if "epsilons" not in key}
        return replace(self, **parts)

    def clean(self, model: str) -> Rate:
        """Accuracy on the unperturbed (gridded) inputs."""
        return Rate(self.correct[model], self.samples)

    def zero_gradient_share(self, model: str) -> float:
        return self.zero_gradient[model] / self.samples

    def rates(self, craft: str, by: str) -> list[Rate]:
        """Single-ε success per ε, on the inputs that ``by`` classifies correctly."""
        return [Rate(n, self.correct[by]) for n in self.success[f"{craft}_{by}"]]

    def escalated_rates(self, craft: str, by: str) -> list[Rate]:
        """Algorithm 1's success up to each ε, against ``by``'s own prediction."""
        counts = self.success_escalated[f"{craft}_{by}"]
        return [Rate(n, self.escalated_total[by]) for n in counts]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and lists for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tally:
        """What ``as_dict`` wrote, also after JSON made lists of its tuples and null of inf."""
        lists = {
            k: tuple(math.inf if e is None else e for e in data[k])
            for k in ("epsilons", "effective_epsilons")
        }
        tables = {
            k: {key: tuple(counts) for key, counts in data[k].items()}
            for k in ("success", "success_escalated", "forward", "backward", "adaptive")
        }
        sums = {key: tuple(map(tuple, rows)) for key, rows in data["distortion"].items()}
        return cls(**{**data, **lists, **tables, "distortion": sums})


def cross_evaluate(
    models: Mapping[str, nn.Module],
    inputs: Tensor,
    labels: Labels,
    *,
    attack: Attack | Mapping[str, Attack],
    epsilons: Iterable[float],
    targets: Labels | None = None,
    judge_only: Sequence[str] = (),
    counterpart: Mapping[str, Attack] | None = None,
    batch_size: int = 256,
    start: int = 0,
    progress: Progress | None = None,
) -> Iterator[Tally]:
    """Every model crafts, every model judges; yields the Tally of one batch after the other.

    models: by name, e.g. {"float": …, "engine": …}. labels, targets (of targeted attacks): (N,)
    class indices. attack: one for all, or one per crafting model (they may differ in loss, not in
    space). epsilons: rising, 0 for no attack. judge_only: models without a gradient, such as the
    RTL. counterpart: by name of a crafting model, the adaptive attack whose success stands beside
    that of a naive one; it is judged by the model it is crafted on. start: inputs done by an
    earlier run, a multiple of batch_size; add its tally yourself. Sum with ``total``.
    Raises AttackError at once for arguments that make no sense.
    """
    inputs, epsilons = as_inputs(inputs), as_epsilons(epsilons)
    check_batch_size(batch_size)
    check_schedule(epsilons)
    labels = as_labels(labels, "labels")
    check_labels(labels, len(inputs), "labels")
    goal: Goal = Untargeted(labels)
    if targets is not None:
        goal = Targeted(as_labels(targets, "targets"), labels)
    goal.check(len(inputs))
    unknown = [name for name in judge_only if name not in models]
    crafters = [name for name in models if name not in judge_only]
    if unknown or not crafters:
        raise AttackError(f"models to craft on: {crafters}; unknown in judge_only: {unknown}")
    attacks = dict(attack) if isinstance(attack, Mapping) else dict.fromkeys(crafters, attack)
    if missing := [name for name in crafters if name not in attacks]:
        raise AttackError(f"no attack given for crafting on {', '.join(missing)}")
    space, norm = attacks[crafters[0]].space, attacks[crafters[0]].norm
    beside = dict(counterpart or {})
    if unknown := [name for name in beside if name not in crafters]:
        raise AttackError(f"a counterpart for {unknown[0]}, which crafts nothing")
    everyone = [*(attacks[name] for name in crafters), *beside.values()]
    if any(one.space != space or one.norm != norm for one in everyone):
        raise AttackError(
            "all attacks must use the same grid and norm, or their numbers do not compare"
        )
    if start % batch_size or not 0 <= start < len(inputs):
        raise AttackError(f"start must be a multiple of {batch_size} below {len(inputs)}")
    effective = [attacks[crafters[0]].effective(epsilon) for epsilon in epsilons]
    used = {name: attacks[name] for name in crafters}

    def batches() -> Iterator[Tally]:
        for first in range(start, len(inputs), batch_size):
            batch = slice(first, first + batch_size)
            x = space.snap(inputs[batch])
            y = labels[batch]
            yield _one_batch(models, used, beside, x, y, goal[batch], epsilons, effective)
            if progress is not None:
                progress(min(first + batch_size, len(inputs)), len(inputs))

    return batches()


def total(tallies: Iterator[Tally]) -> Tally:
    """The sum of at least one tally."""
    result = next(tallies)
    for tally in tallies:
        result += tally
    return result


def _one_batch(
    models: Mapping[str, nn.Module],
    attacks: Mapping[str, Attack],
    counterpart: Mapping[str, Attack],
    x: Tensor,
    labels: Tensor,
    goal: Goal,
    epsilons: Sequence[float],
    effective: Sequence[float],
) -> Tally:
    aims = {name: attack.aim(models[name], x, goal) for name, attack in attacks.items()}
    clean = {
        name: (aims[name].logits if name in aims else judge(model, x)).argmax(1)
        for name, model in models.items()
    }
    correct = {name: predicted == labels for name, predicted in clean.items()}
    targeted = goal.targeted
    # Algorithm 1 counts changes of the judge's own answer, wherever that began.
    unreached = {
        name: predicted != goal.loss_labels if targeted else torch.ones_like(labels).bool()
        for name, predicted in clean.items()
    }
    success: dict[str, tuple[int, ...]] = {}
    escalated: dict[str, tuple[int, ...]] = {}
    distortion: dict[str, tuple[tuple[float, ...], ...]] = {}
    passes: dict[str, list[tuple[int, int]]] = {name: [] for name in aims}
    asked = any(epsilon > 0.0 for epsilon in epsilons)
    zero = {name: torch.full_like(labels, asked, dtype=torch.bool) for name in aims}
    for craft, aim in aims.items():
        # Its line 2 takes the crafting model's own answer for Y; that differs from the label,
        # and so does the gradient, only where the model is wrong.
        wrong = torch.nonzero(~correct[craft]).flatten()
        redo = not targeted and len(wrong) > 0
        if redo:
            own_goal = Untargeted(clean[craft][wrong])
            own_aim = attacks[craft].aim(models[craft], x[wrong], own_goal)
        hits: dict[str, list[int]] = {name: [] for name in models}
        flips: dict[str, list[Tensor]] = {name: [] for name in models}
        moved: list[tuple[float, ...]] = []
        for epsilon in epsilons:
            spent = aim.spend(epsilon, x)
            images = spent.raw.clamp(0.0, 1.0)
            forward, backward = _sum_of(spent.forward + 1, len(x)), _sum_of(spent.backward, len(x))
            passes[craft].append((forward, backward))
            zero[craft] &= spent.zero_gradient | (epsilon == 0.0)  # where no gradient is asked for
            own_images = images[:0]
            if redo:
                own_images = own_aim.spend(epsilon, x[wrong]).raw.clamp(0.0, 1.0)
            for name, model in models.items():
                logits = judge(model, torch.cat([images, own_images]), batch_size=len(images))
                reached = goal.is_adversarial(logits[: len(images)])
                hits[name].append(int((reached & correct[name]).sum()))
                answers = logits[: len(images)].argmax(1)
                if redo:
                    answers[wrong] = logits[len(images) :].argmax(1)
                flips[name].append(reached if targeted else answers != clean[name])
                if name == craft:
                    counted = reached & correct[name]
                    moved.append(_distortion(images[counted], x[counted]))
        distortion[craft] = tuple(moved)
        for name in models:
            success[f"{craft}_{name}"] = tuple(hits[name])
            flipped = cumulative(torch.stack(flips[name])) & unreached[name]
            escalated[f"{craft}_{name}"] = tuple(flipped.sum(1).tolist())
    adaptive = {}
    for name, attack in counterpart.items():
        beside = attack.aim(models[name], x, goal)
        adaptive[name] = tuple(
            int((goal.is_adversarial(judge(models[name], images)) & correct[name]).sum())
            for images in (beside.spend(epsilon, x).raw.clamp(0.0, 1.0) for epsilon in epsilons)
        )
    return Tally(
        epsilons=tuple(epsilons),
        effective_epsilons=tuple(effective),
        samples=len(x),
        correct={name: int(right.sum()) for name, right in correct.items()},
        escalated_total={name: int(mask.sum()) for name, mask in unreached.items()},
        zero_gradient={name: int(mask.sum()) for name, mask in zero.items()},
        success=success,
        success_escalated=escalated,
        distortion=distortion,
        forward={name: tuple(f for f, _ in rows) for name, rows in passes.items()},
        backward={name: tuple(b for _, b in rows) for name, rows in passes.items()},
        adaptive=adaptive,
    )


def _sum_of(count: int | Tensor, examples: int) -> int:
    return int(count.sum()) if isinstance(count, Tensor) else count * examples


def _distortion(images: Tensor, originals: Tensor) -> tuple[float, ...]:
    """Sums of L0, L1, L2 and L∞ over the images.

    In units of 2^-24, so that float64 adds them exactly and batches may be cut in any way.
    """
    orders: tuple[Norm, ...] = ("l0", "l2", "linf")
    l0, l2, linf = (distances(images, originals, norm) for norm in orders)
    l1 = (images.double() - originals.double()).abs().flatten(1).sum(1)
    unit = 2.0**24
    return tuple(float((d * unit).round().sum() / unit) for d in (l0, l1, l2, linf))
