"""Faults: flipped and stuck bits in the memories of the engine, exact in all three twins.

fault: what a fault is. program_memory: what an engine makes of faulty instructions
(``instructions``: which run; ``execute``, ``clock``: values and cycles). protection: what check
bits leave of faults.
"""

from hwsim.faults.fault import KINDS, MEMORIES, Fault, Kind, Memory

__all__ = ["KINDS", "MEMORIES", "Fault", "Kind", "Memory"]
