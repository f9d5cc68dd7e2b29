"""Images to codes: exact next to ties, saturated outside, and quick about it."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from hwsim.engine import pixels
from hwsim.engine.pixels import ToCodes
from hwsim.program.wires import Input

ACT_MAX = 255
#: Scale and zero point: raw pixels, a range around 0, steps that no float holds.
RANGES = ((Fraction(1), 0), (Fraction(1, 37), 100), (Fraction(1, 3), 7), (Fraction(5, 7), 255))


def codes(image: Input, values: np.ndarray) -> np.ndarray:
    out = np.empty((1, 1, len(values), 1), np.uint8)
    ToCodes(image, ACT_MAX)(values.reshape(1, 1, 1, -1), out.reshape(1, 1, -1, 1))
    return out.reshape(-1)


@pytest.mark.parametrize(("scale", "zero"), RANGES)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_every_value_gets_the_code_of_the_real_number_that_it_is(
    scale: Fraction, zero: int, kind: type
) -> None:
    image = Input((1, 1, 1), scale, zero)
    ties = [float((code - zero + Fraction(1, 2)) * scale) for code in range(-3, ACT_MAX + 4)]
    near = np.array(ties, kind)
    values = np.concatenate([near, np.nextafter(near, kind(-1e30)), np.nextafter(near, kind(1e30))])
    values = np.concatenate([values, np.array([-1e30, 1e30, 0.0, -0.0], kind)])
    wanted = [
        min(max(math.floor(Fraction(float(x)) / scale + Fraction(1, 2)) + zero, 0), ACT_MAX)
        for x in values
    ]
    assert codes(image, values).tolist() == wanted


@pytest.mark.parametrize(("scale", "zero"), RANGES)
def test_what_lies_far_outside_is_no_tie(scale: Fraction, zero: int) -> None:
    ends = np.array([-zero - 2, ACT_MAX - zero + 2], np.float64) * float(scale)
    far = np.concatenate([ends[:1] * [1, 3, 1e9] - [0, 1, 1], ends[1:] * [1, 3, 1e9] + [0, 1, 1]])
    out = np.empty((1, 1, len(far), 1), np.uint8)
    found = pixels._to_grid_any(far.reshape(1, 1, 1, -1), float(1 / scale), zero, ACT_MAX, out)
    assert list(found) == []
    assert out.reshape(-1).tolist() == [0, 0, 0, ACT_MAX, ACT_MAX, ACT_MAX]
