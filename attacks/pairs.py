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
    order, table = _ranked_candidates(u, v, domain)
    examples, width = table.shape
    if width < 2:
        return order.new_zeros(examples, 2), torch.zeros(examples, dtype=torch.bool)
    known = table < u.shape[1]
    places = order.gather(1, table.clamp(max=u.shape[1] - 1))
    # In float64 no product of two float32 sums can underflow.
    a = u.gather(1, places).double().masked_fill(~known, -torch.inf)
    b = v.gather(1, places).double().masked_fill(~known, -torch.inf)
    best = torch.zeros(examples, dtype=torch.float64)
    chosen = torch.zeros(examples, 2, dtype=torch.int64)
    height = max(1, TILE // (examples * width))
    for top in range(0, width - 1, height):
        rows = slice(top, min(top + height, width - 1))
        # Pairs in rank order: the columns right of the diagonal.
        alpha = (a[:, rows, None] + a[:, None, top:]).clamp_(min=0.0)
        beta = (b[:, rows, None] + b[:, None, top:]).clamp_(min=0.0)
        score, flat = alpha.mul_(beta).triu_(1).flatten(1).max(1)
        better = score > best
        first = flat.div(width - top, rounding_mode="floor")
        ranks = torch.stack([top + first, top + flat - first * (width - top)], 1)
        chosen = torch.where(better[:, None], ranks, chosen)
        best = torch.where(better, score, best)
    return places.gather(1, chosen), best > 0.0


def _ranked_candidates(u: Tensor, v: Tensor, domain: Tensor) -> tuple[Tensor, Tensor]:
    """Who may be in the best pair.

    Returns order, (N, M) int64: indices by rank, and table, (N, K): the ranks of the candidates,
    rising, M where an example has fewer than K.
    """
    u, v = (g.masked_fill(~domain, -torch.inf) for g in (u, v))
    by_v = v.argsort(dim=1, descending=True, stable=True)
    order = by_v.gather(1, u.gather(1, by_v).argsort(dim=1, descending=True, stable=True))
    height = v.gather(1, order)
    # Everyone before has at least this u; is there a second one with at least this v?
    none = torch.full_like(height[:, :1], -torch.inf)
    first = torch.cat([none, height.cummax(1).values[:, :-1]], 1)
    second = torch.minimum(height, first).cummax(1).values
    second = torch.cat([none, second[:, :-1]], 1)
    candidate = height > second
    example, rank = candidate.nonzero(as_tuple=True)
    column = candidate.cumsum(1)[example, rank] - 1
    width = int(column.max()) + 1 if len(column) else 0
    table = torch.full((len(u), width), u.shape[1])
    table[example, column] = rank
    return order, table
