"""adv-lib's minimum-norm attacks: ours take its steps, and adv-lib drives the Engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.criteria import Targeted, Untargeted
from hwsim.attacks.core.grid import Continuous
from hwsim.attacks.core.minimizing import MinimizingAttack
from hwsim.attacks.core.result import distances
from hwsim.attacks.ddn import DDN
from hwsim.attacks.fab import FAB
from hwsim.attacks.fmn import FMN
from tests.bench.modern import adv_lib
from tests.clients.conftest import Target

pytest.importorskip("adv_lib", reason="adv-lib is not installed: make test installs it alone")
pytestmark = pytest.mark.clients

STEPS, CLASSES = 40, 6
ORDER = {"l0": 0, "l1": 1, "l2": 2, "linf": float("inf")}
Step = tuple[MinimizingAttack, Callable[..., Tensor], dict[str, Any]]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """float64 inside: sums in another order must not decide a step."""

    class Wide(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner.double()

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.inner(x.double())
            return logits.float()

    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(200, 30), nn.ReLU(), nn.Linear(30, CLASSES),
        )  # fmt: skip
    return Wide(network).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(24, 3, 10, 10, generator=torch.Generator().manual_seed(5))


def same(name: str) -> Step:
    """Our attack, adv-lib's, and what it is told."""
    kind, _, norm = name.partition(" ")
    library, space = adv_lib(), Continuous()
    if kind == "fmn":
        told = {"norm": ORDER[norm], "steps": STEPS}
        return FMN(norm=norm, steps=STEPS, space=space), library.fmn, told  # type: ignore[arg-type]
    if kind == "ddn":
        return DDN(steps=STEPS, space=space), library.ddn, {"steps": STEPS, "levels": None}
    told = {"norm": ORDER[norm], "n_iter": 12}
    return FAB(norm=norm, steps=12, space=space), library.fab, told  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["fmn l0", "fmn l1", "fmn l2", "fmn linf", "ddn l2", "fab l1", "fab l2", "fab linf"]
)
def test_off_the_grid_the_distances_are_those_of_adv_lib(
    name: str, model: nn.Module, images: Tensor
) -> None:
    labels = judge(model, images).argmax(1)
    attack, library, told = same(name)
    found = attack.minimize(model, images, Untargeted(labels))
    theirs = library(model=model, inputs=images.clone(), labels=labels, **told).detach()
    fooled = judge(model, theirs).argmax(1) != labels
    assert int(fooled.sum()) >= 20
    assert int((found.success != fooled).sum()) <= 1
    both = found.success & fooled
    mine, other = (
        distances(x[both], images[both], attack.norm) for x in (found.adversarial, theirs)
    )
    assert float(mine.median()) <= 1.01 * float(other.median())
    # Rounding may turn a step at a boundary, and then two ways part.
    assert float((mine / other - 1).abs().median()) < 2e-3


@pytest.mark.parametrize("name", ["fmn l2", "ddn l2"])
def test_targeted_too(name: str, model: nn.Module, images: Tensor) -> None:
    labels = judge(model, images).argmax(1)
    targets = (labels + 1) % CLASSES
    attack, library, told = same(name)
    found = attack.minimize(model, images, Targeted(targets, labels))
    theirs = library(
        model=model, inputs=images.clone(), labels=targets, targeted=True, **told
    ).detach()
    hit = judge(model, theirs).argmax(1) == targets
    assert int((found.success != hit).sum()) <= 1
    both = found.success & hit
    mine, other = (
        distances(x[both], images[both], attack.norm) for x in (found.adversarial, theirs)
    )
    assert float((mine / other - 1).abs().median()) < 2e-3


def test_adv_lib_fools_the_engine(target: Target) -> None:
    few = target.take(16)
    found = adv_lib().ddn(few.engine, few.images, few.labels, steps=30)
    assert few.fooled(found) >= 12
