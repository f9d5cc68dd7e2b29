"""Faults: flipped and stuck bits in the memories of the engine, exact in all three twins.

fault: what a fault is. inject: a program with faults. layers: what they make of its layers.
"""

from hwsim.faults.fault import KINDS, MEMORIES, Fault, Kind, Memory
from hwsim.faults.inject import inject

__all__ = ["KINDS", "MEMORIES", "Fault", "Kind", "Memory", "inject"]
