"""Rounding twice, as TFLite's reference kernels do: contract, fast path and kernel are one."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.engine import reference
from hwsim.engine.forward import Datapath
from hwsim.errors import ConfigError, ImageError
from hwsim.importer import rounding_oracle
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.layers import AddLayer, AffineLayer, Layer
from hwsim.program.program import Program
from hwsim.program.wires import Place, Wire
from hwsim.rom import image as rom

TWICE = load_config("tiny").replace(mult_w=32, requantization="twice-away", softmax=False)
CODES = np.arange(256)


def words(factor: float, middle: int, zero: int) -> tuple[int, int, int]:
    """(m, s, b) for (a − middle) · factor + zero, typed from docs/architecture.md."""
    m, exponent = rounding_oracle.multiplier_and_shift(factor)
    k = -exponent
    b = -middle * m + 2**30 + (2**30 + zero * 2**31) * 2**k - (2**30 if k == 0 else 0)
    return m, 31 + k, b


def program(layer: Layer, config: EngineConfig) -> Program:
    """The layer, and one that hands out what it wrote: 16 channels of 16 codes, then their sums."""
    shape = layer.in_shape
    none = np.zeros(shape[0], np.int32)
    out = AffineLayer("out", shape, none, none, none.astype(np.int64), last=True, scale=1.0, hi=255)
    wires = [Wire((Place(0, 0),) * (2 if isinstance(layer, AddLayer) else 1), Place(1, 0))]
    return Program.graph(config, [layer, out], [*wires, Wire((Place(1, 0),), None)], shape)


def both(layer: Layer, config: EngineConfig = TWICE) -> list[int]:
    """What oracle and fast path make of the codes 0 … 255, which is the same."""
    net = program(layer, config)
    (trace,) = [reference.run(net, CODES.reshape(256, 1, 1))]
    datapath = Datapath(net, frozenset(["float64"]))
    for states in (False, True):
        tape = datapath.run(CODES.reshape(1, 1, 1, 256).astype(np.uint8), states=states)
        assert tape.logits[0].tolist() == list(trace.logits)
    return list(trace.logits)


def affine(m: int, s: int, b: int, zero: int, lo: int = 0) -> AffineLayer:
    return AffineLayer(
        "layer", (256, 1, 1), np.full(256, m, np.int32), np.full(256, s, np.int32),
        np.full(256, b, np.int64), last=False, scale=1.0, zero=zero, lo=lo, hi=255,
    )  # fmt: skip


@pytest.mark.parametrize("factor", [0.5, 0.25, 0.125, 0.75, 0.0625, 0.3, 0.7, 1 / 3, 0.01, 0.9999])
@pytest.mark.parametrize("zero", [0, 3, 128, 255])
@pytest.mark.parametrize("middle", [0, 97, 128, 255])
def test_a_layer_is_the_kernel_on_every_code(factor: float, zero: int, middle: int) -> None:
    found = both(affine(*words(factor, middle, zero), zero))
    kernel = [rounding_oracle.twice_away(a - middle, factor) + zero for a in range(256)]
    assert found == [min(max(code, 0), 255) for code in kernel]


def test_halves_below_zero_go_down_and_those_above_go_up() -> None:
    layer = affine(*words(0.25, 128, 128), 128)
    assert both(layer)[120:138:2] == [126, 126, 127, 127, 128, 129, 129, 130, 130]
    once = both(layer, TWICE.replace(requantization="up"))
    assert once[120:138:2] == [126, 127, 127, 128, 128, 129, 129, 130, 130]


def test_a_clamp_is_not_passed() -> None:
    assert both(affine(*words(0.25, 128, 128), 128, lo=128))[120:128] == [128] * 8


def test_a_multiplier_below_half_of_the_largest_rounds_once() -> None:
    m, s, b = words(0.125, 128, 128)
    layer = affine(m // 2, s - 1, b // 2, 128)
    assert both(layer) == both(layer, TWICE.replace(requantization="up"))


def test_a_sum_of_two_maps_rounds_away_too() -> None:
    m, s, b = words(0.25, 0, 128)
    layer = AddLayer(
        "add", (256, 1, 1), np.array([-2 * m + 1, m], np.int32), np.array([s], np.int32),
        np.array([b], np.int64), scale=1.0, zero=128, hi=255,
    )  # fmt: skip
    found = both(layer)
    wanted = []
    for a in range(256):
        p = a * (1 - m) + b
        u = p >> s
        half = all(not p >> bit & 1 for bit in range(31, s))
        wanted.append(min(max(u - (half and u <= 128), 0), 255))
    assert found == wanted
    assert found != both(layer, TWICE.replace(requantization="up"))


def test_an_image_says_it_only_where_the_engine_has_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    net = program(affine(*words(0.25, 128, 128), 128), TWICE)
    rom.save(net, tmp_path / "net.hne")
    again = rom.load(tmp_path / "net.hne")
    assert again.config.requantization == "twice-away"
    assert '"requantization": "twice-away"' in (tmp_path / "net.hne/manifest.json").read_text()
    plain = net.replace(config=TWICE.replace(requantization="up"))
    rom.save(plain, tmp_path / "plain.hne")
    assert "requantization" not in (tmp_path / "plain.hne/manifest.json").read_text()
    assert rom.load(tmp_path / "plain.hne").config.requantization == "up"


def test_an_engine_that_rounds_otherwise_refuses_the_image(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rom.save(program(affine(*words(0.25, 128, 128), 128), TWICE), tmp_path / "net.hne")
    with pytest.raises(ImageError, match="requantization"):
        rom.load(tmp_path / "net.hne", config=TWICE.replace(requantization="up"))


@pytest.mark.parametrize("change", [{"act_w": 9, "acc_w": 32}, {"mult_w": 31}])
def test_it_takes_bytes_and_the_widest_multiplier(change: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="twice-away takes act_w up to 8"):
        TWICE.replace(**change)
