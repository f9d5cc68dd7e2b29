"""Networks that people measure engines with: sizes and shapes that the literature gives."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from hwsim.models import zoo
from hwsim.models.architectures import ARCHITECTURES
from hwsim.models.layers import HashConv2d, HashLinear, decode
from hwsim.models.residual import Block
from tools.tables.networks import MEASURED, products

SHAPES = {name: shape for name, (shape, _, _) in MEASURED.items()}
KNOWN = sorted(name for name, spec in zoo.SPECS.items() if spec.architecture in SHAPES)


def shapes(module: nn.Module, size: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Path of every part -> shape of what it gives for one image, without the batch axis."""
    found: dict[str, tuple[int, ...]] = {}

    def keep(path: str, _: nn.Module, __: object, given: Tensor) -> None:
        found[path] = tuple(given.shape[1:])

    for path, part in module.named_modules():
        part.register_forward_hook(partial(keep, path))
    with torch.no_grad():
        module.eval()(torch.zeros(1, *size))
    return found


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", SHAPES)
def test_an_image_gives_ten_logits_and_a_batch_as_many(name: str) -> None:
    module = ARCHITECTURES[name]().eval()
    with torch.no_grad():
        assert module(torch.rand(3, *SHAPES[name])).shape == (3, 10)


def test_products_of_one_image_are_counted_by_hand() -> None:
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)  # 6 x 4 x 4 sums of 2 x 9
    module = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(96, 5))
    assert products(module, (4, 8, 8)) == 96 * 18 + 96 * 5


def test_lenet5_is_the_one_of_1998_with_the_connections_of_today() -> None:
    """LeCun et al. 1998, section II.B: C1 156, C5 48,120 and F6 10,164 parameters."""
    module = ARCHITECTURES["lenet5"]()
    layers = [part for part in module.children() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert [parameters(layer) for layer in layers] == [156, 2_416, 48_120, 10_164, 850]
    given = shapes(module, (1, 28, 28))
    assert [given[str(k)] for k in (0, 2, 3, 5)] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5)
    ]  # fmt: skip
    assert sum(isinstance(part, nn.Tanh) for part in module.children()) == 4
    assert sum(isinstance(part, nn.AvgPool2d) for part in module.children()) == 2


def test_resnet8_has_the_78666_numbers_of_its_reference_model() -> None:
    """Banbury et al. 2021; the summary of Keras counts the statistics of batch norms too."""
    module = ARCHITECTURES["resnet8"]()
    statistics = sum(b.numel() for b in module.buffers() if b.dim())
    assert (parameters(module), statistics) == (78_186, 480)
    assert parameters(module) + statistics == 78_666
    assert products(module, (3, 32, 32)) == 12_501_632  # 12.5 million, as MLPerf Tiny says


def test_resnet20_has_the_papers_parameters_and_those_of_its_projections() -> None:
    """He et al. 2016, Table 6: 0.27M; section 4.2: 20 layers with weights, 41 million products."""
    module = ARCHITECTURES["resnet20"]()
    projections = sum(parameters(b.shortcut) for b in module.modules() if isinstance(b, Block))
    assert projections == 2_560 + 2 * (32 + 64)
    assert parameters(module) - projections == 269_722
    assert parameters(module) == 272_474
    outside = [
        part
        for path, part in module.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear) and "shortcut" not in path
    ]
    assert len(outside) == 20
    assert products(module, (3, 32, 32)) == 40_813_184


@pytest.mark.parametrize(("name", "blocks"), [("resnet8", 3), ("resnet20", 9)])
def test_residual_stages_halve_the_map_and_double_the_channels(name: str, blocks: int) -> None:
    module = ARCHITECTURES[name]()
    given = shapes(module, (3, 32, 32))
    paths = [path for path, part in module.named_modules() if isinstance(part, Block)]
    third = blocks // 3
    expected = [(16, 32, 32)] * third + [(32, 16, 16)] * third + [(64, 8, 8)] * third
    assert [given[path] for path in paths] == expected


def test_a_block_adds_its_input_before_the_last_relu() -> None:
    torch.manual_seed(0)
    block = Block(4, 4, 1, biased=False, normed=True).eval()
    x = torch.randn(2, 4, 5, 5)
    with torch.no_grad():
        inner = block.norm1(block.conv1(x)).clamp(min=0)
        assert torch.equal(block(x), (block.norm2(block.conv2(inner)) + x).clamp(min=0))
        for part in (block.conv1, block.conv2):
            part.weight.zero_()
        assert torch.equal(block(x), x.clamp(min=0))


@pytest.mark.parametrize("normed", [True, False])
def test_where_shapes_change_the_shortcut_is_a_convolution(normed: bool) -> None:
    torch.manual_seed(0)
    block = Block(4, 8, 2, biased=True, normed=normed).eval()
    x = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        inner = block.norm1(block.conv1(x)).clamp(min=0)
        added = block.norm2(block.conv2(inner)) + block.shortcut(x)
        assert torch.equal(block(x), added.clamp(min=0))
    assert sum(isinstance(part, nn.BatchNorm2d) for part in block.shortcut) == normed


def test_mobilenet_alternates_depthwise_and_pointwise_below_12_million_products() -> None:
    module = ARCHITECTURES["mobilenet"]()
    stem, *pairs = [part for part in module.children() if isinstance(part, nn.Conv2d)]
    assert stem.groups == 1
    for depthwise, pointwise in zip(pairs[::2], pairs[1::2], strict=True):
        channels = depthwise.in_channels
        assert (depthwise.out_channels, depthwise.groups) == (channels, channels)
        assert (depthwise.kernel_size, pointwise.kernel_size) == ((3, 3), (1, 1))
        assert (pointwise.in_channels, pointwise.groups) == (channels, 1)
    assert products(module, (3, 32, 32)) < 12_000_000


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_network_builds_as_its_spec_says(name: str) -> None:
    spec = zoo.SPECS[name]
    module = zoo.build(name).eval()
    hashed = [part for part in module.modules() if isinstance(part, HashConv2d | HashLinear)]
    plain = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert (not plain) if spec.scheme == "xxh32" else (not hashed)
    image = torch.rand(2, *SHAPES[spec.architecture])
    with torch.no_grad():
        expected: Tensor = module(image)
        assert torch.allclose(decode(module)(image), expected, atol=1e-6)
        assert torch.equal(zoo.build(name).eval()(image), expected)
    assert bool(torch.isfinite(expected).all())
