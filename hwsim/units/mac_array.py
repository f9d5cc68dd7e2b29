"""MAC array (twin: rtl/units/hne_mac_array.v): ROWS x COLS output-stationary accumulators.

A weight is broadcast along an array row (one output channel), an activation along an array column
(one output pixel). The accumulators of a finished pixel tile are copied to a shadow bank, from
which post drains them while the next pixel tile accumulates. How fast this computer computes the
same sums is no matter of the unit: see hwsim/engine/kernels.py.
"""

from __future__ import annotations

from hwsim.units import act_buffer

#: Pipeline behind the lanes of the activation buffer. Weights are read when the column is issued
#: and wait for the lanes.
BROADCAST = 1  # from the lanes to all rows
MULTIPLY = 1  # ROWS x COLS products, registered
ACCUMULATE = 1  # the first column of a tile loads, the others add
SHADOW = 1  # a marker behind the slot's last cycle copies the accumulators to the shadow bank
#: Behind the cycle that issues a column, whose activations come from the buffer.
FILL = act_buffer.FILL + BROADCAST + MULTIPLY + ACCUMULATE + SHADOW


def cycles_slot(fan_in: int, stride: int, rows: int, cols: int) -> int:
    """Cycles T of one pixel tile of a convolution: max(fan-in · cycles per column, drain).

    rows: array rows in use, min(ROWS, output channels). The shadow bank must be drained (one
    array row per cycle) before the next copy, so a slot never is shorter than a drain. One length
    holds for the whole layer: the last, perhaps narrower, row-tile follows a full drain.
    """
    return max(fan_in * act_buffer.cycles_column(stride, cols), rows)
