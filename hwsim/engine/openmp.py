"""torch's own threads, which wait for more work at full speed and so keep a core from ours.

After each operator that ran on several threads an OpenMP runtime keeps them spinning for some
milliseconds, about as long as a small network takes: two threads of the engine then share what the
spinning one leaves of two cores.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache

from threadpoolctl import threadpool_info

#: omp_pause_soft of OpenMP 5.0, section 3.6: threads go, what was asked of the runtime stays.
_SOFT = 1


def rest() -> bool:
    """End this thread's waiting OpenMP threads; whoever needs some starts them anew.

    Costs microseconds here and the start of the threads, some 60 µs, at the caller's next operator
    on several threads. Other threads' are left alone. Not for forked processes: a runtime would
    wait there for threads that did not come along.

    Returns whether a runtime was told so.
    """
    told = [pause(_SOFT) == 0 for pause in _runtimes()]
    return any(told)


@lru_cache(maxsize=1)
def _runtimes() -> tuple[Callable[[int], int], ...]:
    """``omp_pause_resource_all`` of each OpenMP runtime in this process that has it."""
    files = [each["filepath"] for each in threadpool_info() if each["user_api"] == "openmp"]
    found = [getattr(ctypes.CDLL(name), "omp_pause_resource_all", None) for name in files]
    return tuple(pause for pause in found if pause is not None)
