"""Hashed layers that torch.export took apart are hashed layers again."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim import Engine, compile
from hwsim.compiler.exported_hashes import SEEDS, DenseWeightsWarning
from hwsim.models.layers import HashConv2d, HashLinear, compress
from hwsim.program.program import Program

IMAGES = torch.rand(12, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def network(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        HashConv2d(2, 8, 3, padding=1, **options), nn.BatchNorm2d(8), nn.ReLU(),
        HashConv2d(8, 8, (3, 1), groups=4, **options), nn.ReLU(), nn.Flatten(),
        HashLinear(8 * 24, 5, **options), nn.ReLU(), nn.Linear(5, 3),
    ).eval()  # fmt: skip


def exported(module: nn.Module) -> Any:
    return torch.export.export(module, (IMAGES,))


def same(one: Program, other: Program) -> None:
    """Layer by layer the same names, hashes and words."""
    assert [layer.name for layer in one.layers] == [layer.name for layer in other.layers]
    for a, b in zip(one.mac_layers, other.mac_layers, strict=True):
        assert a.spec == b.spec
        for field in ("weights", "bias", "multiplier", "shift"):
            assert np.array_equal(getattr(a, field), getattr(b, field)), (a.name, field)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        dict(rate=1 / 4, scheme="xxh32", seed=0),
        dict(rate=1 / 4, scheme="xxh32", seed=SEEDS - 1),
        dict(rate=1 / 3, scheme="banked", seed=2024, hash_banks=8),
        dict(rate=1 / 2, scheme="banked", seed=1, hash_banks=2),
        dict(scheme="dense"),
    ],
)
@pytest.mark.parametrize("core", [False, True])
def test_an_exported_network_shares_the_weights_that_its_module_shares(
    options: dict[str, Any], core: bool
) -> None:
    module = network(**options)
    program = exported(module)
    if core:  # in the operators of ATen's core, which turn a Linear's matrix
        program = program.run_decompositions()
    with warnings.catch_warnings():
        warnings.simplefilter("error", DenseWeightsWarning)
        found = compile(program, IMAGES)
    same(found, compile(module, IMAGES))


def test_a_saved_program_still_shares_its_weights(tmp_path: Path) -> None:
    plain = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3))
    module = compress(plain, rate=1 / 8, seed=42).eval()
    torch.export.save(exported(module), tmp_path / "small.pt2")
    loaded = torch.export.load(tmp_path / "small.pt2")
    found, expected = compile(loaded, IMAGES), compile(module, IMAGES)
    same(found, expected)
    assert [layer.spec.seed for layer in found.mac_layers] == [42, 43]


class Own(nn.Module):
    """Weights shared by a table of one's own."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(20, generator=torch.Generator().manual_seed(1)))
        self.register_buffer("table", table)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.weight, -self.weight])
        matrix = both.index_select(0, self.table).view(5, 72)
        return nn.functional.linear(x.flatten(1), matrix)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Flatten(), HashLinear(72, 5, rate=1 / 18, seed=2**31 + 5)),
        Own(torch.randint(40, (360,), generator=torch.Generator().manual_seed(2))),
    ],
)
def test_a_hash_that_nothing_tells_is_warned_of_and_computes_the_same(module: nn.Module) -> None:
    with pytest.warns(DenseWeightsWarning, match="shares 20 weights among 360 by a table that"):
        program = compile(exported(module.eval()), IMAGES)
    (layer,) = program.mac_layers
    assert (layer.spec.scheme, layer.spec.real_weights) == ("dense", 360)
    with torch.no_grad():
        expected = module(IMAGES)
    assert float((Engine(program)(IMAGES) - expected).abs().max()) < 0.05 * float(expected.std())


def test_a_plain_layer_is_no_hash() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(72, 5)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error", DenseWeightsWarning)
        program = compile(exported(module), IMAGES)
    assert program.mac_layers[0].spec.scheme == "dense"
