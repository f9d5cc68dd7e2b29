"""torchattacks drives the Engine as its documentation shows: attack(images, labels)."""

from __future__ import annotations

import pytest
import torch

from tests.clients.conftest import EPSILON, LSB, Target

torchattacks = pytest.importorskip(
    "torchattacks",
    reason="torchattacks is not installed: make test installs it without torchvision",
)
pytestmark = pytest.mark.clients


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("FGSM", {}, 24),
        ("PGD", {"alpha": EPSILON / 4, "steps": 10}, 40),
        ("APGD", {"steps": 10, "loss": "ce"}, 40),
        ("APGD", {"steps": 10, "loss": "dlr"}, 40),
    ],
    ids=["FGSM", "PGD", "APGD-CE", "APGD-DLR"],
)
def test_torchattacks_fool_the_engine(target: Target, name: str, options: dict, least: int) -> None:
    attack = getattr(torchattacks, name)(target.engine, eps=EPSILON, **options)
    adversarial = attack(target.images, target.labels)
    assert target.fooled(adversarial, EPSILON) >= least


def test_random_signs_of_the_same_size_do_not_fool_the_engine(target: Target) -> None:
    draw = torch.Generator().manual_seed(0)
    signs = torch.randint(2, target.images.shape, generator=draw) * 2 - 1
    noisy = (target.images + EPSILON * signs).clamp(0, 1)
    assert target.fooled(noisy, EPSILON) <= 8


def test_square_fools_the_engine_without_gradients(target: Target) -> None:
    few, epsilon = target.take(16), 1.5 * EPSILON
    attack = torchattacks.Square(few.engine, eps=epsilon, n_queries=150, seed=0)
    assert few.fooled(attack(few.images, few.labels), epsilon) >= 8


def test_autoattack_completes_and_fools_the_engine(target: Target) -> None:
    few, epsilon = target.take(16), 1.5 * EPSILON
    attack = torchattacks.AutoAttack(
        few.engine, norm="Linf", eps=epsilon, version="standard", n_classes=10, seed=0
    )
    assert few.fooled(attack(few.images, few.labels), epsilon) == 16


def test_all_members_of_autoattack_run_on_images_that_resist_the_first(target: Target) -> None:
    # AutoAttack's four at a budget where some images survive, with few queries for the last.
    few, options = target.take(12), dict(norm="Linf", eps=15 * LSB, seed=0)
    first = torchattacks.APGD(few.engine, **options)
    members = [
        first,
        torchattacks.APGDT(few.engine, n_classes=10, **options),
        torchattacks.FAB(few.engine, multi_targeted=True, n_classes=10, **options),
        torchattacks.Square(few.engine, n_queries=50, **options),
    ]
    together = torchattacks.MultiAttack(members)
    alone = few.fooled(first(few.images, few.labels), 15 * LSB)
    fooled = few.fooled(together(few.images, few.labels), 15 * LSB)
    assert 1 <= alone <= fooled < len(few.images)
