"""What an attack may spend: a largest change (L∞), an L2 or L1 radius, a number of values (L0).

Every budget is called ε, as in Foolbox, and ``Attack.norm`` says in which norm it is measured.
"""

from __future__ import annotations

import math
from typing import Literal

from hwsim.attacks.core.checks import as_number
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Continuous, Space

Norm = Literal["linf", "l2", "l1", "l0"]

#: p of each norm, for torch.linalg.vector_norm.
ORDERS: dict[Norm, float] = {"linf": math.inf, "l2": 2.0, "l1": 1.0, "l0": 0.0}


def effective(norm: Norm, space: Space, epsilon: float) -> float:
    """The ε that is really applied; AttackError for one that makes no sense in this norm.

    linf: whole steps of the grid, 0 < ε <= 1. l2, l1: any ε > 0, on a grid from one step on, for
    less changes nothing. l0: a whole number >= 1 of values (channels counted apart). A minimizing
    attack may also be given inf: whatever it found.
    """
    epsilon = as_number(epsilon, "epsilon")
    if norm == "linf":
        return space.effective(epsilon)
    if not epsilon > 0.0:  # NaN too
        raise AttackError(f"a budget in {norm} must be above 0, got {epsilon}")
    if norm == "l0" and epsilon != math.inf and epsilon != int(epsilon):
        raise AttackError(f"a budget in l0 is a whole number of values, got {epsilon}")
    if norm in ("l2", "l1") and not isinstance(space, Continuous) and epsilon < space.span:
        space.step(epsilon)  # refused if below one
    return float(epsilon)
