"""Probability unit (twin: rtl/hne_softmax.v), optional: 16-bit softmax of the integer logits.

e_k = EXP_LUT[min((zmax − z_k) >> (fa + fw − 4), 255)]; p_k = ⌊(e_k << 16) / Σe⌋, UQ1.16. zmax comes
from argmax. One restoring divider finds one quotient bit per cycle.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: Pipeline of the first pass, behind the cycle that issues the read of a logit.
READ = 1  # logit out; difference to the maximum, shifted and saturated to a table address
LOOKUP = 1  # EXP_LUT out, kept for the second pass
SUM = 1  # added to Σe
FILL = READ + LOOKUP + SUM
#: Quotient bits of the second pass: UQ1.16. The next e_k loads with the last bit of this one.
DIVIDE = 17


def cycles_softmax(classes: int) -> int:
    """Cycles from the last logit to the last probability; not part of ``total``."""
    return classes + FILL + DIVIDE * classes


#: EXP_LUT[n] = ⌊65536·e^(−n/16)⌋, 17 bits, 256 entries.
EXP_LUT = np.array([math.floor(65536 * math.exp(-n / 16)) for n in range(256)], np.int64)


def probabilities(logits: NDArray[np.int64], frac: int) -> NDArray[np.int64]:
    """The probability unit: integer logits (N, classes) worth v · 2^-frac -> UQ1.16 integers.

    e_k = EXP_LUT[min((zmax − z_k) >> (frac − 4), 255)] (a left shift if negative);
    p_k = ⌊(e_k << 16) / Σe⌋, 0 … 65536. A class that trails by 11.1 nats or more has p = 0.
    """
    behind = logits.max(1, keepdims=True) - logits
    shift = frac - 4
    # To the left, what would leave the table saturates first, so that the shift cannot overflow.
    right, left = min(max(shift, 0), 63), min(max(-shift, 0), 32)
    steps = behind >> right if shift >= 0 else np.minimum(behind, 256) << left
    powers = EXP_LUT[np.minimum(steps, 255)]
    return (powers << 16) // powers.sum(1, keepdims=True)
