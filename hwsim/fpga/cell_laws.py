"""How the cells of each module grow with an engine: laws over rows, columns and banks, fitted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hwsim.fpga.cell_model import CellPoint

Axes = Mapping[str, Any]

#: What cells may be linear in.
TERMS: dict[str, Callable[[Axes], float]] = {
    "one": lambda a: 1.0,
    "rows": lambda a: a["rows"],
    "cols": lambda a: a["cols"],
    "banks": lambda a: a["banks"],
    "array": lambda a: a["rows"] * a["cols"],
    "crossbar": lambda a: a["rows"] * a["banks"],
    "pairs": lambda a: a["rows"] ** 2,
    "lanes": lambda a: a["cols"] ** 2,
}
#: Modules that stand once for each row, lane or bank, or tie all of them to all others. Of terms
#: that fit alike the first is taken: units of rows grow with them where engines of one size do not
#: tell.
LAWS: dict[str, tuple[str, ...]] = {
    "hne_mac_row": ("array",),
    "hne_mac_array": ("array",),
    "hne_bank_arbiter": ("crossbar", "rows"),
    "hne_conflicts": ("pairs",),
    "hne_turns": ("pairs", "rows"),
    "hne_expander": ("crossbar", "rows"),
    "hne_act_lanes": ("cols", "lanes"),
    "hne_act_bank": ("cols",),
    "hne_post_lane": ("cols",),
    "hne_post": ("one", "cols"),
    "hne_lut": ("cols",),
    "hne_weight_bank": ("banks",),
    "hne_weight_path": ("one", "banks"),
    "hne_index": ("rows", "one"),
    "hne_index_hash": ("rows", "one"),
    "hne_mul32": ("rows", "one"),
    "hne_mulhi32": ("rows",),
    "hne_xxhash": ("rows", "one"),
    "hne_code": ("rows", "banks"),
}
#: All other modules.
OTHER = ("one", "cols")
#: Widths of words and of sums without a factor.
PLAIN_BITS, PLAIN_SUM = 8, 32


class OptionUnknownError(Exception):
    """No engine of the table has an option of the one asked for."""


def options(axes: Axes) -> frozenset[str]:
    """What an engine has beyond array and index: ``skip``, check bits, other widths."""
    found = {"skip"} if axes["skip"] else set()
    if axes["ecc"] != "none":
        found.add(axes["ecc"])
    if axes["act_w"] != axes["wgt_w"]:
        found.add(f"words of {axes['act_w']} and {axes['wgt_w']}")
    elif axes["act_w"] != PLAIN_BITS:
        found.add(f"{axes['act_w']} bits")
    if axes["acc_w"] != PLAIN_SUM:
        found.add(f"sums of {axes['acc_w']}")
    return frozenset(found)


def without(axes: Axes, option: str) -> Axes:
    """The engine that differs by this option alone, one of ``options``, and has it not."""
    if option == "skip":
        return {**axes, "skip": False}
    if option == axes["ecc"]:
        return {**axes, "ecc": "none"}
    if option.startswith("sums"):
        return {**axes, "acc_w": PLAIN_SUM}
    return {**axes, "act_w": PLAIN_BITS, "wgt_w": PLAIN_BITS}


def solved(terms: Sequence[str], axes: Sequence[Axes], cells: Sequence[float]) -> list[float]:
    """Non-negative weights of the terms for the least relative errors, one a term.

    Of all subsets of the terms whose least squares are non-negative, the one that errs least; of
    several that err alike, as few terms as do.
    """
    y = np.asarray(cells, np.float64)
    size = np.maximum(y, 1.0)
    a: NDArray[np.float64] = np.array([[TERMS[t](one) for t in terms] for one in axes])
    best, least = [0.0] * len(terms), math.inf
    for count in range(1, len(terms) + 1):
        for chosen in combinations(range(len(terms)), count):
            part = a[:, chosen] / size[:, None]
            if np.linalg.matrix_rank(part) < count:
                continue
            found = np.linalg.lstsq(part, y / size, rcond=None)[0]
            error = float(((part @ found - y / size) ** 2).sum())
            if (found >= 0).all() and error < least - 1e-12:
                best, least = [0.0] * len(terms), error
                for k, weight in zip(chosen, found, strict=True):
                    best[k] = float(weight)
    return best


class ModuleLaws:
    """The laws of one count of cells, over the engines of a table."""

    def __init__(self, points: Sequence[CellPoint], count: str) -> None:
        self.points, self.count = points, count
        self.plain = [one for one in points if not options(one.axes)]
        self.names = sorted({name for one in points for name in one.modules})
        self._weights: dict[tuple[str, frozenset[str]], list[float]] = {}
        self._factors: dict[tuple[str, str], float] = {}

    def cells(self, axes: Axes) -> float:
        """Of an engine. Raises OptionUnknownError."""
        wanted = options(axes)
        for option in wanted:
            self._steps(option)
        if not any(self._like(one, axes) for one in self.plain):
            raise OptionUnknownError(axes["index_mode"])
        return sum(self._module(name, axes, wanted) for name in self.names)

    def _module(self, name: str, axes: Axes, wanted: frozenset[str]) -> float:
        holders = [one for one in self.plain if name in one.modules]
        if holders:
            modes = {one.axes["index_mode"] for one in holders}
            if axes["index_mode"] not in modes:
                return 0.0
            found = self._law(name, frozenset(), holders, axes)
            for option in wanted:
                found *= self._factor(name, option)
            return found
        # Only engines with an option have it.
        holders = [one for one in self.points if name in one.modules]
        needed = frozenset.intersection(*(options(one.axes) for one in holders))
        if not needed:  # several bring it, each alone, as either kind of check bits does
            needed = frozenset(sorted(filter(self._bringing(name), wanted))[:1])
            holders = [one for one in holders if needed <= options(one.axes)]
        if not needed <= wanted or not needed:
            return 0.0
        # Check bits of stored indices are none of hashed ones.
        alike = [one for one in holders if self._like(one, axes)]
        key = needed | {axes["index_mode"]} if alike else needed
        return self._law(name, key, alike or holders, axes)

    def _bringing(self, name: str) -> Callable[[str], bool]:
        """Whether every engine with an option has this module."""

        def brings(option: str) -> bool:
            having = [one for one in self.points if option in options(one.axes)]
            return bool(having) and all(name in one.modules for one in having)

        return brings

    def _like(self, one: CellPoint, axes: Axes) -> bool:
        return bool(one.axes["index_mode"] == axes["index_mode"])

    def _law(
        self, name: str, key: frozenset[str], holders: Sequence[CellPoint], axes: Axes
    ) -> float:
        terms = LAWS.get(name, OTHER)
        if (name, key) not in self._weights:
            cells = [one.modules[name].get(self.count, 0) for one in holders]
            self._weights[name, key] = solved(terms, [one.axes for one in holders], cells)
        weights = self._weights[name, key]
        return sum(w * TERMS[t](axes) for w, t in zip(weights, terms, strict=True))

    def _steps(self, option: str) -> list[tuple[str, float]]:
        """Measured options that stand for one, each with its share."""
        known = {one for point in self.points for one in options(point.axes)}
        if option in known:
            return [(option, 1.0)]
        if option.endswith(" bits"):
            bits = int(option.removesuffix(" bits"))
            measured = [int(o.removesuffix(" bits")) for o in known if o.endswith(" bits")]
            below = [one for one in measured if one < bits < PLAIN_BITS]
            if below:
                end = max(below)
                return [(f"{end} bits", (PLAIN_BITS - bits) / (PLAIN_BITS - end))]
        raise OptionUnknownError(option)

    def _factor(self, name: str, option: str) -> float:
        found = 1.0
        for step, share in self._steps(option):
            if (name, step) not in self._factors:
                self._factors[name, step] = self._measured(name, step)
            found *= 1 + share * (self._factors[name, step] - 1)
        return found

    def _measured(self, name: str, option: str) -> float:
        """What an option makes of a module, on the engines that have it and the fewest others.

        Over the same engine without it where the table has that one: over the law, whatever the
        law is off by there would count as the option's, and once more with each further option.
        """
        having = [one for one in self.points if option in options(one.axes)]
        fewest = min(len(options(one.axes)) for one in having)
        ratios = []
        for one in having:
            if len(options(one.axes)) == fewest:
                base = self._before(name, without(one.axes, option))
                if base > 0:
                    ratios.append(one.modules.get(name, {}).get(self.count, 0) / base)
        return _mean(ratios)

    def _before(self, name: str, axes: Axes) -> float:
        for one in self.points:
            if one.axes == axes:
                return one.modules.get(name, {}).get(self.count, 0)
        return self._module(name, axes, frozenset())


def _mean(many: Iterable[float]) -> float:
    found = list(many)
    return sum(found) / len(found) if found else 1.0
