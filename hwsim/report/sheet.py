"""A picture of many images: a column for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hwsim.report.plots import INK, png


def sheet_png(images: NDArray[Any], names: Sequence[str]) -> bytes:
    """PNG of grey images (N, 1, H, W) uint8 whose classes take turns, ``names`` above the columns.

    N is a multiple of the number of names.
    """
    columns = len(names)
    rows = len(images) // columns
    figure = Figure(figsize=(0.5 * columns, 0.5 * rows + 0.3), facecolor="white")
    grid = figure.add_gridspec(
        rows, columns, left=0.01, right=0.99, bottom=0.01, top=1 - 0.3 / (0.5 * rows + 0.3),
        wspace=0.06, hspace=0.06,
    )  # fmt: skip
    for place, image in enumerate(images[: rows * columns]):
        row, column = divmod(place, columns)
        axes = figure.add_subplot(grid[row, column])
        axes.imshow(255 - np.asarray(image[0]), cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        if row == 0:
            axes.set_title(names[column], fontsize=8, color=INK, pad=3)
    return png(figure)
