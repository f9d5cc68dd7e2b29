"""MAC array (twin: rtl/units/hne_mac_array.v): ROWS x COLS output-stationary accumulators.

A weight is broadcast along an array row (one output channel), an activation along an array column
(one output pixel). The accumulators of a finished pixel tile are copied to a shadow bank, from
which post drains them while the next pixel tile accumulates.
"""

from __future__ import annotations

import math

#: Pipeline behind the cycle that issues a column. Weights are read at once and wait for the lanes.
ADDRESS = 2  # the column of each lane; the line of each bank of the activation buffer


READ = 1  # the activation buffer answers


ALIGN = 1  # its words are aligned and masked into the operand registers


BROADCAST = 1  # from the lanes to all rows


MULTIPLY = 1  # ROWS x COLS products, registered


ACCUMULATE = 1  # the first column of a tile loads, the others add


SHADOW = 1  # a marker behind the slot's last cycle copies the accumulators to the shadow bank


FILL = ADDRESS + READ + ALIGN + BROADCAST + MULTIPLY + ACCUMULATE + SHADOW


def cycles_column(stride: int, cols: int) -> int:
    """Cycles to read the COLS activations of one column; cols is a power of two.

    Feature maps are banked by x mod COLS. Lanes 0 … COLS/g − 1 at distance ``stride`` hit distinct
    banks for g = gcd(stride, COLS), so the column takes g cycles: 1 at stride 1, 2 at stride 2.
    """
    return math.gcd(stride, cols)


def cycles_slot(fan_in: int, stride: int, rows: int, cols: int) -> int:
    """Cycles T of one pixel tile of a convolution: max(fan-in · cycles per column, drain).

    rows: array rows in use, min(ROWS, output channels). The shadow bank must be drained (one
    array row per cycle) before the next copy, so a slot never is shorter than a drain. One length
    holds for the whole layer: the last, perhaps narrower, row-tile follows a full drain.
    """
    return max(fan_in * cycles_column(stride, cols), rows)
