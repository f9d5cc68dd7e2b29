"""The libraries against a network of the zoo on real digits, beside the float network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hwsim import Engine, HwsimError
from tests.clients.conftest import Target

pytestmark = pytest.mark.clients
EPSILON = 51 / 255


@pytest.fixture(scope="module")
def digits() -> tuple[Target, nn.Module]:
    """16 digits that both networks of mnist-cnn-h16 classify correctly, and the float one."""
    from hwsim.models.datasets.dataset import load_dataset
    from hwsim.networks.open import open_network, pixels

    try:
        data = load_dataset("mnist", "test").take(20)
    except HwsimError as error:
        pytest.skip(f"no MNIST on this machine: {error}")
    network = open_network("mnist-cnn-h16")
    engine, images, labels = Engine(network.program), pixels(data), torch.from_numpy(data.labels)
    with torch.no_grad():
        right = (engine(images).argmax(1) == labels) & (network.module(images).argmax(1) == labels)
    assert int(right.sum()) >= 16
    return Target(engine, images[right][:16], labels[right][:16]), network.module


def foolbox(model: nn.Module, target: Target) -> Tensor:
    fb = pytest.importorskip("foolbox")
    wrapped = fb.PyTorchModel(model, bounds=(0, 1))
    attack = fb.attacks.LinfFastGradientAttack()
    return attack(wrapped, target.images, target.labels, epsilons=EPSILON)[1]


def art(model: nn.Module, target: Target) -> Tensor:
    pytest.importorskip("art")
    from art.attacks.evasion import FastGradientMethod
    from art.estimators.classification import PyTorchClassifier

    loss = nn.CrossEntropyLoss()
    wrapped = PyTorchClassifier(model, loss, (1, 28, 28), 10, clip_values=(0.0, 1.0))
    attack = FastGradientMethod(wrapped, eps=EPSILON)
    labels = torch.eye(10)[target.labels].numpy()
    return torch.from_numpy(attack.generate(target.images.numpy(), labels))


def torchattacks(model: nn.Module, target: Target) -> Tensor:
    ta = pytest.importorskip("torchattacks")
    return ta.FGSM(model, eps=EPSILON)(target.images, target.labels)


Library = Callable[[nn.Module, Target], Tensor]


@pytest.mark.parametrize("library", [foolbox, art, torchattacks])
def test_fgsm_on_the_engine_fools_it_about_as_often_as_the_float_network(
    digits: tuple[Target, nn.Module], library: Library
) -> None:
    target, module = digits
    fixed = target.fooled(library(target.engine, target), EPSILON)
    floating = module(library(module, target)).argmax(1)
    assert abs(fixed - int((floating != target.labels).sum())) <= 4
    assert fixed >= 3


def test_every_library_crafts_the_same_fgsm_images(digits: tuple[Target, nn.Module]) -> None:
    target, _ = digits
    first, *others = (library(target.engine, target) for library in (foolbox, art, torchattacks))
    for other in others:
        torch.testing.assert_close(other, first, rtol=0, atol=1e-6)
