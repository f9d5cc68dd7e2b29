"""Host against a register file that keeps what is written: no simulation needed."""

from __future__ import annotations

import pytest

from hwsim.bus.constants import COUNTERS, SPACES
from hwsim.bus.host import DONE, ERROR, Access, Answer, Host, HostError, drive
from hwsim.bus.registers import ADDRESS, ID, PARAMETERS, VERSION
from hwsim.errors import InputError
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.program import Program
from hwsim.rom.memories import memory_files, memory_values
from tests.rtl.samples import small_network

PROGRAM = small_network(load_config("tiny"))
NAMES = {address: name for name, address in ADDRESS.items()}


class Device:
    """The registers of an engine; MEM_DATA moves on as the real one does."""

    def __init__(self, config: EngineConfig, **registers: int) -> None:
        words = {name: config.verilog_parameters()[name] for name in PARAMETERS}
        counts = {f"COUNT_{name.upper()}": n for n, name in enumerate(COUNTERS)}
        self.config = config
        self.registers = {"ID": ID, "VERSION": VERSION, "STATUS": DONE, **words, **counts}
        self.registers |= {"ARGMAX": 3, "MEM_HIGH": 0, "IMAGES": 1, "IMAGE": 0, **registers}
        self.memory: dict[tuple[int, int, int], int] = {}
        self.busy = False
        #: (data, register) that it does not take.
        self.refused: set[tuple[int | None, str]] = set()

    def __call__(self, access: Access) -> Answer:
        name = NAMES[access.address]
        if name == "MEM_DATA":
            return self._memory(access.data)
        if (access.data, name) in self.refused:
            return Answer(0, okay=False)
        if access.data is not None and name != "STATUS":
            self.registers[name] = access.data
        return Answer(self.registers[name], okay=True)

    def _memory(self, data: int | None) -> Answer:
        if self.busy:
            return Answer(0, okay=False)
        space, line, field = (self.registers[f"MEM_{x}"] for x in ("SPACE", "LINE", "FIELD"))
        place = space, line, field
        if data is not None:
            self.memory[place] = self.registers["MEM_HIGH"] << 32 | data
        fields = {0: self.config.banks, 1: self.config.rows, 5: self.config.batch}.get(space, 1)
        step, self.registers["MEM_FIELD"] = divmod(field + 1, fields)
        self.registers["MEM_LINE"] = line + step
        return Answer(self.memory.get(place, 0) & 0xFFFFFFFF, okay=True)


def stands_in(device: Device, program: Program, name: str) -> bool:
    """Whether each word of a memory file is where it belongs."""
    mask = (1 << memory_files(program)[name].width) - 1
    line = 0
    for values in memory_values(program, name):
        for words in values.tolist():
            for field, word in enumerate(words):
                if device.memory[SPACES[name], line, field] & mask != word & mask:
                    return False
            line += 1
    return True


@pytest.mark.parametrize("config", ["tiny", "small"])
def test_every_word_is_put_where_it_belongs(config: str) -> None:
    program = small_network(load_config(config))
    device = Device(program.config)
    drive(Host(program).load(), device)
    assert all(stands_in(device, program, name) for name in memory_files(program))
    assert {space for space, _, _ in device.memory} == {
        SPACES[name] for name in memory_files(program)
    }


def test_a_rewrite_touches_one_memory() -> None:
    device = Device(PROGRAM.config)
    drive(Host(PROGRAM).rewrite("weights.mem"), device)
    assert stands_in(device, PROGRAM, "weights.mem")
    assert {space for space, _, _ in device.memory} == {0}


@pytest.mark.parametrize(
    ("registers", "words"),
    [
        ({"ID": 0x12345678}, "no engine here: ID reads 0x12345678"),
        ({"VERSION": 0x00020000}, "the engine has register map 2.0"),
        ({"VERSION": 0x00010002}, "the engine has register map 1.2, this hwsim knows 1.3"),
        ({"BATCH": 2}, "the engine has BATCH = 2, the program was compiled for 1"),
        ({"ROWS": 4}, "the engine has ROWS = 4, the program was compiled for 2"),
        ({"WGT_DEPTH": 64}, "the engine has WGT_DEPTH = 64"),
        ({"SOFTMAX": 0}, "the engine has SOFTMAX = 0, the program was compiled for 1"),
    ],
)
def test_another_engine_is_refused_before_anything_is_written(
    registers: dict[str, int], words: str
) -> None:
    device = Device(PROGRAM.config, **registers)
    with pytest.raises(HostError, match=words):
        drive(Host(PROGRAM).load(), device)
    assert not device.memory


def test_a_later_minor_version_is_taken() -> None:
    drive(Host(PROGRAM).identify(), Device(PROGRAM.config, VERSION=VERSION + 1))


def test_a_busy_engine_is_one_clear_line() -> None:
    device = Device(PROGRAM.config)
    device.busy = True
    with pytest.raises(HostError, match="refused to write MEM_DATA: is it busy"):
        drive(Host(PROGRAM).rewrite("bias.mem"), device)


def test_an_outcome_holds_class_counters_and_probabilities() -> None:
    device = Device(PROGRAM.config)
    device.memory = {(5, n, 0): 100 + n for n in range(4)}
    outcome = drive(Host(PROGRAM).outcome(), device)
    assert outcome.argmax == 3
    assert outcome.counters == {name: n for n, name in enumerate(COUNTERS)}
    assert outcome.probabilities == [100, 101, 102, 103]


def test_images_are_started_together_and_each_has_an_outcome_of_its_own() -> None:
    program = PROGRAM.replace(config=PROGRAM.config.replace(batch=2))
    device, host = Device(program.config), Host(program)
    drive(host.start(2), device)
    assert (device.registers["IMAGES"], device.registers["CONTROL"]) == (2, 1)
    device.memory = {(5, n, image): 100 * image + n for n in range(4) for image in range(2)}
    for image in range(2):
        outcome = drive(host.outcome(image), device)
        assert device.registers["IMAGE"] == image
        assert outcome.probabilities == [100 * image + n for n in range(4)]
    device.refused = {(2, "IMAGE")}
    with pytest.raises(HostError, match="refused to write IMAGE"):
        drive(host.outcome(2), device)


@pytest.mark.parametrize(("batch", "images"), [(1, 2), (2, 3), (2, 0)])
def test_more_images_than_the_engine_takes_are_refused_before_anything_is_written(
    batch: int, images: int
) -> None:
    program = PROGRAM.replace(config=PROGRAM.config.replace(batch=batch))
    device = Device(program.config)
    before = dict(device.registers)
    with pytest.raises(InputError, match=f"a batch of {images}: tiny takes"):
        drive(Host(program).start(images), device)
    assert device.registers == before


def test_an_engine_without_batches_is_not_asked_for_one() -> None:
    """Its registers may be of a map that has no such words."""
    device = Device(PROGRAM.config)
    for name in ("IMAGES", "IMAGE"):
        del device.registers[name]
    drive(Host(PROGRAM).start(), device)
    assert drive(Host(PROGRAM).outcome(), device).argmax == 3


def test_without_the_unit_there_are_no_probabilities() -> None:
    program = PROGRAM.replace(config=PROGRAM.config.replace(softmax=False))
    assert drive(Host(program).outcome(), Device(program.config)).probabilities == []


@pytest.mark.parametrize(("cause", "words"), [(1, "opcode or shape"), (4, "packet length")])
def test_a_refused_image_says_why(cause: int, words: str) -> None:
    device = Device(PROGRAM.config, STATUS=ERROR | cause << 4)
    with pytest.raises(HostError, match=words):
        drive(Host(PROGRAM).outcome(), device)
