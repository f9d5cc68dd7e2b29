"""The RAMs of an engine with a program in them, a file each, for FPGA tools and ``$readmemh``.

A line of weights.mem or index.mem stands in as many RAMs as it has fields; a tool that fills RAMs
needs a file for each of them. With INIT_DIR the Verilog looks for those of format ``mem``. Where
the engine has check bits they stand in these files, above their words, and nowhere in an image:
they follow from it.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from hwsim.errors import ImageError
from hwsim.files.folder import replaced_directory
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.ecc import MAX_WIDTH, check_of
from hwsim.program.instruction import WORDS_PER_INSTRUCTION
from hwsim.program.program import Program
from hwsim.rom.memfile import MemFile
from hwsim.rom.memories import (
    BIAS,
    INDEX,
    LUT,
    PROGRAM,
    SCALE,
    WEIGHTS,
    memory_files,
    memory_values,
)
from hwsim.rom.vendor_formats import CHUNK, FORMATS, Ram


def rams(program: Program) -> list[Ram]:
    """Every RAM of ``program``'s engine that a host would load, in the order of the memories."""
    files = memory_files(program)
    if LUT not in files and _has_tables(program.config):
        files[LUT] = MemFile(LUT, 0, 1, program.config.act_w)
    depths = _depths(program.config)
    found = []
    for name, file in files.items():
        stem = name.removesuffix(".mem")
        for field in range(file.fields):
            one = stem if name not in (WEIGHTS, INDEX) else f"{stem}_{field:03}"
            width = program.config.stored_bits(file.width)
            found.append(Ram(one, name, field, width, depths[name], file.lines))
    return found


def _has_tables(config: EngineConfig) -> bool:
    return config.lut_tables > 0 and config.act_w <= 8


def _depths(config: EngineConfig) -> dict[str, int]:
    return {
        WEIGHTS: config.wgt_depth // config.banks,
        INDEX: config.idx_depth,
        SCALE: config.chan_depth,
        BIAS: config.chan_depth,
        PROGRAM: WORDS_PER_INSTRUCTION * config.prog_depth,
        LUT: config.lut_tables << config.act_w,
    }


def file_name(ram: Ram, format_name: str) -> str:
    """The file of ``ram`` in one of FORMATS."""
    return f"{ram.name}.{format_name}"


def export(
    program: Program, folder: Path | str, format_name: str, *, overwrite: bool = False
) -> list[Ram]:
    """Write a file for each RAM into ``folder``, which appears complete or not at all.

    format_name: a key of FORMATS. overwrite: replace a folder that holds nothing but such files.
    Raises ImageError if ``folder`` exists and is not to be overwritten, holds anything else or
    cannot be written, and for a RAM that the format cannot describe.
    """
    folder = Path(folder)
    found = rams(program)
    allowed = {file_name(ram, name) for ram in _of_any(program, found) for name in FORMATS}
    try:
        for ram in found:
            if ram.width > MAX_WIDTH:
                raise ImageError(
                    f"{ram.name} has words of {ram.width} bits with their check bits, files are "
                    f"written of up to {MAX_WIDTH}: load it over the bus, or use a narrower "
                    "accumulator or multiplier"
                )
            FORMATS[format_name].begin(ram)  # refuses before anything is written
        with replaced_directory(folder, overwrite, allowed) as place:
            for memory in dict.fromkeys(ram.memory for ram in found):
                mine = [ram for ram in found if ram.memory == memory]
                _write(program, mine, place, format_name)
    except ImageError as error:
        raise ImageError(f"{folder}: {error}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{folder}: cannot be written: {reason}") from None
    return found


def _of_any(program: Program, found: list[Ram]) -> list[Ram]:
    """Also those that another engine's folder would hold: of up to 512 banks and 256 rows."""
    one = found[0]
    names = (
        [f"weights_{n:03}" for n in range(512)] + [f"index_{n:03}" for n in range(256)] + ["lut"]
    )
    return [*found, *(Ram(name, one.memory, 0, 1, 1, 0) for name in names)]


def _write(program: Program, mine: list[Ram], place: Path, format_name: str) -> None:
    """Fill the files of one memory, all its fields side by side."""
    form, width = FORMATS[format_name], memory_files(program).get(mine[0].memory, mine[0]).width
    with ExitStack() as stack:
        out = [stack.enter_context(open(place / file_name(ram, format_name), "wb")) for ram in mine]
        for file, ram in zip(out, mine, strict=True):
            file.write(form.begin(ram))
        first = 0
        for values in memory_values(program, mine[0].memory) if mine[0].used else ():
            for start in range(0, len(values), CHUNK):
                part = values[start : start + CHUNK]
                for file, ram in zip(out, mine, strict=True):
                    column = np.ascontiguousarray(part[:, ram.field], np.int64).view(np.uint64)
                    column = column & np.uint64((1 << width) - 1)
                    if program.config.ecc != "none":
                        # As the Verilog stores them: check bits above the word.
                        check = check_of(program.config.ecc, column, width)
                        column = column | check << np.uint64(width)
                    file.write(form.words(ram, first + start, column))
            first += len(values)
        for file, ram in zip(out, mine, strict=True):
            for text in form.end(ram):
                file.write(text)
