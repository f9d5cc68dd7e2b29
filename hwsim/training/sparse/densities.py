"""How many weights each layer keeps: Erdős–Rényi kernels (ERK).

Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity
inspired by network science", Nature Communications 2018, for matrices; Evci et al., "Rigging the
lottery", ICML 2020, for kernels: a layer of n_out outputs, n_in inputs and a kernel of kh x kw
keeps a share proportional to (n_out + n_in + kh + kw) / (n_out * n_in * kh * kw), at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hwsim.errors import InputError


def check_density(density: float) -> None:
    """Raise InputError unless it lies in (0, 1]."""
    if not 0.0 < density <= 1.0:
        raise InputError(f"density must lie above 0 and at most at 1, got {density}")


def erk(shapes: Mapping[str, Sequence[int]], density: float) -> dict[str, int]:
    """Weights that each layer keeps.

    Parameters
    ----------
    shapes : mapping
        Layer -> shape of its weight, (n_out, n_in) or (n_out, n_in, kh, kw), or (K,) of a hashed
        layer, whose words have no inputs and outputs of their own: it keeps ``density`` of them.
    density : float
        Share of all weights that is kept, in (0, 1].

    Returns
    -------
    dict
        Layer -> count, at least 1; together round(density * all) wherever that leaves one for
        each layer.
    """
    check_density(density)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    raw = {
        name: sum(shape) / sizes[name] if len(shape) > 1 else None for name, shape in shapes.items()
    }
    total = max(round(density * sum(sizes.values())), len(sizes))
    uniform = {name: density * sizes[name] for name, share in raw.items() if share is None}
    kernels = {name: share for name, share in raw.items() if share is not None}
    left = total - sum(uniform.values())
    shares = _filled({name: (share, sizes[name]) for name, share in kernels.items()}, left)
    return rounded({name: (uniform | shares)[name] for name in sizes}, sizes, total)


def _filled(kernels: Mapping[str, tuple[float, int]], total: float) -> dict[str, float]:
    """Counts proportional to share * size, cut at the size, that sum to ``total``."""
    full: set[str] = set()
    while True:
        rest = {name: pair for name, pair in kernels.items() if name not in full}
        free = total - sum(kernels[name][1] for name in full)
        weight = sum(share * size for share, size in rest.values())
        factor = free / weight if rest else 0.0
        over = {name for name, (share, _) in rest.items() if factor * share > 1}
        if not over:
            return {
                name: float(size) if name in full else factor * share * size
                for name, (share, size) in kernels.items()
            }
        full |= over


def rounded(wanted: Mapping[str, float], sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Whole numbers in 1 … size that sum to ``total`` where that is possible.

    Those are raised first whose fraction is largest, then those with most room.
    """
    found = {name: min(max(int(value), 1), sizes[name]) for name, value in wanted.items()}
    order = sorted(wanted, key=lambda name: (int(wanted[name]) - wanted[name], -sizes[name]))
    while (missing := total - sum(found.values())) != 0:
        step = 1 if missing > 0 else -1
        moved = 0
        for name in order if step > 0 else reversed(order):
            if moved < abs(missing) and 1 <= found[name] + step <= sizes[name]:
                found[name] += step
                moved += 1
        if not moved:
            break
    return found
