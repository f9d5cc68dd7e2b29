"""Every spelling of an operation is recognised; everything else is refused by its module path."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.compiler.fx_trace import trace
from hwsim.compiler.operations import NO_SIDES, Affine, Clamp, Flatten, Mac, Op, Pool
from hwsim.errors import CompileError
from hwsim.models.layers import HashConv2d, HashLinear, compress

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Calls(nn.Module):
    """Convolution, the function under test, and a Linear behind it if it is given one."""

    def __init__(self, function: Any, after: int = 0, **extra: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.function = function
        for name, value in extra.items():
            setattr(self, name, value)
        self.after = nn.Linear(after, 3) if after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.after(self.function(self, self.conv(x)))
        return result


def operations_of(module: nn.Module, images: Tensor = IMAGES) -> list[Op]:
    return trace(module, images).operations


def kinds(module: nn.Module, images: Tensor = IMAGES) -> list[type[Op]]:
    return [type(op) for op in operations_of(module, images)]


def refusal(module: nn.Module, images: Tensor = IMAGES) -> str:
    with pytest.raises(CompileError) as caught:
        trace(module, images)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: F.relu(x),
        lambda m, x: F.relu(x, inplace=True),
        lambda m, x: F.relu_(x),
        lambda m, x: torch.relu(x),
        lambda m, x: torch.relu_(x),
        lambda m, x: x.relu(),
        lambda m, x: x.relu_(),
        lambda m, x: m.act(x),
        lambda m, x: m.block(x),
    ],
)
def test_every_spelling_of_relu(function: Any) -> None:
    module = Calls(function, act=nn.ReLU(inplace=True), block=nn.Sequential(nn.ReLU()))
    assert kinds(module) == [Mac, Clamp]


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: F.max_pool2d(x, 3, 2),
        lambda m, x: F.max_pool2d(x, kernel_size=(3, 3), stride=(2, 2)),
        lambda m, x: F.max_pool2d(input=x, kernel_size=3, stride=2),
        lambda m, x: torch.max_pool2d(x, 3, 2),
        lambda m, x: torch.max_pool2d(x, (3, 3), [2]),
        lambda m, x: m.pool(x),
    ],
)
def test_every_spelling_of_max_pool(function: Any) -> None:
    operations = operations_of(Calls(function, pool=nn.MaxPool2d(3, stride=2)), IMAGES)
    pool = operations[1]
    assert isinstance(pool, Pool)
    assert (pool.kernel, pool.stride, pool.shape) == ((3, 3), (2, 2), (4, 3, 3))


def test_the_stride_of_a_pool_is_its_kernel_by_default() -> None:
    pool = operations_of(Calls(lambda m, x: torch.max_pool2d(x, 2)), IMAGES)[1]
    assert isinstance(pool, Pool)
    assert (pool.kernel, pool.stride) == ((2, 2), (2, 2))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda m, x: F.adaptive_max_pool2d(x, 3), "adaptive_max_pool2d"),
        (lambda m, x: F.max_pool2d_with_indices(x, 2)[0], "max_pool2d_with_indices"),
        (lambda m, x: F.max_pool2d(x, 2, return_indices=True)[0], "max_pool2d_with_indices"),
        (lambda m, x: F.fractional_max_pool2d(x, 2, 4), "fractional_max_pool2d"),
        (lambda m, x: F.lp_pool2d(x, 2, 2), "lp_pool2d"),
        (lambda m, x: m.both(x)[0], "return_indices"),
    ],
)
def test_other_functions_called_boolean_dispatch_are_no_max_pool(
    function: Any, expected: str
) -> None:
    assert expected in refusal(Calls(function, both=nn.MaxPool2d(2, return_indices=True)))


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: torch.flatten(x, 1),
        lambda m, x: torch.flatten(x, start_dim=1),
        lambda m, x: torch.reshape(x, (-1, 256)),
        lambda m, x: x.flatten(1),
        lambda m, x: x.view(x.size(0), -1),
        lambda m, x: x.view(-1, 256),
        lambda m, x: x.view(len(IMAGES), 256),
        lambda m, x: x.view(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]),
        lambda m, x: x.reshape(x.size()[0], -1),
        lambda m, x: x.reshape(x.shape[0], x.shape[1:].numel()),
        lambda m, x: x.contiguous().view(-1, 4 * 8 * 8),
        lambda m, x: m.flat(x),
        lambda m, x: x.flatten(1).view(-1, 256),
    ],
)
def test_every_spelling_of_flatten(function: Any) -> None:
    assert kinds(Calls(function, 256, flat=nn.Flatten())) == [Mac, Flatten, Mac]


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
        lambda m, x: x,
        lambda m, x: m.kept(x),
        lambda m, x: F.dropout(x, 0.5, m.training),
        lambda m, x: F.dropout(x, training=m.training),
        lambda m, x: F.dropout2d(x, p=0.1, training=False),
        lambda m, x: F.alpha_dropout(x, 0.5),
        lambda m, x: torch.dropout(x, 0.5, False),
        lambda m, x: torch.dropout(x, p=0.5, train=False),
        lambda m, x: F.adaptive_avg_pool2d(x, (8, 8)),
        lambda m, x: x.view(-1, 4, 8, 8),
        lambda m, x: x.contiguous().float().clone().detach(),
        lambda m, x: x.to(torch.float32).to(x.device),
    ],
)
def test_identities_at_inference_vanish(function: Any) -> None:
    drops = [nn.Dropout(0.5), nn.Dropout2d(), nn.AlphaDropout()]
    kept = nn.Sequential(*drops, nn.FeatureAlphaDropout(), nn.Identity(), nn.AdaptiveAvgPool2d(8))
    module = Calls(function, kept=kept)
    module.train()
    assert kinds(module) == [Mac]


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


class Plain(nn.Linear):
    """A subclass that changes nothing."""


class Masked(nn.Linear):
    """A pruned Linear: half of its weights are masked."""

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.arange(self.weight.numel()).view_as(self.weight) % 2
        return F.linear(x, self.weight * mask, self.bias)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(3, 1, 3, 3))
        self.matrix = nn.Parameter(torch.randn(5, 27))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.kernel, stride=2, padding=(0, 0)))
        return F.linear(x.flatten(1), self.matrix)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Linear(64, 5), [Flatten, Mac]),
        (Plain(64, 5), [Flatten, Mac]),
        (Masked(64, 5, bias=False), [Flatten, Mac]),
        (HashLinear(64, 5, scheme="banked"), [Flatten, Mac]),
        (nn.utils.parametrizations.weight_norm(nn.Linear(64, 5)), [Flatten, Mac]),
    ],
)
def test_every_spelling_of_linear(module: nn.Module, expected: list[type[Op]]) -> None:
    assert kinds(nn.Sequential(nn.Flatten(), module)) == expected


def test_functional_layers_carry_their_geometry() -> None:
    conv = operations_of(Functional(), IMAGES)[0]
    assert isinstance(conv, Mac)
    assert (conv.kernel, conv.stride, conv.sides, conv.spec.n_out) == ((3, 3), (2, 2), NO_SIDES, 3)
    assert kinds(Functional()) == [Mac, Clamp, Flatten, Mac]


def test_a_hashed_layer_keeps_its_real_weights_and_its_sharing() -> None:
    module = HashConv2d(1, 4, 3, stride=2, padding=1, rate=0.25, seed=9)
    (op,) = operations_of(module, IMAGES)
    assert isinstance(op, Mac)
    assert op.spec == module.spec
    np.testing.assert_array_equal(op.real, module.weight.detach().double().numpy())
    assert (op.path, op.kernel, op.stride, op.sides) == ("HashConv2d", (3, 3), (2, 2), (1, 1, 1, 1))


def test_a_dense_layer_stores_weight_i_j_at_j_times_n_out_plus_i() -> None:
    module = nn.Linear(64, 5)
    op = operations_of(nn.Sequential(nn.Flatten(), module), IMAGES)[1]
    assert isinstance(op, Mac)
    assert op.real[7 * 5 + 3] == module.weight[3, 7].item()


class Deep(nn.Module):
    """Nested user modules, a shared activation, an optional argument, a loop."""

    def __init__(self) -> None:
        super().__init__()
        inner = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2)))
        self.features = nn.ModuleList([inner, nn.Conv2d(2, 2, 3)])
        self.act, self.head = nn.ReLU(), nn.Linear(32, 4)

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        for block in self.features:
            x = self.act(block(x))
        x = x.flatten(1)
        return x if return_features else self.head(x)


def test_nested_modules_and_default_arguments() -> None:
    operations = operations_of(Deep(), IMAGES)
    assert [type(op) for op in operations] == [Mac, Affine, Clamp, Mac, Clamp, Flatten, Mac]
    assert [op.path for op in operations] == [
        "features.0.0", "features.0.1.0", "act", "features.1", "act", "flatten", "head",
    ]  # fmt: skip


def test_the_chain_computes_what_the_module_computes() -> None:
    module = compress(Deep(), rate=0.5).eval()
    x = IMAGES
    for op in operations_of(module, IMAGES):
        x = op.apply(x)
        assert x.shape[1:] == op.shape
    torch.testing.assert_close(x, module(IMAGES), rtol=1e-4, atol=1e-5)


class Normalize(nn.Module):
    def __init__(self, mean: Any, std: Any, wrong: bool = False) -> None:
        super().__init__()
        self.mean, self.std, self.wrong = mean, std, wrong

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:  # cannot be traced: a Normalize is taken as a whole
            raise ValueError("images expected")
        mean = torch.as_tensor(self.mean).view(-1, 1, 1)
        return (x - mean) / torch.as_tensor(self.std).view(-1, 1, 1) * (2 if self.wrong else 1)


@pytest.mark.parametrize(
    ("function", "scale", "offset"),
    [
        (lambda m, x: (x - 0.25) / 0.5, 2, -0.5),
        (lambda m, x: (x - m.quarter) / m.two_quarters, 2, -0.5),
        (lambda m, x: (x - m.quarter.to(x.device)) / m.two_quarters.type_as(x), 2, -0.5),
        (lambda m, x: (x - m.quarter[None, :, None, None]) / 0.5, 2, -0.5),
        (lambda m, x: x.sub(0.25).div(0.5), 2, -0.5),
        (lambda m, x: x.sub_(0.25).div_(0.5), 2, -0.5),
        (lambda m, x: torch.div(torch.sub(x, 0.25), other=0.5), 2, -0.5),
        (lambda m, x: 2 * x - 0.5, 2, -0.5),
        (lambda m, x: -0.5 + x * torch.tensor(2.0), 2, -0.5),
        (lambda m, x: 1 - x, -1, 1),
        (lambda m, x: m.norm(x), 2, -0.5),
        (lambda m, x: m.lists(x), 2, -0.5),
    ],
)
def test_every_spelling_of_normalization(function: Any, scale: float, offset: float) -> None:
    module = Calls(
        function,
        quarter=nn.Parameter(torch.tensor([0.25])),
        two_quarters=torch.tensor(0.5),
        norm=Normalize(torch.tensor([0.25]), torch.tensor([0.5])),
        lists=Normalize([0.25], 0.5),
    )
    module.conv = nn.Identity()  # type: ignore[assignment]
    before = IMAGES.clone()
    operations = operations_of(module, IMAGES)
    slopes, offsets = np.ones((1, 8, 8)), np.zeros((1, 8, 8))
    for op in operations:
        assert isinstance(op, Affine)
        slopes, offsets = slopes * op.scale, offsets * op.scale + op.offset
    np.testing.assert_allclose(slopes, scale)
    np.testing.assert_allclose(offsets, offset)
    assert torch.equal(IMAGES, before)


def test_a_constant_broadcasts_as_torch_says() -> None:
    row = torch.linspace(0, 1, 8)
    (op,) = operations_of(Add(row), IMAGES)
    assert isinstance(op, Affine)
    np.testing.assert_allclose(op.offset[0, 3], row.numpy())


class Add(nn.Module):
    def __init__(self, constant: Tensor) -> None:
        super().__init__()
        self.register_buffer("constant", constant)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.constant


def test_a_constant_that_adds_channels_is_refused() -> None:
    assert "changes the shape" in refusal(Add(torch.zeros(3, 1, 1)))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda m, x: x / x.size(0) + x.mean(), "Tensor.mean cannot run"),
        (lambda m, x: x + x.mean((2, 3), keepdim=True), "which broadcasts"),
        (lambda m, x: x * x.amax((2, 3), keepdim=True), "which broadcasts"),
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


def test_a_convolution_carries_its_groups_and_four_sides() -> None:
    module = nn.Conv2d(4, 8, (4, 3), (2, 1), padding=(2, 0), groups=4)
    (op,) = operations_of(nn.Sequential(module), torch.rand(3, 4, 9, 8))
    assert isinstance(op, Mac)
    assert (op.groups, op.kernel, op.stride, op.sides) == (4, (4, 3), (2, 1), (0, 0, 2, 2))
    assert (op.spec.n_out, op.spec.fan_in, op.shape) == (8, 12, (8, 5, 6))


def test_an_even_kernel_with_same_padding_has_the_odd_zero_behind_the_map() -> None:
    (op,) = operations_of(nn.Conv2d(1, 2, 4, padding="same"))
    assert isinstance(op, Mac)
    assert op.sides == (1, 2, 1, 2)


def test_windows_of_a_pool_may_reach_beyond_the_map() -> None:
    (op,) = operations_of(nn.MaxPool2d(3, 2, padding=1, ceil_mode=True))
    assert isinstance(op, Pool)
    assert (op.kernel, op.stride, op.sides, op.shape) == ((3, 3), (2, 2), (1, 2, 1, 2), (1, 5, 5))


def test_a_valid_padding_is_none() -> None:
    (op,) = operations_of(nn.Conv2d(1, 2, 3, padding="valid"), IMAGES)
    assert isinstance(op, Mac)
    assert op.sides == NO_SIDES


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


def test_the_module_and_the_images_are_left_as_they_were() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True), nn.Dropout(), nn.Flatten()
    )
    module.double().train()
    module[3].eval()
    flags = [m.training for m in module.modules()]
    state = {name: value.clone() for name, value in module.state_dict().items()}
    images = IMAGES.clone()
    operations_of(module, images)
    assert [m.training for m in module.modules()] == flags
    assert torch.equal(images, IMAGES)
    for name, value in module.state_dict().items():
        assert value.dtype == state[name].dtype
        assert torch.equal(value, state[name])
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


def test_samples_are_the_values_before_an_inplace_relu() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True))
    conv, relu = operations_of(module, IMAGES)
    assert conv.samples.min() < 0
    np.testing.assert_array_equal(np.maximum(conv.samples, 0), relu.samples)


def test_samples_come_from_every_column_of_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwsim.compiler.recorder.MAX_SAMPLES", 2048)
    monkeypatch.setattr("hwsim.compiler.fx_trace.CHUNK", 7)
    columns = torch.arange(32.0).expand(64, 1, 32, 32) / 31
    op = operations_of(nn.Sequential(Add(torch.full((1,), 0.5))), columns)[0]
    assert len(np.unique(op.samples)) == 32
    assert 1000 < op.samples.size < 4096
