"""Names of layers, each once, and none longer than an image takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from hwsim.program.layers import Layer
from hwsim.rom.manifest_parts import LONGEST_NAME


def uniquely_named(layers: Sequence[Layer]) -> list[Layer]:
    """A module used twice stands twice in the program: fc, then fc#2.

    Converters join the names of all that they fuse; of such a name the beginning stays.
    """
    seen: dict[str, int] = {}
    taken: set[str] = set()
    named: list[Layer] = []
    for layer in layers:
        name = _cut(layer.name, "")
        while name in taken:
            seen[layer.name] = seen.get(layer.name, 1) + 1
            name = _cut(layer.name, f"#{seen[layer.name]}")
        taken.add(name)
        named.append(layer if name == layer.name else dataclasses.replace(layer, name=name))
    return named


def _cut(name: str, behind: str) -> str:
    if len(name) + len(behind) > LONGEST_NAME:
        name = name[: LONGEST_NAME - 1 - len(behind)] + "…"
    return name + behind
