"""Images in pieces of few sizes: kernels are proved anew for every size of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Images of a piece.
SIZES = (1, 4, 16, 64)


def cut(images: NDArray[Any]) -> list[NDArray[Any]]:
    """In pieces of the largest size; none of no images but one piece."""
    return [images[n : n + SIZES[-1]] for n in range(0, max(1, len(images)), SIZES[-1])]


def in_pieces(task: Any, sources: list[NDArray[Any]]) -> NDArray[Any]:
    """``task`` of the images in pieces of one of few sizes; what fills them up is cut off again."""
    count = len(sources[0])
    found = []
    for start in range(0, count, SIZES[-1]):
        pieces = [one[start : start + SIZES[-1]] for one in sources]
        here = len(pieces[0])
        size = next(one for one in SIZES if one >= here)
        if size > here:
            pieces = [np.concatenate([one, np.repeat(one[:1], size - here, 0)]) for one in pieces]
        found.append(task(*pieces)[:here])
    return np.concatenate(found) if found else task(*sources)
