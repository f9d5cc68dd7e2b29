"""Every model crafts, every model judges: how often what fools one of them fools another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Aim, Attack, Progress, judge
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
from hwsim.attacks.evaluate.crafted import (
    Batch,
    Clean,
    Crafted,
    Judged,
    OwnAnswers,
    distortion,
    passes,
)
from hwsim.attacks.evaluate.tally import Tally


@dataclass(frozen=True)
class Crossing:
    """Who attacks whom, and how: what every batch of a cross evaluation shares. See ``of``.

    models: by name, all of them judge. attacks: by name of the crafting models. counterpart: by
    name of some of these. epsilons: rising; effective: what is really applied of each.
    """

    models: Mapping[str, nn.Module]
    attacks: Mapping[str, Attack]
    counterpart: Mapping[str, Attack]
    epsilons: tuple[float, ...]
    effective: tuple[float, ...]

    @classmethod
    def of(
        cls,
        models: Mapping[str, nn.Module],
        attack: Attack | Mapping[str, Attack],
        epsilons: Iterable[float],
        *,
        judge_only: Sequence[str] = (),
        counterpart: Mapping[str, Attack] | None = None,
    ) -> Crossing:
        """From what a caller has.

        models: by name, e.g. {"float": …, "engine": …}. attack: one for all, or one per crafting
        model (they may differ in loss, not in space). epsilons: rising, 0 for no attack.
        judge_only: models without a gradient, such as the RTL. counterpart: by name of a crafting
        model, the adaptive attack whose success stands beside that of a naive one; it is judged by
        the model it is crafted on. Raises AttackError where the attacks do not fit the models or
        each other.
        """
        rising = as_epsilons(epsilons)
        check_schedule(rising)
        unknown = [name for name in judge_only if name not in models]
        crafters = [name for name in models if name not in judge_only]
        if unknown or not crafters:
            raise AttackError(f"models to craft on: {crafters}; unknown in judge_only: {unknown}")
        attacks = dict(attack) if isinstance(attack, Mapping) else dict.fromkeys(crafters, attack)
        adaptive = dict(counterpart or {})
        if missing := [name for name in crafters if name not in attacks]:
            raise AttackError(f"no attack given for crafting on {', '.join(missing)}")
        if unknown := [name for name in adaptive if name not in crafters]:
            raise AttackError(f"a counterpart for {unknown[0]}, which crafts nothing")
        used = {name: attacks[name] for name in crafters}
        first, *others = [*used.values(), *adaptive.values()]
        if any(one.space != first.space or one.norm != first.norm for one in others):
            raise AttackError(
                "all attacks must use the same grid and norm, or their numbers do not compare"
            )
        effective = tuple(first.effective(epsilon) for epsilon in rising)
        return cls(models, used, adaptive, tuple(rising), effective)

    def batch(self, inputs: Tensor, labels: Tensor, goal: Goal) -> Tally:
        """The Tally of some inputs (N, C, H, W), on the grid."""
        aims = {
            name: one.aim(self.models[name], inputs, goal) for name, one in self.attacks.items()
        }
        logits = {
            name: aims[name].logits if name in aims else judge(model, inputs)
            for name, model in self.models.items()
        }
        clean = {name: Clean.of(answer, labels, goal) for name, answer in logits.items()}
        batch = Batch(inputs, goal, clean)
        crafted = {name: self._craft(name, aim, batch) for name, aim in aims.items()}
        adaptive = {name: self._adaptive(name, batch) for name in self.counterpart}
        return _merged(self, batch, crafted, adaptive)

    def _craft(self, craft: str, aim: Aim, batch: Batch) -> Crafted:
        """Every ε of one crafting model, judged by every model."""
        own = self._own(craft, batch)
        return Crafted.of([self._at(epsilon, craft, aim, own, batch) for epsilon in self.epsilons])

    def _own(self, craft: str, batch: Batch) -> OwnAnswers | None:
        """Algorithm 1's line 2 takes the crafting model's own answer for Y.

        That differs from the label, and so does the gradient, only where the model is wrong.
        """
        wrong = torch.nonzero(~batch.clean[craft].correct).flatten()
        if batch.goal.targeted or not len(wrong):
            return None
        x, goal = batch.inputs[wrong], Untargeted(batch.clean[craft].answers[wrong])
        return OwnAnswers(wrong, x, self.attacks[craft].aim(self.models[craft], x, goal))

    def _at(
        self, epsilon: float, craft: str, aim: Aim, own: OwnAnswers | None, batch: Batch
    ) -> Judged:
        """One ε of one crafting model, judged by every model."""
        x = batch.inputs
        spent = aim.spend(epsilon, x)
        clip = self.attacks[craft].space.clip
        images = clip(spent.raw)
        more = clip(own.aim.spend(epsilon, own.inputs).raw) if own else images[:0]
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
        return Judged(
            hits,
            flips,
            distortion=distortion(images[hits[craft]], x[hits[craft]]),
            forward=passes(spent.forward + 1, len(x)),
            backward=passes(spent.backward, len(x)),
            # None where no gradient is asked for.
            zero_gradient=spent.zero_gradient if epsilon > 0.0 else None,
        )

    def _adaptive(self, name: str, batch: Batch) -> tuple[int, ...]:
        """Successes of the counterpart attack on the model that it is crafted on, per ε."""
        model, correct = self.models[name], batch.clean[name].correct
        attack = self.counterpart[name]
        aim = attack.aim(model, batch.inputs, batch.goal)
        found = (attack.space.clip(aim.spend(e, batch.inputs).raw) for e in self.epsilons)
        reached = (batch.goal.is_adversarial(judge(model, images)) for images in found)
        return tuple(int((one & correct).sum()) for one in reached)


def cross_evaluate(
    crossing: Crossing,
    inputs: Tensor,
    labels: Labels,
    *,
    targets: Labels | None = None,
    batch_size: int = 256,
    start: int = 0,
    progress: Progress | None = None,
) -> Iterator[Tally]:
    """Every model crafts, every model judges; yields the Tally of one batch after the other.

    inputs: as the attacks' space has them. labels, targets (of targeted attacks): (N,) classes.
    start: inputs done by an earlier run, a multiple of batch_size; add its tally yourself. Sum
    with ``tally.total``. Raises AttackError at once for arguments that make no sense.
    """
    space = next(iter(crossing.attacks.values())).space
    inputs = as_inputs(inputs, space)
    check_batch_size(batch_size)
    labels = as_labels(labels, "labels")
    check_labels(labels, len(inputs), "labels")
    goal: Goal = Untargeted(labels)
    if targets is not None:
        goal = Targeted(as_labels(targets, "targets"), labels)
    goal.check(len(inputs))
    if start % batch_size or not 0 <= start < len(inputs):
        raise AttackError(f"start must be a multiple of {batch_size} below {len(inputs)}")

    def batches() -> Iterator[Tally]:
        for first in range(start, len(inputs), batch_size):
            part = slice(first, first + batch_size)
            yield crossing.batch(space.snap(inputs[part]), labels[part], goal[part])
            if progress is not None:
                progress(min(first + batch_size, len(inputs)), len(inputs))

    return batches()


def _merged(
    crossing: Crossing,
    batch: Batch,
    crafted: Mapping[str, Crafted],
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
