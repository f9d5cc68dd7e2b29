"""A picture of many images: a column for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hwsim.report.plots import INK, png

#: White pixels between two images.
GAP = 3


def sheet_png(images: NDArray[Any], names: Sequence[str]) -> bytes:
    """PNG of grey images (N, 1, H, W) uint8 whose classes take turns, ``names`` above the columns.

    Bright is drawn dark. N is a multiple of the number of names.
    """
    columns = len(names)
    _, _, high, wide = images.shape
    cells = np.pad(images[:, 0], ((0, 0), (0, GAP), (0, GAP)))
    rows = len(images) // columns
    whole = cells.reshape(rows, columns, high + GAP, wide + GAP).swapaxes(1, 2)
    whole = whole.reshape(rows * (high + GAP), columns * (wide + GAP))
    figure = Figure(figsize=(0.5 * columns, 0.5 * rows + 0.4), facecolor="white")
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98 * 0.5 * rows / (0.5 * rows + 0.4)))
    axes.imshow(255 - whole, cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
    for column, name in enumerate(names):
        place = column * (wide + GAP) + wide / 2
        axes.text(place, -6, name, fontsize=8, color=INK, ha="center", va="bottom")
    return png(figure)
