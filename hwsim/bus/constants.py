"""The numbers that a host, the simulation and the Verilog agree on: one table, five users."""

from __future__ import annotations

#: Memory spaces of the bus, by file of the image.
SPACES = {"weights.mem": 0, "index.mem": 1, "scale.mem": 2, "bias.mem": 3, "program.mem": 4}
#: The counters of hne_counters.v, lowest bits first; LayerTiming has the same names.
COUNTERS = (
    "total", "instruction", "compute", "act_stall", "post_stall", "expander_stall", "drain",
    "conflict_cycles", "expander_wait", "in_wait", "out_wait", "softmax",
)  # fmt: skip
#: Why hne_core refused; OUT_OF_CYCLES is the simulation's own.
CAUSES = {1: "opcode or shape", 2: "size", 3: "end of program", 4: "packet length"}
OUT_OF_CYCLES = 255
