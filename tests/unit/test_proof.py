"""The proof is tight, and a Program, however hostile, gets nothing worse than a CompileError."""

from __future__ import annotations

import dataclasses
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.engine import reference
from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.program import MacLayer, PoolLayer, Program
from hwsim.program.proof import check
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
        name="fc", kind="fc", in_shape=(fan_in, 1, 1), out_shape=(2, 1, 1), kernel=0, stride=0,
        padding=0, spec=spec, weights=words.reshape(-1).astype(np.int32), fw=3,
        fa_in=config.act_w, fa_out=config.act_w + 3, multiplier=none, shift=none,
        bias=np.full(2, bias, np.int64), last=True,
    )  # fmt: skip
    return Program(config, (dataclasses.replace(layer, **changes),), (fan_in, 1, 1))


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
    ("position", "changes", "expected"),
    [
        (0, dict(in_shape=(1, 6, 7)), "reads (1, 6, 7) but its input has shape (1, 6, 6)"),
        (0, dict(out_shape=(3, 5, 6)), "output shape (3, 5, 6), expected (3, 6, 6)"),
        (0, dict(out_shape=(3, 6)), "is not a shape"),
        (0, dict(out_shape=(3, 0, 6)), "the feature map (3, 0, 6) is empty"),
        (0, dict(out_shape=(3, -6, -6)), "the feature map (3, -6, -6) is empty"),
        (0, dict(out_shape=(2**70, 6, 6)), "a side beyond 65535"),
        (0, dict(out_shape=(3.0, 6, 6)), "is not a shape"),
        (0, dict(kernel=8), "kernel 1 to 7"),
        (0, dict(kernel=0), "kernel 1 to 7"),
        (0, dict(stride=3), "stride 1 to 2"),
        (0, dict(stride=0), "stride 1 to 2"),
        (0, dict(padding=3), "padding below the kernel"),
        (0, dict(padding=-1), "padding below the kernel"),
        (0, dict(kernel=5, padding=2), "fan-in 9 does not match"),
        (0, dict(last=True), "fully connected"),
        (0, dict(fa_in=7), "binary point 7 follows 8"),
        (0, dict(fa_out=65), "outside ±64"),
        (0, dict(fw=-65), "outside ±64"),
        (1, dict(kernel=4), "pooling kernel 1 to 3"),
        (1, dict(kernel=0), "pooling kernel 1 to 3"),
        (1, dict(stride=0), "stride 1 to 15"),
        (1, dict(stride=-2), "stride 1 to 15"),
        (3, dict(last=False), "only the final layer may produce logits"),
        (3, dict(fa_out=9), "logits have binary point fa + fw"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    position: int, changes: dict[str, Any], expected: str
) -> None:
    program = small_program()
    check(program)
    assert expected in refusal(change(program, position, **changes))


def test_a_program_needs_layers_and_must_end_in_logits() -> None:
    program = small_program()
    assert "no Linear or Conv2d" in refusal(program.replace(layers=()))
    assert "no Linear or Conv2d" in refusal(program.replace(layers=program.layers[1:2]))
    assert "must end in a Linear" in refusal(program.replace(layers=program.layers[:2]))


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (dict(act_depth=53), "needs 54 lines of the activation buffer"),
        (dict(act_depth=17), "needs 18 lines of the activation buffer"),
        (dict(tile_depth=8), "fan-in 9 exceeds TILE_DEPTH 8"),
        (dict(wgt_depth=2), "needs WGT_DEPTH"),
        (dict(chan_depth=10), "needs CHAN_DEPTH 11, configuration tiny has 10"),
        (dict(prog_depth=4), "needs PROG_DEPTH 5"),
        (dict(idx_depth=1), "needs IDX_DEPTH"),
    ],
)
def test_a_memory_that_is_one_too_small_is_named(memory: dict[str, int], expected: str) -> None:
    program = small_program()
    assert expected in refusal(program.replace(config=TINY.replace(**memory)))


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
        "fc", "fc", (65535, 255, 1), (n, 1, 1), 0, 0, 0, spec, none, 3, 8, 11, none, none,
        none.astype(np.int64), True,
    )  # fmt: skip
    tracemalloc.start()
    message = refusal(Program(config, (layer,), (65535, 255, 1)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "virtual weights" in message
    assert peak < 1 << 20


def test_a_pool_at_the_end_of_a_giant_map_is_refused_cheaply() -> None:
    program = small_program()
    giant = PoolLayer("pool", (3, 65535, 65535), (3, 32767, 32767), 2, 2)
    layers = (giant, *program.layers[2:])
    message = refusal(program.replace(layers=layers, input_shape=(3, 65535, 65535)))
    assert "lines of the activation buffer" in message


_ints = st.integers(-(2**70), 2**70) | st.integers(-2, 20) | st.sampled_from(EXTREMES)


@given(
    st.integers(0, 3),
    st.dictionaries(
        st.sampled_from(["kernel", "stride", "padding", "fw", "fa_in", "fa_out"]), _ints
    ),
    st.none() | st.tuples(_ints, _ints, _ints),
)
@settings(max_examples=60, deadline=None)
def test_no_field_of_a_layer_crashes_the_proof(
    position: int, changes: dict[str, int], shape: tuple[int, int, int] | None
) -> None:
    program = small_program()
    if position == 1:
        changes = {k: v for k, v in changes.items() if k in ("kernel", "stride")}
    more: dict[str, Any] = {} if shape is None else {"out_shape": shape}
    assert "\n" not in outcome(change(program, position, **changes, **more))
