"""The memories of a program: which number of which layer stands in which line of which file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.config import EngineConfig
from hwsim.numbers.fixedpoint import clog2
from hwsim.program.program import WORDS_PER_INSTRUCTION, MacLayer, Program, decode, encode
from hwsim.rom.memfile import CHUNK_FIELDS, MemFile

WEIGHTS, INDEX, SCALE, BIAS, PROGRAM = MEMORIES = (
    "weights.mem", "index.mem", "scale.mem", "bias.mem", "program.mem",
)  # fmt: skip


def memory_files(program: Program) -> dict[str, MemFile]:
    """The files that hold a program's words; needs its layers' sizes, not their arrays.

    index.mem exists for INDEX_MODE sram only.
    """
    config, end = program.config, program.placements()[-1]
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
    return {name: MemFile(name, *shape) for name, shape in shapes.items()}


def memory_values(program: Program, name: str) -> Iterator[NDArray[np.int64]]:
    """The numbers of one memory file, in pieces of whole lines, int64 (lines, fields)."""
    config = program.config
    if name == PROGRAM:
        words = [encode(row) for row in program.instructions()]
        yield np.array(words, np.int64).reshape(-1, 1)
        return
    for layer in program.mac_layers:
        if name == WEIGHTS:
            words_in_lines = np.pad(
                layer.weights.astype(np.int64), (0, -layer.weights.size % config.banks)
            )
            yield words_in_lines.reshape(-1, config.banks)
        elif name == INDEX:
            yield from _index_values(layer, config)
        elif name == SCALE:
            shift = layer.shift.astype(np.int64) << config.mult_w
            multiplier = layer.multiplier.astype(np.int64) & ((1 << config.mult_w) - 1)
            yield (shift | multiplier)[:, None]
        elif name == BIAS:
            yield layer.bias[:, None]


def _index_values(layer: MacLayer, config: EngineConfig) -> Iterator[NDArray[np.int64]]:
    if layer.spec.scheme == "dense":
        return
    address, negative = layer.hash_table
    step = config.rows * max(1, CHUNK_FIELDS // (config.rows * layer.fan_in))
    for top in range(0, layer.n_out, step):
        part = slice(top, top + step)
        entry = address[part] | negative[part].astype(np.int64) << config.addr_w
        entry = np.pad(entry, ((0, -len(entry) % config.rows), (0, 0)))
        tiles = entry.reshape(-1, config.rows, layer.fan_in)
        yield tiles.transpose(0, 2, 1).reshape(-1, config.rows)


def with_words(program: Program, files: dict[str, MemFile], data: dict[str, bytes]) -> Program:
    """``program`` with the arrays that weights.mem, scale.mem and bias.mem hold.

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
    layers = []
    for layer, place in zip(program.layers, program.placements(), strict=True):
        if isinstance(layer, MacLayer):
            lines = banks[place.weight_base :][: place.weight_lines].reshape(-1)
            _check_padding(files[WEIGHTS], lines, layer, place.weight_base, config.banks)
            here = slice(place.channel_base, place.channel_base + place.channels)
            layer = dataclasses.replace(
                layer,
                weights=lines[: layer.spec.real_weights].astype(np.int32),
                multiplier=multiplier[here].astype(np.int32),
                shift=(scale[here] >> low).astype(np.int32),
                bias=bias[here].copy(),
            )
        layers.append(layer)
    return program.replace(layers=tuple(layers))


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


def check_derived(program: Program, file: MemFile, data: bytes) -> None:
    """Compare index.mem or program.mem with what follows from the layers.

    Raises ImageError that names the first line that differs and what it should say.
    """
    start = 0
    for values in memory_values(program, file.name):
        line = file.first_difference(data, b"".join(file.encode(values)), start)
        if line is not None:
            found, expected = file.line(data, line), values[line - start]
            if file.name == PROGRAM:
                file.refuse(line, _instruction_difference(program, line, found, expected))
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
