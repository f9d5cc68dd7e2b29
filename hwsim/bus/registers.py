"""The register map of the engine: one table for rtl/bus/hne_registers.vh, docs/registers.md,
drivers.

``python -m hwsim.bus.registers > rtl/bus/hne_registers.vh`` and ``python -m hwsim.bus.registers
--markdown > docs/registers.md`` write the two files; a test compares them with the table. As
SystemRDL it is in hwsim/bus/rdl.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hwsim.bus.constants import CAUSE_CODES, CAUSES, COUNTERS, PROBABILITIES, SPACES

#: "HNE1" in ASCII, and major.minor of this map.
ID, VERSION = 0x484E4531, 0x00010003

#: Parameter words, in the order of their addresses; those of the optional units stand behind the
#: counters but the last, and BATCH behind that one.
BASIC = (
    "ROWS", "COLS", "BANKS", "ACT_W", "WGT_W", "ACC_W", "MULT_W", "INDEX_MODE", "TILE_DEPTH",
    "WGT_DEPTH", "IDX_DEPTH", "ACT_DEPTH", "CHAN_DEPTH", "PROG_DEPTH", "SOFTMAX",
)  # fmt: skip
OPTIONS = (
    "ADD", "AVERAGE", "GROUPS", "LUT_TABLES", "REQUANTIZATION", "ECC", "SKIP", "SKIP_COLUMNS",
    "SKIP_MASKS",
)  # fmt: skip
PARAMETERS = (*BASIC, *OPTIONS, "BATCH")

Access = Literal["ro", "rw", "w1c"]


@dataclass(frozen=True)
class Field:
    """Some bits of a word; ``access`` where it is not that of the word.

    says: what stands behind its name in the description. pulse: reads as 0, whatever was written.
    """

    name: str
    low: int
    width: int
    says: str = ""
    access: Access | None = None
    pulse: bool = False

    @property
    def described(self) -> str:
        """Place, name and meaning."""
        high = self.low + self.width - 1
        where = f"bit {self.low}" if self.width == 1 else f"bits {high} … {self.low}"
        return f"{where} {self.name}{self.says}"


@dataclass(frozen=True)
class Register:
    """One 32-bit word. access: ``ro``, ``rw``, or ``w1c`` (writing 1 clears a bit).

    fields: where its bits have names. width: bits that are there, where they have none. constant:
    what it always reads as, if that does not depend on the engine. reset: what it holds before it
    is written. codes: names of values.
    """

    name: str
    address: int
    access: Access
    text: str = ""
    fields: tuple[Field, ...] = ()
    width: int = 32
    constant: int | None = None
    reset: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)

    @property
    def meaning(self) -> str:
        """What docs/registers.md says."""
        return "; ".join([one.described for one in self.fields] + [self.text] * bool(self.text))


_SPACES = ", ".join(f"{number} {name.removesuffix('.mem')}" for name, number in SPACES.items())
_CAUSES = ", ".join(f"{code} {meaning}" for code, meaning in CAUSES.items())

REGISTERS = (
    Register("ID", 0x00, "ro", f"0x{ID:08x}, “HNE1”", constant=ID),
    Register(
        "VERSION", 0x04, "ro", f"0x{VERSION:08x}: major and minor version of this map",
        constant=VERSION,
    ),
    Register(
        "CONTROL", 0x08, "rw", fields=(
            Field("start", 0, 1, ": take IMAGES images, reads as 1 until they are taken up"),
            Field("auto", 1, 1, ": take one batch after the other, of IMAGES images each"),
            Field("abort", 2, 1, ": reset the engine and its streams, but neither its memories nor "
                  "these registers; reads as 0", pulse=True),
        ),
    ),
    Register(
        "STATUS", 0x0C, "w1c", fields=(
            Field("busy", 0, 1, " (not cleared by writing)", "ro"),
            Field("done", 1, 1),
            Field("error", 2, 1),
            Field("refused", 3, 1, ": a memory was accessed, start or IMAGES written while busy, "
                  "or a memory where it has no such line or field, or one written that is only "
                  "read; or IMAGES or IMAGE written with a number that is out of range"),
            Field("cause", 4, 3, f" of the last error: {_CAUSES}", "ro"),
        ), codes=CAUSE_CODES,
    ),
    Register(
        "IRQ_ENABLE", 0x10, "rw", "irq is high while such a bit of STATUS is set",
        fields=(Field("done", 1, 1), Field("error", 2, 1)),
    ),
    Register(
        "ARGMAX", 0x14, "ro", "class of image IMAGE of the last batch; the first maximum wins"
    ),
    Register("CLASSES", 0x18, "ro", "logits of each image of the last batch"),
    Register(
        "MEM_SPACE", 0x20, "rw", f"memory behind MEM_DATA: {_SPACES}; with SOFTMAX "
        f"{PROBABILITIES}, to be read: probabilities of the last batch, UQ1.16", width=3,
        codes={name.removesuffix(".mem"): number for name, number in SPACES.items()}
        | {"probabilities": PROBABILITIES},
    ),
    Register("MEM_LINE", 0x24, "rw", "line, as in the memory image"),
    Register(
        "MEM_FIELD", 0x28, "rw", "field of the line: bank, array row, of probabilities the image, "
        "or 0", width=9,
    ),
    Register(
        "MEM_HIGH", 0x2C, "rw", "bits 63 … 32 of the word: set before MEM_DATA is written, valid "
        "after it was read",
    ),
    Register(
        "MEM_DATA", 0x30, "rw", "bits 31 … 0 of the word. An access reads or writes the memory and "
        "moves on to the next field, after the last one to the next line",
    ),
    *(
        Register(name, 0x40 + 4 * n, "ro", f"parameter {name}")
        for n, name in enumerate(BASIC)
    ),
    *(
        Register(f"COUNT_{name.upper()}", 0x80 + 4 * n, "ro", f"cycles of the last batch: {name}")
        for n, name in enumerate(COUNTERS[:-1])
    ),
    *(
        Register(name, 0xB0 + 4 * n, "ro", f"parameter {name}")
        for n, name in enumerate(OPTIONS)
    ),
    # Came when the words behind the other counters were taken.
    Register("COUNT_SKIPPED", 0xD4, "ro", "columns that the last batch skipped"),
    Register("BATCH", 0xD8, "ro", "parameter BATCH"),
    Register("IMAGES", 0xDC, "rw", "images of the next batch, 1 … BATCH", width=9, reset=1),
    Register(
        "IMAGE", 0xE0, "rw", "image of the batch whose class ARGMAX shows, 0 … BATCH − 1", width=8,
    ),
)  # fmt: skip

ADDRESS = {register.name: register.address for register in REGISTERS}


def header() -> Iterator[str]:
    """Lines of rtl/bus/hne_registers.vh."""
    yield "// The register map: word addresses of the registers. Generated by"
    yield "// `python -m hwsim.bus.registers` from hwsim/bus/registers.py: do not edit."
    yield "// docs/registers.md describes it."
    yield ""
    yield "// Every reader uses some of them only."
    yield "/* verilator lint_off UNUSEDPARAM */"
    yield ""
    yield f"localparam [31:0] REGISTER_ID = 32'h{ID:08X};"
    yield f"localparam [31:0] REGISTER_VERSION = 32'h{VERSION:08X};"
    yield ""
    for register in REGISTERS:
        yield f"localparam [5:0] REG_{register.name} = 6'h{register.address // 4:02X};"
    yield ""
    yield "/* verilator lint_on UNUSEDPARAM */"


def markdown() -> Iterator[str]:
    """Lines of docs/registers.md."""
    yield "# Register map"
    yield ""
    yield "Generated by `python -m hwsim.bus.registers --markdown` from hwsim/bus/registers.py."
    yield ""
    yield "AXI4-Lite, 32 bits. A write must cover the whole word. SLVERR answers a write to a"
    yield "read-only word, a partial write, and an access that STATUS.refused stands for; DECERR"
    yield "answers an address that is not in the table. Neither changes anything but that bit."
    yield ""
    yield "| address | name | access | meaning |"
    yield "|---|---|---|---|"
    for one in REGISTERS:
        yield f"| 0x{one.address:02x} | {one.name} | {one.access} | {one.meaning} |"


if __name__ == "__main__":
    print("\n".join(markdown() if "--markdown" in sys.argv[1:] else header()))
