"""Balls around an input: the nearest point of one, and the nearest image of the grid within it."""

from __future__ import annotations

import torch
from torch import Tensor

from hwsim.attacks.core.budget import ORDERS, Norm
from hwsim.attacks.core.grid import Grid, Space
from hwsim.attacks.core.result import distances

#: Below this a length is 0: nothing is divided by it.
TINY = 1e-12


def wide(values: Tensor, like: Tensor) -> Tensor:
    """(n,) values as (n, 1, 1, 1), to meet images."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def lengths(images: Tensor, norm: Norm) -> Tensor:
    """(n,) norms of (n, C, H, W) changes, in their dtype."""
    return torch.linalg.vector_norm(images.flatten(1), ORDERS[norm], dim=1)


def normalized(images: Tensor, norm: Norm = "l2") -> Tensor:
    """Each of (n, C, H, W) divided by its norm; what is 0 stays 0."""
    return images / wide(lengths(images, norm).clamp(min=TINY), images)


def project(change: Tensor, radius: Tensor, norm: Norm) -> Tensor:
    """The point of the ball nearest to each change.

    Parameters
    ----------
    change : Tensor
        (n, C, H, W).
    radius : Tensor
        (n,) >= 0; of l0 a whole number of values. Of equally large values the first stay.
    norm : Norm
        That of the ball; near is L2.
    """
    if norm == "linf":
        most = wide(radius, change)
        return torch.maximum(torch.minimum(change, most), -most)
    if norm == "l2":
        return change * wide(
            (radius / lengths(change, "l2").clamp(min=TINY)).clamp(max=1.0), change
        )
    flat = change.flatten(1)
    if norm == "l0":
        return torch.where(_largest(flat.abs(), radius), flat, 0.0).view_as(change)
    sizes = flat.abs().sort(dim=1, descending=True).values
    # Duchi et al. 2008: every value falls by the same amount, the smallest of them to 0.
    place = torch.arange(1, flat.shape[1] + 1)
    falls = (sizes.cumsum(1) - radius[:, None]) / place
    last = ((sizes > falls) * place).amax(1, keepdim=True).clamp(min=1) - 1
    fall = falls.gather(1, last).clamp(min=0.0)
    return (flat.sign() * (flat.abs() - fall).clamp(min=0.0)).view_as(change)


def _largest(sizes: Tensor, count: Tensor) -> Tensor:
    """(n, d) bool, the ``count`` largest of each row; of equal ones the first."""
    most = min(max(int(count.max()), 1), sizes.shape[1])
    places = (count.long() - 1).clamp(0, most - 1)[:, None]
    least = sizes.topk(most, 1).values.gather(1, places)
    above, level = sizes > least, sizes == least
    return above | (level & (level.cumsum(1) <= count[:, None] - above.sum(1, keepdim=True)))


def placed(space: Space, original: Tensor, point: Tensor, epsilon: float, norm: Norm) -> Tensor:
    """The image that stands for a point of the ball: of the grid, and in the ball too.

    Rounding moves a point by up to half a step in each value, so the nearest image may be just
    outside. Then values are cut down instead of up, those that gain least by rounding up first.

    Parameters
    ----------
    space : Space
        Pixels, or all of [0, 1].
    original, point : Tensor
        (n, C, H, W) in [0, 1]; the original is of the grid.
    epsilon : float
        The radius; of linf a whole number of steps.
    """
    image = space.snap(point)
    if not isinstance(space, Grid) or norm not in ("l2", "l1"):
        return image
    out = distances(image, original, norm) > epsilon
    if bool(out.any()):
        image[out] = _cut(space, original[out], point[out], epsilon, norm)
    return image


def _cut(space: Grid, original: Tensor, point: Tensor, epsilon: float, norm: Norm) -> Tensor:
    """Rounded up are the values of whose next step at least a share is there, (n,) of each image.

    The least share with which the image is in the ball, to 2^-12.
    """
    start = space.lsb(original).float().flatten(1)
    change = point.flatten(1) * space.levels - start
    whole = change.trunc()
    rest, size = (change - whole).abs(), whole.abs()
    # What one step more costs of the radius, or of its square.
    price = 2.0 * size + 1.0 if norm == "l2" else torch.ones_like(size)
    power = 2 if norm == "l2" else 1
    spent = (size.double() ** power).sum(1)
    room = ((epsilon * space.levels) ** power - spent).float() * (1.0 - 1e-6)
    few, enough = torch.full_like(room, 0.5), torch.full_like(room, 1.1)
    for _ in range(12):
        share = (few + enough) / 2
        inside = (price * (rest >= share[:, None])).sum(1) <= room
        few, enough = torch.where(inside, few, share), torch.where(inside, share, enough)
    level = start + whole + change.sign() * (rest >= enough[:, None])
    return (level / space.levels).view_as(point)
