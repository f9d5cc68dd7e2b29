"""The most salient pair of input values, exactly, in O(M) memory.

Papernot et al. 2016, Algorithm 3: among all pairs (p, q) of M values maximize −αβ with
α = ∂F_t/∂x_p + ∂F_t/∂x_q > 0 and β = the same sum of Σ_{o≠t} ∂F_o < 0. With one point
(u, v) = (∂F_t, −Σ_{o≠t} ∂F_o) for each value, that is the largest product of the two coordinates
of a sum of two points. The product grows with either coordinate, so a point that two others
surpass or equal in both can be replaced in any pair by one of these two. What is left are the
points with at most one such superior: usually some ten of 784, and only among them all pairs are
tried. Where u and v oppose each other they may be all M; then the work is M²/2, in tiles.

Equal scores: values are ranked by u, then v, both falling, then by index; the pair whose ranks
come first wins. That order agrees with the replacement above, so pruning never changes the answer,
nor does rounding: sums and products of doubles never fall where an operand rises.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Pair scores held at once, over all examples: 16 MiB of doubles.
TILE = 1 << 21


def best_pairs(u: Tensor, v: Tensor, domain: Tensor) -> tuple[Tensor, Tensor]:
    """The pair p ≠ q of each example that maximizes (u_p + u_q)(v_p + v_q), both sums above 0.

    u, v: (N, M) float32, finite. domain: (N, M) bool, what may be chosen. Returns (N, 2) int64
    indices, the higher ranked first, and (N,) bool, whether there is such a pair at all (the
    indices mean nothing where there is none).
    """
    u, v = (g.masked_fill(~domain, -torch.inf) for g in (u, v))
    places, known = _packed(_leaders(u, v))
    places, known = _by_rank(u, v, places, known)
    upper, keep = _packed(_few_superiors(v, places, known))
    places = places.gather(1, upper)
    # In float64 no product of two float32 sums can underflow.
    a, b = (g.gather(1, places).double().masked_fill(~keep, -torch.inf) for g in (u, v))
    ranks, found = _largest_product(a, b)
    return places.gather(1, ranks), found


def _packed(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Columns that are True, (N, K) int64, rising, 0 behind them, and which of them are real.

    K is the largest number in any row, at least 2.
    """
    row, column = mask.nonzero(as_tuple=True)
    count = mask.sum(1)
    width = max(2, int(count.max())) if len(mask) else 2
    table = torch.zeros(len(mask), width, dtype=torch.int64)
    table[row, mask.cumsum(1)[row, column] - 1] = column
    return table, torch.arange(width) < count[:, None]


def _leaders(u: Tensor, v: Tensor) -> Tensor:
    """(N, M) bool: all but points that are below two certain others in both coordinates.

    One pass without sorting. The two are those whose smaller coordinate is largest, each
    coordinate measured by its largest value; scaling keeps the order, so < stays strict.
    """
    u, v = (g / g.amax(1, keepdim=True).clamp(min=torch.finfo(g.dtype).tiny) for g in (u, v))
    bar = torch.minimum(u, v).topk(min(2, u.shape[1]), 1).values[:, -1:]
    return ((u >= bar) | (v >= bar)) & (u > -torch.inf)


def _by_rank(u: Tensor, v: Tensor, places: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Places (rising in each row) sorted by u, then v, both falling, then index; unknown last."""
    for value in (v, u):
        key = value.gather(1, places).masked_fill(~known, -torch.inf)
        order = key.argsort(dim=1, descending=True, stable=True)
        places, known = places.gather(1, order), known.gather(1, order)
    return places, known


def _few_superiors(v: Tensor, places: Tensor, known: Tensor) -> Tensor:
    """(N, K) bool: ranked places before which at most one has at least the same v."""
    height = v.gather(1, places).masked_fill(~known, -torch.inf)
    none = torch.full_like(height[:, :1], -torch.inf)
    # The largest and second largest before each place; everyone there has at least its u.
    first = torch.cat([none, height.cummax(1).values[:, :-1]], 1)
    second = torch.minimum(height, first).cummax(1).values
    return known & (height > torch.cat([none, second[:, :-1]], 1))


def _largest_product(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 2) columns i < j with the largest (a_i + a_j)(b_i + b_j), the first of equal ones; (N,)
    whether any has both factors above 0. a, b: (N, K) float64, K >= 2, −inf where nothing is.
    """
    examples, width = a.shape
    best = torch.zeros(examples, dtype=torch.float64)
    chosen = torch.zeros(examples, 2, dtype=torch.int64)
    height = max(1, TILE // max(1, examples * width))
    for top in range(0, width - 1, height):
        rows = slice(top, min(top + height, width - 1))
        alpha = (a[:, rows, None] + a[:, None, top:]).clamp_(min=0.0)
        beta = (b[:, rows, None] + b[:, None, top:]).clamp_(min=0.0)
        score, flat = alpha.mul_(beta).triu_(1).flatten(1).max(1)
        row = flat.div(width - top, rounding_mode="floor")
        pair = torch.stack([top + row, top + flat - row * (width - top)], 1)
        better = score > best
        chosen = torch.where(better[:, None], pair, chosen)
        best = torch.where(better, score, best)
    return chosen, best > 0.0
