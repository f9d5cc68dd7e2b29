"""Where an attack may look for inputs of a program: on the codes that its pins carry."""

from __future__ import annotations

from hwsim.attacks.core.grid import CodeGrid, Grid
from hwsim.attacks.core.units import input_space
from hwsim.program.program import Program


def space_of(program: Program) -> Grid | CodeGrid:
    """The grid of the input codes: pixels in [0, 1], or values of the input's own range."""
    image = program.input
    return input_space(image.last(program.config.act_max), image.scale, image.zero)
