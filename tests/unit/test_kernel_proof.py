"""A kernel that is wrong for some shapes, batches or calls is found and replaced."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hwsim
from hwsim.engine import float_proof, kernel_proof, kernels, precision, reference
from hwsim.engine.backward import _by_library
from hwsim.engine.kernel_proof import Checked
from hwsim.engine.kernels import Accumulate, candidates
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.program import MacLayer

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
        "layer", kind, source, (outputs, *out), kernel, stride, padding,
        HashSpec("dense", outputs, fan_in, count), words.astype(np.int32), 0, 8, 8,
        none, none, none.astype(np.int64), True,
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
    with pytest.warns(RuntimeWarning, match="conv 30x10x8 -> 5x5x4 kernel 3 stride 2 padding 1"):
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


def test_a_wrong_input_gradient_is_named_and_replaced() -> None:
    layer = layer_of(source=(6, 9, 8))
    weight = hwsim.engine.backward._weight(layer)
    flow = np.random.default_rng(0).standard_normal((3, 9, 8, 5), np.float32)
    right = _by_library(layer, weight, flow)

    def wrong(some: np.ndarray) -> np.ndarray:
        out = _by_library(layer, weight, some)
        if len(some) > 1:
            out[-1, -1, -1, -1] *= np.float32(1 + 1e-3)
        return out

    with pytest.warns(RuntimeWarning, match="a test is wrong in float32 .* batch of 3"):
        found = float_proof.proved_product(
            "a test", wrong, lambda f, m: hwsim.engine.backward._by_columns(layer, f, m), flow,
            lambda: hwsim.engine.backward._matrix(layer, weight), 45,
        )  # fmt: skip
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-2)
    assert abs(found[-1, -1, -1, -1] - wrong(flow)[-1, -1, -1, -1]) > 0


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
