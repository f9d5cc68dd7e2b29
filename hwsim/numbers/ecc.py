"""Check bits of memory words: parity, or a code that corrects one flipped bit and finds two.

SECDED is Hsiao's code (IBM J. Res. Dev. 14, 1970): every bit of a word has a column of an odd
number of ones, those of the check bits one, those of the data three or more, all different. The
exclusive or of the columns of what was flipped, the syndrome, is the flipped bit's column after one
flip, and after two a number of an even number of ones, which is nobody's.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

#: Protection of the memories, in the order of the Verilog parameter's values.
Ecc = Literal["none", "parity", "secded"]
ECC: tuple[Ecc, ...] = get_args(Ecc)

#: Bits of the widest word that is protected.
MAX_WIDTH = 64
#: Columns of data bits, ascending: those of few check bits come first. Columns of check bits are
#: the powers of two.
COLUMNS = tuple(n for n in range(256) if n.bit_count() % 2 and n.bit_count() > 1)[:MAX_WIDTH]

Words = NDArray[np.uint64]


def check_bits(ecc: Ecc, width: int) -> int:
    """Check bits of a word of ``width`` bits, 1 … 64."""
    if ecc == "none":
        return 0
    return 1 if ecc == "parity" else COLUMNS[width - 1].bit_length()


def check_of(ecc: Ecc, words: Words, width: int) -> Words:
    """Check bits of words. words: uint64, ``width`` bits each; uint64 of the same shape."""
    found = np.zeros_like(words)
    if ecc == "none":
        return found
    for bit in range(width):
        column = np.uint64(1 if ecc == "parity" else COLUMNS[bit])
        found ^= (words >> np.uint64(bit) & np.uint64(1)) * column
    return found


def decoded(ecc: Ecc, words: Words, check: Words, width: int) -> tuple[Words, NDArray[np.bool_]]:
    """What a memory answers: the words, one flipped bit corrected, and which of them are wrong.

    words, check: uint64 of one shape, as they are stored. A word that is wrong comes as it is
    stored.
    """
    syndrome = check_of(ecc, words, width) ^ check
    if ecc != "secded":
        return words.copy(), syndrome != 0
    found, known = words.copy(), syndrome & (syndrome - np.uint64(1)) == 0
    for bit in range(width):
        hit = syndrome == np.uint64(COLUMNS[bit])
        found ^= hit.astype(np.uint64) << np.uint64(bit)
        known |= hit
    return found, ~known
