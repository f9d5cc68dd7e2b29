"""The attacks of torchattacks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from tests.clients.libraries.attempts import Case, Victim
from tests.clients.libraries.budgets import budget

EPSILON = 20 / 255

#: Budgets of single attacks. JSMA's gamma bounds its steps; SparseFool's DeepFool is bounded below.
OWN: dict[str, dict[str, Any]] = {
    "JSMA": {"theta": 1.0, "gamma": 0.03},
    "AutoAttack": {"eps": 0.5},
}
#: What has no place in the list, and why.
NO_CASE = {"LGV": "trains the weights of the network that it is given; a program has none to train"}
HOW = {
    "AutoAttack": "at ε = 0.5, where its first member suffices; "
    "`tests/clients/test_torchattacks.py` runs all four",
    "MultiAttack": "of FGSM and PGD",
}


def cases() -> Iterator[Case]:
    """Classes that torchattacks exports as attacks, in alphabetical order."""
    import torchattacks
    from torchattacks.attack import Attack

    for name, kind in sorted(vars(torchattacks).items()):
        if not (inspect.isclass(kind) and issubclass(kind, Attack)) or kind is Attack:
            continue
        if name not in NO_CASE:
            yield Case("torchattacks", name, _run(name, kind), HOW.get(name, ""))


def _run(name: str, kind: Any) -> Callable[[Victim], Tensor]:
    def run(victim: Victim) -> Tensor:
        found: Tensor = _build(name, kind, victim)(victim.images.clone(), victim.labels)
        return found.detach()

    return run


def _build(name: str, kind: Any, victim: Victim) -> Any:
    import torchattacks

    if name == "MultiAttack":
        members = [torchattacks.FGSM(victim.model), torchattacks.PGD(victim.model, steps=3)]
        return torchattacks.MultiAttack(members)
    more = {"eps": EPSILON} if "Linf" in str(inspect.signature(kind)) else {}
    attack = kind(victim.model, **budget(kind, **{**more, **OWN.get(name, {})}))
    if name == "SparseFool":
        attack.deepfool.steps = 3
    return attack
