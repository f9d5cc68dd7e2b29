"""Products of a library, believed for shapes in which they were seen to be right.

As ``kernel_proof`` for sums that are rounded: the first product of every shape is compared with
float64, within the error that float32 sums of so many terms can have.
"""

from __future__ import annotations

import math
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


def believed(
    what: str, shape: tuple[int, ...], holds: Callable[[], bool], *, warned: bool = True
) -> bool:
    """Whether products of this name and shape are right on this CPU; ``holds`` is asked once.

    Warns, once a name and shape, where they are wrong, if whoever asks is to be ``warned``. An
    operator that is absent is wrong too.
    """
    key = (what, shape)
    verdict = _verdicts.get(key)
    if verdict is None:
        try:
            verdict = holds()
        except ABSENT:
            verdict = False
        with _lock:
            if warned and not verdict and _verdicts.get(key) is not False:
                warnings.warn(
                    f"the {what} is wrong in float32 on this CPU for a batch of {shape[0]}: "
                    "a slower kernel is used",
                    RuntimeWarning,
                    stacklevel=3,
                )
            _verdicts[key] = verdict
    return verdict


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
    share = ROUNDOFF * (terms + 2)
    if believed(what, flow.shape, lambda: _holds(fast, slow, flow.shape, matrix(), terms, share)):
        return fast(flow)
    return slow(flow, matrix()).astype(np.float32)


def is_shown(
    what: str,
    fast: Callable[[F32], F32],
    slow: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    shape: tuple[int, ...],
    matrix: Callable[[], NDArray[np.float64]],
    terms: int,
    rounding: float,
) -> bool:
    """Whether ``fast`` was shown to lose no more than ``rounding`` on flows of this shape.

    rounding: share of the sum of the sizes of all terms, besides what float32 sums lose. Nobody is
    warned: whoever asks has something more exact.
    """
    share = ROUNDOFF * (terms + 2) + rounding
    return believed(
        what, shape, lambda: _holds(fast, slow, shape, matrix(), terms, share), warned=False
    )


def _holds(
    fast: Callable[[F32], F32],
    slow: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    shape: tuple[int, ...],
    matrix: NDArray[np.float64],
    terms: int,
    share: float,
) -> bool:
    """On noise of the same shape: the first and last image, and one sum of all with random signs.

    The product is linear, so the sum of all answers is the answer to the sum (Freivalds 1977, with
    float64 for the one and a bound of float32's roundings for the other). It reads every number for
    the price of one image; what it forgives grows with the batch, so that the ends, where blockings
    begin and break off, are looked at alone as well.
    """
    count = shape[0]
    source = np.random.default_rng(math.prod(shape))
    noise = source.standard_normal(shape, np.float32)
    # The weights' scale may lie near the ends of float32: the middle is where rounding shows.
    largest = float(np.abs(matrix).max(initial=0.0))
    if largest:
        noise *= np.float32(2.0 ** -np.clip(np.log2(largest), -100, 100))
    signs = source.choice((-1.0, 1.0), count)

    def looked_at(answers: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        mixed = np.tensordot(weights, answers.astype(np.float64), 1)
        return np.stack([answers[0], answers[-1], mixed])

    wanted = slow(looked_at(noise, signs), matrix)
    size = slow(looked_at(np.abs(noise), np.abs(signs)), np.abs(matrix))
    limit = size * share + TINY * terms * max(1.0, largest) * count
    for _ in range(2):
        poison(wanted.size // 3 * count)
        found = looked_at(fast(noise), signs)
        # Written so that not-a-number is no agreement.
        if not bool((np.abs(found - wanted) <= limit).all()):
            return False
    return True
