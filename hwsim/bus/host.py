"""Host: what to read and write to run a Program on an engine behind its registers.

Knows the register map and no bus. Every method is a generator of accesses, which whoever has a bus
sends and answers: a mapped device, a debugger, a simulation.

    host = Host(program)
    drive(host.load(), bus)              # bus(access) -> Answer
    drive(host.start(), bus)             # then send the image, take the logits
    outcome = drive(host.outcome(), bus)

Of a batch: ``start(images)``, a packet for each image in and one out, ``outcome(image)`` of each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from hwsim.bus.constants import CAUSES, COUNTERS, PROBABILITIES, SPACES
from hwsim.bus.registers import ADDRESS, ID, PARAMETERS, VERSION
from hwsim.errors import HwsimError
from hwsim.numbers.config import check_batch
from hwsim.program.program import Program
from hwsim.rom.memories import memory_files, memory_values

START, AUTO, ABORT = 1, 2, 4  # CONTROL
BUSY, DONE, ERROR, REFUSED = 1, 2, 4, 8  # STATUS
CAUSE_LSB = 4


class HostError(HwsimError):
    """The engine is not the one that the program was compiled for, or it refused an access."""


class Access(NamedTuple):
    """A 32-bit access of the register file: byte address; the data of a write, None to read."""

    address: int
    data: int | None = None


class Answer(NamedTuple):
    """Data of a read (anything for a write); okay: the bus answered OKAY."""

    data: int
    okay: bool


T = TypeVar("T")
Accesses = Generator[Access, Answer, T]


def drive(accesses: Accesses[T], bus: Callable[[Access], Answer]) -> T:
    """Send every access of ``accesses`` to ``bus``; what the generator returns."""
    try:
        access = next(accesses)
        while True:
            access = accesses.send(bus(access))
    except StopIteration as end:
        result: T = end.value
        return result


@dataclass(frozen=True)
class BusResult:
    """What an image left in the registers. probabilities: UQ1.16, empty without the unit.

    counters: of all images that were started together.
    """

    argmax: int
    counters: dict[str, int]
    probabilities: list[int]


class Host:
    """The accesses that put ``program`` on an engine, rewrite its memories, and read an outcome."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def read(self, name: str) -> Accesses[int]:
        """A register. Raises HostError where the bus answers with an error."""
        answer = yield Access(ADDRESS[name])
        if not answer.okay:
            raise HostError(f"the engine refused to read {name}: is it busy?")
        return answer.data

    def write(self, name: str, data: int) -> Accesses[None]:
        """A register. Raises HostError where the bus answers with an error."""
        answer = yield Access(ADDRESS[name], data)
        if not answer.okay:
            raise HostError(f"the engine refused to write {name}: is it busy?")

    def identify(self) -> Accesses[None]:
        """Raises HostError unless this is an engine with exactly the program's parameters."""
        found = yield from self.read("ID")
        if found != ID:
            raise HostError(f"no engine here: ID reads 0x{found:08x}, not 0x{ID:08x}")
        version = yield from self.read("VERSION")
        # A later minor version has words more, an earlier one lacks some that are read here.
        if version >> 16 != VERSION >> 16 or version < VERSION:
            raise HostError(
                f"the engine has register map {version >> 16}.{version & 0xFFFF}, this hwsim knows "
                f"{VERSION >> 16}.{VERSION & 0xFFFF}: use the hwsim that its Verilog came from"
            )
        wanted = self.program.config.verilog_parameters()
        for name in PARAMETERS:
            there = yield from self.read(name)
            if there != wanted[name]:
                raise HostError(
                    f"the engine has {name} = {there}, the program was compiled for "
                    f"{wanted[name]}: compile it for the engine's configuration"
                )

    def load(self) -> Accesses[None]:
        """Write all memories of the engine, after ``identify``. Raises HostError."""
        yield from self.identify()
        for name in memory_files(self.program):
            yield from self.rewrite(name)

    def rewrite(self, name: str) -> Accesses[None]:
        """Write one memory, ``weights.mem`` for a defense. Raises HostError if busy."""
        width = memory_files(self.program)[name].width
        yield from self.write("MEM_SPACE", SPACES[name])
        yield from self.write("MEM_LINE", 0)
        yield from self.write("MEM_FIELD", 0)
        for words in memory_values(self.program, name):
            for word in words.reshape(-1).tolist():
                if width > 32:
                    yield from self.write("MEM_HIGH", word >> 32 & (1 << (width - 32)) - 1)
                yield from self.write("MEM_DATA", word & (1 << min(width, 32)) - 1)

    def start(self, images: int = 1) -> Accesses[None]:
        """Take so many images together, 1 … ``batch`` of the engine.

        Raises InputError for any other number, HostError if busy.
        """
        check_batch(self.program.config, images)
        yield from self.write("STATUS", DONE | ERROR | REFUSED)
        if self.program.config.batch > 1:
            yield from self.write("IMAGES", images)
        yield from self.write("CONTROL", START)

    def outcome(self, image: int = 0) -> Accesses[BusResult]:
        """Wait for the end; what ``image`` of those that were started left, counted from 0.

        Raises HostError, with the cause, if they were refused, or if there is no such image.
        """
        while (status := (yield from self.read("STATUS"))) & (DONE | ERROR) == 0:
            pass
        if status & ERROR:
            cause = CAUSES.get(status >> CAUSE_LSB & 7, "unknown")
            raise HostError(f"the engine refused the image or the program: {cause}")
        if self.program.config.batch > 1:
            yield from self.write("IMAGE", image)
        counters = {}
        for name in COUNTERS:
            counters[name] = yield from self.read(f"COUNT_{name.upper()}")
        return BusResult(
            argmax=(yield from self.read("ARGMAX")),
            counters=counters,
            probabilities=(yield from self._probabilities(image)),
        )

    def _probabilities(self, image: int) -> Accesses[list[int]]:
        if not self.program.config.softmax:
            return []
        yield from self.write("MEM_SPACE", PROBABILITIES)
        yield from self.write("MEM_LINE", 0)
        yield from self.write("MEM_FIELD", 0)
        found = []
        # A line has a field for each image of a batch.
        for _ in range(self.program.classes * self.program.config.batch):
            found.append((yield from self.read("MEM_DATA")))
        return found[image :: self.program.config.batch]
