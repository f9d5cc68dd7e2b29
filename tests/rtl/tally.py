"""What a run of the tests compared between the Verilog and the simulator."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from hwsim.program.program import Program
from hwsim.rom.memories import memory_files, memory_values
from hwsim.rtl.outcome import RtlBatch, RtlRun

#: By kind and name: digests of networks, and counts.
Packed = dict[str, dict[str, tuple[list[str], dict[str, int]]]]


@dataclass
class Tally:
    """Of one configuration: distinct networks, and values and cycles that were equal."""

    networks: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, program: Program, run: RtlRun) -> None:
        """One image that agreed in everything."""
        self.networks.add(_digest(program))
        self.counts["images"] += 1
        self.counts["layers"] += len(run.layers)
        self.counts["activations"] += sum(one.size for one in run.feature_maps)
        self.counts["logits"] += len(run.logits)
        self.counts["counters"] += sum(len(layer) for layer in run.layers)
        self.counts["cycles"] += run.total

    def add_batch(self, program: Program, found: RtlBatch) -> None:
        """A batch that agreed in everything; counters and cycles are of all its images."""
        self.networks.add(_digest(program))
        self.counts["images"] += len(found.logits)
        self.counts["layers"] += len(found.layers)
        self.counts["activations"] += sum(one.size for maps in found.feature_maps for one in maps)
        self.counts["logits"] += found.logits.size
        self.counts["counters"] += sum(len(layer) for layer in found.layers)
        self.counts["cycles"] += found.total


#: By name of the configuration.
RANDOM: dict[str, Tally] = defaultdict(Tally)
#: The same of batches.
BATCHES: dict[str, Tally] = defaultdict(Tally)
#: The same with faults.
FAULTY: dict[str, Tally] = defaultdict(Tally)
#: By name of the trained network.
TRAINED: dict[str, Tally] = defaultdict(Tally)
_ALL = {"random": RANDOM, "batches": BATCHES, "faulty": FAULTY, "trained": TRAINED}
COLUMNS = ("images", "layers", "activations", "logits", "counters", "cycles")


def packed() -> Packed:
    """All tallies in what can be sent from one process to another."""
    return {
        kind: {name: (sorted(one.networks), dict(one.counts)) for name, one in tallies.items()}
        for kind, tallies in _ALL.items()
    }


def unpack(found: Packed) -> None:
    """Add what another process compared."""
    for kind, tallies in found.items():
        for name, (networks, counts) in tallies.items():
            _ALL[kind][name].networks |= set(networks)
            _ALL[kind][name].counts.update(counts)


def _digest(program: Program) -> str:
    """Of all that the memories hold: two networks are one if their images are."""
    digest = hashlib.sha256()
    for name in memory_files(program):
        for words in memory_values(program, name):
            digest.update(words.tobytes())
    return digest.hexdigest()


def rows() -> list[tuple[str, int, Counter[str]]]:
    """Name, distinct networks and counts; a total at the end of the random ones."""
    found = _with_total(RANDOM, "") + _with_total(BATCHES, " in batches")
    found += _with_total(FAULTY, " with faults")
    return found + [(name, len(one.networks), one.counts) for name, one in TRAINED.items()]


def _with_total(tallies: dict[str, Tally], what: str) -> list[tuple[str, int, Counter[str]]]:
    found = [(name + what, len(one.networks), one.counts) for name, one in tallies.items()]
    if found:
        every: Counter[str] = sum((counts for _, _, counts in found), Counter())
        found.append(("all" + what, sum(networks for _, networks, _ in found), every))
    return found
