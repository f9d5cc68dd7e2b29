"""Attacks and transforms by name: the one place that finds their classes and makes them.

Nothing here imports torch, so that listing names stays quick; what is made is imported then.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hwsim.attacks.core.errors import AttackError

if TYPE_CHECKING:
    from hwsim.attacks.core.base import Attack
    from hwsim.attacks.transforms import Transform

#: Name -> class, as ``module:Class``.
ATTACKS = {
    "fgsm": "hwsim.attacks.fgsm:FGSM",
    "hfgsm": "hwsim.attacks.fgsm:HFGSM",
    "bim": "hwsim.attacks.pgd:BIM",
    "pgd": "hwsim.attacks.pgd:PGD",
    "apgd": "hwsim.attacks.apgd:APGD",
    "apgd-t": "hwsim.attacks.apgd:APGDT",
    "mifgsm": "hwsim.attacks.mifgsm:MIFGSM",
    "sfgrm": "hwsim.attacks.sfgrm:SFGRM",
    "jsma": "hwsim.attacks.jsma:JSMA",
    "hjsma": "hwsim.attacks.jsma:HJSMA",
    "cw-l2": "hwsim.attacks.cw_l2:CWL2",
    "cw-l0": "hwsim.attacks.cw_l0:CWL0",
    "cw-linf": "hwsim.attacks.cw_linf:CWLinf",
    "fmn": "hwsim.attacks.fmn:FMN",
    "ddn": "hwsim.attacks.ddn:DDN",
    "sigma-zero": "hwsim.attacks.sigma_zero:SigmaZero",
    "alma": "hwsim.attacks.alma:ALMA",
    "fab": "hwsim.attacks.fab:FAB",
    "autoattack": "hwsim.attacks.autoattack:AutoAttack",
    "square": "hwsim.attacks.square:Square",
    "decision": "hwsim.attacks.decision:HopSkipJump",
    "noise": "hwsim.attacks.random_noise:RandomNoise",
}
#: What the iterated attacks may differentiate through, outermost first.
TRANSFORMS = {
    "ni": "hwsim.attacks.transforms:Nesterov",
    "tim": "hwsim.attacks.transforms:Smoothed",
    "sim": "hwsim.attacks.transforms:Scales",
    "dim": "hwsim.attacks.transforms:Diverse",
}


def attack_class(name: str) -> type[Attack]:
    """The class behind a name of ATTACKS. Raises AttackError for any other name."""
    found: type[Attack] = _class(name, ATTACKS, "attack")
    return found


def make_attack(name: str, **options: Any) -> Attack:
    """The attack called ``name``.

    Parameters
    ----------
    name : str
        A key of ATTACKS.
    **options
        Arguments of its constructor; ``transforms`` may be names.

    Raises
    ------
    AttackError
        For an unknown name, and for options that make no sense.
    """
    if isinstance(transforms := options.get("transforms"), Sequence):
        made = [make_transform(t) if isinstance(t, str) else t for t in transforms]
        options["transforms"] = made
    return attack_class(name)(**options)


def make_transform(name: str) -> Transform:
    """The transform called ``name``. Raises AttackError for one that is not in TRANSFORMS."""
    made: Transform = _class(name, TRANSFORMS, "transform")()
    return made


def _class(name: str, table: dict[str, str], what: str) -> Any:
    if name not in table:
        raise AttackError(f"unknown {what} {name!r}: choose from {', '.join(table)}")
    module, _, found = table[name].partition(":")
    return getattr(import_module(module), found)
