"""The numbers that a host, the simulation and the Verilog agree on: one table, five users.

hwsim/bus/header.py writes them as Verilog and as C++.
"""

from __future__ import annotations

#: Memory spaces of the bus, by file of the image; the probabilities are only read.
SPACES = {
    "weights.mem": 0, "index.mem": 1, "scale.mem": 2, "bias.mem": 3, "program.mem": 4,
    "lut.mem": 6,
}  # fmt: skip
PROBABILITIES = 5
#: Cycles from a read of the memory bus to its word.
MEMORY_READ = 4
#: The counters of hne_counters.v, lowest bits first; LayerTiming has the same names.
COUNTERS = (
    "total", "instruction", "compute", "act_stall", "post_stall", "expander_stall", "drain",
    "conflict_cycles", "expander_wait", "in_wait", "out_wait", "softmax", "skipped",
)  # fmt: skip
#: Why the sequencer refused, by the name it has in the Verilog.
CAUSE_CODES = {"shape": 1, "size": 2, "end": 3, "packet": 4, "place": 5, "memory": 6}
#: The same in words; OUT_OF_CYCLES is the simulation's own.
CAUSES = {
    1: "opcode or shape", 2: "size", 3: "end of program", 4: "packet length", 5: "place",
    6: "flipped bits in a memory",
}  # fmt: skip
OUT_OF_CYCLES = 255
#: In place of an image's number, where what is recorded is a pixel of each image of a batch.
ALL_IMAGES = 256
#: Commands of the simulation's pipe, and flags of ``run``; rtl/sim/hne_sim.cpp describes them.
COMMANDS = {"load": 1, "run": 2, "read": 3, "poke": 4}
FLAGS = {"record": 1, "random": 2, "short": 4, "long": 8, "trace": 16}
#: Kinds of messages of the simulation, numbers that no text that strays into its output begins
#: with by chance; and after how many clock cycles a sign of life comes.
MESSAGES = {"alive": 0x65766C61, "answer": 0x72776E61}
ALIVE_TICKS = 1 << 14
