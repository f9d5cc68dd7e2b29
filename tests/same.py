"""Whether two programs are the same machine: every word and every size."""

from __future__ import annotations

import numpy as np

from hwsim.program.layers import MacLayer
from hwsim.program.program import Program


def assert_same(found: Program, expected: Program, names: bool = True) -> None:
    assert len(found.layers) == len(expected.layers)
    for a, b in zip(found.layers, expected.layers, strict=True):
        assert not names or a.name == b.name
        assert a.out_shape == b.out_shape
        if isinstance(a, MacLayer) and isinstance(b, MacLayer):
            assert (a.kind, a.window, a.groups, a.spec) == (b.kind, b.window, b.groups, b.spec)
            assert (a.fill, a.lo, a.hi, a.zero, a.scale) == (b.fill, b.lo, b.hi, b.zero, b.scale)
            for field in ("weights", "weight_scale", "multiplier", "shift", "bias"):
                np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
        else:
            assert type(a) is type(b)
