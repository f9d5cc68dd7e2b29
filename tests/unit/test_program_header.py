import re

from hwsim.program.header import verilog_header
from hwsim.program.instruction import FIELDS, encode
from hwsim.rtl.tree import module_file


def test_committed_header_is_what_the_generator_writes() -> None:
    assert module_file("hne_program.vh").read_text(encoding="utf-8") == verilog_header()


def test_header_places_a_field_where_encode_puts_it() -> None:
    constants = dict(re.findall(r"integer (\w+) = (\d+);", verilog_header()))
    for name, (_, _, width) in FIELDS.items():
        word, low, bits = (
            int(constants[f"FIELD_{name.upper()}_{p}"]) for p in ("WORD", "LSB", "WIDTH")
        )
        ones = (1 << width) - 1
        assert bits == width
        assert encode({name: ones}) == [ones << low if k == word else 0 for k in range(16)]


def test_fields_do_not_overlap() -> None:
    bits = [(word, bit) for word, low, n in FIELDS.values() for bit in range(low, low + n)]
    assert len(bits) == len(set(bits))
    assert all(word < 16 and bit < 32 for word, bit in bits)
