"""What SafeCompress ends with: how good and how safe its network is, in float and on the engine.

Attackers and samples are those of the judge, whom the training has never met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hwsim.attacks.membership.attack import MembershipTarget, attack
from hwsim.attacks.membership.learned import Kind
from hwsim.attacks.membership.records import Records
from hwsim.attacks.membership.seen import observe
from hwsim.engine.module import Engine
from hwsim.models import zoo
from hwsim.networks.open import open_network, place
from hwsim.runs.membership.views import engine_records
from hwsim.training.sparse.sides import Sides

#: By whom every network is attacked, and through what he sees it.
ATTACKERS: tuple[Kind, ...] = ("bmia", "wmia", "mmia")
#: Epochs of an attacker; which one counts is chosen on samples that are not judged.
EPOCHS = 30
#: Widths of the engines beside float.
BITS = (8, 4)

#: (what is being done).
OnPart = Callable[[str], None]


def judged(
    name: str,
    pair: Sides,
    *,
    bits: Sequence[int] | None = None,
    epochs: int | None = None,
    seed: int = 0,
    on_part: OnPart = lambda what: None,
) -> dict[str, Any]:
    """Attack a saved network in float and on engines.

    Parameters
    ----------
    name : str
        Of the zoo, or the path of what ``hwsim safecompress`` wrote.
    pair : Sides
        ``TargetData.judge``: each attacker learns on a half of both sides and is judged on the
        other.
    bits : sequence of int, optional
        Widths of engines; BITS where not given.
    epochs : int, optional
        Of the attackers; EPOCHS where not given.
    seed : int
        Of the attackers.
    on_part : callable
        Told what comes next.

    Returns
    -------
    dict
        ``float`` and each width as text -> ``task`` accuracy on the non-members, ``members``, that
        on the members, and by attacker ``accuracy``, ``auc`` and what else
        ``MembershipRates.facts`` has.
    """
    found: dict[str, Any] = {}
    module = zoo.load(*place(name))
    for width in (None, *(BITS if bits is None else bits)):
        machine = "float" if width is None else str(width)
        on_part(f"{machine}: answers")
        sides = (pair.members, pair.others)
        if width is None:
            seen = [observe(module, side.images, side.labels, "white") for side in sides]
        else:
            engine = Engine(open_network(name, None, width).program)
            seen = [engine_records(engine, x.images, x.labels, white=True) for x in sides]
        members, others = seen
        target = MembershipTarget(members, others, seed=seed, epochs=epochs or EPOCHS)
        row: dict[str, Any] = {"task": _share(others), "members": _share(members)}
        for kind in ATTACKERS:
            on_part(f"{machine}: {kind}")
            row[kind] = attack(f"mia-{kind}", target).judged.facts()
        found[machine] = row
    return found


def _share(records: Records) -> float:
    return float(records.correct.double().mean())
