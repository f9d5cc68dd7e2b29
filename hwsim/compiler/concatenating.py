"""Concatenation: the stages of its parts write next to each other, and nothing is executed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hwsim.compiler.absorbing import bounded
from hwsim.compiler.operations import Concat
from hwsim.compiler.stages import Coding, ConcatStage, Map, PlannedStage, PoolStage, View
from hwsim.errors import CompileError
from hwsim.program.layers import Shape


def joined(
    op: Concat,
    members: Sequence[View],
    stages: list[PlannedStage],
    carried: Callable[[View], View],
) -> View:
    """A view of the members behind each other; those that stand elsewhere are copied first.

    carried: an affine layer that does nothing, for the input, whose codes are not free to choose.
    Raises CompileError for members of different sides.
    """
    sides = {member.shape[1:] for member in members}
    if len(sides) > 1:
        raise CompileError(
            f"{op.path}: concatenates flattened maps of sides {sorted(sides)}: the engine "
            "concatenates channels of maps of the same sides"
        )
    height, width = members[0].shape[1:]
    shape: Shape = (sum(member.shape[0] for member in members), height, width)
    found = [carried(one) if one.map.coding.root.fixed else one for one in members]
    whole = Map(shape, Coding(), None)
    starts = [sum(one.shape[0] for one in found[:number]) for number in range(len(found))]
    for number, start in enumerate(starts):
        member = found[number]
        root, first = member.map.place
        first += member.first
        if root is whole and first == start:
            continue
        if root is whole or not _fits(root, start - first, found, starts, shape[0]):
            member = found[number] = _copied(op, member, stages)
            root, first = member.map, 0
        root.parent = (whole, start - first)
    stage = ConcatStage(op.path, tuple(found))
    stage.target = whole
    whole.producer = stage
    for member in found:
        whole.coding.join(member.map.coding)
    whole.low, whole.high = bounded(stage)
    return View(whole, shape, op.path, op.samples, op.samples, flat=members[0].flat)


def _fits(
    root: Map, start: int, members: Sequence[View], starts: Sequence[int], channels: int
) -> bool:
    """Whether a whole map may stand at channel ``start``: what is there must be part of it."""
    end = start + root.shape[0]
    if start < 0 or end > channels:
        return False
    for member, first in zip(members, starts, strict=True):
        if first + member.shape[0] <= start or first >= end:
            continue
        other, inside = member.map.place
        if other is not root or first - (inside + member.first) != start:
            return False
    return True


def _copied(op: Concat, member: View, stages: list[PlannedStage]) -> View:
    """The same codes in a map of their own: a max-pool of single pixels."""
    stage = PoolStage(f"{op.path}.copy", (member,))
    target = Map(member.shape, member.map.coding, stage, member.map.low, member.map.high)
    stage.target = target
    stages.append(stage)
    return View(target, member.shape, member.path, member.samples, member.raw, flat=member.flat)
