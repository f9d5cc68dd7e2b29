"""The memories of a program: which number of which layer stands in which line of which file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.config import EngineConfig
from hwsim.numbers.fixedpoint import clog2
from hwsim.program.held import Held
from hwsim.program.instruction import WORDS_PER_INSTRUCTION, decode, encode
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
)
from hwsim.program.program import Placement, Program
from hwsim.rom.memfile import CHUNK_FIELDS, MemFile

WEIGHTS, INDEX, SCALE, BIAS, PROGRAM, LUT = MEMORIES = (
    "weights.mem", "index.mem", "scale.mem", "bias.mem", "program.mem", "lut.mem",
)  # fmt: skip


def memory_files(program: Program) -> dict[str, MemFile]:
    """The files that hold a program's words; needs its layers' sizes, not their arrays.

    index.mem exists for INDEX_MODE sram only, lut.mem for programs with a table.
    """
    config, places = program.config, program.placements()
    end = places[-1]
    post_w = config.acc_w + config.mult_w
    channels = end.channel_base + end.channels
    shapes = {
        WEIGHTS: (end.weight_base + end.weight_lines, config.banks, config.wgt_w),
        INDEX: (end.index_base + end.index_lines, config.rows, 1 + config.addr_w),
        SCALE: (channels, 1, config.mult_w + clog2(post_w)),
        BIAS: (channels, 1, post_w),
        PROGRAM: (WORDS_PER_INSTRUCTION * (len(program.layers) + 1), 1, 32),
    }
    if config.index_mode == "hash":
        del shapes[INDEX]
    tables = {
        place.table
        for layer, place in zip(program.layers, places, strict=True)
        if isinstance(layer, LutLayer)
    }
    if tables:
        shapes[LUT] = (len(tables) << config.act_w, 1, config.act_w)
    return {name: MemFile(name, *shape) for name, shape in shapes.items()}


def memory_values(program: Program, name: str) -> Iterator[NDArray[np.int64]]:
    """The numbers of one memory file, in pieces of whole lines, int64 (lines, fields)."""
    if program.held is not None:
        yield from _held_values(program.held, name)
        return
    config = program.config
    if name == PROGRAM:
        words = [encode(row) for row in program.instructions()]
        yield np.array(words, np.int64).reshape(-1, 1)
        return
    written = 0
    for layer, place in zip(program.layers, program.placements(), strict=True):
        if name in (WEIGHTS, INDEX) and isinstance(layer, MacLayer):
            yield from (_weight_values if name == WEIGHTS else _index_values)(layer, config)
        elif name == LUT and isinstance(layer, LutLayer) and place.table == written:
            written += 1
            yield layer.table.astype(np.int64)[:, None]
        elif name in (SCALE, BIAS) and layer.channel_lines:
            multiplier, shift, bias = post_words(layer)
            low = multiplier & ((1 << config.mult_w) - 1)
            yield (bias if name == BIAS else shift << config.mult_w | low)[:, None]


def _held_values(held: Held, name: str) -> Iterator[NDArray[np.int64]]:
    words = sorted(held.words.get(name, {}).items())
    spare = np.int64(64 - memory_files(held.clean)[name].width) if words else np.int64(0)
    line = done = 0
    for values in memory_values(held.clean, name):
        if done < len(words) and words[done][0][0] < line + len(values):
            values = values.copy()
        while done < len(words) and words[done][0][0] < line + len(values):
            (at, field), word = words[done]
            raw = np.uint64(word).astype(np.int64)
            values[at - line, field] = raw << spare >> spare if name in (WEIGHTS, BIAS) else raw
            done += 1
        line += len(values)
        yield values


def post_words(layer: Layer) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(m, s, b) of each of a layer's lines in scale.mem and bias.mem, int64."""
    if isinstance(layer, LutLayer):
        return np.ones(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64)
    assert not isinstance(layer, PoolLayer)
    m, s, b = (words.astype(np.int64) for words in (layer.multiplier, layer.shift, layer.bias))
    if isinstance(layer, AddLayer):
        return m, np.repeat(s, 2), np.append(b, 0)
    return m, s, b


def _weight_values(layer: MacLayer, config: EngineConfig) -> Iterator[NDArray[np.int64]]:
    words = np.pad(layer.weights.astype(np.int64), (0, -layer.weights.size % config.banks))
    yield words.reshape(-1, config.banks)


def _index_values(layer: MacLayer, config: EngineConfig) -> Iterator[NDArray[np.int64]]:
    if layer.spec.scheme == "dense":
        return
    address, negative = layer.hash_table
    step = config.rows * max(1, CHUNK_FIELDS // (config.rows * layer.fan_in))
    group = layer.group_out
    for top in (
        first + inner for first in range(0, layer.n_out, group) for inner in range(0, group, step)
    ):
        part = slice(top, min(top + step, top - top % group + group))
        entry = address[part] | negative[part].astype(np.int64) << config.addr_w
        entry = np.pad(entry, ((0, -len(entry) % config.rows), (0, 0)))
        tiles = entry.reshape(-1, config.rows, layer.fan_in)
        yield tiles.transpose(0, 2, 1).reshape(-1, config.rows)


def with_words(program: Program, files: dict[str, MemFile], data: dict[str, bytes]) -> Program:
    """``program`` with the arrays that weights.mem, scale.mem, bias.mem and lut.mem hold.

    Raises ImageError, naming file and line, for text that is not hexadecimal of the right width,
    a weight or shift out of range, and padding that is not zero.
    """
    config = program.config
    banks = files[WEIGHTS].decode(data[WEIGHTS], signed=True)
    scale = files[SCALE].decode(data[SCALE], signed=False)[:, 0]
    bias = files[BIAS].decode(data[BIAS], signed=True)[:, 0]
    low = config.mult_w
    multiplier = (scale << (64 - low)) >> (64 - low)
    _check_weight_range(files[WEIGHTS], banks, config.wgt_max)
    _check_scale(files[SCALE], multiplier, scale >> low, config)
    tables = files[LUT].decode(data[LUT], signed=False)[:, 0] if LUT in files else bias[:0]
    layers: list[Layer] = []
    for layer, place in zip(program.layers, program.placements(), strict=True):
        here = slice(place.channel_base, place.channel_base + place.channels)
        m = multiplier[here].astype(np.int32)
        s, b = (scale[here] >> low).astype(np.int32), bias[here].copy()
        if isinstance(layer, MacLayer):
            lines = banks[place.weight_base :][: place.weight_lines].reshape(-1)
            _check_padding(files[WEIGHTS], lines, layer, place.weight_base, config.banks)
            weights = lines[: layer.spec.real_weights].astype(np.int32)
            layer = dataclasses.replace(layer, weights=weights, multiplier=m, shift=s, bias=b)
        elif isinstance(layer, AverageLayer | AffineLayer):
            layer = dataclasses.replace(layer, multiplier=m, shift=s, bias=b)
        elif isinstance(layer, AddLayer):
            layer = dataclasses.replace(layer, multiplier=m, shift=s[:1], bias=b[:1])
        elif isinstance(layer, LutLayer):
            entries = tables[place.table << config.act_w :][: 1 << config.act_w]
            layer = dataclasses.replace(layer, table=entries.astype(np.int32))
        _check_fixed(files, layer, place, m, s, b)
        layers.append(layer)
    return program.replace(layers=tuple(layers))


def _check_fixed(
    files: dict[str, MemFile],
    layer: Layer,
    place: Placement,
    m: NDArray[np.int32],
    s: NDArray[np.int32],
    b: NDArray[np.int64],
) -> None:
    """Lines that follow from the kind of the layer: of a lut, and the second one of an add."""
    if isinstance(layer, LutLayer) and (m[0], s[0]) != (1, 0):
        files[SCALE].refuse(place.channel_base, f"must be m = 1, s = 0 of the table {layer.name}")
    if isinstance(layer, LutLayer) and b[0]:
        files[BIAS].refuse(place.channel_base, f"must be 0 of the table {layer.name}")
    if isinstance(layer, AddLayer) and s[0] != s[1]:
        files[SCALE].refuse(
            place.channel_base + 1, f"must have the shift of the line before: {s[0]}"
        )
    if isinstance(layer, AddLayer) and b[1]:
        files[BIAS].refuse(place.channel_base + 1, f"must be 0, the second line of {layer.name}")


def _check_weight_range(file: MemFile, banks: NDArray[np.int64], limit: int) -> None:
    bad = np.abs(banks) > limit
    if bad.any():
        line, bank = divmod(int(bad.argmax()), file.fields)
        file.refuse(line, f"bank {bank} holds {banks[line, bank]}, outside ±{limit}")


def _check_padding(
    file: MemFile, lines: NDArray[np.int64], layer: MacLayer, base: int, banks: int
) -> None:
    padding = lines[layer.spec.real_weights :]
    if padding.any():
        address = layer.spec.real_weights + int((padding != 0).argmax())
        file.refuse(
            base + address // banks,
            f"bank {address % banks} holds {lines[address]} behind the last word of {layer.name}, "
            "where the padding must be zero",
        )


def _check_scale(
    file: MemFile, multiplier: NDArray[np.int64], shift: NDArray[np.int64], config: EngineConfig
) -> None:
    limit, most = (1 << (config.mult_w - 1)) - 1, config.acc_w + config.mult_w - 1
    if (bad := multiplier < -limit).any():
        line = int(bad.argmax())
        file.refuse(line, f"holds multiplier {multiplier[line]}, outside ±{limit}")
    if (bad := shift > most).any():
        line = int(bad.argmax())
        file.refuse(line, f"holds shift {shift[line]}, outside 0 … {most}")


def check_program(
    rows: Iterable[dict[str, int]], program: Program, file: MemFile, data: bytes
) -> None:
    """Compare program.mem with the instructions that follow from the layers.

    Raises ImageError that names the first line that differs and what it should say.
    """
    values = np.array([encode(row) for row in rows], np.int64).reshape(-1, 1)
    line = file.first_difference(data, b"".join(file.encode(values)), 0)
    if line is not None:
        found, expected = file.line(data, line), values[line]
        file.refuse(line, _instruction_difference(program, line, found, expected))


def check_index(program: Program, file: MemFile, data: bytes) -> None:
    """Compare index.mem with the hash. Raises ImageError as ``check_program``."""
    start = 0
    for values in memory_values(program, file.name):
        line = file.first_difference(data, b"".join(file.encode(values)), start)
        if line is not None:
            found, expected = file.line(data, line), values[line - start]
            row = int((found != expected).argmax())
            file.refuse(
                line,
                f"says {_index_words(program, found[row])} in row {row}, where the hash gives "
                f"{_index_words(program, expected[row])}",
            )
        start += len(values)


def _index_words(program: Program, entry: np.int64) -> str:
    sign, address = divmod(int(entry), 1 << program.config.addr_w)
    return f"{'-' if sign else '+'}w[{address}]"


def _instruction_difference(
    program: Program, line: int, found: NDArray[np.int64], expected: NDArray[np.int64]
) -> str:
    number, word = divmod(line, WORDS_PER_INSTRUCTION)
    names = [layer.name for layer in program.layers]
    where = f"layer {names[number]}" if number < len(names) else "the end"
    one, other = ([0] * WORDS_PER_INSTRUCTION for _ in range(2))
    one[word], other[word] = int(found[0]), int(expected[0])
    says, should = decode(one), decode(other)
    for name, value in says.items():
        if value != should[name]:
            return f"(instruction {number}, {where}): {name} is {value}, not {should[name]}"
    return f"(instruction {number}, {where}): unused bits must be zero"
