"""On a float network and off the grid, our attacks make the images that other libraries make."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Attack
from hwsim.attacks.core.criteria import Goal, Targeted, Untargeted
from hwsim.attacks.core.grid import Continuous
from hwsim.attacks.core.noise import Noise
from hwsim.attacks.fgsm import FGSM
from hwsim.attacks.mifgsm import MIFGSM
from hwsim.attacks.pgd import BIM, PGD
from hwsim.attacks.transforms import Nesterov, Scales

pytestmark = pytest.mark.clients

EPSILON, CLASSES = 0.06, 6
#: Steps of float32 numbers near 1, added up differently.
TOLERANCE = 5e-7


@pytest.fixture(scope="module")
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(200, 30), nn.ReLU(), nn.Linear(30, CLASSES),
        )  # fmt: skip
    # float64 inside: the same sums in another order must not decide the sign of a gradient.
    return Wide(network.double()).eval()


class Wide(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x.double())
        return logits.float()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(40, 3, 10, 10, generator=torch.Generator().manual_seed(5))


def goals(model: nn.Module, images: Tensor) -> dict[str, Goal]:
    labels = model(images).argmax(1)
    return {
        "untargeted": Untargeted(labels),
        "targeted": Targeted((labels + 1) % CLASSES, labels),
    }


def ours(attack: Attack, model: nn.Module, images: Tensor, goal: Goal) -> Tensor:
    return attack(model, images, goal, epsilon=EPSILON).adversarial


@pytest.mark.parametrize("kind", ["untargeted", "targeted"])
@pytest.mark.parametrize("name", ["FGSM", "BIM", "PGD"])
def test_the_images_are_foolboxs(model: nn.Module, images: Tensor, name: str, kind: str) -> None:
    foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed")
    goal = goals(model, images)[kind]
    criterion = foolbox.criteria.Misclassification(goal.loss_labels)
    if kind == "targeted":
        criterion = foolbox.criteria.TargetedMisclassification(goal.loss_labels)

    class SameStart(foolbox.attacks.LinfPGD):  # type: ignore[name-defined]
        def get_random_start(self, x0: Any, epsilon: float) -> Any:
            return x0 + epsilon * type(x0)(Noise(images, 3).uniform())

    pairs: dict[str, tuple[Attack, Any]] = {
        "FGSM": (FGSM(space=Continuous()), foolbox.attacks.LinfFastGradientAttack()),
        "BIM": (
            BIM(early_exit=False, space=Continuous()),
            foolbox.attacks.LinfBasicIterativeAttack(),
        ),
        "PGD": (
            PGD(steps=10, step_size=EPSILON / 6, seed=3, early_exit=False, space=Continuous()),
            SameStart(rel_stepsize=1 / 6, steps=10),
        ),
    }
    attack, peer = pairs[name]
    if name == "FGSM" and kind == "targeted":
        # Foolbox's FGSM has no targeted form; one step of its BIM is that.
        peer = foolbox.attacks.LinfBasicIterativeAttack(steps=1, rel_stepsize=1.0)
    theirs = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, expected, _ = peer(theirs, images, criterion, epsilons=EPSILON)
    found = ours(attack, model, images, goal)
    assert not torch.equal(found, images)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", ["BIM", "MIFGSM", "NIFGSM", "SINIFGSM"])
def test_the_images_are_torchattacks(model: nn.Module, images: Tensor, name: str) -> None:
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    # Ours looks ahead within [0, 1], theirs anywhere: away from 0 and 1 that is the same.
    images = 0.4 + 0.2 * images
    goal = goals(model, images)["untargeted"]
    alpha, space = EPSILON / 8, Continuous()
    transforms = {"NIFGSM": [Nesterov()], "SINIFGSM": [Nesterov(), Scales()]}.get(name, [])
    attack: Attack = MIFGSM(steps=8, step_size=alpha, decay=0.9, transforms=transforms, space=space)
    options: dict[str, Any] = {"decay": 0.9}
    if name == "BIM":
        attack, options = BIM(steps=8, step_size=alpha, early_exit=False, space=space), {}
    peer = getattr(torchattacks, name)(model, eps=EPSILON, alpha=alpha, steps=8, **options)
    expected = peer(images, goal.loss_labels)
    found = ours(attack, model, images, goal)
    # Momentum adds gradients up in another order: where they cancel, rounding decides the sign.
    same = (found - expected).abs() <= TOLERANCE
    assert float(same.float().mean()) > (0.999 if name != "BIM" else 0.999999)
    assert not torch.equal(found, images)
