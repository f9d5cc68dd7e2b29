"""Sequencer, instruction and registers alone."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.clock import Clock

from hwsim.bus.registers import ADDRESS, ID, PARAMETERS, REGISTERS
from hwsim.program.instruction import FIELDS, OPCODES, encode
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
    quiet = dict(start_i=0, last_i=0, bad_shape_i=0, bad_size_i=0, bad_place_i=0, input_done_i=0,
                 input_error_i=0, output_done_i=0, layer_end_i=0, op_i=0)  # fmt: skip
    refusals = ("bad_shape", "bad_size", "bad_place")
    depth = UNITS["sequencer"][1]["PROG_DEPTH"]
    for _ in range(60):
        layers = rng.randint(1, depth)
        ops = [rng.choice([1, 2, 3]) for _ in range(layers - 1)] + [2]
        lengths = [rng.randint(1, 9) for _ in ops]
        # What goes wrong: nothing, an instruction, the packet, or no end.
        fault = rng.choice([None, None, *refusals, "input_error"])
        place = rng.randrange(layers)
        program = [*ops, OPCODES["end"]]
        cause = {None: 3 if layers == depth else 0, "bad_shape": 1, "bad_size": 2,
                 "input_error": 4, "bad_place": 5}[fault]  # fmt: skip
        held, counted, instructions, started = 0, 0, 0, 0
        left = arrives = 0
        fetched: list[int] = []
        await one.cycle(**{**quiet, "start_i": 1})
        assert one["idle_o"]
        ran: list[int] = []
        while True:
            bad = fault if fault in refusals and held == place else None
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
                held, word = divmod(one["address_o"], 16)
                fetched.append(word)
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
        assert fetched == list(sequencer.ORDER) * (len(fetched) // 16)
        # No end can follow a layer in the last place.
        if fault in refusals and 0 < place == depth - 1:
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


def some_instruction(rng: random.Random, written: list[int]) -> dict[str, int]:
    """A layer that fits, or nearly; now and then with a field that holds anything."""
    op = rng.choice([1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7])
    begin = [*LINES, *written * 6]
    groups = rng.choice([1, 1, 2, 3]) if op == 1 else 0
    in_c, in_h, in_w = max(groups, 1) * rng.randint(1, 2), rng.randint(1, 5), rng.randint(1, 12)
    kernel_h, kernel_w = rng.randint(1, 4), rng.randint(1, 4)
    out_h, out_w = (1, 1) if op == 2 else (rng.randint(1, 4), rng.randint(1, 9))
    if op in (5, 6, 7):
        out_h, out_w = in_h, in_w
    lo = rng.randint(0, 15)
    row = dict(
        op=op, last=int(op in (2, 4, 5) and rng.random() < 0.3), in_c=in_c, in_h=in_h, in_w=in_w,
        out_c=rng.randint(1, 10) if op == 2 else in_c, out_h=out_h, out_w=out_w,
        channel_base=rng.randint(0, 8), lo=lo, hi=rng.randint(lo, 31), fill=rng.randint(0, 31),
        in_line=rng.choice(begin), in2_line=rng.choice(begin), out_line=rng.choice(LINES),
        prob_shift=rng.getrandbits(8), table=rng.randint(0, 2), groups=groups, fan_in=0,
        real_weights=0, scheme=0, kernel_h=0, kernel_w=0, stride_h=0, stride_w=0, pad_top=0,
        pad_left=0,
    )  # fmt: skip
    if op in (1, 3, 4):
        row |= dict(kernel_h=kernel_h, kernel_w=kernel_w, stride_h=rng.randint(1, 4),
                    stride_w=rng.randint(1, 4 if op == 1 else 9))  # fmt: skip
    if op in (1, 3):
        row |= dict(pad_top=rng.randrange(kernel_h), pad_left=rng.randrange(kernel_w))
    if op in (1, 2):
        window = in_h * in_w if op == 2 else kernel_h * kernel_w
        row |= dict(
            fan_in=in_c // max(groups, 1) * window, scheme=rng.randint(0, 2),
            real_weights=rng.randint(1, 64), seed=rng.getrandbits(32),
            weight_base=rng.randint(0, 10), index_base=rng.randint(0, 40),
            log2_hash_banks=rng.randint(0, 5),
        )  # fmt: skip
    if op == 1:
        row["out_c"] = groups * rng.randint(1, 10 // groups)
    if rng.random() < 0.4:
        name = rng.choice(sorted(set(FIELDS) - {"op"}))
        top = (1 << FIELDS[name][2]) - 1
        near = min(top, row.get(name, 0) + 1)
        row[name] = rng.choice([0, top, rng.randint(0, top), near])
    return row


#: Where maps begin: few places, so that some that were written are read.
LINES = [0, 0, 20, 40, 60, 80, 100, 120, 140, 190]


def judged(row: dict[str, int], size: dict[str, int]) -> tuple[bool, bool]:
    """(no such shape, beyond a memory), in numbers of any size."""
    conv, fc, pool, average, affine, add, lut = (row["op"] == n for n in range(1, 8))
    mac, windowed, point = conv or fc, conv or pool or average, affine or add or lut
    most = {1: 11, 3: 11}.get(row["op"], 15)
    sides = ("in_c", "in_h", "in_w", "out_c", "out_h", "out_w")
    groups = row["groups"] if conv else 1
    window = row["in_h"] * row["in_w"] if fc else row["kernel_h"] * row["kernel_w"]
    there = {4: "AVERAGE", 5: "AVERAGE", 6: "ADD"}.get(row["op"], "")
    top = (1 << size["ACT_W"]) - 1
    wrong = [not row[side] for side in sides] + [
        there and not size.get(there, 1),
        lut and size["ACT_W"] > 8,
        conv and groups != 1 and not size.get("GROUPS", 1),
        conv and (not groups or row["in_c"] % groups or row["out_c"] % groups),
        fc and (row["out_h"], row["out_w"]) != (1, 1),
        windowed and not (row["stride_h"] and row["stride_w"]),
        conv and max(row["stride_h"], row["stride_w"]) > 4,
        windowed and not (1 <= row["kernel_h"] <= most and 1 <= row["kernel_w"] <= most),
        windowed and (row["pad_top"] >= row["kernel_h"] or row["pad_left"] >= row["kernel_w"]),
        average and (row["pad_top"] or row["pad_left"]),
        mac and not (row["fan_in"] and row["real_weights"]),
        mac and row["fan_in"] * groups != row["in_c"] * window,
        mac and row["scheme"] > 2,
        not mac and row["in_c"] != row["out_c"],
        point and (row["in_h"], row["in_w"]) != (row["out_h"], row["out_w"]),
        row["last"] and not (mac or average or affine),
        row["last"] and (row["out_h"], row["out_w"]) != (1, 1),
        not pool and not row["lo"] <= row["hi"] <= top,
        conv and row["fill"] > top,
        row.get("away") and (not size.get("REQUANTIZATION") or row.get("zero", 0) > top),
    ]
    if any(wrong):
        return True, False
    fan_in = row["fan_in"] if mac else 2 if add else window if average else 1
    channels = 0 if pool else 2 if add else 1 if average or lut else row["out_c"]
    tiles = groups * -(-(row["out_c"] // groups) // size["ROWS"])
    stored = mac and row["scheme"] != 0
    depth = size["ACT_DEPTH"]
    large = [
        row["in_line"] + lines(row, "in", size) > depth,
        add and row["in2_line"] + lines(row, "in", size) > depth,
        not row["last"] and row["out_line"] + lines(row, "out", size) > depth,
        not (fc or pool) and fan_in > size["TILE_DEPTH"],
        not pool and row["channel_base"] + channels > size["CHAN_DEPTH"],
        row["last"] and row["out_c"] > size["CHAN_DEPTH"],
        lut and row["table"] >= size["LUT_TABLES"],
        mac and row["weight_base"] * size["BANKS"]
        + -(-row["real_weights"] // size["BANKS"]) * size["BANKS"] > size["WGT_DEPTH"],
        stored and row["index_base"] + tiles * row["fan_in"] > size["IDX_DEPTH"],
    ]  # fmt: skip
    return False, any(large)


def lines(row: dict[str, int], way: str, size: dict[str, int]) -> int:
    """Lines of the map that is read, ``in``, or written, ``out``."""
    c, h, w = (row[f"{way}_{side}"] for side in "chw")
    return c * h * -(-w // size["COLS"])


def misplaced(row: dict[str, int], size: dict[str, int], written: set[int]) -> bool:
    """Whether an instruction reads what was not written, or writes what it reads, or needs more
    than four runs of lines to be remembered.
    """
    starts = [row["in_line"]] + [row["in2_line"]] * (row["op"] == 6)
    sources = [set(range(line, line + lines(row, "in", size))) for line in starts]
    target = set(range(row["out_line"], row["out_line"] + lines(row, "out", size)))
    if any(not one <= written for one in sources):
        return True
    if row["last"]:
        return False
    grown = written | target
    return any(one & target for one in sources) or len([n for n in grown if n - 1 not in grown]) > 4


async def offer(one: Unit, row: dict[str, int]) -> None:
    """The words of an instruction in the order of a fetch, and the cycles until all is final."""
    words = encode(row)
    for slot, word in enumerate(sequencer.ORDER):
        await one.cycle(we_i=1, slot_i=slot, data_i=words[word])
    # The sequencer counts on.
    await one.cycle(we_i=0, slot_i=0)
    await one.cycle(slot_i=1)


@cocotb.test()
@cocotb.parametrize(name=["instruction", "plain"])
async def an_instruction_is_refused_exactly_where_it_must_be(dut: Any, name: str) -> None:
    """And where it is not, what is derived from it is right."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    one, rng, size = Unit(dut, name), random.Random(name), UNITS[name][1]
    await one.reset()
    written: set[int] = set()
    starts: list[int] = []
    seen = dict.fromkeys(("accepted", "shape", "size", "place"), 0)
    for _ in range(2500):
        row = some_instruction(rng, starts)
        await offer(one, row)
        shape, large = judged(row, size)
        # Where more is wrong, the first of these is what counts.
        assert one["bad_shape_o"] == shape, row
        if not shape:
            assert one["bad_size_o"] == large, row
        if shape or large:
            seen["shape" if shape else "size"] += 1
            continue
        place = misplaced(row, size, written)
        # Before the first image nothing is known.
        assert one["bad_place_o"] == place or not written, (row, sorted(written))
        seen["place" if place else "accepted"] += 1
        derived(dut, one, name, row, size)
        source = range(row["in_line"], row["in_line"] + lines(row, "in", size))
        if rng.random() < (0.1 if written else 1):
            written, starts = set(source), [row["in_line"]]
            await one.cycle(input_i=1)
        elif not place and rng.random() < 0.8:
            if not row["last"]:
                target = row["out_line"]
                starts.append(target)
                written |= set(range(target, target + lines(row, "out", size)))
            await one.cycle(layer_i=1)
        for _ in range(12):
            await one.cycle(input_i=0, layer_i=0)
    assert min(seen.values()) > 60, seen


def derived(dut: Any, one: Unit, name: str, row: dict[str, int], size: dict[str, int]) -> None:
    """Strides, tiles and windows of an instruction that may run."""
    cols, op = size["COLS"], row["op"]
    windowed, mac, add = op in (1, 3, 4), op in (1, 2), op == 6
    stride_h, stride_w = (row["stride_h"], row["stride_w"]) if windowed else (1, 1)
    in_row, x_tiles = -(-row["in_w"] // cols), -(-row["out_w"] // cols)
    plane = in_row * row["in_h"]
    parts = act_buffer.cycles_column(stride_w, cols)
    groups = row["groups"] if op == 1 else 1
    outputs = row["out_c"] // groups if mac else 2 if add else 1
    area = row["kernel_h"] * row["kernel_w"]
    fan_in = row["fan_in"] if mac else 2 if add else area if op == 4 else 1
    second = row["in2_line"] - row["in_line"]
    expected = dict(
        in_row=in_row, channel_step=second if add else plane,
        group_step=plane - second if add else plane, out_step=in_row * stride_h,
        first_line=row["in_line"] - row["pad_top"] * in_row * windowed, x_tiles=x_tiles,
        pixel_tiles=x_tiles * row["out_h"], log2_groups=parts.bit_length() - 1,
        window_w=row["in_w"] if op == 2 else row["kernel_w"] if windowed else 1,
        window_h=row["in_h"] if op == 2 else row["kernel_h"] if windowed else 1,
        stride_w=stride_w, stride_h=stride_h, pad_left=row["pad_left"] * windowed,
        in_line=row["in_line"], out_line=row["out_line"], ones=int(op > 3), add=int(add),
        lut=int(op == 7), shared=int(op in (4, 6, 7)),
    )  # fmt: skip
    if op != 3:
        used = min(size["ROWS"], outputs)
        expected |= dict(
            outputs=outputs, groups=groups if mac else row["out_c"], rows=used, fan_in=fan_in,
            idle=max(0, used - fan_in * parts), lo=row["lo"], hi=row["hi"],
            window_c=row["in_c"] // groups if mac else 2 if add else 1,
        )  # fmt: skip
    for port, value in expected.items():
        mask = (1 << len(getattr(dut, f"{name}_{port}_o"))) - 1
        assert one[f"{port}_o"] == value & mask, (port, row)
    if op in (1, 3):
        assert one["fill_o"] == (row["fill"] if op == 1 else 0)


@cocotb.test()
async def registers_keep_what_is_written(dut: Any) -> None:
    """Any accesses while idle, against a dictionary."""
    one, rng = await unit(dut, "csr")
    await one.cycle(write_i=0, read_i=0, idle_i=1, done_i=0, error_i=0, write_whole_i=1)
    kept = dict.fromkeys(("IRQ_ENABLE", "MEM_SPACE", "MEM_LINE", "MEM_FIELD", "MEM_HIGH"), 0)
    width = dict(IRQ_ENABLE=3, MEM_SPACE=3, MEM_LINE=32, MEM_FIELD=9, MEM_HIGH=32)
    # Numbers of images and of an image: those that a batch may have.
    batch = UNITS["csr"][1]["BATCH"]
    numbers = {"IMAGES": range(1, batch + 1), "IMAGE": range(batch)}
    kept |= {name: legal.start for name, legal in numbers.items()}
    width |= dict.fromkeys(numbers, 32)
    access = {register.address: register for register in REGISTERS}
    for _ in range(400):
        address = rng.choice([*access, *access, rng.randrange(64) * 4])
        found = access.get(address)
        name = found.name if found else ""
        if name in ("MEM_DATA", "CONTROL"):
            continue
        whole, data = int(rng.random() < 0.8), rng.getrandbits(32)
        if name in numbers and rng.random() < 0.8:
            data = rng.randrange(batch + 2)
        await one.cycle(
            write_i=1, write_address_i=address // 4, write_data_i=data, write_whole_i=whole
        )
        legal = found is not None and found.access != "ro" and whole
        legal = legal and (name not in numbers or data in numbers[name])
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
             size["CHAN_DEPTH"], 16 * size["PROG_DEPTH"], 0, 4 << 8]  # fmt: skip
    fields = [size["BANKS"], size["ROWS"], 1, 1, 1, 0, 1]
    for _ in range(30):
        space, busy = rng.choice([0, 1, 2, 3, 4, 6]), rng.random() < 0.3
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


@cocotb.test()
async def row_tiles_never_span_two_groups(dut: Any) -> None:
    one, rng = await unit(dut, "row_tiles")
    rows = UNITS["row_tiles"][1]["ROWS"]
    for _ in range(60):
        own, groups = rng.randint(1, 11), rng.randint(1, 5)
        ends = [min(rows, own - top) - 1 for top in range(0, own, rows)]
        await one.cycle(load_i=0, next_i=0, outputs_i=own, groups_i=groups)
        await one.cycle(load_i=1)
        for group in range(groups):
            for number, end in enumerate(ends):
                while rng.random() < 0.3:
                    await one.cycle(load_i=0, next_i=0)
                await one.cycle(load_i=0, next_i=1)
                final = number == len(ends) - 1
                assert one["end_o"] == end
                assert one["group_last_o"] == final
                assert one["last_o"] == (final and group == groups - 1)
                if not one["last_o"]:
                    assert one["next_end_o"] == ends[(number + 1) % len(ends)]


@cocotb.test()
async def a_division_takes_eight_cycles(dut: Any) -> None:
    one, rng = await unit(dut, "divide")
    for _ in range(300):
        a, b = (rng.getrandbits(rng.randint(0, 16)) for _ in range(2))
        await one.cycle(start_i=1, a_i=a, b_i=max(b, 1))
        for _ in range(8):
            await one.cycle(start_i=0, a_i=rng.getrandbits(16))
        assert one["quotient_o"] == a // max(b, 1)
        assert one["exact_o"] == (a % max(b, 1) == 0)
        for _ in range(rng.randint(0, 3)):
            await one.cycle()
            assert one["quotient_o"] == a // max(b, 1)
