from pathlib import Path

from hwsim.bus.registers import PARAMETERS, REGISTERS, header, markdown
from hwsim.numbers.config import load_config

ROOT = Path(__file__).parents[2]


def test_committed_files_are_what_the_generator_writes() -> None:
    for path, lines in (("rtl/bus/hne_registers.vh", header()), ("docs/registers.md", markdown())):
        assert (ROOT / path).read_text(encoding="utf-8") == "\n".join(lines) + "\n"


def test_registers_are_words_of_their_own() -> None:
    addresses = [register.address for register in REGISTERS]
    assert len(set(addresses)) == len(addresses)
    assert all(address % 4 == 0 and address < 256 for address in addresses)


def test_every_verilog_parameter_has_a_word() -> None:
    assert set(load_config("tiny").verilog_parameters()) == set(PARAMETERS)
