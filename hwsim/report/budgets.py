"""What an attack may spend, as a user types it and as reports say it.

In a result every budget is called epsilon, whatever its norm; inf (null in JSON) is no bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwsim.errors import InputError

#: Budget axis, short name and table head by norm.
AXIS = {
    "linf": "ε: largest change of a pixel, as a share of its range",
    "l2": "ε: L2 distance from the original, pixels in 0 … 1",
    "l1": "ε: sum of all changes, pixels in 0 … 1",
    "l0": "ε: number of changed values",
}
NAMES = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "changed values"}
HEAD = {"linf": "ε", "l2": "L2", "l1": "L1", "l0": "values"}
#: What a budget of an input that is no pixels measures.
_WHAT = {
    "linf": "largest change of a value",
    "l2": "L2 distance from the original",
    "l1": "sum of all changes",
}


@dataclass(frozen=True, order=True)
class Budget:
    """A number, or, with ``percent``, a share of an image's values; inf is no bound."""

    value: float
    percent: bool = False

    def resolve(self, values: int) -> float:
        """The ε for images of ``values`` values; InputError for a share that allows no change."""
        if not self.percent:
            return self.value
        # The tolerance takes the 29 that is meant for 28.999999999999996.
        found = math.floor(values * self.value / 100 + 1e-9)
        if found < 1:
            raise InputError(
                f"{self.value:g}% of {values} values allows no change: "
                f"give at least {100 / values:.3g}%"
            )
        return float(found)


def parse(text: str, norm: str, most: float = 1.0) -> tuple[Budget, ...]:
    """``0.1,16/255``, ``0.5,2,inf`` or ``1%,113``; InputError for what makes no sense in the norm.

    linf: 0 … ``most``, the width of the input's range. l2, l1: above 0. l0: whole numbers of
    values, or shares of them in %. A minimizing attack refuses or takes inf by itself.
    """
    parts = [part.strip() for part in text.split(",")]
    if not any(parts):
        raise InputError("give at least one epsilon, such as 0.1,0.3")
    return tuple(_one(part, norm, most) for part in parts)


def _one(text: str, norm: str, most: float) -> Budget:
    percent = text.endswith("%")
    above, _, below = text.removesuffix("%").partition("/")
    try:
        value = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if math.isnan(value):
        raise InputError(f"epsilon {text!r} is not a number")
    if percent and norm != "l0":
        raise InputError(f"epsilon {text}: only numbers of values can be given in %")
    if percent and not 0 < value <= 100:
        raise InputError(f"epsilon {text} is outside 0 … 100%")
    if norm == "linf" and not (0 <= value <= most or value == math.inf):
        raise InputError(f"epsilon {text} is outside 0 … {most:g}")
    if norm != "linf" and value <= 0:
        raise InputError(f"epsilon {text} allows no change: give a number above 0")
    if norm == "l0" and not percent and value != math.inf and value != int(value):
        raise InputError(f"epsilon {text}: a number of changed values is whole")
    return Budget(value, percent)


def resolve(
    budgets: Sequence[Budget], shape: Sequence[int], unit: float = 1.0
) -> tuple[float, ...]:
    """Rising, each once; in units of the input, ``unit`` of them to 1 of a budget."""
    return tuple(sorted({unit * budget.resolve(math.prod(shape)) for budget in budgets}))


def of_default(budgets: Sequence[Budget], shape: Sequence[int]) -> tuple[Budget, ...]:
    """Budgets that nobody typed, for images of this shape: shares of less than a value are one."""
    values = math.prod(shape)
    return tuple(
        Budget(1.0) if one.percent and values * one.value < 100 else one for one in budgets
    )


# ---------------------------------------------------------------- words for a result


def input_range(bounds: tuple[float, float]) -> dict[str, list[float]]:
    """What a result says of inputs that are no pixels in [0, 1]; of these, nothing."""
    return {} if bounds == (0.0, 1.0) else {"input_range": list(bounds)}


def range_words(result: Mapping[str, Any]) -> str:
    """``inputs in -1 … 1``; empty for pixels."""
    if not result.get("input_range"):
        return ""
    low, high = result["input_range"]
    return f"inputs in {low:.4g} … {high:.4g}"


def axis(result: Mapping[str, Any]) -> str:
    """What the budgets are."""
    words, kind = range_words(result), norm(result)
    if not words or kind == "l0":
        return AXIS[kind]
    return f"ε: {_WHAT[kind]}, {words}"


def step(result: Mapping[str, Any]) -> str:
    """What a step of the input is worth: ``1/255`` of pixels."""
    top = 2 ** int(result["bits"]) - 1
    if not result.get("input_range"):
        return f"1/{top}"
    low, high = result["input_range"]
    return f"{(high - low) / top:.4g}"


def norm(result: Mapping[str, Any]) -> str:
    """``linf``, ``l2``, ``l1`` or ``l0``."""
    return str(result.get("norm") or "linf")


def unbounded(result: Mapping[str, Any], position: int) -> bool:
    """Whether this budget is no bound: inf, or what JSON makes of it."""
    return result["epsilons"][position] in (None, math.inf)


def label(result: Mapping[str, Any], position: int) -> str:
    """The budget as asked for: ``0.1``, ``113``, ``∞``."""
    return "∞" if unbounded(result, position) else f"{result['epsilons'][position]:g}"


def detail(result: Mapping[str, Any], position: int) -> str:
    """What it comes to: ``25/255`` of a pixel's steps, ``14.4%`` of the values; else nothing."""
    if unbounded(result, position):
        return "no bound"
    if norm(result) in ("l2", "l1"):
        return ""
    effective = result["effective_epsilons"][position]
    if norm(result) == "l0":
        values = result.get("values")
        return f"{100 * effective / values:.1f}%" if values else ""
    top = 2 ** int(result["bits"]) - 1
    low, high = result.get("input_range") or (0.0, 1.0)
    return f"{round(effective / (high - low) * top)}/{top}"


def steps(result: Mapping[str, Any], position: int) -> str:
    """An L∞ budget by the steps that it comes to: ``25/255`` of pixels, else in the input's units.

    ``0.196`` where a step is worth 0.00784.
    """
    if not result.get("input_range"):
        return detail(result, position)
    return f"{result['effective_epsilons'][position]:.3g}"


def detail_head(result: Mapping[str, Any]) -> str:
    """What stands above ``detail`` in a table whose cells leave its unit out."""
    if norm(result) == "l0":
        return f"of {result['values']:,}" if result.get("values") else ""
    return "" if norm(result) in ("l2", "l1") else f"steps\nof {step(result)}"


def phrase(result: Mapping[str, Any], position: int) -> str:
    """The budget within a sentence: ``ε = 0.1``, ``113 changed values``."""
    if unbounded(result, position):
        return "any distance"
    text = label(result, position)
    kind = norm(result)
    if kind in ("l2", "l1"):
        return f"{HEAD[kind]} ≤ {text}"
    return f"ε = {text}" if kind == "linf" else f"{text} changed values"
