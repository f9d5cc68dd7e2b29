"""The papers' networks: the layer counts they publish, and that the engine can run them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hwsim.compiler.compiler import compile
from hwsim.models import zoo
from hwsim.models.architectures import ARCHITECTURES
from hwsim.models.layers import HashConv2d, HashLinear
from hwsim.program.layers import PoolLayer

#: Convolutions, Linear layers, max-pools: Liu et al. 2018, Table I.
TABLE_I = {"dnn1": (4, 2, 2), "dnn2": (6, 2, 3), "dnn3": (9, 2, 3), "vgg16": (13, 3, 5)}
#: C0 and the networks of the table; of those beyond the papers see test_known_networks.
CIFAR = sorted(n for n, spec in zoo.SPECS.items() if spec.architecture in ("c0", *TABLE_I))


@pytest.mark.parametrize("name", TABLE_I)
def test_layer_counts_are_those_of_table_1(name: str) -> None:
    modules = list(ARCHITECTURES[name]().modules())
    found = [
        sum(isinstance(module, kind) for module in modules)
        for kind in (nn.Conv2d, nn.Linear, nn.MaxPool2d)
    ]
    assert tuple(found) == TABLE_I[name]


@pytest.mark.parametrize("name", TABLE_I)
def test_hidden_fully_connected_layers_are_512_wide(name: str) -> None:
    linear = [m for m in ARCHITECTURES[name]().modules() if isinstance(m, nn.Linear)]
    assert [m.out_features for m in linear] == [512] * (len(linear) - 1) + [10]


def randomized(name: str) -> nn.Module:
    """The untrained network with batch norm statistics of a network that has seen data."""
    module = zoo.build(name).eval()
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            # Negative and tiny scales too, which weights that are shared could not absorb.
            part.weight.data = torch.randn(part.num_features, generator=generator)
            part.weight.data[0] = 0.0
            part.bias.data = torch.randn(part.num_features, generator=generator)
            part.running_mean = torch.randn(part.num_features, generator=generator) * 0.1
            part.running_var = torch.rand(part.num_features, generator=generator) + 0.5
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config"),
    [
        pytest.param(name, config, marks=[pytest.mark.slow] * name.startswith("cifar-vgg16"))
        for name in CIFAR
        for config in ("wide", *["default"] * (not name.endswith("-h16")))
    ],
)
def test_every_cifar_network_compiles_with_its_batch_norm(name: str, config: str) -> None:
    module = randomized(name)
    program = compile(module, torch.rand(2, 3, 32, 32), config)
    kinds = (nn.Conv2d, nn.Linear, HashConv2d, HashLinear)
    assert [layer.name for layer in program.mac_layers] == [
        path for path, part in module.named_modules() if isinstance(part, kinds)
    ]
    pools = sum(isinstance(layer, PoolLayer) for layer in program.layers)
    assert pools == sum(isinstance(part, nn.MaxPool2d) for part in module.modules())
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    convolutions = [layer for layer in program.mac_layers if layer.kind == "conv"]
    for layer, norm in zip(convolutions, norms, strict=True):
        assert (layer.multiplier == 0)[0]
        assert ((layer.multiplier < 0) == (norm.weight < 0).numpy()).all()
