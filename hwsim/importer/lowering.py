"""Integer steps -> a Program: layers, the maps between them, and which of those the file names."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from hwsim.compiler.naming import uniquely_named
from hwsim.importer.kernel_words import Kernel
from hwsim.importer.limits import elements
from hwsim.importer.step_layers import layer_of, summing, too_large
from hwsim.importer.steps import IntegerSteps, Value
from hwsim.numbers.config import EngineConfig
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.program.wires import Input, Place, Wire, image_first


@dataclasses.dataclass(frozen=True, eq=False)
class Lowered:
    """A Program, and which of its maps hold what the file calls by name.

    values: by the file's name of a tensor, the map and its first channel.
    """

    program: Program
    values: dict[str, tuple[Value, Place]]


def lower(
    steps: IntegerSteps,
    config: EngineConfig,
    provenance: dict[str, Any] | None = None,
    kernel: Kernel | None = None,
) -> Lowered:
    """The checked Program of a network's steps.

    Parameters
    ----------
    steps : IntegerSteps
        In the order of execution.
    config : EngineConfig
        Whose words are wide enough for the file's integers; ``fitting`` gives one.
    provenance : dict, optional
        Where the file came from; notes are added.
    kernel : str, optional
        Of TFLite, which every layer rounds as; ``config`` is one of ``kernel_words.engine_of``.

    Raises
    ------
    CompileError
        Naming the layer, for what does not fit the engine.
    """
    for step in steps.steps:
        for each in (*step.sources, *([step.target] if step.target else [])):
            elements(step.name, each.shape)  # padding alone makes a map of any size
    layers = [layer_of(step, config, kernel) for step in steps.steps]
    numbers: dict[Value, int] = {steps.input: 0}

    def place(value: Value) -> Place:
        root, channel = value.place
        return Place(numbers.setdefault(root, len(numbers)), channel)

    wires = [
        Wire(tuple(map(place, step.sources)), place(step.target) if step.target else None)
        for step in steps.steps
    ]
    codes = steps.input.codes
    top = codes.levels - 1
    image = Input(
        steps.input.shape, codes.scale, codes.zero + codes.shift,
        top if top < config.act_max else None,
    )  # fmt: skip
    about = dict(provenance or {})
    notes = [*about.get("notes", []), *steps.notes, *map(summing, filter(too_large, steps.steps))]
    if notes:
        about["notes"] = notes
    whole = image_first(image.shape, uniquely_named(layers), wires)
    program = Program.graph(config, *whole, image, about)
    check(program)
    moved = len(whole[0]) - len(layers)
    values = {}
    for value in [steps.input, *(step.target for step in steps.steps)]:
        while value is not None:
            if value.tensor:
                spot = place(value)
                number = spot.map if value is steps.input else spot.map + moved
                values[value.tensor] = value, Place(number, spot.channel)
            value = value.parent[0] if value.parent else None
    return Lowered(program, values)


def fitting(steps: IntegerSteps, config: EngineConfig) -> tuple[EngineConfig, list[str]]:
    """The configuration with words as wide as the file's integers, and what had to grow."""
    values = [steps.input, *(step.target for step in steps.steps if step.target)]
    levels = max(value.codes.levels for value in values)
    reach = max(
        (int(np.abs(s.weights).max()) for s in steps.steps if s.weights is not None), default=0
    )
    # Zero points that lie outside of the codes need their place, too.
    changes = {
        "act_w": max(config.act_w, (levels - 1).bit_length()),
        "wgt_w": max(config.wgt_w, reach.bit_length() + 1),
    }
    changes = {name: bits for name, bits in changes.items() if bits != getattr(config, name)}
    if not changes:
        return config, []
    told = [
        f"{name} is {bits} here, {getattr(config, name)} in configuration {config.name}: the "
        "file's integers need it"
        for name, bits in changes.items()
    ]
    return config.replace(**changes, name=config.name), told
