"""Exported graphs answer as the engine does, in other people's runtimes, and hold its integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hwsim.compiler.compiler import compile
from hwsim.engine.module import Engine
from hwsim.engine.reference_hash import virtual_weights
from hwsim.errors import InputError
from hwsim.exporter import arithmetic, check, graph, libraries
from hwsim.exporter.check import compare
from hwsim.exporter.graph import build
from hwsim.numbers.config import load_config
from hwsim.program.layers import AverageLayer, MacLayer, Window
from hwsim.program.program import Numbers, Program
from tests.images import residual_program, small_program

onnx = pytest.importorskip("onnx", reason="onnx is not installed: make test installs it")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: make test installs it")


TINY = load_config("tiny")
NARROW = TINY.replace(act_w=5, wgt_w=4, mult_w=12)


class Parts(nn.Module):
    """Two branches side by side, cut into other parts, with groups, a sum, and a global pool."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(2, 3, 3, padding=1)
        self.two = nn.Conv2d(2, 5, 1)
        self.three = nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4)
        self.four = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.five = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.one(x).relu(), self.two(x)], 1)
        total = self.three(both[:, :4]) + self.four(both[:, 4:]) + self.five(both[:, 2:6])
        small: Tensor = self.last(self.pool(total).mean((2, 3)))
        return small


def branching() -> Program:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net, x = Parts().eval(), torch.rand(64, 2, 7, 7)
    # Short multipliers, so that no sum is nearer to a tie than single precision can tell.
    return compile(net, x, TINY.replace(mult_w=8))


PROGRAMS = {
    "chain": lambda: small_program(TINY),
    "every kind of layer": lambda: residual_program(TINY),
    "narrow": lambda: small_program(NARROW),
    "narrow, every kind": lambda: residual_program(NARROW),
    "parts": branching,
}


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Program:
    return PROGRAMS[request.param]()


def images(program: Program, count: int = 12) -> np.ndarray:
    shape = (count, *program.input_shape)
    return np.random.default_rng(1).integers(0, program.config.act_max + 1, shape)


def answers(program: Program, codes: np.ndarray) -> np.ndarray:
    return Engine(program).answer(codes.transpose(0, 2, 3, 1).astype(np.uint8))


@pytest.mark.parametrize("name", ["qcdq", "qonnx"])
def test_the_runtime_gives_every_logit_as_the_engine_does(program: Program, name: str) -> None:
    if name == "qonnx":
        pytest.importorskip("qonnx", reason="qonnx wants an older onnx before Python 3.11")
    codes = images(program, 12 if name == "qcdq" else 4)
    first, *_ = compare(program, build(program, name), name, codes, answers(program, codes))
    assert (first.answers, first.equal) == (len(codes), 1.0)
    # What is left is the rounding of single precision, far from half a step.
    assert first.logits < 0.01


def test_a_difference_is_seen_and_stated() -> None:
    program = small_program(TINY)
    codes = images(program)
    wrong = answers(program, codes)
    wrong[3, 0] += 7
    off, default = compare(program, build(program, "qcdq"), "qcdq", codes, wrong)
    assert off.logits == pytest.approx(7, abs=0.01)
    assert off.largest == np.abs(wrong).max()
    assert off.equal == 1 - 1 / wrong.size
    assert "optimizations off: " in str(off)
    assert "largest difference 7 LSB of logits up to ±" in str(off)
    assert default.runtime == "ONNX Runtime, its default"


def test_qcdq_is_standard_onnx_with_the_dense_integers_of_the_oracle() -> None:
    program = residual_program(NARROW)
    model = build(program, "qcdq")
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    kept = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    for layer in program.mac_layers:
        integers = kept[f"{layer.name}_w_int"]
        assert integers.dtype == np.int8
        dense = np.array(virtual_weights(layer))
        assert np.array_equal(np.abs(integers.reshape(layer.n_out, -1)), np.abs(dense))
    assert [kept["conv0_w_lo"], kept["conv0_w_hi"]] == [-7, 7]


def test_qonnx_says_how_many_bits() -> None:
    model = build(residual_program(NARROW), "qonnx")
    kept = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    quants = [node for node in model.graph.node if node.op_type == "Quant"]
    assert {node.domain for node in quants} == {"qonnx.custom_op.general"}
    bits = {node.name: int(kept[node.input[3]]) for node in quants}
    assert {bits[name] for name in bits if "_w_" in name} == {4}
    assert {bits[name] for name in bits if "_w_" not in name} == {5}


@given(st.integers(-(2**50), 2**50), st.integers(0, 47))
def test_half_a_step_of_the_fraction_makes_rounding_to_even_the_engines(t: int, s: int) -> None:
    power = Fraction(2) ** s
    assert round((t - power / 2 + Fraction(1, 2)) / power) == t >> s


@given(st.integers(0, 47))
def test_and_keeps_the_sum_away_from_the_middle(s: int) -> None:
    power = Fraction(2) ** s
    for t in range(min(2**s, 64)):
        between = (t - power / 2 + Fraction(1, 2)) / power
        assert abs(between - round(between)) <= Fraction(1, 2) - Fraction(1, 2) / power


@given(st.integers(1, 2**16 - 1), st.integers(8, 30), st.integers(-(2**30), 2**30))
def test_an_average_keeps_every_sum_away_from_the_middle(m: int, s: int, b: int) -> None:
    shape = (1, 2, 2)
    layer = AverageLayer(
        "mean", shape, (1, 1, 1), Window((2, 2), (2, 2)), np.array([m], np.int32),
        np.array([s], np.int32), np.array([b]), last=False, scale=1.0, hi=31,
    )  # fmt: skip
    offset = Fraction(float(arithmetic.average(layer, Numbers(1.0, 0), 31).offset[0]))
    kept, half = [], Fraction(1, 2)
    for total in range(4 * 31 + 1):
        exact = Fraction(total * m, 2**s) + offset
        code = (total * m + b) >> s
        if -1 <= code <= 32:
            assert round(exact) == code
            kept.append(half - abs(exact - code))
    # Nearer to the next code on both sides alike: no other offset keeps the nearest farther.
    if kept:
        below = [Fraction(t * m + b, 2**s) % 1 for t in range(125) if -1 <= (t * m + b) >> s <= 32]
        assert min(kept) == (1 - (max(below) - min(below))) / 2


def test_sums_that_are_ties_leave_a_runtime_no_choice() -> None:
    """One code in four of a 2x2 mean of whole codes lies in the middle between two."""
    x = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    net = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3)).eval()
    program = compile(net, x, load_config("default").replace(mult_w=31))
    codes = images(program, 64)
    first, *_ = compare(program, build(program, "qcdq"), "qcdq", codes, answers(program, codes))
    assert first.equal == 1


def test_a_row_without_a_multiplier_is_constant() -> None:
    program = small_program(TINY)
    conv = program.layers[0]
    assert isinstance(conv, MacLayer)
    conv.multiplier[1] = 0
    codes = images(program)
    first, *_ = compare(program, build(program, "qcdq"), "qcdq", codes, answers(program, codes))
    assert first.equal == 1


@pytest.mark.parametrize("change", [dict(act_w=9), dict(wgt_w=9)])
def test_more_than_8_bits_are_no_qcdq_but_qonnx(change: dict[str, int]) -> None:
    program = small_program(TINY.replace(lut_tables=0, **change))
    with pytest.raises(InputError, match=r"have 9: take --format qonnx, or --bits 8"):
        build(program, "qcdq")
    assert build(program, "qonnx").graph.node


def test_a_network_that_no_file_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MAX_BYTES", 100)
    with pytest.raises(InputError, match=r"take 177 bytes, but a file of ONNX holds 100"):
        build(small_program(TINY), "qcdq")


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    program = small_program(TINY)
    model, codes = build(program, "qcdq"), images(program)
    monkeypatch.setattr(check, "there", lambda module: False)
    assert compare(program, model, "qcdq", codes, answers(program, codes)) == []
    monkeypatch.setattr(libraries, "there", lambda module: False)
    with pytest.raises(InputError, match=r"this needs onnx.*pip install 'hwsim\[import\]'"):
        build(program, "qcdq")
