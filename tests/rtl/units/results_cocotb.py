"""MAC array, post, pool, probabilities and argmax alone: what an image's numbers become."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from hwsim.engine.reference import softmax_unit
from hwsim.units import act_buffer, lut, mac_array, pool, post
from hwsim.units.softmax import cycles_softmax
from tests.rtl.units.bench import UNITS, Unit, pack, unpack

#: From a step to its aligned lanes, and one cycle into the operand registers.
LANES = act_buffer.FILL + 1


async def unit(dut: Any, name: str) -> tuple[Unit, dict[str, int], random.Random]:
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    one = Unit(dut, name)
    await one.reset()
    return one, UNITS[name][1], random.Random(name)


@cocotb.test()
async def the_array_accumulates_pixel_tiles_and_keeps_them_in_its_shadow(dut: Any) -> None:
    one, size, rng = await unit(dut, "array")
    rows, cols = size["ROWS"], size["COLS"]
    wgt_w, act_w, acc_w = size["WGT_W"], size["ACT_W"], size["ACC_W"]
    weight_max, act_max = (1 << (wgt_w - 1)) - 1, (1 << act_w) - 1
    # What is due in a cycle: weights one after the issue, activations when the lanes are there.
    script: list[dict[str, int]] = [{} for _ in range(3000)]
    sums: dict[int, np.ndarray] = {}
    now = 0
    for _ in range(40):
        total = np.zeros((rows, cols), int)
        fan_in = rng.randint(rows, 9)
        for j in range(fan_in):
            now += rng.choice([0, 0, 0, 1, 3])
            weights = [rng.randint(-weight_max, weight_max) for _ in range(rows)]
            acts = [rng.randint(0, act_max) for _ in range(cols)]
            total += np.outer(weights, acts)
            script[now] |= dict(issue_i=1, first_i=int(j == 0), copy_i=int(j == fan_in - 1))
            script[now + 1] |= dict(weight_i=pack(weights, wgt_w))
            script[now + LANES] |= dict(act_i=pack(acts, act_w))
            now += 1
        sums[now - 1 + mac_array.FILL] = total
    idle = dict(issue_i=0, first_i=0, copy_i=0)
    for time in range(now + 20):
        copied = [start for start in sums if 0 < time - start <= rows]
        row = time - copied[0] - 1 if copied else 0
        noise = dict(weight_i=rng.getrandbits(12), act_i=rng.getrandbits(10))
        await one.cycle(**{**noise, **idle, **script[time], "shadow_row_i": row})
        assert one["shadow_load_o"] == (time in sums)
        if copied:
            got = unpack(one["shadow_o"], acc_w, cols, signed=True)
            assert got == sums[copied[0]][row].tolist()


def requantized(total: int, s: int, lo: int, hi: int, zero: int | None = None) -> int:
    """zero: the code of 0 where a large multiplier rounds twice."""
    u = total >> s
    if zero is not None and s > 31 and u <= zero and (total >> 31) % (1 << s - 31) == 0:
        u -= 1
    return min(max(u, lo), hi)


@cocotb.test()
@cocotb.parametrize(kind=["conv", "last", "shared", "add", "lut"])
async def post_requantizes_and_clamps_every_row(dut: Any, kind: str) -> None:
    """Row-tiles of groups; all channels with the same words; two rows that become one line."""
    one, size, rng = await unit(dut, "post")
    rows, cols, act_w, mult_w = size["ROWS"], size["COLS"], size["ACT_W"], size["MULT_W"]
    acc_w, top = size["ACC_W"], (1 << size["ACT_W"]) - 1
    last, add, looks, shared = (kind == name for name in ("last", "add", "lut", "shared"))
    for _ in range(12):
        groups = rng.randint(1, 4)
        own = 2 if add else 1 if shared or looks else rng.randint(1, 10 // groups)
        pixels = 1 if last else rng.randint(1, 4)
        base, first_line = rng.randint(0, 31 - groups * own), rng.randint(0, 200)
        lo = rng.randint(0, top)
        hi = rng.choice([top, rng.randint(lo, top)])
        lo = rng.choice([0, lo])
        m = [rng.randint(-127, 127) for _ in range(32)]
        s = [rng.randint(0, 39) for _ in range(32)]
        b = [rng.randint(-(1 << 25), 1 << 25) for _ in range(32)]
        zero = None if last else rng.choice([None, rng.randint(lo, hi)])
        if zero is not None:
            # Sums around halves of the codes next to that of 0.
            s = [rng.randint(30, 33) for _ in range(32)]
            b = [(rng.choice([zero, zero + 1, hi, lo]) << n) + (1 << n - 1) + rng.choice([-one_, 0])
                 for n, one_ in ((n, 1 << rng.randint(20, 32)) for n in s)]  # fmt: skip
        if add:
            s = [s[0]] * 32
        shape = dict(
            last_layer_i=int(last), add_i=int(add), lut_i=int(looks),
            shared_i=int(add or looks or shared), outputs_i=own, groups_i=groups, lo_i=lo, hi_i=hi,
            away_i=int(zero is not None), zero_i=zero or 0,
            out_line_i=first_line, pixel_tiles_i=pixels, channel_base_i=base, shadow_load_i=0,
        )  # fmt: skip
        # The shape stands still before a layer is loaded, as an instruction does.
        await one.cycle(load_i=0, **shape)
        await one.cycle(load_i=1)
        expected, got, ends, shadow, channel = {}, {}, [], [[0] * cols] * rows, one["channel_o"]
        waiting = [
            (group * own + start, min(rows, own - start), pixel)
            for group in range(groups)
            for start in range(0, own, rows)
            for pixel in range(pixels)
        ]
        count = groups * pixels * (1 if add else own)
        wait, time = rng.randint(1, 5), 0
        words: list[int] = []
        while len(got) < count:
            load = wait == 0 and bool(waiting)
            await FallingEdge(dut.clk)
            one.set(
                load_i=0, shadow_load_i=int(load), bias_i=b[channel],
                shadow_i=pack(shadow[one["shadow_row_o"]], acc_w),
                scale_i=s[channel] << mult_w | m[channel] & 255,
                # A table that inverts each code; it answers when it is due.
                word5_i=words[-LOOKED_UP] if len(words) >= LOOKED_UP else 0,
            )  # fmt: skip
            await ReadOnly()
            channel = one["channel_o"]
            words.append(~one["code_o"])
            if one["write_o"] or one["logit_write_o"]:
                assert one["logit_write_o"] == last
                if last:
                    got[first_line + len(got)] = unpack(one["logit_o"], acc_w, 1, signed=True)
                else:
                    assert one["line_o"] not in got
                    got[one["line_o"]] = unpack(one["act_o"], act_w, cols)
                ends.append(one["end_o"])
            if load:
                start, used, pixel = waiting.pop(0)
                reach = top if looks else 1 << 24
                shadow = [
                    [rng.randint(0 if looks else -reach, reach) for _ in range(cols)]
                    for _ in range(rows)
                ]
                for r in range(used):
                    c = base + (r if add else 0 if shared else start + r)
                    line = first_line + (start // 2 if add else start + r) * pixels + pixel
                    values = [
                        requantized(acc * m[c] + b[c], s[c], lo, hi, zero if m[c] >= 64 else None)
                        for acc in shadow[r]
                    ]
                    if add:
                        both = zip(*shadow[:2], strict=True)
                        values = [
                            requantized(a1 * m[base] + b[base] + a2 * m[base + 1], s[base + 1],
                                        lo, hi, zero if m[base + 1] >= 64 else None)
                            for a1, a2 in both
                        ]  # fmt: skip
                    if looks:
                        values = [top - acc for acc in shadow[r]]
                    expected[line] = [shadow[r][0] + b[c]] if last else values
                wait = used + rng.randint(0, 4)
            wait = max(0, wait - 1)
            time += 1
            assert time < 500, "post does not end"
        assert got == {line % 256: values for line, values in expected.items()}
        assert ends == [0] * (len(ends) - 1) + [1]


#: Cycles from a code of post to its word.
LOOKED_UP = lut.ADDRESS + lut.READ + lut.WAIT


@cocotb.test()
async def tables_answer_when_post_clamps(dut: Any) -> None:
    one, size, rng = await unit(dut, "tables")
    cols, act_w, tables = size["COLS"], size["ACT_W"], size["LUT_TABLES"]
    words = [rng.randrange(1 << act_w) for _ in range(tables << act_w)]
    for line, word in enumerate(words):
        await one.cycle(mem_we_i=1, mem_re_i=0, mem_line_i=line, mem_wdata_i=word)
    await one.cycle(mem_we_i=0)
    for line in rng.sample(range(len(words)), 20):
        await one.cycle(mem_re_i=1, mem_line_i=line)
        await one.cycle(mem_re_i=0)
        assert one["mem_rdata_o"] == words[line]
    for table in range(tables):
        asked: list[list[int]] = []
        for _ in range(60):
            codes = [rng.randrange(1 << act_w) for _ in range(cols)]
            await one.cycle(table_i=table, code_i=pack(codes, act_w))
            if len(asked) > LOOKED_UP:
                due = [words[(table << act_w) + code] for code in asked[-LOOKED_UP]]
                assert unpack(one["word_o"], act_w, cols) == due
            asked.append(codes)


@cocotb.test()
async def post_takes_the_cycles_of_its_twin(dut: Any) -> None:
    one, size, _ = await unit(dut, "post")
    for used in range(1, size["ROWS"] + 1):
        shape = dict(
            last_layer_i=0, add_i=0, lut_i=0, shared_i=0, outputs_i=used, groups_i=1,
            pixel_tiles_i=1, channel_base_i=0, shadow_load_i=0,
        )  # fmt: skip
        await one.cycle(load_i=0, **shape)
        await one.cycle(load_i=1)
        await one.cycle(load_i=0, shadow_load_i=1)
        cycles = 0
        while not one["end_o"]:
            await one.cycle(shadow_load_i=0)
            cycles += 1
        assert cycles == post.cycles_drain(used)


@cocotb.test()
async def the_pool_keeps_the_maximum_of_each_window(dut: Any) -> None:
    one, size, rng = await unit(dut, "pool")
    cols, act_w = size["COLS"], size["ACT_W"]
    for _ in range(6):
        channels, lines, window, groups = (
            rng.randint(1, 3), rng.randint(1, 4), rng.choice([1, 4, 9]), rng.choice([1, 2]),
        )  # fmt: skip
        steps, maxima = [], []
        for _channel in range(channels):
            for line in range(lines):
                values = np.array([[rng.randrange(32) for _ in range(cols)] for _ in range(window)])
                maxima.append(values.max(0).tolist())
                for element in range(window):
                    for group in range(groups):
                        steps.append(
                            (
                                dict(
                                    group_last_i=int(group == groups - 1),
                                    window_first_i=int(element == 0),
                                    window_last_i=int((element, group) == (window - 1, groups - 1)),
                                    map_last_i=int(line == lines - 1),
                                ),
                                pack(values[element], act_w),
                            )
                        )
        first = rng.randint(0, 200)
        await one.cycle(load_i=1, channels_i=channels, out_line_i=first)
        acts: dict[int, int] = {}
        got, lines_seen, time = [], [], 0
        while True:
            # The flags are those of the step that the pool takes in this cycle.
            active = time < len(steps)
            flags, value = steps[time] if active else (dict(window_last_i=0, group_last_i=0), 0)
            # Only the last group completes the lanes.
            acts[time + LANES] = value
            await one.cycle(load_i=0, **flags, act_i=acts.pop(time, rng.getrandbits(10)))
            assert one["step_o"] == active
            if one["write_o"]:
                got.append(unpack(one["act_o"], act_w, cols))
                lines_seen.append(one["line_o"])
            if one["end_o"]:
                break
            time += 1
            assert time < 500, "the pool does not end"
        assert got == maxima
        assert lines_seen == list(range(first, first + len(maxima)))
        assert time + 1 == len(steps) + pool.FILL


async def probabilities(one: Unit, rng: random.Random, logits: list[int], shift: int) -> list[int]:
    """UQ1.16 words of one run of the unit, which must take the cycles that are promised."""
    classes = len(logits)
    await one.cycle(start_i=1, shift_i=shift, mem_re_i=0)
    # In the full memory the number of classes wraps.
    seen = dict(best_i=max(logits), classes_i=classes)
    await one.cycle(start_i=0, shift_i=rng.getrandbits(8), **seen)
    cycles = 0
    while one["busy_o"]:
        word = logits[one["class_o"]] if one["read_o"] else rng.getrandbits(20)
        await one.cycle(logit_i=word)
        cycles += 1
    assert cycles == cycles_softmax(classes)
    got = []
    for line in range(classes):
        await one.cycle(mem_re_i=1, mem_line_i=line)
        await one.cycle(mem_re_i=0)
        got.append(one["mem_rdata_o"])
    return got


@cocotb.test()
@cocotb.parametrize(name=["softmax", "wide"])
async def probabilities_are_those_of_the_oracle(dut: Any, name: str) -> None:
    one, size, rng = await unit(dut, name)
    top = (1 << (size["ACC_W"] - 1)) - 1
    for number in range(50):
        classes = size["DEPTH"] if number < 3 else rng.randint(1, size["DEPTH"])
        shift = rng.choice([rng.randint(-128, 127), rng.randint(-10, 20), 0, -8, -9, 127, -128])
        spread = rng.choice([0, 3, 200, 1 << max(0, min(30, shift + 8)), top])
        logits = [rng.randint(-spread, spread) for _ in range(classes)]
        if number == 0:
            logits = [(-top - 1, top)[n % 2] for n in range(classes)]
        assert await probabilities(one, rng, logits, shift) == softmax_unit(logits, shift + 4)


@cocotb.test()
async def every_entry_of_the_exponential_is_the_oracles(dut: Any) -> None:
    one, size, rng = await unit(dut, "softmax")
    behind = list(range(256))
    rng.shuffle(behind)
    while behind:
        logits = [1000 - behind.pop() for _ in range(min(size["DEPTH"] - 1, len(behind)))]
        logits.insert(rng.randint(0, len(logits)), 1000)
        assert await probabilities(one, rng, logits, 0) == softmax_unit(logits, 4)


@cocotb.test()
async def the_first_maximum_wins(dut: Any) -> None:
    one, _, rng = await unit(dut, "argmax")
    for _number in range(60):
        count, spread = rng.randint(1, 16), rng.choice([0, 1, 2**31 - 1])
        logits = [rng.randint(-spread - 1, spread) for _ in range(count)]
        await one.cycle(clear_i=1, logit_write_i=0)
        for logit in logits:
            while rng.random() < 0.3:
                await one.cycle(clear_i=0, logit_write_i=0, logit_i=rng.getrandbits(32))
            await one.cycle(clear_i=0, logit_write_i=1, logit_i=logit)
        await one.cycle(logit_write_i=0)
        assert one["argmax_o"] == logits.index(max(logits))
        assert one["class_o"] == count % 16
        assert unpack(one["best_o"], 32, 1, signed=True) == [max(logits)]
