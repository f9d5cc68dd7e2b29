"""The attacks of Foolbox."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tests.clients.libraries.attempts import Case, Victim
from tests.clients.libraries.budgets import budget

EPSILON = 200 / 255
#: What has no place in the list, and why.
NO_CASE: dict[str, str] = {}
#: One attack in four norms, each of which numba compiles for half a minute in every process. The
#: test runs one, ``L2BrendelBethgeAttack``.
COMPILES = {"L0BrendelBethgeAttack", "L1BrendelBethgeAttack", "LinfinityBrendelBethgeAttack"}


def cases() -> Iterator[Case]:
    """Concrete subclasses of Foolbox's Attack that its module of attacks exports, each once."""
    import foolbox
    from foolbox.attacks.base import Attack

    seen: set[type] = set()
    for name, kind in sorted(vars(foolbox.attacks).items()):
        if not (inspect.isclass(kind) and issubclass(kind, Attack)) or inspect.isabstract(kind):
            continue
        if kind in seen or name in NO_CASE:
            continue  # a second name of the same attack
        seen.add(kind)
        yield Case("Foolbox", name, _run(kind), _how(kind), name in COMPILES)


def _starts(kind: Any) -> bool:
    """Whether it is told where to start: an adversarial image for each.

    L0FMNAttack can be told too, but takes the points unwrapped and stops at an eagerpy function.
    """
    return (
        kind.__name__ != "L0FMNAttack"
        and "starting_points" in inspect.signature(kind.run).parameters
    )


def _how(kind: Any) -> str:
    """In words, what ``_run`` gives beyond a model, images and labels."""
    said = []
    if _starts(kind):
        said.append("`starting_points`")
    if kind.__name__ == "DatasetAttack":
        said.append("fed with images")
    if kind.__name__ == "GenAttack":
        said.append("targeted")
    if kind.__name__ == "BinarizationRefinementAttack":
        said.append("a threshold before the model, for which it is made")
    if kind.__name__.startswith("L0"):
        said.append("`epsilons=None`: it does not project")
    return ", ".join(said)


class _Binary(nn.Module):
    """Pixels of 0.5 and more become 1, the others 0."""

    def forward(self, x: Tensor) -> Tensor:
        return (x >= 0.5).to(x.dtype)


def _run(kind: Any) -> Callable[[Victim], Tensor]:
    def run(victim: Victim) -> Tensor:
        import foolbox

        inner = victim.model
        if kind.__name__ == "BinarizationRefinementAttack":
            inner = nn.Sequential(_Binary(), inner)
        model = foolbox.PyTorchModel(inner, bounds=(0, 1), device="cpu")
        attack = kind(**budget(kind, distance=foolbox.distances.l2))
        if kind.__name__ == "DatasetAttack":
            attack.feed(model, victim.others)
        criterion: Any = foolbox.criteria.Misclassification(victim.labels)
        if kind.__name__ == "GenAttack":
            criterion = foolbox.criteria.TargetedMisclassification(victim.targets)
        more = {"starting_points": victim.others} if _starts(kind) else {}
        epsilons = None if kind.__name__.startswith("L0") else EPSILON
        _, clipped, _ = attack(model, victim.images, criterion, epsilons=epsilons, **more)
        return torch.as_tensor(clipped)

    return run
