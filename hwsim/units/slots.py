"""Slots of an engine that skips (twin: rtl/units/hne_slots.v): which columns a pixel tile issues.

Of a convolution whose groups have several row-tiles, the first of them issues every column and
remembers, pixel tile by pixel tile, which were 0 in all lanes; the others issue the rest. All layers
of the array but fc choose a column SELECT cycles before it is issued.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: A column is looked up; its place is read; where it stands is added.
SELECT = 3
#: Cycles between the first row-tile of a group and the second: what the last column was is seen
#: (SELECT, five stages to the lanes, one to compare, one to write), then two words are read.
GAP = 12
#: Columns of a word of the memory of what was 0: looked at together.
WINDOW = 16
