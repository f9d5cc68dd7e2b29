"""The words of all memories as they stand, whichever layer they were meant for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.config import EngineConfig
from hwsim.numbers.fixedpoint import wrapped
from hwsim.program.program import Program
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


class MemoryWords:
    """Every memory of an engine: numbers as the datapath reads them. Lines that nobody wrote are 0.

    config: of the engine. files: by the name of the memory's file the lines that stand there, from
    line 0 on, integers (lines, fields) as ``hwsim.rom.memories.memory_values`` gives them.
    """

    def __init__(self, config: EngineConfig, files: Mapping[str, NDArray[np.int64]]) -> None:
        self.config = config
        self._files = dict(files)

    @classmethod
    def of(cls, program: Program) -> MemoryWords:
        """Those of a program."""
        files = {}
        for name in memory_files(program):
            parts = list(memory_values(program, name))
            files[name] = np.concatenate(parts) if parts else np.zeros((0, 1), np.int64)
        return cls(program.config, files)

    def weights(self, bank_line: NDArray[np.int64], bank: NDArray[np.int64]) -> NDArray[np.int64]:
        """Signed words of these lines and banks, of one shape."""
        return wrapped(self._at(WEIGHTS, bank_line, bank), self.config.wgt_w)

    def index(self, first: int, count: int) -> NDArray[np.int64]:
        """{sign, address} of ``count`` lines, (count, ROWS); lines count modulo a power of two."""
        rows, behind = np.arange(self.config.rows), 1 << (self.config.idx_depth - 1).bit_length()
        lines = np.arange(first, first + count) % behind
        return self._at(INDEX, lines[:, None], rows[None])

    def post(
        self, first: int, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(m, s, b) of ``count`` lines of scale.mem and bias.mem, each (count,)."""
        width, lines = self.config.mult_w, np.arange(first, first + count)
        scale, bias = self._at(SCALE, lines, 0 * lines), self._at(BIAS, lines, 0 * lines)
        shifts = (1 << (self.config.acc_w + width - 1).bit_length()) - 1
        m = wrapped(scale, width)
        return m, (scale >> width) & shifts, wrapped(bias, self.config.acc_w + width)

    def table(self, number: int) -> NDArray[np.int64]:
        """The codes of a table, (2^ACT_W,)."""
        lines = (number << self.config.act_w) + np.arange(1 << self.config.act_w)
        return self._at(LUT, lines, 0 * lines) & self.config.act_max

    @property
    def program(self) -> list[int]:
        """Program memory, 32 bits a word."""
        return [int(word) & 0xFFFFFFFF for word in self._files[PROGRAM][:, 0]]

    def _at(
        self, name: str, line: NDArray[np.int64], field: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        stored = self._files.get(name)
        line, field = np.broadcast_arrays(line, field)
        found = np.zeros(line.shape, np.int64)
        if stored is None:
            return found
        there = line < len(stored)
        found[there] = stored[line[there], field[there]]
        return found
