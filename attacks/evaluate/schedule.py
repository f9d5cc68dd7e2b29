"""Algorithm 1 of Liu et al. 2018: raise the budget until the inference flips.

Line by line, for an input X: Y <- O(X), the model's *own* prediction (line 2); the gradient once,
at X (line 3, outside the loop); X* = X + δ with the current ε (lines 4-5); Y* <- O(X*); if Y = Y*
and ε is below its bound, raise ε and go to line 4, else count a success (line 13). So the success
at a bound is cumulative over all smaller budgets, and an input that the model misclassifies from
the start is attacked too. Success at a single ε, counted against the labels of correctly
classified inputs, is another number: evaluate.py gives both under their own names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwsim.attacks.core import base
from hwsim.attacks.core.checks import as_epsilons, as_inputs, check_batch_size, check_labels
from hwsim.attacks.core.criteria import Goal, Targeted, Untargeted
from hwsim.attacks.core.labels import Labels, as_labels


def cumulative(flipped: Tensor) -> Tensor:
    """(E, N) bool flips per budget, smallest first -> (E, N) bool, flipped at or before it."""
    return flipped.to(torch.int8).cummax(0).values.bool()


@dataclass(frozen=True, eq=False)
class Escalation:
    """Outcome of Algorithm 1 on N examples.

    prediction: (N,) int64, the judge's own Y. epsilon: (N,) float64, the first ε that flipped
    it, NaN if none did. adversarial: (N, C, H, W), the image at that ε, or at the bound.
    success_escalated: successes up to and including each ε, in the order given. judged: (N,)
    images that the judge was asked about, the original included.
    """

    prediction: Tensor
    epsilon: Tensor
    adversarial: Tensor
    success_escalated: list[int]
    judged: Tensor

    @property
    def success(self) -> Tensor:
        """(N,) bool."""
        return ~self.epsilon.isnan()


def escalate(
    attack: base.Attack,
    model: nn.Module,
    inputs: Tensor,
    *,
    epsilons: Iterable[float],
    judge: nn.Module | None = None,
    targets: Labels | None = None,
    batch_size: int = 256,
    progress: base.Progress | None = None,
) -> Escalation:
    """Craft on ``model``, raise ε through ``epsilons`` until ``judge`` (default: model) flips.

    epsilons: in any order, they are raised from the smallest; ε = 0 flips nothing. targets: (N,)
    class indices; then success is a change to the target, which must differ from what ``model``
    predicts. Examples that flipped leave the loop. Raises AttackError.
    """
    inputs, epsilons = as_inputs(inputs, attack.space), as_epsilons(epsilons)
    check_batch_size(batch_size)
    for epsilon in epsilons:
        attack.effective(epsilon)
    rising = sorted({epsilon for epsilon in epsilons if epsilon != 0.0})
    if targets is not None:
        targets = as_labels(targets, "targets")
        check_labels(targets, len(inputs), "targets")
    judge = model if judge is None else judge
    rows = []
    for start in range(0, len(inputs), batch_size):
        batch = slice(start, start + batch_size)
        x = attack.space.snap(inputs[batch])
        prediction = base.judge(judge, x, batch_size=batch_size).argmax(1)
        own = prediction if judge is model else base.judge(model, x).argmax(1)
        goal: Goal = Untargeted(own) if targets is None else Targeted(targets[batch], own)
        aim = attack.aim(model, x, goal)  # line 3
        reached = torch.full((len(x),), float("nan"), dtype=torch.float64)
        images = x.clone()
        judged = torch.ones(len(x), dtype=torch.int64)
        for epsilon in rising:
            left = torch.nonzero(reached.isnan()).flatten()
            if not len(left):
                break
            images[left] = attack.space.clip(aim.at(epsilon)[left])  # lines 4-5
            now = base.judge(judge, images[left], batch_size=batch_size).argmax(1)  # line 6
            done = now != prediction[left]
            if targets is not None:
                done &= now == targets[batch][left]
            reached[left[done]] = epsilon
            judged[left] += 1
        rows.append((prediction, reached, images, judged))
        if progress is not None:
            progress(min(start + batch_size, len(inputs)), len(inputs))
    prediction, reached, images, judged = map(torch.cat, zip(*rows, strict=True))
    counts = [int((reached <= epsilon).sum()) for epsilon in epsilons]  # NaN compares false
    return Escalation(prediction, reached, images, counts, judged)
