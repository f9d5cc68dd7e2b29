"""WaveDrom's JSON: making it from values, and drawing it.

Of its language what is needed here: 0, 1, x, =, a dot for “as before”, p for the clock, | for a
gap. https://wavedrom.com shows and edits the files as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tools.draw.svg import FAINT, GREY, INK, Drawing, number

HIGH, LANE, SLOPE = 18, 28, 3
#: A cycle is this wide, and wider where that lets a value be read.
NARROW, WIDE = 24, 52
GAP = 14
LEFT, TOP = 170, 44
FILL = "#f6f8fa"
#: Of a value: its size, and the width of a character at size 1.
SIZE, CHARACTER = 10, 0.62


def wave(parts: list[list[str]], bus: bool) -> dict[str, Any]:
    """Values of windows of cycles, "x" for one without a meaning -> wave and data.

    bus: values are written into the lane; else they are 0 and 1.
    """
    text, data = "", []
    for number_, part in enumerate(parts):
        text += "|" if number_ else ""
        before = None
        for value in part:
            if value == before:
                text += "."
            elif value == "x" or not bus:
                text += value
            else:
                text += "="
                data.append(value)
            before = value
    return {"wave": text, "data": data} if bus else {"wave": text}


@dataclass(frozen=True)
class Lane:
    """One line of the picture."""

    name: str
    group: str
    wave: str
    data: tuple[str, ...]


def lanes(picture: dict[str, Any]) -> list[Lane]:
    """The lanes of a file, each with its group's title."""
    found = []
    for entry in picture["signal"]:
        title, members = (entry[0], entry[1:]) if isinstance(entry, list) else ("", [entry])
        found += [
            Lane(one["name"], title, one["wave"], tuple(one.get("data", ()))) for one in members
        ]
    return found


def draw(picture: dict[str, Any]) -> Drawing:
    """A WaveDrom picture as SVG."""
    rows = lanes(picture)
    step = _step(rows)
    starts = _starts(rows[0].wave, step)
    right = LEFT + starts[-1]
    drawing = Drawing(right + 16, TOP + LANE * len(rows) + 12, picture["head"]["text"])
    drawing.text(12, 22, drawing.title, bold=True)
    bottom = TOP + LANE * len(rows)
    for letter, x in zip(rows[0].wave, starts, strict=False):
        if letter == "|":
            for at in (x + 4, x + 9):
                drawing.path(f"M{LEFT + at} {TOP - 4}V{bottom}", stroke=FAINT, dash=True)
        else:
            drawing.path(f"M{LEFT + x} {TOP - 4}V{bottom}", stroke="#eaeef2", width=1)
    shown = ""
    for number_, lane in enumerate(rows):
        y = TOP + LANE * number_
        if lane.group != shown:
            drawing.path(f"M12 {y - 4}H{right}", stroke=FAINT, width=1)
            drawing.text(12, y + 14, lane.group, color=GREY)
        shown = lane.group
        drawing.text(LEFT - 10, y + 14, lane.name, anchor="end", mono=True)
        _lane(drawing, lane, y, starts)
    return drawing


def _step(rows: list[Lane]) -> float:
    """Width of a cycle, so that the longest value of a single one fits."""
    longest = 0.0
    for lane in rows:
        fields = (run for run in _runs(lane.wave) if run[0] == "=")
        for (_, first, last), words in zip(fields, lane.data, strict=True):
            longest = max(longest, (CHARACTER * SIZE * len(words) + 2 * SLOPE + 4) / (last - first))
    return min(max(NARROW, longest), WIDE)


def _starts(text: str, step: float) -> list[float]:
    """Where every letter of a wave begins, and where the last one ends."""
    found = [0.0]
    for letter in text:
        found.append(found[-1] + (GAP if letter == "|" else step))
    return found


def _lane(drawing: Drawing, lane: Lane, y: float, starts: list[float]) -> None:
    data = iter(lane.data)
    for letter, first, last in _runs(lane.wave):
        x, end = LEFT + starts[first], LEFT + starts[last]
        if letter == "p":
            half = number((starts[first + 1] - starts[first]) / 2)
            steps = "".join(
                f"M{number(LEFT + starts[n])} {y + HIGH}V{y}h{half}v{HIGH}h{half}"
                for n in range(first, last)
            )
            drawing.path(steps, stroke=INK)
        elif letter in "01":
            _level(drawing, lane.wave, first, letter, x, end, y)
        else:
            _field(drawing, "" if letter == "x" else next(data), x, end, y)


def _runs(text: str) -> list[tuple[str, int, int]]:
    """(letter, first, last + 1) of every value that stays for some cycles."""
    found: list[tuple[str, int, int]] = []
    for place, letter in enumerate(text):
        if letter == "." and found:
            found[-1] = (found[-1][0], found[-1][1], place + 1)
        elif letter != "|":
            found.append((letter, place, place + 1))
    return found


def _level(
    drawing: Drawing, text: str, first: int, letter: str, x: float, end: float, y: float
) -> None:
    level = y if letter == "1" else y + HIGH
    # An edge only where the value was the other one: not at the start, not behind a gap.
    before = text[:first].rstrip(".")[-1:]
    edge = before in ("0", "1") and before != letter and text[first - 1] != "|"
    other = y + HIGH if letter == "1" else y
    start = f"M{number(x)} {other}L{number(x + SLOPE)} {level}" if edge else f"M{number(x)} {level}"
    drawing.path(f"{start}H{number(end)}", stroke=INK)


def _field(drawing: Drawing, words: str, x: float, end: float, y: float) -> None:
    middle = y + HIGH / 2
    shape = (
        f"M{number(x)} {middle}L{number(x + SLOPE)} {y}H{number(end - SLOPE)}L{number(end)} "
        f"{middle}L{number(end - SLOPE)} {y + HIGH}H{number(x + SLOPE)}Z"
    )
    if not words:
        drawing.path(shape, stroke=FAINT, fill="#eaeef2", width=1)
        return
    drawing.path(shape, stroke=INK, fill=FILL)
    drawing.text((x + end) / 2, middle + SIZE * 0.36, words, size=SIZE, anchor="middle", mono=True)
