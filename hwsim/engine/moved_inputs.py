"""Some inputs of a fully connected layer moved: what that adds to sums that are known.

A fault in a convolution moves few places of the map that a layer behind it reads, and such a layer
has a column of weights for each: the sums of a batch follow from the old ones at the price of these
columns, exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwsim.engine.kernels import window_weights
from hwsim.engine.stages import Stage
from hwsim.program.layers import MacLayer

I64 = NDArray[np.int64]
#: What a multiply-add here takes, by kernels that compute all sums: so many of theirs. Measured on
#: one CPU; where another one differs that costs time, never a sum.
THEIRS = {"int8": 20, "float32": 6, "float64": 3, "int64": 1}


class MovedInputs:
    """A fully connected stage, maps that it has read, and what its weights made of them.

    maps: (N, H, W, C) of codes. sums: int32 or int64 (n_out, N, 1, 1), exact; of 32 bits only where
    no map leaves them.
    """

    def __init__(self, stage: Stage, maps: NDArray[Any], sums: NDArray[Any]) -> None:
        layer = stage.layer
        assert isinstance(layer, MacLayer)
        assert layer.kind == "fc"
        self._maps = np.ascontiguousarray(maps).reshape(len(maps), -1)
        self._sums = np.ascontiguousarray(sums[:, :, 0, 0].T)
        columns = window_weights(layer).reshape(layer.n_out, -1).T
        narrow = max(-int(columns.min()), int(columns.max())) < 1 << 15
        self._columns = np.ascontiguousarray(columns, np.int16 if narrow else np.int32)
        self._stage = stage

    @property
    def nbytes(self) -> int:
        """Of what it keeps beside the maps, which it copies only where they are no array of their
        own.
        """
        return self._sums.nbytes + self._columns.nbytes

    def __call__(self, rows: I64, maps: NDArray[Any]) -> NDArray[Any] | None:
        """The sums (k, 1, 1, n_out) of images ``rows`` that now read ``maps`` (k, H, W, C).

        None where so many inputs moved that it is less work to compute all.
        """
        now = np.ascontiguousarray(maps).reshape(len(maps), -1)
        assert self._stage.sums is not None
        theirs = THEIRS[self._stage.sums.ways[0].way.kernel]
        places = np.empty(int(now.size / theirs), np.int64)
        ends = np.empty(len(rows), np.int64)
        words = _words(now), _words(self._maps)
        if not _moved(*words, now, self._maps, rows, places, ends):
            return None
        out = self._sums[rows]
        _add_columns(now, self._maps, rows, places, ends, self._columns, out)
        return out[:, None, None]


def _words(rows: NDArray[Any]) -> NDArray[Any]:
    """The same memory in the longest words that rows are whole numbers of."""
    size = rows.itemsize * rows.shape[1]
    return rows.view(f"u{next(word for word in (8, 4, 2, 1) if size % word == 0)}")


@njit(nogil=True, cache=True)
def _moved(words, words_before, now, before, rows, places, ends):  # type: ignore[no-untyped-def]
    """Which inputs of now (k, fan_in) are others in before (N, fan_in)[rows]; whether all fit.

    words: the same in longer words. places: their numbers, image by image. ends: where those of
    each image end.
    """
    step = now.shape[1] // words.shape[1]
    found = 0
    for n in range(len(rows)):
        one, other = words[n], words_before[rows[n]]
        for w in range(len(one)):
            if one[w] == other[w]:
                continue
            if found + step > len(places):
                return False
            for j in range(w * step, w * step + step):
                if now[n, j] != before[rows[n], j]:
                    places[found] = j
                    found += 1
        ends[n] = found
    return True


@njit(nogil=True, cache=True)
def _add_columns(now, before, rows, places, ends, columns, out):  # type: ignore[no-untyped-def]
    """out (k, n_out) += what each input moved by times its column of (fan_in, n_out)."""
    first = 0
    for n in range(len(ends)):
        one, other, target = now[n], before[rows[n]], out[n]
        for at in range(first, ends[n]):
            j = places[at]
            move, column = np.int64(one[j]) - np.int64(other[j]), columns[j]
            for o in range(len(target)):
                target[o] += move * column[o]
        first = ends[n]
