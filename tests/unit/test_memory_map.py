"""Maps and wires: written before read, once, all read, none overwritten alive; else one line."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from hwsim.engine import reference
from hwsim.errors import CompileError
from hwsim.program.layers import Layer, PoolLayer, Window
from hwsim.program.memory_map import MAX_RUNS, check_maps
from hwsim.program.program import Program
from hwsim.program.wires import FeatureMap, Place, Wire, image_first
from tests.by_hand import TINY, WIDE, add, affine, mac, reads, total
from tests.property.networks import written_runs

PAIR = (1, 1, 2)
TWO = (2, 1, 2)


def copy(shape: tuple = PAIR, name: str = "affine") -> Layer:
    return dataclasses.replace(affine(shape, *[(1, 0, 0)] * shape[0]), name=name)


def joined() -> Program:
    """Two copies of the image side by side, added to each other and to the image."""
    layers = (copy(name="left"), copy(name="right"), add(PAIR, 1, 1), add(PAIR, 1, 1), total(PAIR))
    wires = (reads(0, to=(1, 0)), reads(0, to=(1, 1)), reads((1, 0), (1, 1), to=2),
             reads(2, 0, to=3), reads(3))  # fmt: skip
    return Program.graph(WIDE, layers, wires, PAIR)


def rewired(program: Program, number: int, wire: Wire) -> Program:
    wires = list(program.wires)
    wires[number] = wire
    return program.replace(wires=tuple(wires))


def moved(program: Program, number: int, line: int) -> Program:
    maps = list(program.maps)
    maps[number] = FeatureMap(maps[number].shape, line)
    return program.replace(maps=tuple(maps))


def refusal(program: Program) -> str:
    with pytest.raises(CompileError) as caught:
        check_maps(program)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- wires --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "wire", "expected"),
    [
        (0, reads(0, 0, to=(1, 0)), "left: affine reads 2 maps"),
        (0, Wire((), Place(1)), "left: affine reads 0 maps"),
        (2, reads(1, to=2), "add: add reads 1 maps"),
        (0, reads(0), "left: every layer but the last writes to a map"),
        (4, reads(3, to=4), "fc: every layer but the last writes to a map"),
        (0, reads(9, to=(1, 0)), "left: there is no map 9"),
        (0, reads(-1, to=(1, 0)), "left: there is no map -1"),
        (0, reads(0, to=9), "left: there is no map 9"),
        (0, reads(2, to=(1, 0)), "left: reads map 2 before it is written"),
        (1, reads((1, 1), to=(1, 1)), "right: reads map 1 before it is written"),
        (0, reads((0, 1), to=(1, 0)), "left: (1, 1, 2) from channel 1 on is no part of map 0"),
        (0, reads((0, -1), to=(1, 0)), "left: (1, 1, 2) from channel -1 on is no part of map 0"),
        (1, reads(0, to=(1, 2)), "right: (1, 1, 2) from channel 2 on is no part of map 1"),
        (1, reads(0, to=(1, 0)), "right: writes what was written before"),
        (1, reads(0, to=0), "right: writes what was written before"),
        (3, reads(2, 0, to=2), "add: writes what was written before"),
        (2, reads((1, 0), (1, 0), to=2), "left: its result is never used: remove the branch"),
        (3, reads(0, 0, to=3), "add: its result is never used: remove the branch"),
    ],
)
def test_a_wire_that_is_unsound_is_named(number: int, wire: Wire, expected: str) -> None:
    program = joined()
    check_maps(program)
    assert expected in refusal(rewired(program, number, wire))


def test_a_map_has_the_sides_of_what_is_written_and_read() -> None:
    program = joined()
    for number, shape in enumerate([(1, 2, 1), (2, 2, 1), (1, 1, 3), (1, 2, 2)]):
        maps = list(program.maps)
        maps[number] = FeatureMap(shape, maps[number].line)
        message = refusal(program.replace(maps=tuple(maps)))
        expected = f"is no part of map {number}, {shape}" if number else "map 0 must be the image"
        assert expected in message


@pytest.mark.parametrize("shape", [(1, 1, 2), (0, 1, 2), (-3, 1, 2), (2**40, 1, 2)])
def test_a_map_that_nobody_writes_is_refused(shape: tuple[int, int, int]) -> None:
    program = joined()
    more = program.replace(maps=(*program.maps, FeatureMap(shape, 40)))
    assert refusal(more) == "map 4 has channels that nobody writes"
    maps = (*program.maps[:1], FeatureMap((3, 1, 2), 8), *program.maps[2:])
    assert refusal(program.replace(maps=maps)) == "map 1 has channels that nobody writes"


def test_a_first_layer_that_reads_some_of_the_image_is_refused() -> None:
    layers = (mac((1, 1, 1), [[1]], kernel=1, post=(1, 0, 0)), total((1, 1, 1)))
    wires = (reads((0, 1), to=1), reads(1))
    program = Program.graph(TINY, layers, wires, (2, 1, 1))
    message = refusal(program)
    assert message.startswith("conv: the first layer must read the whole image, (2, 1, 1): its")
    assert message.endswith("put a copy of the image in front (hwsim.program.wires.image_first, as "
                            "the compiler does)")  # fmt: skip
    check_maps(Program.graph(TINY, *image_first((2, 1, 1), layers, wires), (2, 1, 1)))


def test_only_of_a_copy_of_the_image_channels_may_be_unread() -> None:
    pixel = PoolLayer("image", (2, 1, 1), (2, 1, 1), Window((1, 1)))
    layers = (mac((1, 1, 1), [[1]], kernel=1, post=(1, 0, 0)), total((1, 1, 1)))
    wires = (reads(0, to=1), reads((1, 1), to=2), reads(2))
    check_maps(Program.graph(TINY, (pixel, *layers), wires, (2, 1, 1)))
    for layer in (affine((2, 1, 1), (1, 0, 0), (1, 0, 0)), replace(pixel, window=Window((1, 2)))):
        program = Program.graph(TINY, (layer, *layers), wires, (2, 1, 1))
        assert refusal(program) == f"{layer.name}: its result is never used: remove the branch"
    one = (mac((2, 1, 1), [[1, 1]], kernel=1, post=(1, 0, 0)), total((1, 1, 1)))
    unread = (reads(0, to=1), reads(0, to=2), reads(2))
    program = Program.graph(TINY, (pixel, *one), unread, (2, 1, 1))
    assert refusal(program) == "image: its result is never used: remove the branch"


def test_map_0_is_the_image() -> None:
    program = joined()
    assert refusal(program.replace(maps=())) == "map 0 must be the image"


# --- lines --------------------------------------------------------------------------------------


def test_a_map_outside_the_memory_is_refused() -> None:
    program = joined()
    end = WIDE.act_depth
    check_maps(moved(program, 3, end - 1))
    assert refusal(moved(program, 3, -1)) == "map 3 begins before the memory"
    message = refusal(moved(program, 3, end))
    assert f"all of them {end + 1} where they stand, configuration tiny has {end}" in message
    assert ", 1 too few: use smaller images" in message


def test_what_does_not_fit_says_where_the_peak_is_and_how_much_is_missing() -> None:
    # Three lines live while the second half is written: the image and both halves.
    program = joined()
    peak = program.memory_peak
    assert (peak.lines, peak.least, program.layers[peak.layer].name) == (4, 4, "add")
    short = program.replace(config=WIDE.replace(act_depth=3))
    expected = "add: the feature maps alive there need 4 lines of the activation memory, all of "
    expected += "them 4 where they stand, configuration tiny has 3, 1 too few"
    assert expected in refusal(short)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 2), (2, 3), (0, 2), (0, 3)])
def test_maps_that_live_together_share_no_line(one: int, other: int) -> None:
    program = joined()
    close = [FeatureMap(item.shape, 2 * number) for number, item in enumerate(program.maps)]
    close[other] = FeatureMap(close[other].shape, close[one].line)
    message = refusal(program.replace(maps=tuple(close)))
    assert message == f"maps {one} and {other} live at the same time and share lines"


def test_maps_that_do_not_live_together_may_share_lines() -> None:
    program = joined()
    shared = moved(program, 3, program.maps[1].line)
    check_maps(shared)
    assert reference.run(shared, np.array([[[3, 5]]])).logits == [24]


# --- runs of written lines ----------------------------------------------------------------------


def row_of_copies(lines: list[int]) -> Program:
    """Copies of copies of the image, each at a line of its own; the image is at the first."""
    layers = (*[copy() for _ in lines[1:]], total(PAIR))
    program = Program.chain(WIDE, layers, PAIR)
    return program.replace(maps=tuple(FeatureMap(PAIR, line) for line in lines))


@pytest.mark.parametrize(
    ("lines", "runs"),
    [
        ([0, 2, 4, 6], 4),
        ([0, 2, 4, 6, 8], 5),
        ([0, 2, 4, 6, 7, 5, 3, 1], 4),  # neighbours join
        ([8, 6, 4, 2, 3, 0], 4),
        ([8, 6, 4, 2, 0, 3], 5),  # too late
        ([0, 2, 4, 6, 0, 2, 4, 6], 4),
    ],
)
def test_more_runs_than_the_engine_remembers_are_refused(lines: list[int], runs: int) -> None:
    program = row_of_copies(lines)
    assert written_runs(program) == runs
    if runs <= MAX_RUNS:
        check_maps(program)
    else:
        expected = f"affine: the maps written so far stand in {runs} places, the engine remembers 4"
        assert expected in refusal(program)
