"""Faults: flipped and stuck bits in the memories of the engine, exact in all three twins.

fault: what a fault is. inject: a program with faults. layers: what they make of its layers. draw:
random ones. trials: many sets of them on the same images, only what each can reach computed.
program_memory: what an engine makes of faulty instructions (``instructions``: which run;
``execute``, ``clock``: values and cycles). protection: what check bits leave of faults.
"""

from hwsim.faults.fault import KINDS, MEMORIES, Fault, Kind, Memory
from hwsim.faults.inject import inject

__all__ = ["KINDS", "MEMORIES", "Fault", "Kind", "Memory", "inject"]
