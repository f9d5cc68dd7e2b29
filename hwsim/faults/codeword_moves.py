"""Flips of a word and its check bits that pass: what an attacker flips who knows the code.

What passes makes another word with its own check bits, or comes so near to one that the decoder
completes it: behind parity a data bit takes the check bit with it, two data bits pass as they are.
Hsiao's code has distance 4, so that three of four flips pass: the decoder sees one wrong bit, and
"corrects" the fourth.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.ecc import Ecc, check_of

#: Data bits of a move, in words of more bits than WIDE: address bits, of which any changes the
#: word that is read for another one, are many, and there are two in a million of four of them.
WIDE, FEW = 8, 2


@lru_cache
def moves(ecc: Ecc, width: int) -> tuple[NDArray[np.int64], tuple[tuple[int, ...], ...]]:
    """All cheapest ways to make another word of ``width`` bits pass: masks of the data bits that
    change, (m,), and the bits that are flipped for each, check bits from ``width`` on.

    A way of SECDED leaves the highest bit to the decoder.
    """
    most = width if width <= WIDE else FEW
    masks = [
        sum(1 << bit for bit in bits)
        for count in range(1, most + 1)
        for bits in combinations(range(width), count)
    ]
    data = np.array(masks, np.uint64)
    whole = data | check_of(ecc, data, width) << np.uint64(width)
    flipped = [_bits(int(word)) for word in whole]
    if ecc == "secded":
        flipped = [bits[:-1] for bits in flipped]
    least = min(map(len, flipped))
    chosen = [n for n, bits in enumerate(flipped) if len(bits) == least]
    return data[chosen].astype(np.int64), tuple(flipped[n] for n in chosen)


def _bits(word: int) -> tuple[int, ...]:
    return tuple(bit for bit in range(word.bit_length()) if word >> bit & 1)
