"""The oracle against numbers worked out by hand, the xxhash package, and float64 convolutions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.engine import reference
from hwsim.errors import InputError
from hwsim.numbers.hashing import SCHEMES, HashSpec
from hwsim.program.layers import (
    AddLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    Window,
)
from hwsim.program.program import Program
from hwsim.program.proof import check
from tests.by_hand import column, mac, net, pool
from tests.property.corners import corners
from tests.property.layer_draws import windows
from tests.property.networks import EXAMPLES, Case, cases, programs

WORD = st.integers(0, 2**32 - 1)


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
    conv = mac((1, 3, 3), [[1] * 9], kernel=3, stride=2, padding=1, post=(1, 0, 0), act_w=8)
    program = net(conv, mac((1, 2, 2), [[1, 1, 1, 1]]), act_w=8)
    trace = reference.run(program, np.arange(1, 10).reshape(1, 3, 3))
    assert trace.feature_maps[0].tolist() == [[[12, 16], [24, 28]]]
    assert trace.logits == [80]


def test_fan_in_runs_over_channel_then_row_then_column() -> None:
    weights = [[1, 2, 3, 4, 5, 6, 7, 8]]
    image = np.arange(8).reshape(2, 2, 2)
    expected = sum(w * a for w, a in zip(range(1, 9), range(8), strict=True))
    assert reference.run(net(mac((2, 2, 2), weights)), image).logits == [expected]
    conv = mac((2, 2, 2), weights, kernel=2, post=(1, 0, 0), act_w=8)
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
    trace = reference.run(
        net(pool((1, 3, 4), Window.square(2, 2)), mac((1, 1, 2), [[1, 1]])), image
    )
    assert trace.feature_maps[0].tolist() == [[[5, 9]]]


def test_pool_windows_may_overlap_or_leave_gaps() -> None:
    image = np.array([[[1, 5, 2, 9, 3]]])
    overlap, gaps = (pool((1, 1, 5), Window.square(1, step)) for step in (1, 3))
    for one, expected in ((overlap, [1, 5, 2, 9, 3]), (gaps, [1, 9])):
        width = len(expected)
        trace = reference.run(net(one, mac((1, 1, width), [[1] * width])), image)
        assert trace.feature_maps[0].tolist() == [[expected]]


def test_argmax_is_the_first_of_equal_logits() -> None:
    assert reference.run(net(mac((1, 1, 1), [[-1], [2], [2]])), [[[3]]]).argmax == 1


def planes(program: Program, image: np.ndarray, maps: list[np.ndarray]) -> dict[int, np.ndarray]:
    """Every map of an inference, put together from what each layer wrote."""
    found = {n: np.full(one.shape, -1, np.int64) for n, one in enumerate(program.maps)}
    found[0][:] = image
    for wire, part in zip(program.wires, maps, strict=True):
        if wire.target is not None:
            first = wire.target.channel
            found[wire.target.map][first : first + len(part)] = part
    return found


def sums(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    """What a layer but an addition sums, (C, H, W) float64; sums below 2^48 are exact in it."""
    if isinstance(layer, MacLayer):
        w = torch.tensor(reference.virtual_weights(layer), dtype=torch.float64)
        if layer.window is None:
            return (w @ x.reshape(-1)).reshape(layer.out_shape)
        top, left, bottom, right = layer.window.padding
        padded = F.pad(x[None], (left, right, top, bottom), value=layer.fill)
        square = w.view(layer.n_out, -1, *layer.window.kernel)
        return F.conv2d(padded, square, None, layer.window.stride, groups=layer.groups)[0]
    if isinstance(layer, AverageLayer):
        window = layer.window
        return F.avg_pool2d(x[None], window.kernel, window.stride, divisor_override=1)[0]
    return x


def truth(program: Program, layer: Layer, sources: list[np.ndarray]) -> torch.Tensor:
    """What a layer writes, by torch."""
    x = torch.from_numpy(sources[0]).double()
    if isinstance(layer, PoolLayer):
        top, left, bottom, right = layer.window.padding
        padded = F.pad(x[None], (left, right, top, bottom), value=-1)
        return F.max_pool2d(padded, layer.window.kernel, layer.window.stride)[0].long()
    if isinstance(layer, LutLayer):
        return torch.from_numpy(layer.table.astype(np.int64))[x.long()]
    m, s, b = (
        torch.from_numpy(v.astype(np.int64)).view(-1, 1, 1)
        for v in (layer.multiplier, layer.shift, layer.bias)
    )
    if isinstance(layer, AddLayer):
        p = x.long() * m[0] + torch.from_numpy(sources[1]) * m[1] + b
    else:
        acc = sums(layer, x).long()
        if layer.last:
            return acc + b
        p = acc * m + b
    code = p >> s
    if program.config.requantization == "twice-away":
        code = code - halves_that_go_down(p, m[-1:] if isinstance(layer, AddLayer) else m, s, layer)
    return code.clamp(layer.lo, layer.hi)


def halves_that_go_down(
    p: torch.Tensor, m: torch.Tensor, s: torch.Tensor, layer: Layer
) -> torch.Tensor:
    """1 where a code is a half below the layer's zero, as TFLite's reference kernels round it."""
    k = (s - 31).clamp(min=0)
    half = ((p >> 31) % (1 << k) == 0) & (k > 0) & (m >= 1 << 30)
    return (half & ((p >> s) <= layer.zero)).long()


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(cases(largest=1))
def test_every_layer_equals_exact_arithmetic_of_torch(case: Case) -> None:
    program, image = case.program, case.images[0]
    trace = reference.run(program, image)
    maps = planes(program, image, trace.feature_maps)
    for layer, wire, result in zip(program.layers, program.wires, trace.feature_maps, strict=True):
        channels = layer.in_shape[0]
        sources = [maps[one.map][one.channel : one.channel + channels] for one in wire.sources]
        assert torch.equal(truth(program, layer, sources), torch.from_numpy(result)), layer.name


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


# --- the networks that all this is tested with --------------------------------------------------


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_random_networks_pass_the_proof_and_never_overflow_in_the_oracle(case: Case) -> None:
    check(case.program)
    for image in case.images:
        trace = reference.run(case.program, image)
        assert [m.shape for m in trace.feature_maps] == [x.out_shape for x in case.program.layers]
    program = case.program
    for value, a in zip(case.pixels()[0].ravel(), case.images[0].ravel(), strict=True):
        assert reference.code(float(value), program.input, program.config.act_w) == a


@pytest.mark.slow
def test_random_networks_reach_every_corner_of_the_machine() -> None:
    seen: set[str] = set()

    @settings(max_examples=600, deadline=None, derandomize=True, database=None)
    @given(programs())
    def collect(program: Program) -> None:
        seen.update(corners(program))

    collect()
    # Every width turns up sooner or later; these must early.
    wanted = {"A4", "A8", "A16", "W4", "W8", "W16", "M8", "M16", "M32"}
    wanted |= {"ACC32", "ACC48", "sram", "hash", "narrow array", "wide array"}
    wanted |= {"conv", "fc", "pool", "average", "affine", "add", "lut"}
    wanted |= {f"last {kind}" for kind in ("conv", "fc", "average", "affine")}
    for kind in ("conv", "pool", "average"):
        wanted |= {f"{kind} kernel {k}" for k in (1, 2)} | {f"{kind} stride {n}" for n in (1, 2)}
        wanted |= {f"{kind} oblong"}
    wanted |= {f"{kind} padding" for kind in ("conv", "pool")}
    wanted |= {"dense", "xxh32", "banked", "negative multiplier", "rows of steps", "no weight"}
    wanted |= {f"{s} {what}" for s in SCHEMES for what in ("groups", "depthwise")}
    wanted |= {"lo", "hi", "zero", "fill", "input zero"}
    wanted |= {"pixels", "other input", "vector", "series", "up", "twice-away"}
    wanted |= {"pool of vectors", "conv of vectors", "depthwise vectors"}
    wanted |= {"affine of one channel", "add of one channel"}
    wanted |= {"equal factors", "bias with that factor"}
    wanted |= {"concatenation", "slice", "skip", "doubled", "shared lines", "no shared lines"}
    assert wanted <= seen, sorted(wanted - seen)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "stride", "padded"), [(11, 4, True), (11, 15, True), (15, 15, False)]
)  # of convolutions, pools, averages
def test_random_windows_reach_every_side_and_every_stride(
    kernel: int, stride: int, padded: bool
) -> None:
    seen: set[object] = set()
    kernels = [(h, w) for h in range(1, kernel + 1) for w in range(1, kernel + 1)]

    @settings(max_examples=1500, deadline=None, derandomize=True, database=None)
    @given(windows((16, 16), kernels, stride, padded))
    def collect(window: Window) -> None:
        assert min(window.out_sides(16, 16)) >= 1
        seen.update((axis, "kernel", k) for axis, k in enumerate(window.kernel))
        seen.update((axis, "stride", n) for axis, n in enumerate(window.stride))
        seen.add(("paddings", len(set(window.padding))))

    collect()
    wanted = {(axis, "kernel", k) for axis in (0, 1) for k in range(1, kernel + 1)}
    wanted |= {(axis, "stride", n) for axis in (0, 1) for n in range(1, stride + 1)}
    wanted |= {("paddings", n) for n in ((1, 2, 3, 4) if padded else (1,))}
    assert wanted <= seen, sorted(map(str, wanted - seen))
