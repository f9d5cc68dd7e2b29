"""Adversarial training: what is mixed into the batches, and that it makes a network robust."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.fgsm import FGSM
from hwsim.attacks.pgd import PGD
from hwsim.errors import InputError
from hwsim.models.loop import Perturb, train
from hwsim.models.recipe import Adversarial, Recipe
from hwsim.training.adversarial import perturbation


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These networks are too small to share between threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def net(dropout: float = 0.5) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 4)
    )


def stripes(count: int) -> tuple[Tensor, Tensor]:
    """Images with one bright quadrant out of four, on the pixel grid."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(count) % 4
    x = torch.randint(0, 120, (count, 1, 8, 8), generator=generator)
    for image, label in zip(x, labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        image[0, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 120
    return x.float() / 255, labels


def perturb_of(adversarial: Adversarial, precision: str = "float32") -> Perturb:
    found = perturbation(Recipe(adversarial=adversarial, precision=precision))
    assert found is not None
    return found


def test_without_an_attack_nothing_is_perturbed() -> None:
    assert perturbation(Recipe()) is None


def test_fgsm_takes_half_of_the_batch_and_leaves_the_rest() -> None:
    x, labels = stripes(16)
    model = net().train()
    found = perturb_of(Adversarial("fgsm", 0.1))(model, x, labels, 0)
    expected = FGSM()(model, x[:8], Untargeted(labels[:8]), epsilon=0.1).adversarial
    assert torch.equal(found, torch.cat([expected, x[8:]]))
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    assert all(p.grad is None for p in model.parameters())


def test_pgd_takes_all_of_the_batch_from_another_start_at_each_step() -> None:
    x, labels = stripes(8)
    model = net()
    perturb = perturb_of(Adversarial("pgd", 0.1, steps=3))
    attack = PGD(steps=3, early_exit=False, seed=7)
    expected = attack(model, x, Untargeted(labels), epsilon=0.1).adversarial
    assert torch.equal(perturb(model, x, labels, 7), expected)
    assert not torch.equal(perturb(model, x, labels, 8), expected)
    assert float((expected - x).abs().max()) <= 25.5 / 255


def test_jsma_raises_few_pixels_towards_another_class() -> None:
    x, labels = stripes(8)
    found = perturb_of(Adversarial("jsma", 10 / 64, share=0.5))(net(), x, labels, 3)
    changed = (found != x).flatten(1).sum(1)
    assert (changed[4:] == 0).all()
    assert (changed[:4] <= 10).all()
    assert (changed[:4] > 0).any()
    assert (found >= x).all()


def test_low_precision_attacks_the_network_as_it_is_trained() -> None:
    x, labels = stripes(8)
    found = perturb_of(Adversarial("fgsm", 0.1, share=1.0), "bfloat16")(net(), x, labels, 0)
    assert found.dtype == torch.float32
    # 0.1 is 25 whole steps of a pixel.
    assert torch.equal(
        ((found - x) * 255).round().abs().clamp(0, 25), ((found - x) * 255).round().abs()
    )


@pytest.mark.slow
def test_a_network_trained_against_pgd_withstands_it() -> None:
    x, labels = stripes(128)
    usual = Recipe(epochs=20, batch=32, lr=1e-2, shift=0, precision="float32")
    hard = dataclasses.replace(usual, adversarial=Adversarial("pgd", 0.18, steps=4))
    success = []
    for recipe in (usual, hard):
        model = train(net(0.0), x, labels, recipe, perturb=perturbation(recipe))
        result = PGD(steps=10)(model, x, Untargeted(labels), epsilon=0.18)
        success.append(float(result.success.float().mean()))
    assert success[0] > 0.1
    assert success[1] < 0.5 * success[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(attack="cw", epsilon=0.1), "choose from fgsm, pgd, jsma"),
        (dict(attack="pgd", epsilon=0.0), "epsilon must lie above 0"),
        (dict(attack="pgd", epsilon=float("nan")), "epsilon must lie above 0"),
        (dict(attack="pgd", epsilon=0.1, steps=0), "steps must be at least 1"),
        (dict(attack="pgd", epsilon=0.1, share=1.5), "share must lie in 0 … 1"),
    ],
)
def test_impossible_adversaries_are_refused(options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Adversarial(**options)


def test_facts_of_an_ordinary_recipe_do_not_mention_an_adversary() -> None:
    """Cards and checkpoints from before there was one stay what they are."""
    assert "adversarial" not in Recipe().facts()
    told = Recipe(adversarial=Adversarial("pgd", 0.1)).facts()["adversarial"]
    assert told == {"attack": "pgd", "epsilon": 0.1, "steps": 10, "share": 1.0}
