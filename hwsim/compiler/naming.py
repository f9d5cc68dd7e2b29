"""Names of layers, each once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from hwsim.program.layers import Layer


def uniquely_named(layers: Sequence[Layer]) -> list[Layer]:
    """A module used twice stands twice in the program: fc, then fc#2."""
    seen: dict[str, int] = {}
    named: list[Layer] = []
    for layer in layers:
        count = seen[layer.name] = seen.get(layer.name, 0) + 1
        if count > 1:
            layer = dataclasses.replace(layer, name=f"{layer.name}#{count}")
        named.append(layer)
    return named
