"""float32 products of a library, believed for shapes in which they were seen to be right.

As ``units/mac_proof.py`` for sums that are rounded: the first product of every shape is compared
with float64, within the error that float32 sums of so many terms can have.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.kernel_proof import ABSENT, poison

F32 = NDArray[np.float32]
#: Unit roundoff of float32, and what sums that underflow may lose.
ROUNDOFF, TINY = 2.0**-24, 2.0**-126

_lock = threading.Lock()
_verdicts: dict[tuple[str, tuple[int, ...]], bool] = {}


def proved_product(
    what: str,
    fast: Callable[[F32], F32],
    slow: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    flow: F32,
    matrix: Callable[[], NDArray[np.float64]],
    terms: int,
) -> F32:
    """``fast(flow)`` in shapes where it was right, else ``slow(flow, matrix())`` as float32.

    what: names the shape but for the batch. slow: the same product in float64, linear in both.
    terms: products that are summed into one number, at most. Warns once where ``fast`` is wrong.
    """
    key = (what, flow.shape)
    verdict = _verdicts.get(key)
    if verdict is None:
        verdict = _holds(fast, slow, flow, matrix(), terms)
        with _lock:
            if not verdict and _verdicts.get(key) is not False:
                warnings.warn(
                    f"the {what} is wrong in float32 on this CPU for a batch of {len(flow)}: "
                    "a slower kernel is used",
                    RuntimeWarning,
                    stacklevel=2,
                )
            _verdicts[key] = verdict
    return fast(flow) if verdict else slow(flow, matrix()).astype(np.float32)


def _holds(
    fast: Callable[[F32], F32],
    slow: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    flow: F32,
    matrix: NDArray[np.float64],
    terms: int,
) -> bool:
    """On noise of the same shape: all of it is computed, the first and last image compared."""
    noise = np.random.default_rng(flow.size).standard_normal(flow.shape, np.float32)
    # The weights' scale may lie near the ends of float32: the middle is where rounding shows.
    largest = float(np.abs(matrix).max(initial=0.0))
    if largest:
        noise *= np.float32(2.0 ** -np.clip(np.log2(largest), -100, 100))
    chosen = [0, len(flow) - 1]
    wanted = slow(noise[chosen], matrix)
    size = slow(np.abs(noise[chosen]), np.abs(matrix))
    limit = size * ROUNDOFF * (terms + 2) + TINY * terms * max(1.0, largest)
    for _ in range(2):
        poison(wanted.size // 2 * len(flow))
        try:
            found = fast(noise)
        except ABSENT:
            return False
        # Written so that not-a-number is no agreement.
        if not bool((np.abs(found[chosen] - wanted) <= limit).all()):
            return False
    return True
