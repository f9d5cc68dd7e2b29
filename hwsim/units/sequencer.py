"""Sequencer (twin: rtl/units/hne_sequencer.v): walks program.mem; layers are barriers.

An instruction is fetched when the layer before it has written its last result. What happens within
a layer is hwsim/units/schedule.py.
"""

from __future__ import annotations

from hwsim.program.program import WORDS_PER_INSTRUCTION

START = 1  # the last pixel is in: leave idle
FETCH = WORDS_PER_INSTRUCTION + 2  # one word a cycle; read, register
SETUP = 3  # line strides (a product), slot length (a maximum); the load of all units registered
INSTRUCTION = FETCH + SETUP

#: fc only: the array issues a column in the cycle after the tile buffer has written it.
ISSUE = 1
