"""What the engine computes of instructions that no compiler would write, line by line of memory.

``hwsim.engine`` computes maps; a faulty instruction may read across them, or more of a line than a
map has. So here all COLS lanes of every line are computed, as in the Verilog, and all sums wrap at
their widths. Slower than the fast path; of a program without faults it computes the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.faults.instructions import (
    Row,
    channel_lines,
    groups_of,
    in_lines,
    kind_of,
    out_lines,
    row_lines,
)
from hwsim.faults.sharing import virtual_weights
from hwsim.faults.words import MemoryWords
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.fixedpoint import wrapped

#: (ky, kx, codes (N, C, OH, lanes)) for each place of a window.
Windows = Iterator[tuple[int, int, NDArray[np.int64]]]
#: Codes of maps that are worked on at a time.
CHUNK = 1 << 24
#: Bits of a position in a map, its sign among them, as the reader counts.
POSITION = 18


@dataclass(frozen=True)
class ProgramAnswer:
    """logits: int64 (N, classes). defined: whether they follow from memories and images alone.

    They do not where an instruction reads lanes of the image's lines behind its width: nobody
    writes those, and they hold what an earlier inference left there.
    """

    logits: NDArray[np.int64]
    defined: bool


def execute(
    words: MemoryWords, rows: tuple[Row, ...], images: NDArray[np.integer]
) -> ProgramAnswer:
    """All images through the instructions of a walk that ends without an error status.

    images: integers (N, …), each in the order in which its codes are sent.
    """
    config = words.config
    lines = max(
        [row["in_line"] + in_lines(config, row) for row in rows]
        + [row["in2_line"] + in_lines(config, row) for row in rows if kind_of(row) == "add"]
        + [row["out_line"] + out_lines(config, row) for row in rows if not row["last"]]
    )
    codes = np.ascontiguousarray(images, np.int64).reshape(len(images), -1)
    step = max(1, CHUNK // (lines * config.cols))
    found, defined = [], True
    shared = [virtual_weights(words, row) for row in rows]
    for first in range(0, len(codes), step):
        memory = _Memory(config, lines, rows[0], codes[first : first + step])
        for row, weights in zip(rows, shared, strict=True):
            result = _layer(words, memory, row, weights)
            if row["last"]:
                found.append(result)
            else:
                memory.write(row["out_line"], result)
        defined = defined and memory.defined
    return ProgramAnswer(np.concatenate(found), defined)


class _Memory:
    """The activation memory of some images: codes (N, lines, COLS), and which were written."""

    def __init__(
        self, config: EngineConfig, lines: int, row: Row, codes: NDArray[np.int64]
    ) -> None:
        self.config, self.defined = config, True
        self.codes = np.zeros((len(codes), lines, config.cols), np.int64)
        self.written = np.zeros((lines, config.cols), np.bool_)
        shape = row["in_c"] * row["in_h"], row_lines(config, row["in_w"]) * config.cols
        part = slice(row["in_line"], row["in_line"] + in_lines(config, row))
        image = np.zeros((len(codes), *shape), np.int64)
        image[:, :, : row["in_w"]] = codes.reshape(len(codes), shape[0], row["in_w"])
        there = np.zeros(shape, np.bool_)
        there[:, : row["in_w"]] = True
        self.codes[:, part] = image.reshape(len(codes), -1, config.cols)
        self.written[part] = there.reshape(-1, config.cols)

    def read(self, line: int, row: Row) -> NDArray[np.int64]:
        """A map that a layer reads, (N, C, H, W)."""
        part = slice(line, line + in_lines(self.config, row))
        sides = row["in_c"], row["in_h"], row_lines(self.config, row["in_w"]) * self.config.cols
        width = row["in_w"]
        self.defined &= bool(self.written[part].reshape(sides)[:, :, :width].all())
        return self.codes[:, part].reshape(-1, *sides)[..., :width]

    def write(self, line: int, values: NDArray[np.int64]) -> None:
        """What a layer writes, (N, C, H, lanes of a row)."""
        lines = values.reshape(len(values), -1, self.config.cols)
        self.codes[:, line : line + lines.shape[1]] = lines
        self.written[line : line + lines.shape[1]] = True


def _layer(
    words: MemoryWords, memory: _Memory, row: Row, weights: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Codes of all lanes (N, C, H, lanes of a row); of the last layer logits (N, F)."""
    config, kind = words.config, kind_of(row)
    fill = 0 if kind == "pool" else row["fill"] & config.act_max
    source = memory.read(row["in_line"], row)
    if kind == "pool":
        return _reduced(np.maximum, _windows(config, row, source, fill))
    if kind == "fc":
        assert weights is not None
        acc = _fully_connected(config, row, source, weights, fill)
    elif kind == "conv":
        assert weights is not None
        acc = _convolution(config, row, source, weights, fill)
    else:
        acc = _reduced(np.add, _windows(config, row, source, fill))
    m, s, b = words.post(row["channel_base"], channel_lines(row))
    if kind == "average":
        m, s, b = (np.repeat(one, row["out_c"]) for one in (m, s, b))
    acc = wrapped(acc, config.acc_w)
    if kind == "lut":
        return words.table(row["table"])[acc & config.act_max]
    if row["last"]:
        return wrapped(acc[:, :, 0, 0] + b, config.acc_w)
    width = config.acc_w + config.mult_w
    if kind == "add":
        other = memory.read(row["in2_line"], row)
        second = _reduced(np.add, _windows(config, row, other, fill))
        p = wrapped(wrapped(acc * m[0] + b[0], width) + second * m[1], width)
        m, s = (np.repeat(one[1:], row["out_c"]) for one in (m, s))
    else:
        p = wrapped(acc * m[:, None, None] + b[:, None, None], width)
    return _code(row, p, m[:, None, None], s[:, None, None])


def _reduced(combine: np.ufunc, windows: Windows) -> NDArray[np.int64]:
    """Sum or maximum of each window."""
    _, _, found = next(windows)
    for _, _, plane in windows:
        found = combine(found, plane)
    return found


def _code(
    row: Row, p: NDArray[np.int64], m: NDArray[np.int64], s: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Sums of the requantizer as codes."""
    u = p >> s
    if row["away"]:
        rest = (p >> 31) & ((np.int64(1) << np.maximum(s - 31, 0)) - 1)
        u = u - ((m >= 1 << 30) & (s > 31) & (rest == 0) & (u <= row["zero"]))
    return np.clip(u, row["lo"], row["hi"])


# --- sums -----------------------------------------------------------------------------------------


def _fully_connected(
    config: EngineConfig,
    row: Row,
    source: NDArray[np.int64],
    weights: NDArray[np.int64],
    fill: int,
) -> NDArray[np.int64]:
    """(N, F, 1, COLS): lane 0 has the map, the others see padding alone."""
    acc = np.empty((len(source), row["out_c"], 1, config.cols), np.int64)
    acc[..., 0, 0] = _product(weights, source.reshape(len(source), -1).T).T
    acc[..., 0, 1:] = (fill * weights.sum(1))[:, None]
    return acc


def _convolution(
    config: EngineConfig,
    row: Row,
    source: NDArray[np.int64],
    weights: NDArray[np.int64],
    fill: int,
) -> NDArray[np.int64]:
    groups, n = groups_of(row), len(source)
    kernel = row["kernel_h"], row["kernel_w"]
    by_place = weights.reshape(groups, row["out_c"] // groups, -1, *kernel)
    acc = np.zeros((n, row["out_c"], row["out_h"], _lanes(config, row)), np.int64)
    for ky, kx, plane in _windows(config, row, source, fill):
        seen = plane.reshape(n, groups, row["in_c"] // groups, -1)
        part = _product(by_place[None, :, :, :, ky, kx], seen)
        acc += part.reshape(acc.shape)
    return acc


def _product(weights: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """A matrix product of integers, exact: in float64 where that is."""
    most = abs(int(weights.min(initial=0))), abs(int(weights.max(initial=0)))
    if max(most) * int(codes.max(initial=0)) * weights.shape[-1] < 1 << 53:
        return (weights.astype(np.float64) @ codes.astype(np.float64)).astype(np.int64)
    return weights @ codes


def _lanes(config: EngineConfig, row: Row) -> int:
    """Lanes of a row of the output map, those behind its width among them."""
    return row_lines(config, row["out_w"]) * config.cols


def _windows(config: EngineConfig, row: Row, source: NDArray[np.int64], fill: int) -> Windows:
    """(ky, kx, codes (N, C, OH, lanes)) for each place of the window; padding reads ``fill``."""
    windowed = kind_of(row) in ("conv", "pool", "average")
    places = [(0, 0)]
    stride, pads = (1, 1), (0, 0)
    if windowed:
        places = [(ky, kx) for ky in range(row["kernel_h"]) for kx in range(row["kernel_w"])]
        stride = row["stride_h"], row["stride_w"]
        pads = row["pad_top"], row["pad_left"]
    height, width = source.shape[2:]
    for ky, kx in places:
        y = _position(np.arange(row["out_h"]) * stride[0] - pads[0] + ky)
        x = _position(np.arange(_lanes(config, row)) * stride[1] - pads[1] + kx)
        inside_y, inside_x = (y >= 0) & (y < height), (x >= 0) & (x < width)
        seen = source[:, :, np.where(inside_y, y, 0)][..., np.where(inside_x, x, 0)]
        yield ky, kx, np.where(inside_y[:, None] & inside_x, seen, fill)


def _position(place: NDArray[np.int64]) -> NDArray[np.int64]:
    half = 1 << (POSITION - 1)
    return (place + half) % (2 * half) - half
