"""Whether two programs are the same machine: every word and every size."""

from __future__ import annotations

import numpy as np

from hwsim.program.program import MacLayer, Program


def assert_same(found: Program, expected: Program, names: bool = True) -> None:
    assert len(found.layers) == len(expected.layers)
    for a, b in zip(found.layers, expected.layers, strict=True):
        assert not names or a.name == b.name
        assert a.out_shape == b.out_shape
        if isinstance(a, MacLayer) and isinstance(b, MacLayer):
            assert (a.fw, a.fa_in, a.fa_out, a.spec) == (b.fw, b.fa_in, b.fa_out, b.spec)
            assert (a.kind, a.padding, a.stride) == (b.kind, b.padding, b.stride)
            for field in ("weights", "multiplier", "shift", "bias"):
                np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
