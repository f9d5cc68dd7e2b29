"""Every spelling of an operation is recognised."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.compiler.operations import NO_SIDES, Affine, Clamp, Flatten, Mac, Op, Pool
from hwsim.models.layers import HashConv2d, HashLinear, compress
from tests.traced import IMAGES, Add, Calls, Normalize, kinds, operations_of, refusal


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
