"""The nearest point of a hyperplane within the box, in L∞, L2 and L1, exactly.

Changes of x towards the plane are limited, value by value, by the room r up to 0 or 1. In L∞ value
i moves by min(t, r_i) and closes |w_i| of the gap for each unit of it; in L2 it moves by
min(λ|w_i|, r_i). In both the gap closed is Σ a_i·min(t, b_i), which rises with t and bends at the
b_i, so t follows from one sort. In L1 values are used up from the largest |w_i| on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.grid import Grid, Space

#: A weight below this share of the largest closes no gap.
NOTHING = 1e-8


def to_plane(point: Tensor, weight: Tensor, gap: Tensor, norm: Norm) -> Tensor:
    """(n, d) the smallest change after which weight · change = gap, the point staying in [0, 1].

    As far as the box allows where that is not enough.

    Parameters
    ----------
    point, weight : Tensor
        (n, d), float32.
    gap : Tensor
        (n,).
    norm : Norm
        ``linf``, ``l2`` or ``l1``.
    """
    sign = torch.where(gap >= 0.0, 1.0, -1.0).to(weight)[:, None]
    weight, gap = weight * sign, gap.abs()
    steep = weight.abs()
    useful = steep > NOTHING * steep.amax(1, keepdim=True)
    steep = torch.where(useful, steep, 0.0)
    room = torch.where(weight > 0.0, 1.0 - point, point).clamp(min=0.0)
    if norm == "l1":
        size = _largest_first(steep, room, gap)
    elif norm == "l2":
        bends = torch.where(useful, room / steep.clamp(min=1e-30), 0.0)
        size = torch.minimum(_level(steep.square(), bends, gap)[:, None] * steep, room)
    else:
        size = torch.minimum(_level(steep, room, gap)[:, None], room)
    return torch.where(useful, size * weight.sign(), 0.0)


def beyond(space: Space, original: Tensor, point: Tensor, weight: Tensor, norm: Norm) -> Tensor:
    """The image near a point that lies as far along ``weight`` as the point itself.

    The nearest image may fall short of a plane that the point is just beyond, and again and again.
    So values go one step further along the weight until that is made up: of linf those that were
    rounded the other way, of l2 and l1 those that close most for what they cost.

    Parameters
    ----------
    space : Space
        Pixels, or all of [0, 1], where it is the point.
    original, point, weight : Tensor
        (n, d).
    """
    image = space.snap(point)
    if not isinstance(space, Grid):
        return image
    start, level = space.lsb(original).double(), space.lsb(point).double()
    way, exact = weight.sign().double(), point.double() * space.levels
    short = ((exact - level) * weight.double()).sum(1, keepdim=True)
    may = (level + way >= 0) & (level + way <= space.levels) & (weight != 0)
    if norm == "linf":
        may &= (exact - level) * way > 1e-3
    price = 2.0 * (level - start).abs() + 1.0 if norm == "l2" else torch.ones_like(level)
    closes = torch.where(may, weight.double().abs(), 0.0)
    order = (closes / price).argsort(dim=1, descending=True, stable=True)
    closed = closes.gather(1, order)
    before = closed.cumsum(1) - closed
    more = torch.zeros_like(level).scatter_(1, order, ((before < short) & (closed > 0)).double())
    return ((level + way * more) / space.levels).float()


def _level(slopes: Tensor, bends: Tensor, total: Tensor) -> Tensor:
    """(n,) t with Σ slopes·min(t, bends) = total; the largest bend where there is none."""
    bends, order = bends.double().sort(dim=1)
    slopes, total = slopes.double().gather(1, order), total.double()[:, None]
    below = (slopes * bends).cumsum(1)
    above = slopes.sum(1, keepdim=True) - slopes.cumsum(1)
    reached = below + bends * above  # what is closed at each bend, rising
    place = torch.searchsorted(reached, total).clamp(max=bends.shape[1] - 1)
    past = torch.where(place > 0, below.gather(1, (place - 1).clamp(min=0)), 0.0)
    rising = above.gather(1, place) + slopes.gather(1, place)
    level = (total - past) / rising.clamp(min=1e-300)
    level = torch.minimum(level, bends.gather(1, place))
    return level.flatten().float()


def _largest_first(steep: Tensor, room: Tensor, total: Tensor) -> Tensor:
    """(n, d) how far each value moves: all of its room, from the steepest on, while needed."""
    falling, order = steep.double().sort(dim=1, descending=True, stable=True)
    closes = falling * room.double().gather(1, order)
    before = closes.cumsum(1) - closes
    still = (total.double()[:, None] - before).clamp(min=0.0)
    part = torch.minimum(still / falling.clamp(min=1e-300), room.double().gather(1, order))
    return torch.zeros_like(part).scatter_(1, order, part).float()
