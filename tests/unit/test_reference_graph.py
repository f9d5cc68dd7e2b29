"""The oracle on graphs: places, concatenation, skips, and a memory in which maps can be lost."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.engine import reference
from hwsim.errors import CompileError
from hwsim.program.layers import Layer, Window
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.program.wires import FeatureMap, Wire, image_first
from tests.by_hand import WIDE, add, affine, column, mac, net, pool, reads, total


def graph(layers: tuple[Layer, ...], wires: tuple[Wire, ...], shape: tuple) -> Program:
    return Program.graph(WIDE, layers, wires, shape)


def test_layers_that_write_neighbouring_channels_concatenate() -> None:
    # 2x above x + 1, weighed 1 2 / 3 4.
    pair = (1, 1, 2)
    layers = (affine(pair, (2, 0, 0)), affine(pair, (1, 0, 1)), mac((2, 1, 2), [[1, 2, 3, 4]]))
    for order in ((0, 1), (1, 0)):  # whichever half is written first
        wires = tuple(reads(0, to=(1, channel)) for channel in order)
        program = graph((*(layers[n] for n in order), layers[2]), (*wires, reads(1)), pair)
        check(program)
        trace = reference.run(program, np.array([[[3, 5]]]))
        assert trace.logits == [6 + 20 + 12 + 24]
        assert trace.feature_maps[order.index(1)].tolist() == [[[4, 6]]]


def test_a_slice_is_some_channels_of_a_map() -> None:
    layers = (mac((2, 1, 1), [[1, 10]], kernel=1, post=(1, 0, 0), act_w=8),
              mac((2, 1, 1), [[1, 10]], kernel=1, post=(1, 0, 0), act_w=8),
              add((1, 1, 1), 1, 1), total((1, 1, 1)))  # fmt: skip
    wires = (reads((0, 1), to=1), reads((0, 0), to=2), reads(1, 2, to=3), reads(3))
    program = graph(*image_first((3, 1, 1), layers, wires), (3, 1, 1))
    check(program)
    trace = reference.run(program, column(1, 2, 3))
    assert trace.feature_maps[0].flatten().tolist() == [1, 2, 3], "the image itself, read in parts"
    assert [one.item() for one in trace.feature_maps[1:]] == [32, 21, 53, 53]


def test_a_slice_of_a_concatenation_may_cross_its_seams() -> None:
    two = (2, 1, 1)
    layers = (affine(two, (1, 0, 0), (1, 0, 0)), affine(two, (3, 0, 0), (3, 0, 0)),
              mac(two, [[1, 10]], kernel=1, post=(1, 0, 0), act_w=8),
              mac((4, 1, 1), [[0, 0, 0, 0]], kernel=1, post=(1, 0, 0), act_w=8),
              add((1, 1, 1), 1, 1), total((1, 1, 1)))  # fmt: skip
    wires = (reads(0, to=(1, 0)), reads(0, to=(1, 2)), reads((1, 1), to=2), reads(1, to=3),
             reads(2, 3, to=4), reads(4))  # fmt: skip
    program = graph(layers, wires, two)
    check(program)
    # 1 2 | 3 6: the middle is 2 and 3.
    assert reference.run(program, column(1, 2)).logits == [2 + 30]


def skipping() -> Program:
    """y = 2x, z = y + 1, then z + x: the image is needed once more when z is written."""
    pair = (1, 1, 2)
    layers = (affine(pair, (2, 0, 0)), affine(pair, (1, 0, 1)), add(pair, 1, 1), total(pair))
    wires = (reads(0, to=1), reads(1, to=2), reads(2, 0, to=3), reads(3))
    return graph(layers, wires, pair)


PAIR = np.array([[[3, 5]]])


def test_a_map_that_is_needed_later_stays() -> None:
    program = skipping()
    check(program)
    trace = reference.run(program, PAIR)
    assert trace.feature_maps[1].tolist() == [[[7, 11]]]
    assert trace.logits == [7 + 3 + 11 + 5]


def moved(program: Program, number: int, line: int) -> Program:
    maps = list(program.maps)
    maps[number] = FeatureMap(maps[number].shape, line)
    return program.replace(maps=tuple(maps))


def test_a_live_map_that_is_overwritten_shows_as_a_wrong_answer() -> None:
    program = skipping()
    lost = moved(program, 2, program.maps[0].line)
    assert reference.run(lost, PAIR).logits == [14 + 22]  # z + z instead of z + x
    with pytest.raises(CompileError, match="maps 0 and 2 live at the same time"):
        check(lost)


def test_the_oracle_refuses_a_layer_that_writes_to_what_it_reads() -> None:
    program = skipping()
    with pytest.raises(AssertionError, match="affine: writes to lines that it reads"):
        reference.run(moved(program, 1, program.maps[0].line), PAIR)
    half = net(affine((2, 1, 1), (1, 0, 0), (1, 0, 0)), total((2, 1, 1)), act_w=8)
    with pytest.raises(AssertionError, match="affine: writes to lines that it reads"):
        reference.run(moved(half, 1, half.maps[0].line + 1), column(1, 2))


def test_the_oracle_refuses_to_read_what_nobody_wrote() -> None:
    program = skipping()
    wires = (reads(0, to=1), reads(1, to=2), reads(2, 3, to=3), reads(3))
    bad = program.replace(wires=wires, maps=(*program.maps[:3], FeatureMap((1, 1, 2), 9)))
    with pytest.raises(AssertionError, match="line 9 is read before it is written"):
        reference.run(bad, PAIR)


def test_the_oracle_has_no_line_beyond_its_memory() -> None:
    program = skipping()
    end = program.config.act_depth
    assert reference.run(moved(program, 2, end - 1), PAIR).logits == [26]
    with pytest.raises(AssertionError, match="is beyond ACT_DEPTH"):
        reference.run(moved(program, 2, end), PAIR)


def test_rows_take_whole_lines_and_channels_follow_each_other() -> None:
    # COLS = 2, three columns: two lines a row. Channel 1 of map 1 begins at its fifth line.
    conv = mac((1, 2, 3), [[1], [2]], kernel=1, post=(1, 0, 0), act_w=8)
    window = Window((1, 1))
    program = graph((conv, pool((1, 2, 3), window), total((1, 2, 3))),
                    (reads(0, to=1), reads((1, 1), to=2), reads(2)), (1, 2, 3))  # fmt: skip
    image = np.arange(1, 7).reshape(1, 2, 3)
    assert reference.run(program, image).logits == [2 * 21]
    assert program.first_line(program.wires[1].sources[0]) == program.maps[1].line + 4


def test_lanes_beyond_a_map_are_never_read() -> None:
    # A map of one column, whose lines a map of two columns had filled before: nothing of it shows.
    pair = (1, 1, 2)
    narrow = mac(pair, [[1, 1]], window=Window((1, 2)), post=(1, 0, 0), act_w=8)
    layers = (affine(pair, (1, 0, 0)), narrow, total((1, 1, 1)))
    program = net(*layers, act_w=8)
    check(program)
    assert program.maps[2].line == program.maps[0].line
    assert reference.run(program, PAIR).logits == [8]
