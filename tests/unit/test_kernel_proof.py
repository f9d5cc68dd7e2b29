"""A kernel that is wrong for some shapes, batches or calls is found and replaced."""

from __future__ import annotations

import contextlib
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hwsim
from hwsim.engine import (
    float_proof,
    input_gradient,
    kernel_proof,
    kernels,
    precision,
    reference,
    weight_gradient,
)
from hwsim.engine.input_gradient import _by_library
from hwsim.engine.kernel_proof import Checked
from hwsim.engine.kernels import Accumulate, candidates
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import MacLayer, Window

ALL = frozenset(("int8", "float32", "float64"))


def layer_of(
    kind: str = "conv",
    source: tuple[int, int, int] = (3, 10, 8),
    outputs: int = 5,
    kernel: int = 3,
    stride: int = 1,
    padding: int = 1,
    word: int | None = None,
) -> MacLayer:
    out = tuple((n + 2 * padding - kernel) // stride + 1 for n in source[1:])
    if kind == "fc":
        out, kernel, stride, padding = (1, 1), 0, 1, 0
    fan_in = source[0] * kernel**2 if kind == "conv" else int(np.prod(source))
    count = outputs * fan_in
    words = np.random.default_rng(count).integers(-127, 128, count)
    if word is not None:
        words = np.full(count, word)
    none = np.zeros(outputs, np.int32)
    return MacLayer(
        "layer", kind, source, (outputs, *out),
        Window.square(kernel, stride, padding) if kind == "conv" else None,
        HashSpec("dense", outputs, fan_in, count), words.astype(np.int32),
        none, none, none.astype(np.int64), last=True, weight_scale=np.ones(1), scale=2.0**-8,
        hi=255,
    )  # fmt: skip


def maps_of(layer: MacLayer, count: int) -> torch.Tensor:
    channels, height, width = layer.in_shape
    noise = np.random.default_rng(count)
    maps = noise.integers(0, 256, (count, height, width, channels)).astype(np.uint8)
    return torch.from_numpy(maps).permute(0, 3, 1, 2)


def truth_of(layer: MacLayer, maps: torch.Tensor) -> np.ndarray:
    return REAL(Accumulate(layer, 255, "int64"), maps)


REAL = Accumulate.__call__


def white_sum(kernel: str) -> int:
    layer = layer_of("fc", (1, 260, 260), 1, word=127)
    maps = torch.full((1, 1, 260, 260), 255, dtype=torch.uint8)
    # A CPU whose int8 products saturate answers by a slower kernel.
    checked = Checked(layer, load_config("default").replace(acc_w=48), frozenset([kernel]))
    return int(checked(maps).item())


@pytest.mark.filterwarnings("ignore:.*not exact on this CPU")
@pytest.mark.parametrize("kernel", ["int8", "float64"])
def test_sums_beyond_2_to_31_do_not_wrap(kernel: str) -> None:
    assert white_sum(kernel) == 67_600 * 127 * 255 == 2_189_226_000


def broken(wrong: Any) -> Any:
    def call(self: Accumulate, maps: torch.Tensor) -> Any:
        sums = REAL(self, maps)
        return wrong(self, sums.copy()) if self.kernel != "int64" else sums

    return call


def narrow_garbage(self: Accumulate, sums: np.ndarray) -> np.ndarray:
    if not self.columns and self.layer.kind == "conv" and sums.shape[2] == 4:
        sums[..., -1] += 12345
    return sums


def wrong_in_batches(self: Accumulate, sums: np.ndarray) -> np.ndarray:
    if len(sums) > 1 and self.kernel == "int8":
        sums[-1] -= 1
    return sums


def stale(self: Accumulate, sums: np.ndarray) -> np.ndarray:
    if self.kernel == "int8":
        sums[:, -1:] = np.nan
    return sums


def saturating(self: Accumulate, sums: np.ndarray) -> np.ndarray:
    return np.minimum(sums, 200_000) if self.kernel == "int8" else sums


def one_channel_only(self: Accumulate, sums: np.ndarray) -> np.ndarray:
    if self.kernel in ("int8", "float32", "float64"):
        sums[..., 0] += sums[..., 0] == sums[..., 0].max()
    return sums


@pytest.mark.parametrize(
    "wrong", [narrow_garbage, wrong_in_batches, stale, saturating, one_channel_only]
)
def test_a_wrong_kernel_is_named_and_the_sums_are_right(
    wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_of(source=(30, 10, 8), stride=2)
    assert layer.out_shape == (5, 5, 4)
    monkeypatch.setattr(Accumulate, "__call__", broken(wrong))
    config = load_config("default")
    checked = Checked(layer, config, ALL)
    batches = [maps_of(layer, count) for count in (1, 3, 64, 1)]
    with pytest.warns(
        RuntimeWarning, match="conv 30x10x8 -> 5x5x4 kernel 3x3 stride 2x2 padding 1x1"
    ):
        answers = [checked(maps) for maps in batches]
    for maps, found in zip(batches, answers, strict=True):
        np.testing.assert_array_equal(found.astype(np.int64), truth_of(layer, maps))
    assert checked.fallen


def test_memory_that_nobody_wrote_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that forgets to write an image returns what the allocator gives it."""

    def forgetful(self: Accumulate, maps: torch.Tensor) -> Any:
        sums = REAL(self, maps)
        if self.kernel == "int64":
            return sums
        memory = torch.empty(sums.shape).numpy()
        memory[:-1] = sums[:-1]
        return memory

    monkeypatch.setattr(Accumulate, "__call__", forgetful)
    layer = layer_of()
    maps = maps_of(layer, 2)
    with pytest.warns(RuntimeWarning, match="not exact on this CPU"):
        found = Checked(layer, load_config("default"), ALL)(maps)
    np.testing.assert_array_equal(found.astype(np.int64), truth_of(layer, maps))


def test_a_right_kernel_is_kept_without_a_word() -> None:
    layer = layer_of()
    checked = Checked(layer, load_config("default"), frozenset(("float32", "float64")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for count in (1, 2, 64):
            checked(maps_of(layer, count))
    assert not checked.fallen


@pytest.mark.parametrize(
    ("source", "kernel", "stride"),
    [
        ((2, 13, 3), 2, 2),
        ((3, 10, 2), 2, 2),
        ((1, 9, 3), 3, 1),
        ((4, 6, 1), 1, 1),
        ((4, 1, 6), 1, 2),
    ],
)
def test_a_thin_map_is_never_given_to_a_librarys_narrow_convolution(
    source: tuple[int, int, int], kernel: int, stride: int
) -> None:
    layer = layer_of(source=source, kernel=kernel, stride=stride, padding=0)
    ways = candidates(layer, load_config("default"), ALL)
    assert ways[0] == ("int8", "columns")
    assert all(route == "columns" for kernel, route in ways if kernel in ("int8", "float32"))


@pytest.mark.parametrize(
    ("channels", "outputs", "kernel", "stride", "height", "width"),
    [(2, 8, 2, 2, 13, 3), (3, 31, 2, 2, 10, 2), (1, 8, 3, 1, 9, 3), (4, 16, 1, 1, 6, 1)],
)
def test_a_batch_through_thin_maps_is_answered_as_its_images_alone(
    channels: int, outputs: int, kernel: int, stride: int, height: int, width: int
) -> None:
    torch.manual_seed(0)
    out_h, out_w = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    net = nn.Sequential(
        nn.Conv2d(channels, outputs, kernel, stride), nn.ReLU(), nn.Flatten(),
        nn.Linear(outputs * out_h * out_w, 3),
    ).eval()  # fmt: skip
    engine = hwsim.Engine(hwsim.compile(net, torch.rand(8, channels, height, width)))
    images = torch.rand(5, channels, height, width)
    alone = torch.cat([engine.integer_logits(image[None]) for image in images])
    assert torch.equal(engine.integer_logits(images), alone)
    for n, image in enumerate(images):
        pixels = np.floor(image.double().numpy() * 255 + 0.5).astype(int)
        expected = reference.run(engine.program, pixels).logits
        assert alone[n].tolist() == list(expected)


@pytest.mark.parametrize("image", range(5))
def test_a_wrong_input_gradient_of_any_image_is_named_and_replaced(image: int) -> None:
    layer = layer_of(source=(6, 9, 8))
    weight = input_gradient._packed(layer, layer.virtual_weights.astype(np.float32))
    flow = np.random.default_rng(0).standard_normal((5, 9, 8, 5), np.float32)
    right = _by_library(layer, weight, flow)

    def wrong(some: np.ndarray) -> np.ndarray:
        out = _by_library(layer, weight, some)
        if len(some) > 1:
            out[image, -1, -1, -1] *= np.float32(1 + 1e-3)
        return out

    with pytest.warns(RuntimeWarning, match="is wrong in float32 .* batch of 5"):
        found = float_proof.proved_product(
            f"test {image}", wrong,
            lambda f, m: input_gradient._by_columns(layer, f, m), flow,
            lambda: input_gradient._matrix(layer, weight), 45,
        )  # fmt: skip
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-2)
    assert found[image, -1, -1, -1] != wrong(flow)[image, -1, -1, -1]


def last_of_a_batch(maps: torch.Tensor, flow: torch.Tensor, found: torch.Tensor) -> None:
    if len(maps) == 5:
        found -= REAL_WEIGHTS(maps[-1:], found.shape, flow[-1:], 1, 1)


def last_number(maps: torch.Tensor, flow: torch.Tensor, found: torch.Tensor) -> None:
    found[-1, -1, -1, -1] *= 1 + 2 * torch.finfo(found.dtype).eps


def one_weight_is_unwritten(maps: torch.Tensor, flow: torch.Tensor, found: torch.Tensor) -> None:
    found[2, 1, 0, 0] = torch.nan


REAL_WEIGHTS = weight_gradient.conv2d_weight


def spoil_weights(spoil: Any, kind: torch.dtype, patch: pytest.MonkeyPatch) -> list[bool]:
    """Spoil the library's weight gradients of one type; a list of whether each became another.

    An error in ``spoil`` itself would be taken for an operator that is absent: who asks the list
    knows that there was none.
    """
    spoilt: list[bool] = []

    def wrong(source: torch.Tensor, size: Any, some: torch.Tensor, *how: Any) -> torch.Tensor:
        found = REAL_WEIGHTS(source, size, some, *how)
        if found.dtype == kind:
            before = found.clone()
            spoil(source, some, found)
            spoilt.append(not torch.equal(before, found))
        return found

    patch.setattr(weight_gradient, "conv2d_weight", wrong)
    return spoilt


@pytest.fixture
def unproved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float_proof, "_verdicts", {})


@pytest.mark.usefixtures("unproved")
@pytest.mark.parametrize("spoil", [last_of_a_batch, last_number, one_weight_is_unwritten])
def test_a_wrong_weight_gradient_is_named_and_replaced(
    spoil: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_of(source=(6, 9, 8))
    maps = maps_of(layer, 5).permute(0, 2, 3, 1).numpy()
    flow = np.random.default_rng(0).integers(-9, 10, (5, 9, 8, 5)).astype(np.float32)
    right = weight_gradient._by_library(layer, maps.astype(np.float32), flow)

    spoilt = spoil_weights(spoil, torch.float32, monkeypatch)
    with pytest.warns(
        RuntimeWarning, match="weight gradient of conv 6x9x8 -> 5x9x8 kernel 3x3 .*5"
    ):
        found = weight_gradient.weight_gradient(layer, maps, flow)
    assert any(spoilt)
    slope = weight_gradient.slopes(layer).astype(np.float32)[:, None]
    np.testing.assert_array_equal(found.numpy(), right * slope)


@pytest.mark.usefixtures("unproved")
@pytest.mark.parametrize(("kind", "source"), [("fc", (3, 4, 5)), ("conv", (3, 9, 1))])
def test_a_wrong_matrix_product_of_weight_gradients_is_replaced(
    kind: str, source: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_of(kind, source)
    maps = maps_of(layer, 4).permute(0, 2, 3, 1).numpy()
    shape = (4, *layer.out_shape[1:], layer.n_out)
    flow = np.random.default_rng(0).integers(-9, 10, shape).astype(np.float32)
    right = weight_gradient._by_library(layer, maps.astype(np.float32), flow)

    by_library = weight_gradient._by_library

    def wrong(*operands: Any) -> Any:
        found = by_library(*operands)
        found[-1, -1] += 1
        return found

    monkeypatch.setattr(weight_gradient, "_by_library", wrong)
    with pytest.warns(RuntimeWarning, match=f"weight gradient of {kind} .* batch of 4"):
        found = weight_gradient.weight_gradient(layer, maps, flow)
    slope = weight_gradient.slopes(layer).astype(np.float32)[:, None]
    np.testing.assert_array_equal(found.numpy(), right * slope)


@pytest.mark.usefixtures("unproved")
@pytest.mark.parametrize("kept_bits", [8, 11])
def test_weight_gradients_in_a_lower_precision_are_not_believed(
    kept_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of bfloat16 and TF32, whose products are exact for small integers."""

    def rounded(some: torch.Tensor) -> torch.Tensor:
        mantissa, exponent = np.frexp(some.numpy())
        cut = np.ldexp(np.rint(np.ldexp(mantissa, kept_bits)), exponent - kept_bits)
        return torch.from_numpy(cut.astype(np.float32))

    def low(source: torch.Tensor, size: Any, some: torch.Tensor, *how: Any) -> torch.Tensor:
        return REAL_WEIGHTS(rounded(source), size, rounded(some), *how)

    monkeypatch.setattr(weight_gradient, "conv2d_weight", low)
    assert not weight_gradient._holds(layer_of(source=(6, 9, 8)), 5)


@pytest.mark.usefixtures("unproved")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("spoil", [last_of_a_batch, last_number, one_weight_is_unwritten])
def test_a_wrong_weight_gradient_in_bfloat16_gives_way_to_float32(
    spoil: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_of(source=(6, 9, 8))
    maps = maps_of(layer, 5).permute(0, 2, 3, 1).numpy()
    assert maps.dtype == np.uint8
    flow = np.random.default_rng(0).standard_normal((5, 9, 8, 5)).astype(np.float32)
    right = weight_gradient.weight_gradient(layer, maps, flow).numpy()
    spoilt = spoil_weights(spoil, torch.bfloat16, monkeypatch)
    found = weight_gradient.weight_gradient(layer, maps, flow, precision="bfloat16")
    assert any(spoilt)
    np.testing.assert_array_equal(found.numpy(), right)


@pytest.mark.usefixtures("unproved")
@pytest.mark.parametrize("zero", [0, 3, 128, 255])
@pytest.mark.parametrize("bits", [False, True])
def test_a_weight_gradient_in_bfloat16_rounds_flow_and_result(zero: int, bits: bool) -> None:
    layer = layer_of(source=(6, 9, 8))
    noise = np.random.default_rng(zero)
    maps = noise.integers(0, 256, (5, 9, 8, 6)).astype(np.uint8)
    flow = noise.standard_normal((5, 9, 8, 5)).astype(np.float32)
    rounded = torch.from_numpy(flow).bfloat16()
    given = rounded.view(torch.int16).numpy().view(np.uint16) if bits else flow
    found = weight_gradient.weight_gradient(layer, maps, given, zero, "bfloat16").numpy()

    (shown,) = (v for (what, _), v in float_proof._verdicts.items() if what.endswith("bfloat16"))
    entered = rounded.float().numpy() if shown or bits else flow
    wanted = weight_gradient.weight_gradient(layer, maps, entered, zero).numpy()
    assert np.array_equal(found, wanted) != shown
    sizes = np.abs(maps.astype(np.int64) - zero).astype(np.uint8)
    size = weight_gradient.weight_gradient(layer, sizes, np.abs(entered)).numpy()
    error = np.abs(wanted) * 2.0**-8 + size * float_proof.ROUNDOFF * 2 * flow[..., 0].size
    assert (np.abs(found - wanted) <= (error if shown else 0.0)).all()


@pytest.mark.usefixtures("unproved")
def test_right_weight_gradients_are_kept_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for layer in (layer_of(), layer_of("fc"), layer_of(source=(3, 9, 1), stride=2)):
            for count in (1, 2, 64):
                maps = maps_of(layer, count).permute(0, 2, 3, 1).numpy()
                shape = (count, *layer.out_shape[1:], layer.n_out)
                weight_gradient.weight_gradient(layer, maps, np.ones(shape, np.float32))


@pytest.fixture
def bfloat16() -> Any:
    backend: Any = torch.backends.mkldnn
    conv, matmul = backend.conv, backend.matmul
    before = conv.fp32_precision, matmul.fp32_precision
    conv.fp32_precision = matmul.fp32_precision = "bf16"
    yield conv, matmul
    conv.fp32_precision, matmul.fp32_precision = before


def test_float32_is_full_inside_and_as_it_was_behind_even_nested(bfloat16: Any) -> None:
    conv, matmul = bfloat16
    with precision.full_float32():
        with precision.full_float32():
            assert conv.fp32_precision == matmul.fp32_precision == "ieee"
        assert conv.fp32_precision == matmul.fp32_precision == "ieee"
    assert conv.fp32_precision == matmul.fp32_precision == "bf16"
    with pytest.raises(KeyError), precision.full_float32():
        raise KeyError
    assert conv.fp32_precision == "bf16"


def asked() -> tuple[str, str]:
    backend: Any = torch.backends.mkldnn
    return backend.conv.fp32_precision, backend.matmul.fp32_precision


@pytest.mark.usefixtures("bfloat16")
def test_float32_is_full_until_the_last_thread_has_left() -> None:
    inside, leave = threading.Barrier(4), [threading.Event() for _ in range(3)]

    def work(mine: threading.Event) -> tuple[str, str]:
        with precision.full_float32():
            inside.wait(60)
            assert mine.wait(60)
            return asked()

    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(work, mine) for mine in leave]
        inside.wait(60)
        for mine, one in zip(leave, running, strict=True):
            assert asked() == ("ieee", "ieee")
            mine.set()
            assert one.result(60) == ("ieee", "ieee")
    assert asked() == ("bf16", "bf16")


@pytest.mark.usefixtures("bfloat16")
def test_many_threads_that_come_go_and_fail_leave_what_was_there() -> None:
    def work(seed: int) -> set[tuple[str, str]]:
        seen = set()
        for n in range(200):
            with contextlib.suppress(KeyError), precision.full_float32():
                seen.add(asked())
                if (n + seed) % 3 == 0:
                    raise KeyError
        return seen

    with ThreadPoolExecutor(4) as threads:
        assert set().union(*threads.map(work, range(4))) == {("ieee", "ieee")}
    assert asked() == ("bf16", "bf16")
    assert precision._inside == 0


def test_what_a_caller_asks_for_meanwhile_is_kept_and_reaches_no_later_call(bfloat16: Any) -> None:
    conv, matmul = bfloat16
    with precision.full_float32():
        conv.fp32_precision = "tf32"  # as another thread may
        with precision.full_float32():
            assert asked() == ("ieee", "ieee")
        assert asked() == ("ieee", "ieee")
    assert asked() == ("tf32", "bf16")
    with precision.full_float32():
        matmul.fp32_precision = "tf32"
    assert asked() == ("tf32", "tf32")


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize(
    ("kind", "source"), [("conv", (6, 9, 8)), ("conv", (3, 9, 1)), ("fc", (3, 4, 5))]
)
def test_weight_gradients_ask_for_full_precision_around_their_own_calls(
    kind: str, source: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(name: str, real: Any) -> Any:
        def call(*operands: Any) -> Any:
            seen.append((name, asked()))
            return real(*operands)

        return call

    monkeypatch.setattr(weight_gradient, "conv2d_weight", spy("conv", REAL_WEIGHTS))
    monkeypatch.setattr(torch.Tensor, "__matmul__", spy("matmul", torch.Tensor.__matmul__))
    layer = layer_of(kind, source)
    maps = maps_of(layer, 2).permute(0, 2, 3, 1).numpy().astype(np.float32)
    weight_gradient._by_library(layer, maps, np.ones((2, *layer.out_shape[1:], 5), np.float32))
    name = "conv" if source == (6, 9, 8) else "matmul"
    assert seen == [(name, ("ieee", "ieee"))]
    assert asked() == ("bf16", "bf16")


def test_kernels_ask_for_full_precision_around_their_own_calls(
    bfloat16: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = torch.nn.functional.conv2d

    def spy(*args: Any) -> Any:
        seen.append(bfloat16[0].fp32_precision)
        return real(*args)

    monkeypatch.setattr(kernels.F, "conv2d", spy)
    layer = layer_of()
    Accumulate(layer, 255, "float32")(maps_of(layer, 2))
    assert seen == ["ieee"]


def test_the_extreme_batch_has_a_full_image_and_the_layout_of_the_maps() -> None:
    maps = maps_of(layer_of(), 3)
    (extreme,) = kernel_proof._extremes(maps, 255)
    assert extreme.stride() == maps.stride()
    assert extreme[0].min() == 255
    assert set(extreme[1:].unique().tolist()) == {0, 255}
