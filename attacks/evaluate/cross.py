"""How often an attack succeeds: crafted on one model, judged by another, with its denominator."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Aim, Attack, Progress, judge
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
    inputs, rising = as_inputs(inputs), as_epsilons(epsilons)
    check_batch_size(batch_size)
    check_schedule(rising)
    labels = as_labels(labels, "labels")
    check_labels(labels, len(inputs), "labels")
    goal: Goal = Untargeted(labels)
    if targets is not None:
        goal = Targeted(as_labels(targets, "targets"), labels)
    goal.check(len(inputs))
    crossing = _crossing(models, attack, rising, judge_only, counterpart or {})
    if start % batch_size or not 0 <= start < len(inputs):
        raise AttackError(f"start must be a multiple of {batch_size} below {len(inputs)}")
    space = next(iter(crossing.attacks.values())).space

    def batches() -> Iterator[Tally]:
        for first in range(start, len(inputs), batch_size):
            part = slice(first, first + batch_size)
            yield crossing.batch(space.snap(inputs[part]), labels[part], goal[part])
            if progress is not None:
                progress(min(first + batch_size, len(inputs)), len(inputs))

    return batches()


def _crossing(
    models: Mapping[str, nn.Module],
    attack: Attack | Mapping[str, Attack],
    epsilons: Sequence[float],
    judge_only: Sequence[str],
    counterpart: Mapping[str, Attack],
) -> _Crossing:
    """AttackError where the attacks do not fit the models or each other."""
    unknown = [name for name in judge_only if name not in models]
    crafters = [name for name in models if name not in judge_only]
    if unknown or not crafters:
        raise AttackError(f"models to craft on: {crafters}; unknown in judge_only: {unknown}")
    attacks = dict(attack) if isinstance(attack, Mapping) else dict.fromkeys(crafters, attack)
    if missing := [name for name in crafters if name not in attacks]:
        raise AttackError(f"no attack given for crafting on {', '.join(missing)}")
    if unknown := [name for name in counterpart if name not in crafters]:
        raise AttackError(f"a counterpart for {unknown[0]}, which crafts nothing")
    used = {name: attacks[name] for name in crafters}
    first, *others = [*used.values(), *counterpart.values()]
    if any(one.space != first.space or one.norm != first.norm for one in others):
        raise AttackError(
            "all attacks must use the same grid and norm, or their numbers do not compare"
        )
    effective = tuple(first.effective(epsilon) for epsilon in epsilons)
    return _Crossing(models, used, dict(counterpart), tuple(epsilons), effective)


def total(tallies: Iterator[Tally]) -> Tally:
    """The sum of at least one tally."""
    result = next(tallies)
    for tally in tallies:
        result += tally
    return result


@dataclass(frozen=True)
class _Crossing:
    """Who attacks whom, and how: what every batch of a cross evaluation shares.

    attacks, counterpart: by name of the crafting model.
    """

    models: Mapping[str, nn.Module]
    attacks: Mapping[str, Attack]
    counterpart: Mapping[str, Attack]
    epsilons: tuple[float, ...]
    effective: tuple[float, ...]

    def batch(self, inputs: Tensor, labels: Tensor, goal: Goal) -> Tally:
        """The Tally of some inputs (N, C, H, W), on the grid."""
        aims = {
            name: one.aim(self.models[name], inputs, goal) for name, one in self.attacks.items()
        }
        logits = {
            name: aims[name].logits if name in aims else judge(model, inputs)
            for name, model in self.models.items()
        }
        clean = {name: _Clean.of(answer, labels, goal) for name, answer in logits.items()}
        batch = _Batch(inputs, goal, clean)
        crafted = {name: self._craft(name, aim, batch) for name, aim in aims.items()}
        adaptive = {name: self._adaptive(name, batch) for name in self.counterpart}
        return _merged(self, batch, crafted, adaptive)

    def _craft(self, craft: str, aim: Aim, batch: _Batch) -> _Crafted:
        """Every ε of one crafting model, judged by every model."""
        own = self._own(craft, batch)
        return _Crafted.of([self._at(epsilon, craft, aim, own, batch) for epsilon in self.epsilons])

    def _own(self, craft: str, batch: _Batch) -> _Own | None:
        """Algorithm 1's line 2 takes the crafting model's own answer for Y.

        That differs from the label, and so does the gradient, only where the model is wrong.
        """
        wrong = torch.nonzero(~batch.clean[craft].correct).flatten()
        if batch.goal.targeted or not len(wrong):
            return None
        x, goal = batch.inputs[wrong], Untargeted(batch.clean[craft].answers[wrong])
        return _Own(wrong, x, self.attacks[craft].aim(self.models[craft], x, goal))

    def _at(self, epsilon: float, craft: str, aim: Aim, own: _Own | None, batch: _Batch) -> _Judged:
        """One ε of one crafting model, judged by every model."""
        x = batch.inputs
        spent = aim.spend(epsilon, x)
        images = spent.raw.clamp(0.0, 1.0)
        more = own.aim.spend(epsilon, own.inputs).raw.clamp(0.0, 1.0) if own else images[:0]
        hits: dict[str, Tensor] = {}
        flips: dict[str, Tensor] = {}
        for name, model in self.models.items():
            logits = judge(model, torch.cat([images, more]), batch_size=len(images))
            mine, redone = logits[: len(images)], logits[len(images) :]
            reached, answers = batch.goal.is_adversarial(mine), mine.argmax(1)
            if own:
                answers[own.where] = redone.argmax(1)
            clean = batch.clean[name]
            hits[name] = reached & clean.correct
            changed = reached if batch.goal.targeted else answers != clean.answers
            flips[name] = changed & clean.unreached
        return _Judged(
            hits,
            flips,
            distortion=_distortion(images[hits[craft]], x[hits[craft]]),
            forward=_sum_of(spent.forward + 1, len(x)),
            backward=_sum_of(spent.backward, len(x)),
            # None where no gradient is asked for.
            zero_gradient=spent.zero_gradient if epsilon > 0.0 else None,
        )

    def _adaptive(self, name: str, batch: _Batch) -> tuple[int, ...]:
        """Successes of the counterpart attack on the model that it is crafted on, per ε."""
        model, correct = self.models[name], batch.clean[name].correct
        aim = self.counterpart[name].aim(model, batch.inputs, batch.goal)
        found = (aim.spend(e, batch.inputs).raw.clamp(0.0, 1.0) for e in self.epsilons)
        reached = (batch.goal.is_adversarial(judge(model, images)) for images in found)
        return tuple(int((one & correct).sum()) for one in reached)


@dataclass(frozen=True)
class _Clean:
    """What one judge says of the unperturbed inputs, (N,) each.

    unreached: inputs that Algorithm 1 counts. Untargeted it counts changes of the judge's own
    answer, wherever that began: all of them.
    """

    answers: Tensor
    correct: Tensor
    unreached: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor, goal: Goal) -> _Clean:
        """From (N, classes) logits."""
        answers = logits.argmax(1)
        everything = torch.ones_like(labels, dtype=torch.bool)
        unreached = answers != goal.loss_labels if goal.targeted else everything
        return cls(answers, answers == labels, unreached)


@dataclass(frozen=True)
class _Batch:
    """Inputs (N, C, H, W) on the grid, what is wanted of them, and each judge's clean answers."""

    inputs: Tensor
    goal: Goal
    clean: dict[str, _Clean]


@dataclass(frozen=True)
class _Own:
    """The attack away from the crafting model's own answers, ``where`` (K,) they are wrong."""

    where: Tensor
    inputs: Tensor
    aim: Aim


@dataclass(frozen=True)
class _Judged:
    """One ε of one crafting model. hits, flips: (N,) bool by judge, single ε and Algorithm 1."""

    hits: dict[str, Tensor]
    flips: dict[str, Tensor]
    distortion: tuple[float, ...]
    forward: int
    backward: int
    zero_gradient: Tensor | None


@dataclass(frozen=True)
class _Crafted:
    """All ε of one crafting model, as a Tally has them; success and escalated by judge."""

    success: dict[str, tuple[int, ...]]
    escalated: dict[str, tuple[int, ...]]
    distortion: tuple[tuple[float, ...], ...]
    forward: tuple[int, ...]
    backward: tuple[int, ...]
    zero_gradient: int

    @classmethod
    def of(cls, steps: Sequence[_Judged]) -> _Crafted:
        """From one step per ε, rising."""
        judges = steps[0].hits
        escalated = {by: cumulative(torch.stack([s.flips[by] for s in steps])) for by in judges}
        zeros = [s.zero_gradient for s in steps if s.zero_gradient is not None]
        return cls(
            success={by: tuple(int(s.hits[by].sum()) for s in steps) for by in judges},
            escalated={by: tuple(reached.sum(1).tolist()) for by, reached in escalated.items()},
            distortion=tuple(s.distortion for s in steps),
            forward=tuple(s.forward for s in steps),
            backward=tuple(s.backward for s in steps),
            zero_gradient=int(torch.stack(zeros).all(0).sum()) if zeros else 0,
        )


def _merged(
    crossing: _Crossing,
    batch: _Batch,
    crafted: Mapping[str, _Crafted],
    adaptive: dict[str, tuple[int, ...]],
) -> Tally:
    pairs = [(craft, by) for craft in crafted for by in batch.clean]
    return Tally(
        epsilons=crossing.epsilons,
        effective_epsilons=crossing.effective,
        samples=len(batch.inputs),
        correct={name: int(clean.correct.sum()) for name, clean in batch.clean.items()},
        escalated_total={name: int(clean.unreached.sum()) for name, clean in batch.clean.items()},
        zero_gradient={name: one.zero_gradient for name, one in crafted.items()},
        success={f"{craft}_{by}": crafted[craft].success[by] for craft, by in pairs},
        success_escalated={f"{craft}_{by}": crafted[craft].escalated[by] for craft, by in pairs},
        distortion={name: one.distortion for name, one in crafted.items()},
        forward={name: one.forward for name, one in crafted.items()},
        backward={name: one.backward for name, one in crafted.items()},
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
