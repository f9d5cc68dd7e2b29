"""Sequencer (twin: rtl/units/hne_sequencer.v): walks program.mem; layers are barriers.

An instruction is fetched when the layer before it has written its last result. What happens within
a layer is hwsim/units/schedule.py.
"""

from __future__ import annotations

from hwsim.program.instruction import WORDS_PER_INSTRUCTION

START = 1  # the last pixel is in: leave idle
FETCH = WORDS_PER_INSTRUCTION + 2  # one word a cycle; read, register
SETUP = 3  # line strides (a product), slot length (a maximum); the load of all units registered
INSTRUCTION = FETCH + SETUP

#: Words of an instruction in the order in which they are fetched: what takes longest to work out
#: comes first, groups and channels (divisions), then the shapes (products).
ORDER = (15, 1, 0, 2, 3, 4, 12, 14, 13, 8, 10, 5, 7, 9, 11, 6)

#: fc only: the array issues a column in the cycle after the tile buffer has written it.
ISSUE = 1
