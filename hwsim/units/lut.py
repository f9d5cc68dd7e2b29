"""Tables (twin: rtl/units/hne_lut.v): y = T[a], any function of a code, with a copy in every lane.

The word is looked up while post multiplies, adds and shifts, and taken where it would clamp, so
that a lut layer takes the cycles of any other (hwsim/units/post.py).
"""

from __future__ import annotations

from hwsim.units import post

#: Pipeline beside that of a post lane, from its operands on.
ADDRESS = 1  # the code of each lane
READ = 2  # the copies answer; their output registers
WAIT = post.BROADCAST + post.MULTIPLY + post.ADD + post.SHIFT - ADDRESS - READ  # then CLAMP
