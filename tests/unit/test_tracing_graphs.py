"""Graphs: several consumers, sums, parts; the same from torch.export; in-place writes; refusals."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.ao.nn.quantized import FloatFunctional

from hwsim.compiler.folding import folded
from hwsim.compiler.fx_trace import trace
from hwsim.compiler.operations import (
    Add,
    Affine,
    Average,
    Clamp,
    Concat,
    Flatten,
    Mac,
    Op,
    Pointwise,
    Pool,
    Slice,
    Softmax,
)
from hwsim.errors import CompileError

IMAGES = torch.rand(6, 4, 8, 8, generator=torch.Generator().manual_seed(0))


class Function(nn.Module):
    """A function of a module with some layers, and an image."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.act, self.sum = nn.ReLU(inplace=True), FloatFunctional()
        self.prelu, self.norm = nn.PReLU(), nn.BatchNorm2d(4)
        self.fc, self.line = nn.Linear(256, 5), nn.Conv1d(4, 6, 3, padding=1)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def kinds(function: Callable[[Any, Tensor], Any], images: Tensor = IMAGES) -> list[type[Op]]:
    return [type(op) for op in trace(Function(function), images).operations]


def refusal(module: Any, images: Tensor = IMAGES) -> str:
    with pytest.raises(CompileError) as caught:
        folded(trace(module, images))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def swapped(halves: Any) -> Tensor:
    first, second = halves
    return torch.cat([second, first], 1)


SUMS: list[Callable[[Any, Tensor], Tensor]] = [
    lambda m, x: m.one(x) + m.two(x),
    lambda m, x: torch.add(m.one(x), m.two(x)),
    lambda m, x: torch.add(m.one(x), m.two(x), alpha=1),
    lambda m, x: operator.iadd(m.one(x), m.two(x)),
    lambda m, x: m.one(x).add_(m.two(x)),
    lambda m, x: m.sum.add(m.one(x), m.two(x)),
    lambda m, x: m.one(x) - m.two(x),
    lambda m, x: m.one(x).add(m.two(x), alpha=-2),
]


@pytest.mark.parametrize("function", SUMS)
def test_every_spelling_of_a_sum_of_two_maps(function: Any) -> None:
    assert kinds(function) == [Mac, Mac, Add]


def test_a_map_may_be_added_to_itself() -> None:
    graph = trace(Function(lambda m, x: x + x), IMAGES)
    (node,) = graph.nodes[1:]
    assert isinstance(node.op, Add)
    assert node.inputs == (graph.input, graph.input)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda m, x: torch.cat([m.one(x), x], 1), [Mac, Concat]),
        (lambda m, x: torch.concat((m.one(x), x), dim=-3), [Mac, Concat]),
        (lambda m, x: torch.cat([x, x], axis=1), [Concat]),  # type: ignore[call-arg]
        (lambda m, x: m.sum.cat([x, m.two(x)], 1), [Mac, Concat]),
        (lambda m, x: swapped(x.chunk(2, 1)), [Slice, Slice, Concat]),
        (lambda m, x: swapped(x.split([1, 3], dim=1)), [Slice, Slice, Concat]),
        (lambda m, x: torch.split(x, 2, 1)[1], [Slice]),
        (lambda m, x: torch.tensor_split(x, 4, 1)[-1], [Slice]),
        (lambda m, x: x[:, 1:3], [Slice]),
        (lambda m, x: x[:, -1:, ...], [Slice]),
        (lambda m, x: x.narrow(1, 2, 2), [Slice]),
        (lambda m, x: x[:, :, ::2, ::3], [Pool]),
        (lambda m, x: F.avg_pool2d(x, 2), [Average]),
        (lambda m, x: F.avg_pool2d(x, 3, 1, 1), [Mac]),
        (lambda m, x: F.adaptive_avg_pool2d(x, (4, 1)), [Average]),
        (lambda m, x: x.mean((2, 3)), [Average]),
        (lambda m, x: x.mean((-2, -1), keepdim=True), [Average]),
        (lambda m, x: torch.mean(x, dim=3, keepdim=True), [Average]),
        (lambda m, x: x.sum((2, 3)), [Average]),
        (lambda m, x: x.amax((2, 3)), [Pool]),
        (lambda m, x: F.adaptive_max_pool2d(x, 1), [Pool]),
        (lambda m, x: F.max_pool2d(x, (2, 3), (1, 2), padding=1, ceil_mode=True), [Pool]),
        (lambda m, x: F.relu6(x), [Clamp]),
        (lambda m, x: F.hardtanh(x), [Clamp]),
        (lambda m, x: x.clamp(-0.5, 2), [Clamp]),
        (lambda m, x: torch.clamp_max(x, 3.0), [Clamp]),
        (lambda m, x: F.leaky_relu(x, 0.1), [Pointwise]),
        (lambda m, x: F.leaky_relu(x), [Pointwise]),
        (lambda m, x: F.gelu(x, approximate="tanh"), [Pointwise]),
        (lambda m, x: torch.sigmoid(x).tanh(), [Pointwise, Pointwise]),
        (lambda m, x: m.prelu(x), [Pointwise]),
        (lambda m, x: F.threshold(x, 0.5, 0.25), [Pointwise]),
        (lambda m, x: -x, [Affine]),
        (lambda m, x: m.norm(x), [Affine]),
        (lambda m, x: F.batch_norm(x, torch.zeros(4), torch.full((4,), 2.0)), [Affine]),
        (lambda m, x: x.flatten(1) @ torch.ones(256, 3), [Flatten, Mac]),
        (lambda m, x: F.log_softmax(m.fc(x.flatten(1)), -1), [Flatten, Mac, Softmax]),
        (lambda m, x: m.line(x[:, :, 0:1].squeeze(2)), None),
    ],
)
def test_what_is_recognised(function: Any, expected: Any) -> None:
    if expected is None:
        assert "getitem cannot run" in refusal(Function(function))
    else:
        assert kinds(function) == expected


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (
            nn.Sequential(nn.Conv1d(4, 6, 5, 2, 2), nn.BatchNorm1d(6), nn.MaxPool1d(3, 2, 1)),
            (4, 16),
        ),
        (
            nn.Sequential(nn.ZeroPad1d((1, 2)), nn.Conv1d(4, 4, 3, groups=2), nn.AvgPool1d(2)),
            (4, 9),
        ),
        (nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2)), (4, 9)),
        (nn.Sequential(nn.ZeroPad1d((6, 0)), nn.Conv1d(4, 4, 3, dilation=3), nn.ReLU()), (4, 12)),
        (
            nn.Sequential(nn.Conv2d(4, 6, (3, 2), dilation=(2, 3), padding="same", groups=2)),
            (4, 9, 8),
        ),
        (nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2)), (7,)),
        (nn.Sequential(nn.Conv1d(1, 2, 3, padding="same"), nn.AdaptiveMaxPool1d(2)), (1, 8)),
    ],
)
def test_series_and_vectors_are_traced(module: nn.Module, shape: tuple[int, ...]) -> None:
    trace(module.eval(), torch.rand(5, *shape))  # which compares with the module


# --- products -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x * torch.sigmoid(x),
        lambda m, x: x * F.relu6(x + 3) / 6,
        lambda m, x: x.tanh() * F.softplus(x),
        lambda m, x: x * x,
        lambda m, x: (2 * x) * (1 - x).clamp(0, 1) * x,
    ],
)
def test_products_of_functions_of_one_map_are_functions(function: Any) -> None:
    module = Function(function)
    graph, _ = folded(trace(module, IMAGES))
    assert all(isinstance(op, Pointwise | Affine) for op in graph.operations)
    torch.testing.assert_close(graph.run(IMAGES), module(IMAGES), rtol=1e-5, atol=1e-6)


def test_a_product_of_two_maps_is_refused() -> None:
    assert "mul: multiplies two maps" in refusal(Function(lambda m, x: m.one(x) * m.two(x)))


# --- writing in place ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.act(m.one(x)),
        lambda m, x: (lambda y: m.two(m.act(y)) + y)(m.one(x)),
        lambda m, x: (lambda y: [F.relu_(y), m.two(y) + y][1])(m.one(x)),
        lambda m, x: (lambda y: [y.add_(1.0), m.two(y)][1])(m.one(x)),
    ],
)
def test_what_is_written_in_place_is_read_by_all_that_follow(function: Any) -> None:
    module = Function(function)
    graph = trace(module, IMAGES)
    torch.testing.assert_close(graph.run(IMAGES), module(IMAGES), rtol=1e-4, atol=1e-5)


# --- torch.export -------------------------------------------------------------------------------


class Small(nn.Module):
    """What two spellings of one graph have to agree on."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6))
        self.short, self.act = nn.Conv2d(4, 6, 1, 2), nn.Hardswish()
        self.pool, self.drop = nn.MaxPool2d(3, 1, 1, ceil_mode=True), nn.Dropout()
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - 0.25) / 0.5
        x = F.relu(self.block(x) + self.short(x))
        left, right = x.chunk(2, 1)
        x = torch.cat([self.act(right), F.relu6(left)], 1)
        x = F.avg_pool2d(self.pool(x), 2)
        logits: Tensor = self.head(self.drop(x.view(x.size(0), -1)))
        return F.log_softmax(logits, 1)


def small() -> nn.Module:
    torch.manual_seed(4)
    module = Small()
    nn.init.uniform_(module.block[1].running_mean)
    return module.eval()


def exported(batch: int = 3, dynamic: bool = False) -> Any:
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    return torch.export.export(small(), (IMAGES[:batch],), dynamic_shapes=shapes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [
        lambda: exported(),
        lambda: exported(dynamic=True),
        lambda: exported().run_decompositions(),
        lambda: exported(dynamic=True).run_decompositions(),
        lambda: exported().module(),
    ],
)
def test_an_exported_program_is_the_same_graph(program: Callable[[], Any]) -> None:
    module = small()
    graph, notes = folded(trace(program(), IMAGES))
    plain, others = folded(trace(module, IMAGES))
    assert len(notes) == len(others) == 1
    torch.testing.assert_close(graph.run(IMAGES), plain.run(IMAGES), rtol=1e-4, atol=1e-5)
    weighted = [op for op in graph.operations if isinstance(op, Mac)]
    for op, twin in zip(weighted, [o for o in plain.operations if isinstance(o, Mac)], strict=True):
        assert op.path.split(".")[0] == twin.path.split(".")[0]
        assert op.spec == twin.spec


def test_a_program_from_a_file_is_the_same_graph(tmp_path: Path) -> None:
    torch.export.save(exported(), tmp_path / "small.pt2")
    graph = trace(torch.export.load(tmp_path / "small.pt2"), IMAGES)
    assert len(graph.nodes) == len(trace(exported(), IMAGES).nodes)


class Twice(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Loop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda v: v + 1, lambda v: v - 1, (x,))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: torch.export.export(Twice(), (IMAGES, IMAGES)), "takes 2 inputs"),
        (lambda: torch.export.export(Loop(), (IMAGES,)), "control flow"),
        (lambda: torch.export.export(nn.BatchNorm2d(4).train(), (IMAGES,)), "depends on the batch"),
        (lambda: torch.export.export(nn.Dropout().train(), (IMAGES,)), "dropout is active"),
    ],
)
def test_exported_programs_that_cannot_run_are_refused(build: Any, expected: str) -> None:
    assert expected in refusal(build())


# --- what is refused ----------------------------------------------------------------------------


def test_a_dead_branch_is_refused_by_its_path() -> None:
    message = refusal(Function(lambda m, x: [m.two(x), m.one(x)][1]))
    assert message == (
        "two: its result is not used by what the network returns: remove this dead branch"
    )


class Cycle(nn.Module):
    """Holds itself, and calls itself."""

    def __init__(self) -> None:
        super().__init__()
        self.again = [self]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.again[0](x) + 1
        return result


@pytest.mark.parametrize(
    ("module", "images", "expected"),
    [
        (Cycle(), IMAGES, "Cycle: "),
        (
            nn.Sequential(nn.LSTM(8, 3)),
            IMAGES[:, 0],
            "0: LSTM cannot run on the engine: the engine",
        ),
        (nn.Sequential(nn.GRU(8, 3)), IMAGES[:, 0], "0: GRU cannot run on the engine"),
        (
            nn.TransformerEncoderLayer(8, 2, batch_first=True),
            IMAGES[:, 0],
            "TransformerEncoderLayer cannot run",
        ),
        (Function(lambda m, x: x[:, :0]), IMAGES, "getitem: gives no values, only the shape"),
        (Function(lambda m, x: x.sum()), IMAGES, "Tensor.sum cannot run"),
        (Function(lambda m, x: x * (x > 0.5)), IMAGES, "gt: gt cannot run"),
        (Function(lambda m, x: x + torch.rand(1)), IMAGES, "do not compute what it returns"),
        (Function(lambda m, x: torch.fft.fft2(x).abs()), IMAGES, "complex64 values"),
        (Function(lambda m, x: [x]), IMAGES, "must return one tensor"),
        (Function(lambda m, x: x + x.mean((2, 3), keepdim=True)), IMAGES, "which broadcasts"),
        (Twice(), IMAGES, "exactly one tensor, this one takes 2"),
        (Loop(), IMAGES, "without control flow"),
        (Function(lambda m, x: torch.cat(x.chunk(2, 1), 1)), IMAGES, "cat: takes several maps"),
    ],
)
def test_hostile_modules_are_refused_in_one_line(
    module: nn.Module, images: Tensor, expected: str
) -> None:
    message = refusal(module, images)
    assert expected in message
