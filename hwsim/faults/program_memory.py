"""Faults in program memory: an error status or a defined run, never a hang."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InputError
from hwsim.faults.clock import cycles
from hwsim.faults.execute import execute
from hwsim.faults.fault import Fault
from hwsim.faults.instructions import Row, walk
from hwsim.faults.words import MemoryWords
from hwsim.program.instruction import WORDS_PER_INSTRUCTION
from hwsim.program.program import Program


@dataclass(frozen=True)
class ProgramRun:
    """What images meet in an engine whose program memory holds faulty words.

    cause: a key of ``hwsim.bus.constants.CAUSE_CODES``, or None where logits come out. rows: the
    instructions that run. logits: int64 (N, classes), None with a cause. cycles: to the last
    result of the last instruction that runs. defined: whether the logits follow from memories and
    images alone; where not, an instruction reads lanes behind the width of the image, which hold
    what an earlier inference left there (0 after power-up).
    """

    cause: str | None
    rows: tuple[Row, ...]
    logits: NDArray[np.int64] | None
    cycles: int
    defined: bool


def faulty_words(program: Program, faults: Sequence[Fault]) -> list[int]:
    """Program memory with ``faults``: all its words, those behind the program too.

    Raises InputError for a fault of another memory, or of a bit that this one does not have.
    """
    words = MemoryWords.of(program).program
    words += [0] * (WORDS_PER_INSTRUCTION * program.config.prog_depth - len(words))
    for fault in faults:
        if fault.memory != "program":
            raise InputError(f"a fault of program memory is wanted, not of {fault.memory}")
        if fault.line >= len(words) or fault.field or fault.bit >= 32:
            raise InputError(
                f"program memory has {len(words)} lines of 1 field of 32 bits, none has line "
                f"{fault.line}, field {fault.field}, bit {fault.bit}"
            )
        mask = 1 << fault.bit
        words[fault.line] = {
            "flip": words[fault.line] ^ mask,
            "stuck-0": words[fault.line] & ~mask,
            "stuck-1": words[fault.line] | mask,
        }[fault.kind]
    return words


def run_program_faults(
    program: Program, faults: Sequence[Fault], images: NDArray[np.integer]
) -> ProgramRun:
    """Images through a program whose program memory is faulty, as the Verilog runs it.

    Parameters
    ----------
    program : Program
        What was loaded, all other memories as it says.
    faults : sequence of Fault
        Of ``program`` memory, applied in their order.
    images : (N, C, H, W) integers, 0 … 2^ACT_W − 1

    Returns
    -------
    ProgramRun

    Raises
    ------
    InputError
        For faults that the memory does not have.
    """
    beats = int(np.prod(images.shape[1:]))
    found = walk(program.config, faulty_words(program, faults), beats)
    words = MemoryWords.of(program)
    time = cycles(words, found.rows)
    if found.cause is not None:
        return ProgramRun(found.cause, found.rows, None, time, True)
    answer = execute(words, found.rows, images)
    return ProgramRun(None, found.rows, answer.logits, time, answer.defined)
