"""Faults: flipped and stuck bits in the memories of the engine, exact in all three twins.

fault: what a fault is.
"""

from hwsim.faults.fault import KINDS, MEMORIES, Fault, Kind, Memory

__all__ = ["KINDS", "MEMORIES", "Fault", "Kind", "Memory"]
