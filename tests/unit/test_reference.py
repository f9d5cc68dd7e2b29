"""The oracle against numbers worked out by hand, the xxhash package, and float64 convolutions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.engine import reference
from hwsim.errors import InputError
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.program import Layer, MacLayer, PoolLayer, Program, Shape
from hwsim.program.proof import check
from tests.property.networks import EXAMPLES, Case, cases, programs

#: 4-bit activations (0 … 15) keep every number in the head.
TINY = load_config("tiny").replace(act_w=4, wgt_w=8, mult_w=16)
WORD = st.integers(0, 2**32 - 1)


def mac(
    source: Shape,
    weights: list[list[int]],
    *,
    kernel: int = 0,
    stride: int = 1,
    padding: int = 0,
    post: tuple[int, int, int] | None = None,
    bias: int = 0,
    fw: int = 0,
    fa: int = 4,
) -> MacLayer:
    """A dense layer with weights [i][j]: fc without kernel, last without post = (m, s, b)."""
    matrix = np.array(weights, np.int32)
    n_out, fan_in = matrix.shape
    size = [(side + 2 * padding - kernel) // stride + 1 for side in source[1:]]
    m, s, b = post or (0, 0, bias)
    return MacLayer(
        name="conv" if kernel else "fc", kind="conv" if kernel else "fc", in_shape=source,
        out_shape=(n_out, size[0], size[1]) if kernel else (n_out, 1, 1), kernel=kernel or 1,
        stride=stride, padding=padding, spec=HashSpec("dense", n_out, fan_in, n_out * fan_in),
        weights=matrix.T.ravel(), fw=fw, fa_in=fa, fa_out=4 if post else fa + fw,
        multiplier=np.full(n_out, m, np.int32), shift=np.full(n_out, s, np.int32),
        bias=np.full(n_out, b, np.int64), last=post is None,
    )  # fmt: skip


def net(*layers: Layer, **changes: Any) -> Program:
    return Program(TINY.replace(**changes) if changes else TINY, layers, layers[0].in_shape)


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int64).reshape(-1, 1, 1)


# --- hashing ------------------------------------------------------------------------------------


@given(WORD, WORD, WORD)
def test_oracle_hash_equals_the_xxhash_package(i: int, j: int, seed: int) -> None:
    word, pair = j.to_bytes(4, "little"), i.to_bytes(4, "little") + j.to_bytes(4, "little")
    assert reference.xxh32(word, seed) == xxhash.xxh32_intdigest(word, seed)
    assert reference.xxh32(pair, seed) == xxhash.xxh32_intdigest(pair, seed)


@pytest.mark.parametrize("length", [3, 7, 16])
def test_oracle_hash_refuses_lengths_that_the_engine_never_hashes(length: int) -> None:
    with pytest.raises(ValueError, match="whole words below 16 bytes"):
        reference.xxh32(bytes(length), 0)


def test_dense_addresses_count_down_the_outputs_and_carry_no_sign() -> None:
    spec = HashSpec("dense", 3, 4, 12)
    found = [reference.address_and_sign(spec, i, j) for j in range(4) for i in range(3)]
    assert found == [(k, 1) for k in range(12)]


def test_random_address_scales_the_hash_to_k_and_takes_the_sign_from_its_lowest_bit() -> None:
    spec = HashSpec("xxh32", 5, 7, 11, seed=9)
    u = xxhash.xxh32_intdigest(b"\x02\0\0\0\x06\0\0\0", 9)
    expected = (u * 11) >> 32, -1 if u & 1 else 1
    assert reference.address_and_sign(spec, 2, 6) == expected


def test_banked_address_rotates_rows_through_the_hash_banks() -> None:
    spec = HashSpec("banked", 5, 7, 24, seed=9, hash_banks=8)
    u = xxhash.xxh32_intdigest(b"\x02\0\0\0\x06\0\0\0", 9)
    rotation = xxhash.xxh32_intdigest(b"\x06\0\0\0", 9 ^ 0x85EBCA6B)
    address, sign = reference.address_and_sign(spec, 2, 6)
    assert address // 8 == (u * 3) >> 32
    assert address % 8 == (2 + rotation) % 8
    assert sign == (-1 if u & 1 else 1)


# --- layers -------------------------------------------------------------------------------------


def test_convolution_pads_with_zeros_and_strides() -> None:
    # 3x3 ones over 1 … 9, padding 1, stride 2: the four corner sums.
    conv = mac((1, 3, 3), [[1] * 9], kernel=3, stride=2, padding=1, post=(1, 0, 0))
    program = net(conv, mac((1, 2, 2), [[1, 1, 1, 1]]), act_w=8)
    trace = reference.run(program, np.arange(1, 10).reshape(1, 3, 3))
    assert trace.feature_maps[0].tolist() == [[[12, 16], [24, 28]]]
    assert trace.logits == [80]


def test_fan_in_runs_over_channel_then_row_then_column() -> None:
    weights = [[1, 2, 3, 4, 5, 6, 7, 8]]
    image = np.arange(8).reshape(2, 2, 2)
    expected = sum(w * a for w, a in zip(range(1, 9), range(8), strict=True))
    assert reference.run(net(mac((2, 2, 2), weights)), image).logits == [expected]
    conv = mac((2, 2, 2), weights, kernel=2, post=(1, 0, 0))
    program = net(conv, mac((1, 1, 1), [[1]]), act_w=8)
    assert reference.run(program, image).logits == [expected]


@pytest.mark.parametrize(
    ("acc", "post", "y"),
    [
        (5, (1, 0, 0), 5),
        (15, (2, 0, 0), 15),  # 30 saturates
        (5, (-1, 0, 3), 0),  # negative multiplier, clamped at 0
        (5, (-3, 1, 20), 2),  # (−15 + 20) >> 1
        (7, (1, 1, 1), 4),  # 3.5 rounds up with its rounding term
        (7, (1, 1, 0), 3),  # and truncates without
        (1, (-1, 1, 0), 0),  # −1 >> 1 is −1, not 0: still clamped
        (9, (0, 2, 13), 3),  # a dead multiplier leaves the bias
        (9, (1, 40, 0), 0),  # everything shifted out
    ],
)
def test_post_multiplies_adds_shifts_and_clamps(
    acc: int, post: tuple[int, int, int], y: int
) -> None:
    program = net(mac((1, 1, 1), [[1]], post=post), mac((1, 1, 1), [[1]]))
    check(program)
    trace = reference.run(program, column(acc))
    assert trace.feature_maps[0].tolist() == [[[y]]]
    assert trace.logits == [y]


def test_last_layer_adds_its_bias_and_is_not_rescaled() -> None:
    assert reference.run(net(mac((1, 1, 1), [[100], [-100]], bias=-7)), [[[15]]]).logits == [
        1493,
        -1507,
    ]


def test_pool_takes_the_maximum_and_drops_leftovers() -> None:
    image = np.array([[[1, 5, 2, 9], [3, 4, 8, 0], [15, 15, 15, 15]]])
    pool = PoolLayer("pool", (1, 3, 4), (1, 1, 2), 2, 2)
    trace = reference.run(net(pool, mac((1, 1, 2), [[1, 1]])), image)
    assert trace.feature_maps[0].tolist() == [[[5, 9]]]


def test_pool_windows_may_overlap_or_leave_gaps() -> None:
    image = np.array([[[1, 5, 2, 9, 3]]])
    overlap = PoolLayer("pool", (1, 1, 5), (1, 1, 5), 1, 1)
    gaps = PoolLayer("pool", (1, 1, 5), (1, 1, 2), 1, 3)
    for pool, expected in ((overlap, [1, 5, 2, 9, 3]), (gaps, [1, 9])):
        width = len(expected)
        trace = reference.run(net(pool, mac((1, 1, width), [[1] * width])), image)
        assert trace.feature_maps[0].tolist() == [[expected]]


def test_argmax_is_the_first_of_equal_logits() -> None:
    assert reference.run(net(mac((1, 1, 1), [[-1], [2], [2]])), [[[3]]]).argmax == 1


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases(largest=1))
def test_every_layer_equals_exact_float64_arithmetic(case: Case) -> None:
    program, image = case.program, case.images[0]
    trace = reference.run(program, image)
    x = torch.from_numpy(image)
    for layer, result in zip(program.layers, trace.feature_maps, strict=True):
        if isinstance(layer, PoolLayer):
            y = F.max_pool2d(x[None].double(), layer.kernel, layer.stride)[0].long()
        else:
            # Accumulators stay below 2^48, so float64 is exact in any order of summation.
            w = torch.tensor(reference._virtual_weights(layer), dtype=torch.float64)
            if layer.kind == "fc":
                acc = (w @ x.reshape(-1).double()).reshape(layer.out_shape)
            else:
                square = w.view(-1, layer.in_shape[0], layer.kernel, layer.kernel)
                acc = F.conv2d(x[None].double(), square, None, layer.stride, layer.padding)[0]
            b, m, s = (
                torch.from_numpy(v.astype(np.int64)).view(-1, 1, 1)
                for v in (layer.bias, layer.multiplier, layer.shift)
            )
            y = acc.long() + b
            if not layer.last:
                y = ((acc.long() * m + b) >> s).clamp(0, program.config.act_max)
        assert torch.equal(y, torch.from_numpy(result)), layer.name
        x = y


# --- overflow and bad images --------------------------------------------------------------------


def test_oracle_stops_at_a_partial_sum_beyond_the_accumulator() -> None:
    # Two extreme products pass 2^31; the third would bring the sum back.
    program = net(mac((3, 1, 1), [[0] * 3, [32767, 32767, -32767]]), act_w=16, wgt_w=16, acc_w=32)
    with pytest.raises(AssertionError, match="fc: neuron 1: partial sum"):
        reference.run(program, column(65535, 65535, 65535))


def test_oracle_stops_at_a_logit_or_a_product_beyond_its_word() -> None:
    logit = net(mac((1, 1, 1), [[1]], bias=2**31 - 1))
    assert reference.run(logit, column(0)).logits == [2**31 - 1]
    with pytest.raises(AssertionError, match="neuron 0: 2147483648 exceeds 32 bits"):
        reference.run(logit, column(1))
    hidden = mac((1, 1, 1), [[1]], post=(1, 0, 2**47 - 1))
    with pytest.raises(AssertionError, match="exceeds 48 bits"):
        reference.run(net(hidden, mac((1, 1, 1), [[1]])), column(1))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ([[[16]]], "outside 0 … 15"),
        ([[[-1]]], "outside 0 … 15"),
        ([[[0.5]]], "must hold integers"),
        ([[[1, 1]]], "expected"),
    ],
)
def test_oracle_refuses_what_is_not_an_image(image: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reference.run(net(mac((1, 1, 1), [[1]])), image)


# --- gridding and probabilities -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "a"),
    [(0.0, 0), (1.0, 255), (0.5, 128), (0.49 / 255, 0), (0.51 / 255, 1), (254.5 / 255, 255)],
)
def test_pixels_round_half_up_to_the_input_grid(x: float, a: int) -> None:
    assert reference.grid(x, 8) == a


def test_exponential_table_is_the_floor_of_the_exponential() -> None:
    assert reference.EXP_LUT[:4] == (65536, 61565, 57835, 54331)
    assert reference.EXP_LUT[16] == 24109
    assert reference.EXP_LUT[177:] == tuple([1] + [0] * 78)
    assert list(reference.EXP_LUT) == [math.floor(65536 * math.exp(-n / 16)) for n in range(256)]


def test_softmax_unit_by_hand() -> None:
    # fa + fw = 4: a logit step is 1/16, the table's own step.
    assert reference.softmax_unit([7, 7], 4) == [32768, 32768]
    total = 65536 + 24109
    assert reference.softmax_unit([0, 16], 4) == [24109 * 65536 // total, 65536 * 65536 // total]
    # Finer logits are shifted right (15 of 16 steps are lost), coarser ones left.
    assert reference.softmax_unit([16, 1], 8) == [32768, 32768]
    assert reference.softmax_unit([1, 0], 0) == reference.softmax_unit([16, 0], 4)
    assert reference.softmax_unit([1, 0], -60) == [65536, 0]


def test_probabilities_are_exactly_zero_and_one_beyond_eleven_nats() -> None:
    # fa + fw = 8: 256 steps a nat. The loser's last count goes at 10.4 nats, the winner's at 11.1.
    assert reference.softmax_unit([0, 10 * 256], 8) == [1, 65534]
    assert reference.softmax_unit([0, 11 * 256], 8) == [0, 65535]
    assert reference.softmax_unit([0, 12 * 256], 8) == [0, 65536]


@given(st.lists(st.integers(-(2**47), 2**47 - 1), min_size=1, max_size=12), st.integers(-64, 64))
def test_probabilities_are_below_one_and_follow_the_logits(logits: list[int], frac: int) -> None:
    p = reference.softmax_unit(logits, frac)
    assert sum(p) <= 65536 < sum(p) + len(p)
    ranked = [q for _, q in sorted(zip(logits, p, strict=True))]
    assert ranked == sorted(p)


# --- gradient -----------------------------------------------------------------------------------


def test_gradient_of_one_layer_is_its_decoded_weights() -> None:
    program = net(mac((2, 1, 1), [[3, -5], [1, 0]], fw=6))
    found = reference.gradient(program, column(1, 2), [1, Fraction(1, 2)])
    unit = Fraction(15, 2**10)  # 2^A − 1 levels a pixel, 2^-(fa+fw) a logit step
    assert found.shape == (2, 1, 1)
    assert found.ravel().tolist() == [Fraction(7, 2) * unit, -5 * unit]


@pytest.mark.parametrize(
    ("pixel", "post", "plain", "unclamped"),
    [
        (4, (1, 0, 0), 1, 1),
        (0, (1, 0, 0), 0, 0),  # p = 0 does not pass
        (1, (1, 2, 2), Fraction(1, 4), Fraction(1, 4)),  # p − rounding = 1 passes, though y = 0
        (0, (1, 2, 2), 0, 0),  # only the rounding term is positive
        (15, (1, 0, 1), 0, 1),  # 16 saturates
        (15, (1, 0, 0), 1, 1),  # 15 is the largest value, not saturated
        (15, (3, 1, 0), 0, Fraction(3, 2)),  # 45 >> 1 = 22 saturates
        (4, (-2, 1, 20), -1, -1),  # a negative multiplier turns the sign
        (4, (-2, 1, 1), 0, 0),
        (4, (0, 1, 9), 0, 0),
    ],
)
def test_gradient_passes_where_the_fixed_point_output_moves(
    pixel: int,
    post: tuple[int, int, int],
    plain: Fraction | int,
    unclamped: Fraction | int,
) -> None:
    program = net(mac((1, 1, 1), [[1]], post=post), mac((1, 1, 1), [[1]]))
    unit = Fraction(15, 16)
    for flag, slope in ((False, plain), (True, unclamped)):
        found = reference.gradient(program, column(pixel), [1], unclamped=flag)
        assert found.tolist() == [[[slope * unit]]]


def test_pool_gradient_goes_to_the_first_maximum_in_row_major_order() -> None:
    image = np.array([[[2, 7], [7, 7]]])
    program = net(PoolLayer("pool", (1, 2, 2), (1, 1, 1), 2, 2), mac((1, 1, 1), [[16]]))
    assert reference.gradient(program, image, [1]).tolist() == [[[0, 15], [0, 0]]]


def test_overlapping_pool_windows_add_up_at_a_shared_maximum() -> None:
    image = np.array([[[1, 9, 1], [1, 1, 1]]])
    program = net(PoolLayer("pool", (1, 2, 3), (1, 1, 2), 2, 1), mac((1, 1, 2), [[16, 32]]))
    assert reference.gradient(program, image, [1]).tolist() == [[[0, 45, 0], [0, 0, 0]]]


def test_gradient_is_the_exact_difference_where_nothing_is_shifted_out() -> None:
    # s = 0 and 16-bit maps: logits are linear around this image, pool winners keep their lead.
    rng = np.random.default_rng(5)
    conv = mac(
        (2, 5, 4), rng.integers(-3, 4, (3, 18)).tolist(), kernel=3, padding=1, post=(-2, 0, 9000)
    )
    pool = PoolLayer("pool", (3, 5, 4), (3, 2, 2), 2, 2)
    hidden = mac((3, 2, 2), rng.integers(0, 2, (4, 12)).tolist(), post=(1, 0, 7))
    last = mac((4, 1, 1), rng.integers(-9, 10, (2, 4)).tolist(), fw=3)
    program = net(conv, pool, hidden, last, act_w=16)
    image = rng.permutation(np.arange(40) * 16).reshape(2, 5, 4)
    seeds = [Fraction(1), Fraction(-3, 7)]
    found = reference.gradient(program, image, seeds)
    assert any(found.ravel().tolist())
    base = reference.run(program, image).logits
    for position in np.ndindex(image.shape):
        moved = image.copy()
        moved[position] += 1
        after = reference.run(program, moved).logits
        rise = sum(s * (b - a) for s, a, b in zip(seeds, base, after, strict=True))
        assert found[position] == rise * Fraction(65535, 2**7), position


def test_gradient_refuses_seeds_of_another_number_of_classes() -> None:
    with pytest.raises(InputError, match="2 seeds for 1 classes"):
        reference.gradient(net(mac((1, 1, 1), [[1]])), column(1), [1, 2])


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases(largest=1))
def test_gradient_is_linear_in_its_seed(case: Case) -> None:
    program, image = case.program, case.images[0]
    n = program.classes
    first, second = [Fraction(k + 1, 3) for k in range(n)], [Fraction(-k, 5) for k in range(n)]
    total = [2 * a + b for a, b in zip(first, second, strict=True)]
    parts = [reference.gradient(program, image, seed) for seed in (first, second, total)]
    assert (2 * parts[0] + parts[1] == parts[2]).all()


# --- the networks that all this is tested with --------------------------------------------------


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_random_networks_pass_the_proof_and_never_overflow_in_the_oracle(case: Case) -> None:
    check(case.program)
    for image in case.images:
        trace = reference.run(case.program, image)
        assert [m.shape for m in trace.feature_maps] == [x.out_shape for x in case.program.layers]
    act_w = case.program.config.act_w
    for pixel, a in zip(case.pixels()[0].ravel(), case.images[0].ravel(), strict=True):
        assert reference.grid(float(pixel), act_w) == a


def test_random_networks_reach_every_corner_of_the_machine() -> None:
    seen: set[str] = set()

    @settings(max_examples=2 * EXAMPLES, deadline=None, derandomize=True, database=None)
    @given(programs())
    def collect(program: Program) -> None:
        config = program.config
        seen.update(f"A{config.act_w} W{config.wgt_w} ACC{config.acc_w}".split())
        seen.add(config.index_mode)
        seen.add("narrow array" if config.rows < program.classes else "wide array")
        seen.add(f"convs {sum(m.kind == 'conv' for m in program.mac_layers)}")
        seen.add(f"fcs {sum(m.kind == 'fc' for m in program.mac_layers)}")
        if program.layers[0].kind == "pool":
            seen.add("pool on the input")
        for layer in program.layers:
            seen.add(f"{layer.kind} stride {layer.stride}")
            seen.add(f"{layer.kind} kernel {layer.kernel}")
            if isinstance(layer, MacLayer):
                seen.add(layer.spec.scheme)
                if layer.multiplier.min() < 0:
                    seen.add("negative multiplier")

    collect()
    # Every width turns up sooner or later; these must early.
    wanted = {"A4", "A8", "A16", "W4", "W8", "W16"}
    wanted |= {"ACC32", "ACC48", "sram", "hash", "narrow array", "wide array"}
    wanted |= {f"convs {n}" for n in range(4)} | {f"fcs {n}" for n in range(1, 4)}
    wanted |= {f"conv kernel {k}" for k in range(1, 8)} | {f"pool kernel {k}" for k in range(1, 4)}
    wanted |= {f"conv stride {s}" for s in (1, 2)} | {f"pool stride {s}" for s in (1, 2, 3)}
    wanted |= {"dense", "xxh32", "banked", "pool on the input", "negative multiplier"}
    assert wanted <= seen, sorted(wanted - seen)
