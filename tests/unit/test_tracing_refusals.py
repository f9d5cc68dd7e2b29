"""What tracing refuses is named by its module's path, with advice."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.compiler.fx_trace import trace
from hwsim.compiler.operations import Flatten, Mac
from hwsim.errors import CompileError
from hwsim.models.layers import HashLinear
from tests.traced import IMAGES, Add, Calls, Normalize, kinds, refusal


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x.view(-1, 128),
        lambda m, x: x.flatten(2),
        lambda m, x: x.view(-1, 4, 4, 16),
        lambda m, x: x.reshape(-1, 2, 8, 8),
        lambda m, x: x.flatten(),
    ],
)
def test_a_reshape_that_is_no_flattening_is_refused(function: Any) -> None:
    assert "only flattening to (N, features)" in refusal(Calls(function))


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: F.dropout(x),
        lambda m, x: F.dropout2d(x, 0.5, True),
        lambda m, x: torch.dropout(x, 0.5, train=True),
        lambda m, x: F.alpha_dropout(x, 0.5, training=True),
    ],
)
def test_dropout_that_stays_on_is_refused(function: Any) -> None:
    assert "training=self.training" in refusal(Calls(function))


def test_a_constant_that_adds_channels_is_refused() -> None:
    assert "changes the shape" in refusal(Add(torch.zeros(3, 1, 1)))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda m, x: x / x.size(0) + x.mean(), "Tensor.mean cannot run"),
        (lambda m, x: x + x.mean((2, 3), keepdim=True), "which broadcasts"),
        (lambda m, x: x * x.amax((2, 3), keepdim=True), "leave gates of channels out"),
        (lambda m, x: torch.cat([x, x], 2), "along axis 2: the engine concatenates channels"),
        (lambda m, x: torch.cat([x, torch.ones(6, 1, 8, 8)], 1), "concatenates a constant"),
        (lambda m, x: torch.stack([x, x], 1), "stack cannot run"),
        (lambda m, x: torch.maximum(x, m.conv2(x)), "maximum cannot run"),
        (lambda m, x: x / m.conv2(x), "truediv cannot run"),
        (lambda m, x: torch.div(x, 0.5, rounding_mode="floor"), "div cannot run"),
        (lambda m, x: 1 / x, "truediv cannot run"),
        (lambda m, x: x / 0, "NaN or infinity"),
        (lambda m, x: x.chunk(2, 2)[0], "splits along axis 2: the engine splits channels"),
        (lambda m, x: x[:, 1], "getitem cannot run"),
        (lambda m, x: x[:, ::2], "getitem cannot run"),
        (lambda m, x: x[:, :, 1:], "getitem cannot run"),
        (lambda m, x: x[:, :, :4], "getitem cannot run"),
        (lambda m, x: x.permute(0, 2, 3, 1), "Tensor.permute cannot run"),
        (lambda m, x: x.unsqueeze(1), "Tensor.unsqueeze cannot run"),
        (lambda m, x: torch.matmul(x, x), "matmul cannot run"),
        (lambda m, x: F.scaled_dot_product_attention(x, x, x), "use convolutions"),
        (lambda m, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), "over fewer pixels"),
        (lambda m, x: F.avg_pool2d(x, 3, ceil_mode=True), "over fewer pixels"),
        (lambda m, x: F.adaptive_avg_pool2d(x, 3), "with windows of different sizes"),
        (lambda m, x: F.softmax(x, 1), "only at the end it can be dropped"),
        (lambda m, x: x.softmax(1), "only at the end it can be dropped"),
        (lambda m, x: F.layer_norm(x, (8, 8)), "use BatchNorm2d"),
        (
            lambda m, x: F.batch_norm(x, torch.zeros(4), torch.ones(4), training=True),
            "training=False",
        ),
        (lambda m, x: F.max_pool2d(x, 2, dilation=2), "leave them at their defaults"),
        (lambda m, x: F.prelu(x, torch.ones(4)), "use one slope"),
        (lambda m, x: (x, m.conv2(x))[0], "this dead branch"),
        (lambda m, x: F.conv2d(x, x.mean() * torch.ones(1, 4, 3, 3)), "Tensor.mean cannot run"),
        (lambda m, x: F.conv2d(x, x[:1, :, :3, :3]), "getitem cannot run"),
    ],
)
def test_what_the_engine_cannot_do_is_refused_with_advice(function: Any, expected: str) -> None:
    assert expected in refusal(Calls(function, conv2=nn.Conv2d(4, 4, 3, padding=1)))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Softmax(1), "only at the end it can be dropped"),
        (nn.LayerNorm([1, 8, 8]), "LayerNorm cannot run on the engine: use BatchNorm2d"),
        (nn.GroupNorm(1, 1), "use BatchNorm2d"),
        (
            nn.ConvTranspose2d(1, 2, 3),
            "ConvTranspose2d cannot run on the engine: the engine makes no map larger",
        ),
        (nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), "padding_mode='reflect'"),
        (nn.Linear(8, 2), "add nn.Flatten"),
        (HashLinear(8, 2), "add nn.Flatten"),
        (nn.BatchNorm2d(1, track_running_stats=False), "track_running_stats=True"),
        (Normalize([0.1, 0.2], 0.5), "changes the shape (1, 8, 8) to (2, 8, 8)"),
    ],
)
def test_an_unsupported_module_is_refused_by_its_path(layer: nn.Module, expected: str) -> None:
    message = refusal(nn.Sequential(nn.Identity(), nn.Sequential(layer)))
    assert message.startswith("1.0: ")
    assert expected in message


class Forward(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.fc, self.function = nn.Linear(64, 3), function

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda m, x: (m.fc(x.flatten(1)), 1), "must return one tensor"),
        (lambda m, x: {"logits": m.fc(x.flatten(1))}, "must return one tensor"),
        (lambda m, x: torch.zeros(6, 3), "its result is not used"),
        (lambda m, x: m.fc(x.flatten(1)) if x.sum() > 0 else x, "cannot be traced"),
        (lambda m, x: m.fc(x.flatten(1) if len(x) else x), "cannot be traced"),
        (lambda m, x: m.fc(torch.from_numpy(x.numpy())), "cannot be traced"),
    ],
)
def test_a_forward_that_is_no_chain_is_refused(function: Any, expected: str) -> None:
    assert expected in refusal(Forward(function))


def test_control_flow_is_blamed_on_the_innermost_module() -> None:
    inner = Forward(lambda m, x: x if x.max() > 1 else -x)
    message = refusal(nn.Sequential(nn.Identity(), nn.Sequential(inner)))
    assert message.startswith("1.0: cannot be traced")
    assert message.endswith("without control flow that depends on the data")


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


def test_two_inputs_are_refused() -> None:
    assert "exactly one tensor, this one takes 2" in refusal(Two())


def test_a_layer_that_does_not_run_is_named() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(3, 2, 3))
    message = refusal(module)
    assert message.startswith("2: does not run on calibration images of shape (1, 8, 8)")


def test_a_batch_size_written_into_forward_is_refused() -> None:
    module = Calls(lambda m, x: x.view(12, -1), 256)
    assert "write forward() for any number of images" in refusal(module, torch.rand(12, 1, 8, 8))


def test_a_module_that_cannot_be_copied_is_refused_by_the_attribute() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(64, 3)))
    module[1].lock = threading.Lock()
    assert refusal(module).startswith("1.lock: cannot be copied (cannot pickle")


def test_something_else_than_a_module_is_refused() -> None:
    with pytest.raises(CompileError, match=r"expected a torch\.nn\.Module, got function"):
        trace(lambda x: x, IMAGES)  # type: ignore[arg-type]


def test_weights_that_give_nan_are_refused_by_name() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        module[1].weight[0, 0] = torch.nan
    assert refusal(module).startswith("1: gives NaN or infinity")


def test_nan_in_a_real_weight_that_nobody_reads_is_refused_too() -> None:
    layer = HashLinear(64, 3, rate=1.0, seed=1)
    unread = set(range(layer.spec.real_weights)) - {s % 192 for s in layer.slot.tolist()}
    with torch.no_grad():
        layer.weight[unread.pop()] = torch.nan
    assert refusal(nn.Sequential(nn.Flatten(), layer)).startswith("1: weights, bias or constants")


def test_a_hook_that_changes_the_result_is_refused() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    module[1].register_forward_hook(lambda m, args, out: out + 1)
    assert "remove hooks" in refusal(module)


def test_a_normalize_that_does_something_else_is_refused() -> None:
    module = nn.Sequential(Normalize([0.1], [0.5], wrong=True), nn.Flatten(), nn.Linear(64, 3))
    assert "do not compute what it returns" in refusal(module)


def test_a_hook_that_only_looks_is_welcome() -> None:
    module, seen = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), []
    module[1].register_forward_hook(lambda m, args, out: seen.append(out))
    assert kinds(module) == [Flatten, Mac]
