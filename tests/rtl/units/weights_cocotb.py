"""Index sources, expander, weight banks and tile buffer alone: from addresses to weights."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock

from hwsim.numbers.hashing import HashSpec, table
from hwsim.program.instruction import SCHEME_CODES
from hwsim.units import expander, index
from tests.rtl.units.bench import UNITS, Unit, pack, unpack

IDLE = dict(load_i=0, mem_we_i=0, mem_re_i=0)


async def unit(dut: Any, name: str) -> tuple[Unit, dict[str, int], random.Random]:
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    one = Unit(dut, name)
    await one.reset()
    return one, UNITS[name][1], random.Random(name)


def some_spec(rng: random.Random, deepest: int, most: int) -> HashSpec:
    """Any scheme; at most ``deepest`` of fan-in and ``most`` real weights."""
    n_out, fan_in = rng.randint(1, 8), rng.randint(1, deepest)
    seed, n = rng.getrandbits(32), n_out * fan_in
    scheme = rng.choice(["dense", "xxh32", "xxh32", "banked"])
    if scheme == "dense":
        return HashSpec("dense", n_out, fan_in, n)
    if scheme == "xxh32":
        return HashSpec("xxh32", n_out, fan_in, rng.randint(1, min(n, most)), seed)
    banks = 2 ** rng.randint(0, 3)
    return HashSpec(
        "banked", n_out, fan_in, banks * rng.randint(1, max(1, min(n, most) // banks)), seed, banks
    )


def layer(spec: HashSpec, index_base: int, groups: int = 1) -> dict[str, int]:
    return dict(
        scheme_i=SCHEME_CODES[spec.scheme], log2_hash_banks_i=spec.hash_banks.bit_length() - 1,
        n_out_i=spec.n_out, outputs_i=spec.n_out // groups, groups_i=groups,
        fan_in_i=spec.fan_in, real_weights_i=spec.real_weights, seed_i=spec.seed,
        index_base_i=index_base,
    )  # fmt: skip


def some_groups(rng: random.Random, spec: HashSpec) -> int:
    """A number of groups that divides the outputs: often one."""
    return rng.choice([1, *(n for n in range(1, spec.n_out + 1) if spec.n_out % n == 0)])


def row_tiles(n_out: int, groups: int, rows: int) -> list[range]:
    """Outputs of each row-tile; none spans two groups."""
    own = n_out // groups
    return [
        range(first + top, first + min(top + rows, own))
        for first in range(0, n_out, own)
        for top in range(0, own, rows)
    ]


def index_lines(spec: HashSpec, groups: int, rows: int, addr_w: int) -> list[list[int]]:
    """Lines of the index memory: one word per row."""
    address, negative = table(spec)
    lines = []
    for used in row_tiles(spec.n_out, groups, rows):
        for j in range(spec.fan_in):
            words = [int(negative[i, j]) << addr_w | int(address[i, j]) for i in used]
            lines.append(words + [0] * (rows - len(words)))
    return lines


@cocotb.test()
@cocotb.parametrize(name=["index", "hash"], stalls=[False, True])
async def a_source_gives_every_column_in_order(dut: Any, name: str, stalls: bool) -> None:
    one, size, rng = await unit(dut, name)
    rows, addr_w, mode = size["ROWS"], size["ADDR_W"], ("sram", "hash")[size["INDEX_MODE"]]
    for _ in range(16):
        spec, base = some_spec(rng, 7, 1 << addr_w), rng.randint(0, 7)
        groups = some_groups(rng, spec)
        spans = row_tiles(spec.n_out, groups, rows)
        if mode == "sram" and spec.scheme != "dense":
            for line, words in enumerate(index_lines(spec, groups, rows, addr_w)):
                for field, word in enumerate(words):
                    await one.cycle(
                        load_i=0, move_i=0, mem_we_i=1, mem_field_i=field,
                        mem_line_i=base + line, mem_wdata_i=word,
                    )  # fmt: skip
        # The shape stands still before a layer is loaded, as an instruction does.
        for _ in range(4):
            shape = layer(spec, base, groups) | dict(rows_i=len(spans[0]))
            await one.cycle(**{**IDLE, "move_i": 0, **shape})
        await one.cycle(load_i=1)
        cycles = 0
        for span in spans:
            used = len(span)
            addresses, negatives = index.columns(spec, span.start, used)
            for j in range(spec.fan_in):
                while True:
                    move = int(not stalls or rng.random() < 0.6)
                    await one.cycle(load_i=0, move_i=move)
                    cycles += 1
                    if one["valid_o"] and move:
                        break
                    assert cycles < 2000, "a column is missing"
                assert unpack(one["address_o"], addr_w, used) == addresses[j].tolist()
                assert unpack(one["negative_o"], 1, used) == negatives[j].astype(int).tolist()
                assert one["last_o"] == (j == spec.fan_in - 1)
        if not stalls:
            source = index.source_of(spec, mode)
            rounds = sum(index.cycles_row_tile(source, len(span)) for span in spans)
            assert cycles == index.LATENCY[source] + rounds + spec.fan_in * len(spans)
        for _ in range(20):
            await one.cycle(move_i=1)
            assert not one["valid_o"]


@cocotb.test()
@cocotb.parametrize(name=["weights", "hashed"])
async def columns_are_expanded_at_the_cost_of_their_conflicts(dut: Any, name: str) -> None:
    one, size, rng = await unit(dut, name)
    rows, banks, wgt_w = size["ROWS"], size["BANKS"], size["WGT_W"]
    limit, addr_w = (1 << (wgt_w - 1)) - 1, 7
    quiet = dict(load_i=0, read_i=0, read_last_i=0, release_i=0, mem_weights_we_i=0,
                 mem_index_we_i=0, mem_re_i=0)  # fmt: skip
    for number in range(14):
        fc = number % 2
        spec = some_spec(rng, 12 if not fc else 7, 80)
        groups = 1 if fc else some_groups(rng, spec)
        spans = row_tiles(spec.n_out, groups, rows)
        index_base, weight_base = rng.randint(0, 7), rng.randint(0, 8)
        weights = [rng.randint(-limit, limit) for _ in range(spec.real_weights)]
        for address, word in enumerate(weights):
            await one.cycle(**{
                **quiet, "mem_weights_we_i": 1, "mem_field_i": address % banks,
                "mem_line_i": weight_base + address // banks, "mem_wdata_i": word,
            })  # fmt: skip
        if name == "weights" and spec.scheme != "dense":
            stored = index_lines(spec, groups, rows, addr_w)
            if len(stored) > 56:
                continue
            for line, words in enumerate(stored):
                for field, word in enumerate(words):
                    await one.cycle(**{
                        **quiet, "mem_index_we_i": 1, "mem_field_i": field,
                        "mem_line_i": index_base + line, "mem_wdata_i": word,
                    })  # fmt: skip
        shape = layer(spec, index_base, groups) | dict(
            fc_i=fc, ones_i=0, add_i=0, rows_i=len(spans[0]), weight_base_i=weight_base
        )
        for _ in range(4):
            await one.cycle(**{**quiet, **shape})
        await one.cycle(load_i=1)
        address, negative = table(spec)
        words = np.array(weights)[address]
        expected = np.where(negative, -words, words)
        lost = 0
        for span in spans:
            columns = np.ascontiguousarray(address[span.start : span.stop].T.astype(np.uint32))
            lost += int((expander.cycles_columns(columns, banks)[0] - 1).sum())
        parts = [expected[span.start : span.stop] for span in spans]
        assert await expand(one, parts, wgt_w, fc=bool(fc), rng=rng) == lost


@cocotb.test()
@cocotb.parametrize(name=["weights", "hashed"], add=[False, True])
async def weights_of_one_come_from_no_bank(dut: Any, name: str, add: bool) -> None:
    """A column a cycle, whatever the memories hold; of an add they are the identity."""
    one, size, rng = await unit(dut, name)
    quiet = dict(load_i=0, read_i=0, read_last_i=0, release_i=0, mem_weights_we_i=0,
                 mem_index_we_i=0, mem_re_i=0)  # fmt: skip
    for _ in range(6):
        channels, fan_in = rng.randint(1, 9), 2 if add else rng.randint(1, 12)
        own = 2 if add else 1
        shape = dict(
            fc_i=0, ones_i=1, add_i=int(add), scheme_i=0, n_out_i=channels, outputs_i=own,
            groups_i=channels, rows_i=own, fan_in_i=fan_in, weight_base_i=rng.randint(0, 8),
        )  # fmt: skip
        for _ in range(4):
            await one.cycle(**{**quiet, **shape})
        await one.cycle(load_i=1)
        part = np.eye(2, dtype=int) if add else np.ones((1, fan_in), int)
        assert await expand(one, [part] * channels, size["WGT_W"], fc=False, rng=rng) == 0


async def expand(one: Unit, parts: list[Any], wgt_w: int, *, fc: bool, rng: random.Random) -> int:
    """Take every column as the array does, each weight of (rows, fan-in) of each row-tile; the
    cycles lost to conflicts.
    """
    pixels = 1 if fc else rng.randint(1, 3)
    fan_in = parts[0].shape[1]
    tiles = range(len(parts))
    wanted = [(tile, j) for tile in tiles for _ in range(pixels) for j in range(fan_in)]
    ready = conflicts = done = cycles = 0
    pending: tuple[int, int] | None = None
    while done < len(wanted) or pending is not None:
        read = done < len(wanted) and ready > 0 and (fc or rng.random() < 0.8)
        last = read and wanted[done][1] == fan_in - 1
        final = last and not fc and (done + 1) % (pixels * fan_in) == 0
        await one.cycle(load_i=0, read_i=int(read), read_last_i=int(last), release_i=int(final))
        if pending is not None:
            tile, j = pending
            used = parts[tile][:, j].tolist()
            assert unpack(one["weight_o"], wgt_w, len(used), signed=True) == used
        pending = wanted[done] if read else None
        done += int(read)
        conflicts += one["conflict_o"]
        # An fc column may be read in the cycle after it was written; a half when it is full.
        if one["write_o"]:
            ready += 1 if fc else one["write_last_o"]
        ready -= int(read and fc) + int(final)
        cycles += 1
        assert cycles < 5000, "a column is missing"
    return conflicts


@cocotb.test()
async def banks_keep_their_words(dut: Any) -> None:
    one, size, rng = await unit(dut, "banks")
    banks, wgt_w, lines = size["BANKS"], size["WGT_W"], size["LINES"]
    words = [[0] * banks for _ in range(lines)]
    quiet = dict(mem_we_i=0, mem_re_i=0, read_i=0)
    for line in range(lines):
        for bank in range(banks):
            words[line][bank] = rng.getrandbits(wgt_w)
            await one.cycle(**{**quiet, "mem_we_i": 1, "mem_field_i": bank, "mem_line_i": line,
                               "mem_wdata_i": words[line][bank]})  # fmt: skip
    kept = None
    for _ in range(200):
        places = [rng.randrange(lines) for _ in range(banks)]
        asked = [rng.random() < 0.7 for _ in range(banks)]
        await one.cycle(**{**quiet, "read_i": pack(asked, 1), "line_i": pack(places, 4)})
        if kept is not None:
            assert unpack(one["word_o"], wgt_w, banks) == kept
        first = kept is None
        previous = kept or [0] * banks
        kept = [words[p][b] if a else previous[b]
                for b, (p, a) in enumerate(zip(places, asked, strict=True))]  # fmt: skip
        if first and not all(asked):
            kept = None
    await one.cycle(**{**quiet, "mem_re_i": 1, "mem_line_i": 5})
    # The bank's own register of the bus, then the memory.
    await one.cycle(**quiet)
    await one.cycle(**quiet)
    assert unpack(one["word_o"], wgt_w, banks) == words[5]


@cocotb.test()
@cocotb.parametrize(fc=[False, True])
async def the_tile_buffer_is_read_as_often_as_there_are_pixels(dut: Any, fc: bool) -> None:
    one, size, rng = await unit(dut, "tile")
    depth, width = size["TILE_DEPTH"], size["ROWS"] * size["WGT_W"]
    for _ in range(8):
        fan_in, tiles, pixels = rng.randint(1, depth), rng.randint(1, 5), rng.randint(1, 3)
        if fc:
            pixels = 1
        columns = [[rng.getrandbits(width) for _ in range(fan_in)] for _ in range(tiles)]
        writes = [(t, j) for t in range(tiles) for j in range(fan_in)]
        reads = [(t, j) for t in range(tiles) for _ in range(pixels) for j in range(fan_in)]
        await one.cycle(load_i=1, fc_i=int(fc), write_i=0, read_i=0, release_i=0)
        written = read = released = 0
        due: int | None = None
        while read < len(reads) or due is not None:
            # A convolution fills at most two halves; an fc layer has at most two columns inside.
            room = written - read < 2 if fc else written // fan_in - released < 2
            write = written < len(writes) and room and rng.random() < 0.8
            there = written - read if fc else written // fan_in - released
            take = read < len(reads) and there > 0 and rng.random() < 0.8
            last = take and reads[read][1] == fan_in - 1
            final = last and (read + 1) % (pixels * fan_in) == 0
            tile, j = writes[written] if write else (0, 0)
            await one.cycle(
                load_i=0, write_i=int(write), write_last_i=int(write and j == fan_in - 1),
                weight_i=columns[tile][j], read_i=int(take), read_last_i=int(last),
                release_i=int(final and not fc),
            )  # fmt: skip
            if due is not None:
                assert one["weight_o"] == due
            due = columns[reads[read][0]][reads[read][1]] if take else None
            written, read, released = written + write, read + take, released + int(final)
