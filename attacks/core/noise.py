"""Random numbers that belong to an example, whatever batch it is in.

A run that is stopped and resumed, or cut into other batches, draws the same starts.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor


class Noise:
    """A stream of draws for N examples, seeded by (seed, content of the example).

    Two equal images of one batch get equal draws. Not for cryptography.
    """

    def __init__(self, inputs: Tensor, seed: int = 0) -> None:
        self.shape = tuple(inputs.shape[1:])
        images = inputs.detach().to("cpu", torch.float32).contiguous().numpy()
        self._streams = [
            np.random.Generator(np.random.Philox(key=[zlib.crc32(image.tobytes()), seed]))
            for image in images
        ]

    def uniform(self, low: float = -1.0, high: float = 1.0) -> Tensor:
        """(N, C, H, W) float32 in [low, high), the next draw of every example."""
        draws = [stream.random(self.shape, dtype=np.float32) for stream in self._streams]
        return torch.from_numpy(np.stack(draws)) * (high - low) + low

    def normal(self) -> Tensor:
        """(N, C, H, W) float32, standard normal."""
        draws = [s.standard_normal(self.shape, dtype=np.float32) for s in self._streams]
        return torch.from_numpy(np.stack(draws))

    def integers(self, high: int) -> Tensor:
        """(N,) int64 in 0 … high − 1."""
        return torch.tensor([int(stream.integers(high)) for stream in self._streams])

    def __getitem__(self, index: Tensor) -> Noise:
        """The streams of some of the examples, by int64 or bool index; shared, not copied."""
        part = Noise.__new__(Noise)
        part.shape = self.shape
        chosen = index.nonzero().flatten() if index.dtype == torch.bool else index
        part._streams = [self._streams[i] for i in chosen.tolist()]
        return part
