"""Targets of membership inference: they take their data, run on the engine, and learn from few."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hwsim.compiler.compiler import compile
from hwsim.engine.module import Engine
from hwsim.models import train_network, zoo
from hwsim.models.datasets.dataset import Dataset
from hwsim.models.datasets.known import CATALOG
from hwsim.models.recipe import Recipe
from hwsim.models.specs import TARGETS
from hwsim.models.train_network import Data, Places, train_model


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_data_in_float_and_on_the_engine(name: str) -> None:
    known = CATALOG[TARGETS[name].dataset]
    module = zoo.build(name).eval()
    x = torch.rand(4, *known.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = module(x)
        assert logits.shape == (4, len(known.classes))
        fixed = Engine(compile(module, x, "default"))(x)
    # Untrained and calibrated on these samples: both agree to a few steps of 8 bits.
    assert torch.allclose(fixed, logits, atol=0.1 * float(logits.abs().max()))


def test_a_target_learns_from_as_many_samples_as_its_spec_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = CATALOG["diamonds"]
    random = np.random.default_rng(0)

    def dataset(split: str, count: int) -> Dataset:
        codes = random.integers(0, 256, (count, *known.shape)).astype(np.uint8)
        return Dataset(
            "diamonds", split, codes, np.arange(count) % 5, "memory", "0" * 64, True
        )  # fmt: skip

    whole = Data(dataset("train", 5050), dataset("test", 20))
    monkeypatch.setattr(train_network.Data, "load", staticmethod(lambda name: whole))
    recipe = Recipe(epochs=1, batch=1000, shift=0, precision="float32")
    places = Places(tmp_path / "zoo", tmp_path / "checkpoints")
    card = train_model("small-diamonds", recipe=recipe, places=places)
    assert card.recipe["images"] == 5000
    assert zoo.load("small-diamonds", tmp_path / "zoo")(torch.zeros(1, 22, 1, 1)).shape == (1, 5)
