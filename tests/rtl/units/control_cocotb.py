"""Sequencer, instruction and registers alone."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.clock import Clock

from hwsim.bus.registers import ADDRESS, ID, PARAMETERS, REGISTERS
from hwsim.program.program import FIELDS, OPCODES, encode
from hwsim.units import act_buffer, sequencer
from tests.rtl.units.bench import UNITS, Unit

OKAY, SLVERR, DECERR = 0, 2, 3


async def unit(dut: Any, name: str) -> tuple[Unit, random.Random]:
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    one = Unit(dut, name)
    await one.reset()
    return one, random.Random(name)


@cocotb.test()
async def the_sequencer_walks_a_program(dut: Any) -> None:
    """Layers of any length: what is fetched, when units start, what is counted, how it ends."""
    one, rng = await unit(dut, "sequencer")
    quiet = dict(start_i=0, last_i=0, bad_shape_i=0, bad_size_i=0, input_done_i=0, input_error_i=0,
                 output_done_i=0, layer_end_i=0, op_i=0)  # fmt: skip
    depth = UNITS["sequencer"][1]["PROG_DEPTH"]
    for _ in range(60):
        layers = rng.randint(1, depth)
        ops = [rng.choice([1, 2, 3]) for _ in range(layers - 1)] + [2]
        lengths = [rng.randint(1, 9) for _ in ops]
        # What goes wrong: nothing, an instruction, the packet, or no end.
        fault = rng.choice([None, None, "bad_shape", "bad_size", "input_error"])
        place = rng.randrange(layers)
        program = [*ops, OPCODES["end"]]
        cause = {None: 3 if layers == depth else 0, "bad_shape": 1, "bad_size": 2,
                 "input_error": 4}[fault]  # fmt: skip
        held, counted, instructions, started = 0, 0, 0, 0
        left = arrives = 0
        await one.cycle(**{**quiet, "start_i": 1})
        assert one["idle_o"]
        ran: list[int] = []
        while True:
            bad = fault if fault in ("bad_shape", "bad_size") and held == place else None
            inputs = dict(quiet, op_i=program[held] if held < len(program) else 0,
                          last_i=int(held == layers - 1))  # fmt: skip
            if bad:
                inputs[f"{bad}_i"] = 1
            if arrives == 1:
                inputs["input_error_i" if fault == "input_error" else "input_done_i"] = 1
            arrives -= arrives > 0
            if left == 1:
                inputs["layer_end_i"] = 1
            inputs["output_done_i"] = rng.getrandbits(1)
            await one.cycle(**inputs)
            if one["idle_o"]:
                break
            if one["fetch_o"]:
                held = one["address_o"] // 16
            if one["input_load_o"]:
                arrives = rng.randint(1, 5)
            counted += one["counting_o"]
            instructions += one["instruction_o"]
            assert one["run_o"] == (left > 0)
            left -= left > 0
            if one["load_o"]:
                left = lengths[started]
                ran.append(held)
                started += 1
        assert one["error_o"] == (cause != 0)
        # No end can follow a layer in the last place.
        if fault in ("bad_shape", "bad_size") and 0 < place == depth - 1:
            cause = 3
        if cause:
            assert one["cause_o"] == cause
        whole = cause in (0, 3) and fault is None
        done = layers if cause == 0 else layers - 1 if cause == 3 else place
        if fault == "input_error" or (fault and place == 0):
            done = 0
        assert ran == list(range(done))
        if whole and cause == 0:
            cost = sequencer.START + sum(sequencer.INSTRUCTION + n for n in lengths)
            assert counted == cost
            assert instructions == sequencer.INSTRUCTION * layers


def some_instruction(rng: random.Random) -> dict[str, int]:
    """A layer that fits, or nearly; now and then with a field that holds anything."""
    op = rng.choice([1, 2, 3])
    in_c, in_h, in_w = rng.randint(1, 3), rng.randint(1, 5), rng.randint(1, 12)
    kernel = rng.randint(1, 4)
    row = dict(
        op=op, last=int(op == 2 and rng.random() < 0.5), scheme=rng.randint(0, 2), kernel=kernel,
        stride=rng.randint(1, 9), padding=rng.randint(0, 3), in_c=in_c, in_h=in_h, in_w=in_w,
        out_c=in_c if op == 3 else rng.randint(1, 10), out_h=1 if op == 2 else rng.randint(1, 4),
        out_w=1 if op == 2 else rng.randint(1, 9),
        fan_in=in_c * (in_h * in_w if op == 2 else kernel * kernel),
        real_weights=rng.randint(1, 64), seed=rng.getrandbits(32), prob_shift=rng.getrandbits(8),
        weight_base=rng.randint(0, 10), index_base=rng.randint(0, 40),
        channel_base=rng.randint(0, 8), log2_hash_banks=rng.randint(0, 5),
    )  # fmt: skip
    if rng.random() < 0.4:
        name = rng.choice(sorted(set(FIELDS) - {"op"}))
        top = (1 << FIELDS[name][2]) - 1
        row[name] = rng.choice([0, top, rng.randint(0, top), min(top, row[name] + 1)])
    return row


def judged(row: dict[str, int], size: dict[str, int]) -> tuple[bool, bool]:
    """(no such shape, beyond a memory), in numbers of any size."""
    mac, fc, conv = row["op"] != 3, row["op"] == 2, row["op"] == 1
    window = row["in_h"] * row["in_w"] if fc else row["kernel"] ** 2
    sides = ("in_c", "in_h", "in_w", "out_c", "out_h", "out_w")
    wrong = [not row[side] for side in sides] + [
        fc and (row["out_h"], row["out_w"]) != (1, 1),
        not fc and not (row["stride"] and row["kernel"]),
        mac and not (row["fan_in"] and row["real_weights"]),
        mac and row["fan_in"] != row["in_c"] * window,
        mac and row["scheme"] > 2,
        not mac and row["in_c"] != row["out_c"],
        bool(row["last"]) and not fc,
    ]

    def lines(way: str) -> int:
        c, h, w = (row[f"{way}_{side}"] for side in "chw")
        return c * h * -(-w // size["COLS"])

    tiles = -(-row["out_c"] // size["ROWS"])
    stored = mac and row["scheme"] != 0
    large = [
        lines("in") > size["ACT_DEPTH"],
        lines("out") > size["ACT_DEPTH"],
        conv and row["fan_in"] > size["TILE_DEPTH"],
        mac and row["channel_base"] + row["out_c"] > size["CHAN_DEPTH"],
        mac and row["weight_base"] * size["BANKS"]
        + -(-row["real_weights"] // size["BANKS"]) * size["BANKS"] > size["WGT_DEPTH"],
        stored and row["index_base"] + tiles * row["fan_in"] > size["IDX_DEPTH"],
    ]  # fmt: skip
    return any(wrong), any(large)


@cocotb.test()
async def an_instruction_is_refused_exactly_where_it_must_be(dut: Any) -> None:
    """And where it is not, what is derived from it is right."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    one, rng, size = Unit(dut, "instruction"), random.Random(4), UNITS["instruction"][1]
    await one.reset()
    accepted = refused = 0
    for _ in range(600):
        row = some_instruction(rng)
        for number, word in enumerate(encode(row)):
            await one.cycle(we_i=1, word_i=number, data_i=word)
        await one.cycle(we_i=0)
        await one.cycle()
        shape, large = judged(row, size)
        # Where both are wrong, the shape is what counts.
        assert one["bad_shape_o"] == shape, row
        if not shape:
            assert one["bad_size_o"] == large, row
        if shape or large:
            refused += 1
            continue
        accepted += 1
        cols, fc = size["COLS"], row["op"] == 2
        in_row, x_tiles = -(-row["in_w"] // cols), -(-row["out_w"] // cols)
        groups = 1 if fc else act_buffer.cycles_column(row["stride"], cols)
        used = min(size["ROWS"], row["out_c"])
        expected = dict(
            in_row=in_row, in_plane=in_row * row["in_h"], out_step=in_row * row["stride"],
            first_line=-row["padding"] * in_row, x_tiles=x_tiles,
            pixel_tiles=x_tiles * row["out_h"], log2_groups=groups.bit_length() - 1, rows=used,
            window_w=row["in_w"] if fc else row["kernel"],
            window_h=row["in_h"] if fc else row["kernel"],
        )  # fmt: skip
        if row["op"] != 3:
            expected["idle"] = max(0, used - row["fan_in"] * groups)
        for name, value in expected.items():
            mask = (1 << len(getattr(dut, f"instruction_{name}_o"))) - 1
            assert one[f"{name}_o"] == value & mask, name
    assert min(accepted, refused) > 100


@cocotb.test()
async def registers_keep_what_is_written(dut: Any) -> None:
    """Any accesses while idle, against a dictionary."""
    one, rng = await unit(dut, "csr")
    await one.cycle(write_i=0, read_i=0, idle_i=1, done_i=0, error_i=0, write_whole_i=1)
    kept = dict.fromkeys(("IRQ_ENABLE", "MEM_SPACE", "MEM_LINE", "MEM_FIELD", "MEM_HIGH"), 0)
    width = dict(IRQ_ENABLE=3, MEM_SPACE=3, MEM_LINE=32, MEM_FIELD=9, MEM_HIGH=32)
    access = {register.address: register for register in REGISTERS}
    for _ in range(400):
        address = rng.choice([*access, *access, rng.randrange(64) * 4])
        found = access.get(address)
        name = found.name if found else ""
        if name in ("MEM_DATA", "CONTROL"):
            continue
        whole, data = int(rng.random() < 0.8), rng.getrandbits(32)
        await one.cycle(
            write_i=1, write_address_i=address // 4, write_data_i=data, write_whole_i=whole
        )
        legal = found is not None and found.access != "ro" and whole
        assert one["write_response_o"] == (OKAY if legal else SLVERR if found else DECERR)
        if legal and name in kept:
            kept[name] = data & (1 << width[name]) - 1
        await one.cycle(write_i=0, read_i=1, read_address_i=address // 4)
        await one.cycle(read_i=0)
        await one.cycle()
        assert one["read_response_o"] == (OKAY if found else DECERR)
        if name in kept:
            assert one["read_data_o"] == kept[name]
        if name == "ID":
            assert one["read_data_o"] == ID
        if name in PARAMETERS and name in UNITS["csr"][1]:
            assert one["read_data_o"] == UNITS["csr"][1][name]


@cocotb.test()
async def the_memory_window_walks_fields_and_lines(dut: Any) -> None:
    one, rng = await unit(dut, "csr")
    size = UNITS["csr"][1]
    await one.cycle(write_i=0, read_i=0, idle_i=1, done_i=0, error_i=0)

    async def write(name: str, value: int) -> int:
        await one.cycle(
            write_i=1, write_address_i=ADDRESS[name] // 4, write_data_i=value, write_whole_i=1
        )
        response: int = one["write_response_o"]
        # hne_axil keeps accesses two cycles apart.
        await one.cycle(write_i=0)
        return response

    lines = [size["WGT_DEPTH"] // size["BANKS"], size["IDX_DEPTH"], size["CHAN_DEPTH"],
             size["CHAN_DEPTH"], 16 * size["PROG_DEPTH"]]  # fmt: skip
    fields = [size["BANKS"], size["ROWS"], 1, 1, 1]
    for _ in range(30):
        space, busy = rng.randrange(5), rng.random() < 0.3
        line, field = rng.randrange(lines[space]), rng.randrange(fields[space])
        for name, value in (("MEM_SPACE", space), ("MEM_LINE", line), ("MEM_FIELD", field)):
            assert await write(name, value) == OKAY
        for _ in range(5):
            inside = line < lines[space] and not busy
            data = rng.getrandbits(32)
            await one.cycle(
                write_i=1, write_address_i=ADDRESS["MEM_DATA"] // 4, write_data_i=data,
                write_whole_i=1, idle_i=int(not busy),
            )  # fmt: skip
            assert one["write_response_o"] == (OKAY if inside else SLVERR)
            assert one["mem_we_o"] == inside
            if inside:
                place = one["mem_space_o"], one["mem_line_o"], one["mem_field_o"]
                assert place == (space, line, field)
                assert one["mem_wdata_o"] & 0xFFFFFFFF == data
                field += 1
                if field == fields[space]:
                    line, field = line + 1, 0
            await one.cycle(write_i=0)
        await one.cycle(write_i=0, idle_i=1)
