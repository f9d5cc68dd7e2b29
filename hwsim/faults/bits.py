"""Two's-complement words as bits: what a flip does to their value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.fixedpoint import wrapped

I64 = NDArray[np.int64]


def flipped(words: NDArray[Any], bit: Any, width: int) -> I64:
    """Words with the bits ``bit`` inverted: -2^(width−1) may come out, which no compiler writes."""
    return wrapped(words.astype(np.int64) ^ (np.int64(1) << np.asarray(bit, np.int64)), width)


def handed_out(words: NDArray[Any], negative: NDArray[np.bool_], width: int) -> I64:
    """Words as the expander hands them out: negated where it is told to, within the word.

    The negation of -2^(width−1) is itself (rtl/units/hne_expander.v).
    """
    return np.where(negative, wrapped(-words.astype(np.int64), width), words.astype(np.int64))
