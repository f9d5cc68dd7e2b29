"""Where maps stand in the activation memory: by when they live, so that no live one is overwritten.

A map lives from the layer that first writes to it (the image: from before the first) to the last
that reads it, both included, since a layer reads and writes at the same time. Maps that live at the
same time get lines of their own; others may share. Finding the least memory is NP-hard (dynamic
storage allocation), so several greedy orders are tried and the best is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hwsim.program.wires import Wire

#: Maps up to which all orders are tried, each of which takes their square.
MOST = 512


@dataclass(frozen=True)
class Life:
    """A map's size in lines, and the first and last layer of its life; the image starts at −1."""

    lines: int
    first: int
    last: int

    def meets(self, other: Life) -> bool:
        """Whether both live at some layer."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Peak:
    """Lines that an allocation needs, and what that is to be held against.

    lines: what the allocation needs. least: the most that live at one layer, ``layer``: no
    allocation needs less. ping_pong: twice the largest map, what two alternating buffers need; it
    holds for chains only.
    """

    lines: int
    least: int
    layer: int
    ping_pong: int


def lives(sizes: Sequence[int], wires: Sequence[Wire]) -> tuple[Life, ...]:
    """The life of every map. sizes: lines of each map, map 0 is the image."""
    first, last = {0: -1}, {0: -1}
    for number, wire in enumerate(wires):
        places = [*wire.sources, *([wire.target] if wire.target else [])]
        for place in places:
            first.setdefault(place.map, number)
            last[place.map] = number
    return tuple(Life(size, first[n], last[n]) for n, size in enumerate(sizes))


def allocate(every: Sequence[Life]) -> tuple[int, ...]:
    """The first line of each map: the best of several greedy orders, the same every time."""
    ends = _from_both_ends(every)
    if peak_lines(every, ends) == max(alive(every)) or len(every) > MOST:
        return ends
    orders: list[Callable[[int], tuple[int, ...]]] = [
        lambda n: (-every[n].lines, every[n].first, n),
        lambda n: (every[n].first, -every[n].lines, n),
        lambda n: (every[n].first - every[n].last, -every[n].lines, n),
        lambda n: (-every[n].lines * (every[n].last - every[n].first + 1), n),
    ]
    found = [_placed(every, sorted(range(len(every)), key=order)) for order in orders]
    return min([ends, *found], key=lambda lines: peak_lines(every, lines))


def alive(every: Sequence[Life]) -> list[int]:
    """Lines of the maps that live at each layer, from before the first (−1) to the last."""
    change = [0] * (max(life.last for life in every) + 3)
    for life in every:
        change[life.first + 1] += life.lines
        change[life.last + 2] -= life.lines
    return list(itertools.accumulate(change))[:-1]


def peak_lines(every: Sequence[Life], lines: Sequence[int]) -> int:
    """Lines that an allocation reaches."""
    return max((line + life.lines for line, life in zip(lines, every, strict=True)), default=0)


def peak(every: Sequence[Life], lines: Sequence[int]) -> Peak:
    """What an allocation needs, and the least that any could."""
    live = alive(every)
    layer = live.index(max(live)) - 1
    largest = max(life.lines for life in every)
    return Peak(peak_lines(every, lines), max(live), max(layer, 0), 2 * largest)


def _placed(every: Sequence[Life], order: Sequence[int]) -> tuple[int, ...]:
    """Each map in turn at the lowest line where it meets no one placed before."""
    lines: dict[int, int] = {}
    for number in order:
        life = every[number]
        taken = sorted(
            (lines[other], lines[other] + every[other].lines)
            for other in lines
            if every[other].meets(life)
        )
        lines[number] = _lowest(taken, life.lines)
    return tuple(lines[number] for number in range(len(every)))


def _from_both_ends(every: Sequence[Life]) -> tuple[int, ...]:
    """Maps by turns at the bottom and at the top of the least memory, in the order of their lives.

    For a chain this is perfect: a layer's two maps touch in the middle at most. Where more live at
    once, a map that would be overwritten stands at the lowest line that is free for it.
    """
    room = max(alive(every))
    lines: dict[int, int] = {}
    beside: list[int] = []
    top = False
    for number in sorted(range(len(every)), key=lambda n: (every[n].first, n)):
        life = every[number]
        beside = [other for other in beside if every[other].last >= life.first]
        taken = sorted((lines[other], lines[other] + every[other].lines) for other in beside)
        line = room - life.lines if top else 0
        if any(start < line + life.lines and line < end for start, end in taken):
            line = _lowest(taken, life.lines)
        lines[number] = line
        beside.append(number)
        top = not top
    return tuple(lines[number] for number in range(len(every)))


def _lowest(taken: Sequence[tuple[int, int]], size: int) -> int:
    """The lowest line with ``size`` free ones from it on; taken: (first, behind), sorted."""
    line = 0
    for start, end in taken:
        if line + size <= start:
            break
        line = max(line, end)
    return line
