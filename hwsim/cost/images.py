"""Cycles and counters of a Program for given images: what analyze says of the slowest one.

Only an engine that skips tells images apart (``EngineConfig.skip``); on any other all rows are
equal.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.skipping import VARYING
from hwsim.cost.timing import walk
from hwsim.program.program import Program

Counters = dict[str, NDArray[np.int64]]


class ImageTiming:
    """A program's counters, image by image.

    layers: LayerTiming of each layer, of an input without a zero. skipping: what the columns cost
    of the layers that leave some out, by number of the layer.
    """

    def __init__(self, program: Program) -> None:
        costs = list(walk(program))
        self.layers = tuple(cost.timing for cost in costs)
        self.skipping = {
            number: cost.array.skipping
            for number, cost in enumerate(costs)
            if cost.array is not None and cost.array.skipping is not None
        }

    def counters(self, wanted: Mapping[int, NDArray[np.bool_]], count: int) -> Counters:
        """Counters of ``count`` images, those of LayerTiming that an image decides.

        Parameters
        ----------
        wanted : mapping
            Of each layer of ``skipping``: bool (count, fan_in), which codes are not 0, in (c, y, x)
            order.

        Returns
        -------
        dict
            Name of a counter -> int64 (count, layers). ``cycles`` are a layer's, its instruction
            included; sequencer.START belongs to none.
        """
        found = {
            name: np.tile(
                np.array([getattr(layer, name) for layer in self.layers], np.int64), (count, 1)
            )
            for name in VARYING
        }
        for number, layer in self.skipping.items():
            counted = layer.counters(wanted[number])
            for name in VARYING:
                found[name][:, number] = getattr(counted, name)
        return found
