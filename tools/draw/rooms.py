"""docs/img/rooms.svg: the rooms of hwsim, read from import-linter's layers in pyproject.toml."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.draw.svg import GREY, Drawing
from tools.site.reference import summary

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
#: Heights of a box alone in its row and of one with lines below its name, in pixels.
BOX, TALL, GAP = 26, 58, 8
#: Width of a letter.
LETTER = 6.1
#: What a room is about -> its colour; the others are what a user calls.
COLORS = {
    "#ddf4ff": ("program", "compiler", "importer", "units", "engine", "rom", "cost"),  # the machine
    "#dafbe1": ("bus", "rtl", "fpga"),  # the hardware
    "#fff1e5": ("attacks", "defenses", "audit"),  # who attacks and who defends
    "#fff8c5": ("models", "networks", "training"),  # what is attacked
    "#f6f8fa": ("numbers", "files", "errors"),  # what all stand on
}
PLAIN = "#fbefff"


@dataclass(frozen=True)
class Room:
    """A package or module of hwsim. link: the top-level folder that it is a link to, or ""."""

    name: str
    purpose: str
    link: str


def contracts() -> list[dict[str, Any]]:
    """import-linter's contracts, in the order of pyproject.toml."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        found: list[dict[str, Any]] = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    return found


def layers() -> list[list[Room]]:
    """Rows of rooms, from the top; a room may import what stands in a row below it."""
    (contract,) = [one for one in contracts() if one["type"] == "layers"]
    return [[_room(name.strip()) for name in row.split(":")] for row in contract["layers"]]


def rules() -> list[str]:
    """What is forbidden besides, in the words of the contracts."""
    return [one["name"] for one in contracts() if one["type"] == "forbidden"]


def _room(name: str) -> Room:
    place = ROOT / "hwsim" / name
    sentence = summary(f"hwsim.{name}").split(". ")[0].rstrip(".").replace("`", "")
    return Room(name, sentence, f"{name}/" if place.is_symlink() else "")


def draw() -> Drawing:
    """A row for each layer, the highest first; rooms of one row stand side by side."""
    rows = layers()
    notes = ["A room imports only from rows below its own. Besides:", *rules()]
    height = 24 + sum(_height(row) for row in rows) + 18 * len(notes)
    drawing = Drawing(960, height, "The rooms of hwsim, in layers")
    y: float = 12
    for row in rows:
        width = (936 - 8 * (len(row) - 1)) / len(row)
        for place, room in enumerate(row):
            _draw_room(drawing, room, 12 + (width + 8) * place, y, width, len(row) > 1)
        y += _height(row)
    for number, note in enumerate(notes):
        drawing.text(12 + 12 * bool(number), y + 18 * number + 14, note)
    return drawing


def _height(row: list[Room]) -> int:
    return BOX + GAP if len(row) == 1 else TALL + GAP


def _draw_room(
    drawing: Drawing, room: Room, x: float, y: float, width: float, beside_others: bool
) -> None:
    """A box with the room's name, and what it is for: beside the name, or in lines below it."""
    color = next((c for c, names in COLORS.items() if room.name in names), PLAIN)
    drawing.box(x, y, width, TALL if beside_others else BOX, color)
    drawing.text(x + 8, y + 17, room.name, mono=True, bold=True)
    words = room.purpose + (f" (the folder {room.link})" if room.link else "")
    if not beside_others:
        drawing.text(x + 100, y + 17, words, color=GREY)
        return
    for number, line in enumerate(textwrap.wrap(words, int((width - 16) / LETTER))):
        drawing.text(x + 8, y + 33 + 15 * number, line, color=GREY)
