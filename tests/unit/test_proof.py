"""The proof is tight, and a Program, however hostile, gets nothing worse than a CompileError."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.engine import reference
from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import AddLayer, Layer, MacLayer, PoolLayer, Window
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.program.wires import FeatureMap, Input, Place, Wire
from tests.by_hand import add, affine, average, lut, mac, reads, total
from tests.images import small_program

TINY = load_config("tiny")
EXTREMES = [-(2**63), -(2**63) + 1, -(2**31), -1, 0, 1, 2**31, 2**63 - 1]


def one_layer(
    words: np.ndarray, config: EngineConfig = TINY, bias: int = 0, **changes: Any
) -> Program:
    """A single Linear of 2 neurons over ``words`` (fan-in, 2): the logits are the accumulators."""
    fan_in = len(words)
    spec = HashSpec("dense", 2, fan_in, 2 * fan_in)
    none = np.zeros(2, np.int32)
    layer = MacLayer(
        name="fc", kind="fc", in_shape=(fan_in, 1, 1), out_shape=(2, 1, 1), window=None, spec=spec,
        weights=words.reshape(-1).astype(np.int32), multiplier=none, shift=none,
        bias=np.full(2, bias, np.int64), last=True, weight_scale=np.array([2.0**-3]),
        scale=2.0**-3 / config.act_max, hi=config.act_max,
    )  # fmt: skip
    return Program.chain(config, (dataclasses.replace(layer, **changes),), (fan_in, 1, 1))


def change(program: Program, position: int, **changes: Any) -> Program:
    layers = list(program.layers)
    layers[position] = dataclasses.replace(layers[position], **changes)
    return program.replace(layers=tuple(layers))


def refusal(program: Program) -> str:
    with pytest.raises(CompileError) as caught:
        check(program)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def outcome(program: Program) -> str:
    """What the proof complains about; empty if nothing. Any other exception passes through."""
    try:
        check(program)
    except CompileError as error:
        return str(error)
    return ""


# --- the bound is what an input can reach, and no more ------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_an_input_reaches_the_accumulator_bound(seed: int, fan_in: int) -> None:
    words = np.random.default_rng(seed).integers(-127, 128, (fan_in, 2))
    program = one_layer(words)
    check(program)
    bound = program.output.accumulator_bound(TINY.act_max)
    for neuron in range(2):
        reached = []
        for sign in (1, -1):
            image = np.where(sign * words[:, neuron] > 0, TINY.act_max, 0).reshape(-1, 1, 1)
            reached.append(abs(reference.run(program, image).logits[neuron]))
        assert max(reached) == bound[neuron]


def test_an_input_reaches_the_bound_of_a_hidden_convolution() -> None:
    program = small_program()
    conv = program.mac_layers[0]
    matrix = conv.virtual_weights
    shift = 12
    bound = conv.accumulator_bound(TINY.act_max)
    for channel in range(conv.n_out):
        w = matrix[channel].reshape(-1, 3, 3)
        sign = 1 if np.maximum(w, 0).sum() >= np.maximum(-w, 0).sum() else -1
        trial = change(
            program, 0, multiplier=np.full(conv.n_out, sign, np.int32),
            shift=np.full(conv.n_out, shift, np.int32), bias=np.zeros(conv.n_out, np.int64),
        )  # fmt: skip
        check(trial)
        image = np.zeros(program.input_shape, np.int64)
        image[:, 2:5, 2:5] = np.where(sign * w > 0, TINY.act_max, 0)
        found = reference.run(trial, image).feature_maps[0][channel, 3, 3]
        assert found == bound[channel] >> shift


@pytest.mark.parametrize("extra", [0, 1])
def test_one_more_than_the_accumulator_holds_is_refused(extra: int) -> None:
    limit = 2**31 - 1
    words = np.full((50, 2), 127)
    reach = 50 * 127 * 255
    program = one_layer(words, bias=limit - reach + extra)
    image = np.full((50, 1, 1), 255)
    if extra:
        message = refusal(program)
        assert message.startswith("fc: neuron 0 has a bias of")
        assert f"times what its weights can add: {limit + 1} is beyond ACC_W = 32" in message
        with pytest.raises(AssertionError, match="exceeds 32 bits"):
            reference.run(program, image)
    else:
        check(program)
        assert reference.run(program, image).logits == [limit, limit]


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("sign", [1, -1])
def test_one_more_than_the_requantizer_holds_is_refused(extra: int, sign: int) -> None:
    program = small_program()
    conv = program.mac_layers[0]
    reach = int(conv.accumulator_bound(255)[1])
    m, s, b = conv.multiplier.copy(), conv.shift.copy(), conv.bias.copy()
    m[1], s[1] = 32767 * sign, 47
    b[1] = sign * (2**47 - 1 - reach * 32767 + extra)
    trial = change(program, 0, multiplier=m, shift=s, bias=b)
    if extra:
        assert "channel 1 can overflow the requantizer" in refusal(trial)
    else:
        check(trial)


# --- shapes, sizes and words --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (dict(act_depth=71), "conv: the feature maps alive there need 72 lines"),
        (dict(tile_depth=8), "fan-in 9 exceeds TILE_DEPTH 8"),
        (dict(wgt_depth=2), "needs WGT_DEPTH"),
        (dict(chan_depth=10), "needs CHAN_DEPTH 11, configuration tiny has 10"),
        (dict(prog_depth=4), "needs PROG_DEPTH 5"),
        (dict(idx_depth=1), "needs IDX_DEPTH"),
    ],
)
def test_a_memory_that_is_one_too_small_is_named(memory: dict[str, int], expected: str) -> None:
    program = small_program()
    check(program.replace(config=TINY.replace(act_depth=72, chan_depth=11, prog_depth=5)))
    assert expected in refusal(program.replace(config=TINY.replace(**memory)))


def test_a_program_ends_in_logits_and_nowhere_else() -> None:
    program = small_program()
    assert "nothing to run" in refusal(program.replace(layers=(), wires=()))
    only = program.replace(layers=program.layers[1:2], wires=program.wires[1:2])
    assert "nothing to run" in refusal(only)
    headless = program.replace(layers=program.layers[:3], wires=program.wires[:3])
    assert "fc0: the final layer, and no other, must produce the logits" in refusal(headless)
    assert "conv: the final layer, and no other" in refusal(change(program, 0, last=True))
    assert "fc1: the final layer, and no other" in refusal(change(program, 3, last=False))
    assert "one wire a layer" in refusal(program.replace(wires=program.wires[:3]))


def test_a_hashed_index_needs_no_index_memory() -> None:
    program = small_program()
    check(program.replace(config=TINY.replace(idx_depth=1, index_mode="hash")))


@pytest.mark.parametrize("name", ["weights", "multiplier", "shift", "bias"])
@pytest.mark.parametrize(
    "hostile",
    [
        lambda words, value: np.full(words.shape, value, np.int64),
        lambda words, value: np.concatenate([words[:-1].astype(np.int64), [value]]),
        lambda words, value: words[:-1],
        lambda words, value: np.zeros(0, np.int64),
        lambda words, value: words[None],
        lambda words, value: words.astype(np.float64) * np.nan,
        lambda words, value: np.full(words.shape, 2**64 - 1, np.uint64),
        lambda words, value: words.astype(object),
        lambda words, value: words.astype(bool),
        lambda words, value: words.tolist(),
        lambda words, value: None,
    ],
)
def test_hostile_words_are_refused_unless_they_are_in_range(name: str, hostile: Any) -> None:
    program = small_program()
    limit = {"weights": 127, "multiplier": 32767, "shift": 47, "bias": 2**47 - 1}[name]
    for position in (0, 3):
        words = getattr(program.layers[position], name)
        for value in EXTREMES:
            verdict = outcome(change(program, position, **{name: hostile(words, value)}))
            assert "\n" not in verdict
            assert verdict or abs(value) <= limit


@pytest.mark.parametrize("name", ["weights", "multiplier", "bias"])
def test_the_most_negative_integer_is_out_of_range(name: str) -> None:
    program = small_program()
    words = getattr(program.layers[0], name).astype(np.int64)
    words[1] = -(2**63)
    assert f"{name} holds {-(2**63)}" in refusal(change(program, 0, **{name: words}))


@pytest.mark.parametrize("value", [-1, 48, 10**6, 2**31 - 1])
def test_a_shift_beyond_the_shifter_is_refused(value: int) -> None:
    program = small_program()
    shift = np.array([10, value, 12], np.int32)
    assert f"shift holds {value}, outside 0 … 47" in refusal(change(program, 0, shift=shift))


@pytest.mark.parametrize("scheme", ["xxh32", "banked"])
def test_a_giant_network_is_refused_before_anything_is_allocated(scheme: Any) -> None:
    config = load_config("default").replace(
        act_depth=2**26, tile_depth=2**26, index_mode="hash", wgt_depth=2**26, chan_depth=2**26
    )
    n, fan_in = 65535, 65535 * 255
    spec = HashSpec(scheme, n, fan_in, 32)
    none = np.zeros(1, np.int32)
    layer = MacLayer(
        "fc", "fc", (65535, 255, 1), (n, 1, 1), None, spec, none, none, none,
        none.astype(np.int64), last=True, weight_scale=np.ones(1), scale=1 / 255, hi=255,
    )  # fmt: skip
    tracemalloc.start()
    message = refusal(Program.chain(config, (layer,), (65535, 255, 1)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "virtual weights" in message
    assert peak < 1 << 20


def test_a_pool_at_the_end_of_a_giant_map_is_refused_cheaply() -> None:
    wide, pooled = (3, 65535, 65535), (3, 32767, 32767)
    giant = PoolLayer("pool", wide, pooled, Window.square(2, 2))
    none, fan_in = np.zeros(1, np.int32), 3 * 32767 * 32767
    last = MacLayer(
        "fc", "fc", pooled, (1, 1, 1), None, HashSpec("xxh32", 1, fan_in, 1), none, none, none,
        none.astype(np.int64), last=True, weight_scale=np.ones(1), scale=1 / 255, hi=255,
    )  # fmt: skip
    message = refusal(Program.chain(TINY, (giant, last), wide))
    assert "pool: the feature maps alive there need" in message


# --- what the engine has ------------------------------------------------------------------------


def needy(layer: Layer) -> Program:
    """A layer that not every engine runs, on maps of 2 x 1 x 1."""
    wires = (reads(*[0] * (2 if isinstance(layer, AddLayer) else 1), to=1), reads(1))
    return Program.graph(TINY, (layer, total((2, 1, 1))), wires, Input((2, 1, 1), Fraction(1, 16)))


RAMP = range(256)


@pytest.mark.parametrize(
    ("layer", "without", "expected"),
    [
        (add((2, 1, 1), 1, 1), dict(add=False), "leaves out what add needs: choose one with add"),
        (add((2, 1, 1), 1, 1), dict(rows=1), "an addition takes two rows of the array"),
        (add((2, 1, 1), 1, 1), dict(tile_depth=1), "an addition takes two columns of the tile"),
        (average((2, 1, 1), Window((1, 1)), (1, 0, 0)), dict(average=False), "one with average"),
        (affine((2, 1, 1), (1, 0, 0), (1, 0, 0)), dict(average=False), "one with average"),
        (lut((2, 1, 1), RAMP), dict(lut_tables=0), "one with lut_tables"),
        (lut((2, 1, 1), RAMP), dict(act_w=9), "tables serve activations of up to 8 bits"),
        (mac((2, 1, 1), [[1], [1]], kernel=1, post=(1, 0, 0), groups=2), dict(groups=False),
         "leaves out what conv needs: choose one with groups"),
    ],
)  # fmt: skip
def test_what_an_engine_leaves_out_is_named(
    layer: Layer, without: dict[str, Any], expected: str
) -> None:
    program = needy(layer)
    check(program)
    message = refusal(program.replace(config=TINY.replace(**without)))
    assert message.startswith(f"{layer.name}: ")
    assert expected in message


def test_equal_tables_are_one_and_different_ones_need_room() -> None:
    one = (1, 1, 1)
    ramps = [lut(one, [min(a, top) for a in range(256)]) for top in (255, 255, 9)]
    program = Program.chain(TINY, (*ramps, total(one)), Input(one, Fraction(1, 16)))
    check(program.replace(config=TINY.replace(lut_tables=2)))
    assert [place.table for place in program.placements()] == [0, 0, 1, 0]
    short = program.replace(config=TINY.replace(lut_tables=1))
    assert "needs LUT_TABLES 2, configuration tiny has 1" in refusal(short)


def test_an_addition_fits_the_requantizer_to_the_last_unit() -> None:
    room = 2**47 - 1 - 255 * (5 + 7)
    for bias, sign in ((room, 1), (-room, -1)):
        check(needy(add((2, 1, 1), 5, -7, 0, bias)))
        message = refusal(needy(add((2, 1, 1), 5, -7, 0, bias + sign)))
        assert "add: the addition can overflow the requantizer: 255 * (5 + 7)" in message


def test_an_average_and_an_affine_fit_to_the_last_unit() -> None:
    window = Window((1, 1))
    for kind in (lambda post: average((2, 1, 1), window, post),
                 lambda post: affine((2, 1, 1), post, (0, 0, 0))):  # fmt: skip
        room = 2**47 - 1 - 255 * 3
        check(needy(kind((-3, 0, room))))
        assert "channel 0 can overflow the requantizer" in refusal(needy(kind((-3, 0, room + 1))))
    limit = 2**31 - 1
    last = Input((1, 2, 2), Fraction(1, 16))
    for bias in (limit - 4 * 255, limit - 4 * 255 + 1):
        layer = average((1, 2, 2), Window((2, 2)), bias=bias, scale=2.0**-6)
        program = Program.chain(TINY, (layer,), last)
        assert ("" if bias == limit - 4 * 255 else "average: neuron 0 has a bias of") in outcome(
            program
        )
        assert bool(outcome(program)) == (bias > limit - 4 * 255)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (dict(lo=-1), "conv: clamps to -1 … 255, outside 0 … 255"),
        (dict(hi=256), "conv: clamps to 0 … 256, outside 0 … 255"),
        (dict(lo=9, hi=8), "conv: clamps to 9 … 8"),
        (dict(zero=-1), "conv: zero point -1 is outside 0 … 255"),
        (dict(zero=256), "conv: zero point 256 is outside 0 … 255"),
        (dict(fill=-1), "conv: padding reads -1, outside 0 … 255"),
        (dict(fill=256), "conv: padding reads 256, outside 0 … 255"),
        (dict(scale=0.0), "conv: a step is worth 0 …"),
        (dict(scale=-1.0), "conv: a step is worth -1 …"),
        (dict(scale=2.0**65), "outside 2^±64"),
        (dict(scale=math.nan), "outside 2^±64"),
        (dict(weight_scale=np.array([2.0**-65])), "outside 2^±64"),
        (dict(weight_scale=np.array([math.inf])), "outside 2^±64"),
        (dict(weight_scale=np.ones(2)), "weights have one step, or one a row"),
        (dict(weight_scale=np.ones((1, 1))), "weights have one step, or one a row"),
        (dict(weight_scale=np.ones(1, np.int64)), "weights have one step, or one a row"),
        (dict(weight_scale=[1.0]), "weights have one step, or one a row"),
        (dict(weight_scale=None), "weights have one step, or one a row"),
    ],
)
def test_what_codes_stand_for_is_checked(changes: dict[str, Any], expected: str) -> None:
    assert expected in refusal(change(small_program(), 0, **changes))


@pytest.mark.parametrize("fill", [3, 4, 5])
def test_padding_behind_the_first_map_is_its_zero_point(fill: int) -> None:
    first = affine((1, 6, 6), (1, 0, 0), zero=4)
    conv = mac((1, 6, 6), [[1] * 9], kernel=3, padding=1, post=(1, 0, 0), fill=fill, act_w=8)
    program = Program.chain(TINY, (first, conv, total((1, 6, 6))), (1, 6, 6))
    if fill == 4:
        check(program)
    else:
        expected = f"conv: padding reads {fill}, where the map's zero point is 4"
        assert refusal(program) == expected


def test_padding_of_the_image_may_be_any_code() -> None:
    program = small_program()
    check(change(program, 0, fill=77))
    check(program.replace(input=Input((1, 6, 6), Fraction(1, 16), 3)))


def test_a_field_that_fits_no_instruction_is_named_with_its_layer() -> None:
    program = small_program()
    spec = dataclasses.replace(program.mac_layers[2].spec, hash_banks=2**40)
    found = refusal(change(program, 3, spec=spec))
    assert found == "fc1: instruction field log2_hash_banks = 40 does not fit 5 bits"
    unpadded = dataclasses.replace(program.layers[0].window, padding=(0, 0, 0, 0))
    conv = mac((1, 6, 6), [[1] * 9], window=unpadded, post=(1, 0, 0), fill=1 << 16, act_w=8)
    found = refusal(Program.chain(TINY, (conv, total((1, 4, 4))), Input((1, 6, 6), Fraction(1))))
    assert found == "conv: instruction field fill = 65536 does not fit 16 bits"


def test_logits_have_the_step_that_follows_from_the_last_layer() -> None:
    program = small_program()
    assert "a step of the logits is worth 6.10351562e-05, not 0.5" in refusal(
        change(program, 3, scale=0.5)
    )
    rows = np.array([2.0**-6, 2.0**-6, 2.0**-5])
    assert "fc1: the rows of the last layer must have one step" in refusal(
        change(program, 3, weight_scale=rows)
    )
    check(change(program, 3, weight_scale=np.full(3, 2.0**-6)))
    one = average((1, 2, 2), Window((2, 2)), scale=2.0**-5)
    image = Input((1, 2, 2), Fraction(1, 16))
    assert "worth 0.015625, not 0.03125" in refusal(Program.chain(TINY, (one,), image))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Input((1, 6, 6), Fraction(0)), "the input's zero point must be a code"),
        (Input((1, 6, 6), Fraction(-1)), "the input's zero point must be a code"),
        (Input((1, 6, 6), Fraction(10) ** 400), "the input's zero point must be a code"),
        (Input((1, 6, 6), Fraction(1, 2**65)), "the input's zero point must be a code"),
        (Input((1, 6, 6), Fraction(1), -1), "the input's zero point must be a code"),
        (Input((1, 6, 6), Fraction(1), 256), "the input's zero point must be a code"),
        (Input((1, 6, 7), Fraction(1)), "map 0 must be the image"),
    ],
)
def test_an_input_that_is_none_is_refused(image: Input, expected: str) -> None:
    assert expected in refusal(small_program().replace(input=image))


_ints = st.integers(-(2**70), 2**70) | st.integers(-2, 20) | st.sampled_from(EXTREMES)
_windows = st.builds(
    Window, st.tuples(_ints, _ints), st.tuples(_ints, _ints), st.tuples(*[_ints] * 4)
)


@given(
    st.integers(0, 3),
    st.dictionaries(st.sampled_from(["lo", "hi", "zero", "fill", "groups"]), _ints),
    st.dictionaries(st.just("scale"), st.floats()),
    st.dictionaries(st.just("window"), st.none() | _windows),
    st.dictionaries(st.sampled_from(["in_shape", "out_shape"]), st.tuples(_ints, _ints, _ints)),
)
@settings(max_examples=100, deadline=None)
def test_no_field_of_a_layer_crashes_the_proof(
    position: int, numbers: dict, scale: dict, window: dict, shapes: dict
) -> None:
    program = small_program()
    if position == 1:
        numbers, scale = {}, {}
        window = {name: value for name, value in window.items() if value is not None}
    changed = change(program, position, **numbers, **scale, **window, **shapes)
    assert "\n" not in outcome(changed)


_places = st.builds(Place, _ints | st.integers(0, 5), _ints | st.integers(0, 5))
_wires = st.builds(Wire, st.lists(_places, max_size=3).map(tuple), st.none() | _places)
_maps = st.builds(
    FeatureMap, st.tuples(*[_ints | st.integers(1, 6)] * 3), _ints | st.integers(0, 99)
)


@given(
    st.dictionaries(st.integers(0, 3), _wires, max_size=2),
    st.dictionaries(st.integers(0, 3), _maps, max_size=2),
    st.lists(_maps, max_size=2),
)
@settings(max_examples=100, deadline=None)
def test_no_wire_and_no_map_crashes_the_proof(
    wires: dict[int, Wire], maps: dict[int, FeatureMap], more: list[FeatureMap]
) -> None:
    program = small_program()
    changed = program.replace(
        wires=tuple(wires.get(n, wire) for n, wire in enumerate(program.wires)),
        maps=(*(maps.get(n, one) for n, one in enumerate(program.maps)), *more),
    )
    assert "\n" not in outcome(changed)


@pytest.mark.slow
def test_a_program_of_very_many_layers_is_refused_before_its_maps_are_compared() -> None:
    one = (1, 1, 1)
    layers = (*[lut(one, RAMP)] * 50_000, total(one))
    program = Program.chain(TINY, layers, Input(one, Fraction(1, 16)))
    tracemalloc.start()
    assert "needs PROG_DEPTH 50002" in refusal(program)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
