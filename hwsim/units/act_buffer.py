"""Activation buffer (twin: rtl/units/hne_act_buffer.v): all feature maps, banked by x mod COLS.

A layer reads one place of it, an addition two, and writes one. A read asks for the COLS
neighbouring activations of one column, at the distance of the layer's horizontal stride; lanes in
the padding get the layer's fill code on their way.
Its reader and its lanes (hne_act_reader.v, hne_act_lanes.v) are the first stages of whatever
computes on activations, the array and the pool.
"""

from __future__ import annotations

import math

#: Pipeline behind the cycle that issues the read of a column, up to the aligned lanes.
ADDRESS = 1  # the line of each bank; the column of each lane was found in the cycle of the issue
READ = 2  # the banks answer; their output registers
ALIGN = 1  # their words are aligned and masked into the lanes
FILL = ADDRESS + READ + ALIGN


def cycles_column(stride: int, cols: int) -> int:
    """Cycles to read the COLS activations of one column.

    Feature maps are banked by x mod COLS. Lanes 0 … COLS/g − 1 at distance ``stride`` hit distinct
    banks for g = gcd(stride, COLS), so the column takes g cycles: 1 at stride 1, 2 at stride 2.

    Parameters
    ----------
    stride : int
        Distance of neighbouring lanes in pixels, 1 … 15: the horizontal stride.
    cols : int
        COLS of the engine, a power of two.

    Returns
    -------
    int
        1 … COLS.
    """
    return math.gcd(stride, cols)
