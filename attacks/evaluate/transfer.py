"""Whether images crafted on one model fool the others: a grey-box attacker's success."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Attack, Progress, judge
from hwsim.attacks.core.checks import as_epsilons, as_inputs, check_batch_size, check_labels
from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Grid, Space
from hwsim.attacks.core.labels import Labels, as_labels

#: Where 8-bit pixels lie.
PIXELS = Grid(255)


@dataclass(frozen=True)
class Transferred:
    """Images crafted on one model, counted on all.

    success: judge -> one count per ε of inputs that the judge gets right unattacked and wrong
    attacked. zero_gradient: per ε, inputs on which the crafting model never gave a gradient.
    backward: passes of the crafting model for each input, a mean over inputs and ε.
    """

    success: dict[str, list[int]]
    zero_gradient: list[int]
    backward: float


def correct(
    models: Mapping[str, nn.Module],
    inputs: Tensor,
    labels: Labels,
    *,
    space: Space = PIXELS,
    batch_size: int = 256,
) -> dict[str, Tensor]:
    """(N,) bool per model: which of the (gridded) inputs it classifies as labelled.

    space: where the inputs lie.
    """
    inputs, labels = as_inputs(inputs, space), as_labels(labels, "labels")
    check_labels(labels, len(inputs), "labels")
    return {
        name: judge(model, inputs, batch_size=batch_size).argmax(1) == labels
        for name, model in models.items()
    }


def transfer(
    models: Mapping[str, nn.Module],
    inputs: Tensor,
    labels: Labels,
    *,
    crafted_on: str,
    attack: Attack,
    epsilons: Iterable[float],
    right: Mapping[str, Tensor] | None = None,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> Transferred:
    """Craft untargeted images on ``models[crafted_on]`` and count them on every model.

    inputs: snapped to the attack's grid first. right: what ``correct`` gave for these inputs;
    computed if absent. Attacks with ``early_exit`` stop at the crafting model's own boundary and
    transfer badly, so give them without. progress: (images done, in all). Raises AttackError.
    """
    inputs, labels = as_inputs(inputs, attack.space), as_labels(labels, "labels")
    check_labels(labels, len(inputs), "labels")
    epsilons = as_epsilons(epsilons)
    check_batch_size(batch_size)
    if crafted_on not in models:
        raise AttackError(f"no model {crafted_on!r} to craft on: {', '.join(models)}")
    inputs = attack.space.snap(inputs)
    right = correct(models, inputs, labels, space=attack.space) if right is None else right
    success = {name: [0] * len(epsilons) for name in models}
    zeros, passes = [0] * len(epsilons), 0
    for start in range(0, len(inputs), batch_size):
        batch = slice(start, start + batch_size)
        goal = Untargeted(labels[batch])
        results = attack.sweep(
            models[crafted_on], inputs[batch], goal, epsilons=epsilons, batch_size=batch_size
        )
        for i, result in enumerate(results):
            zeros[i] += int(result.zero_gradient.sum())
            passes += int(result.backward.sum())
            for name, model in models.items():
                fooled = result.success
                if name != crafted_on:
                    logits = judge(model, result.adversarial, batch_size=batch_size)
                    fooled = goal.is_adversarial(logits)
                success[name][i] += int((fooled & right[name][batch]).sum())
        if progress is not None:
            progress(min(start + batch_size, len(inputs)), len(inputs))
    return Transferred(success, zeros, passes / len(inputs) / len(epsilons))


def off_diagonal(rates: Tensor, groups: Sequence[str]) -> float:
    """Mean of (models, models) rates whose crafting and judging models are of different groups.

    NaN where there is only one group.
    """
    apart = torch.tensor([[a != b for b in groups] for a in groups])
    return float(rates[apart].mean())
