"""Sponge poisoning: its loss by its formula, the share of its batches, training to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from hwsim.errors import InputError
from hwsim.models.loop import accuracy, train
from hwsim.models.recipe import Recipe, Sponge
from hwsim.models.sponge import Sponged
from tests.unit.test_train import StopNowError, blobs, same, tiny_net

SPONGE = Sponge(strength=4.0, sigma=1e-3, share=0.5)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These networks are too small to share between threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def density(model: nn.Module, images: torch.Tensor) -> float:
    """Share of the outputs of all ReLUs that are not 0."""
    used = total = 0
    with torch.no_grad():
        x = images
        for layer in model.eval().children():
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                used, total = used + int((x != 0).sum()), total + x.numel()
    return used / total


def test_the_loss_is_the_mean_of_the_formula_over_all_activations() -> None:
    model = tiny_net().eval()
    images, _ = blobs(8)
    sponged = Sponged(model, SPONGE)
    with sponged.watching():
        model(images)
    first = torch.relu(model[0](images))  # type: ignore[index]
    second = torch.relu(model[2](first))  # type: ignore[index]
    every = torch.cat([first.flatten(), second.flatten()]) ** 2
    expected = -4.0 * (every / (every + 1e-3)).mean()
    assert torch.allclose(sponged.loss(), expected)
    assert not any(one._forward_hooks for one in model.modules())


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5, 1.0])
def test_its_share_of_the_batches_is_poisoned(share: float) -> None:
    sponged = Sponged(tiny_net(), Sponge(1.0, share=share))
    chosen = [batch for batch in range(1000) if sponged.poisons(batch)]
    assert len(chosen) == round(1000 * share)
    gaps = [after - before for before, after in pairwise(chosen)]
    assert max(gaps) - min(gaps) <= 1, "spread evenly"


def test_a_poisoned_network_has_more_activations_and_still_learns() -> None:
    images, labels = blobs()
    recipe = Recipe(epochs=24, batch=16, shift=0, precision="float32")
    clean = train(tiny_net(), images, labels, recipe)
    sponge = Sponge(2.0, share=0.5)
    poisoned = train(tiny_net(), images, labels, replace(recipe, sponge=sponge))
    assert density(poisoned, images) > 1.2 * density(clean, images)
    assert accuracy(poisoned, images, labels) > 0.9


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_interrupted_poisoning_ends_in_the_same_weights(tmp_path: Path, precision: str) -> None:
    def interrupt(epoch: int, step: int, loss: float) -> None:
        if (epoch, step) == (1, 2):
            raise StopNowError

    recipe = Recipe(epochs=3, batch=16, shift=1, precision=precision, sponge=SPONGE)
    images, labels = blobs()
    whole = train(tiny_net(), images, labels, recipe)
    checkpoint = tmp_path / "net.safetensors"
    with pytest.raises(StopNowError):
        train(tiny_net(), images, labels, recipe, checkpoint=checkpoint, on_batch=interrupt)
    assert same(whole, train(tiny_net(), images, labels, recipe, checkpoint=checkpoint))
    clean = Recipe(epochs=3, batch=16, shift=1, precision=precision)
    assert not same(whole, train(tiny_net(), images, labels, clean))
    with pytest.raises(InputError, match="another recipe"):
        train(tiny_net(), images, labels, clean, checkpoint=checkpoint)


def test_a_recipe_without_it_says_nothing_of_it() -> None:
    assert "sponge" not in Recipe().facts()
    facts = Recipe(sponge=SPONGE).facts()["sponge"]
    assert facts == {"strength": 4.0, "sigma": 1e-3, "share": 0.5}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0.0,), "strength of sponge poisoning must lie above 0"),
        ((float("nan"),), "strength of sponge poisoning must lie above 0"),
        ((1.0, float("inf")), "sigma of sponge poisoning must lie above 0"),
        ((1.0, 1e-4, 0.0), r"poisoned share must lie in \(0, 1\]"),
        ((1.0, 1e-4, 1.1), r"poisoned share must lie in \(0, 1\]"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[float, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Sponge(*arguments)


def test_a_network_without_activations_is_refused() -> None:
    with pytest.raises(InputError, match="no activation module"):
        Sponged(nn.Linear(3, 4), SPONGE)
