"""On a float network and off the grid, CWL2 finds what Foolbox's attack finds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hwsim.attacks.core.criteria import Targeted, Untargeted
from hwsim.attacks.core.grid import Continuous
from hwsim.attacks.cw_l2 import CWL2

foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed: make test installs it")
pytestmark = pytest.mark.clients

LIMITS = {"binary_search_steps": 5, "steps": 40, "abort_early": False, "initial_const": 0.1}


@pytest.mark.parametrize("targeted", [False, True], ids=["untargeted", "targeted"])
def test_cw_l2_stands_as_near_as_foolbox_step_for_step(targeted: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = nn.Sequential(nn.Flatten(), nn.Linear(27, 20), nn.Tanh(), nn.Linear(20, 5)).eval()
    x = 0.1 + 0.8 * torch.rand(10, 3, 3, 3, generator=torch.Generator().manual_seed(5))
    labels = model(x).argmax(1)
    wanted = (labels + 1) % 5
    ours = CWL2(space=Continuous(), step_size=0.05, confidence=0.01, **LIMITS).minimize(
        model, x, Targeted(wanted, labels) if targeted else Untargeted(labels)
    )
    criterion = (
        foolbox.criteria.TargetedMisclassification(wanted)
        if targeted
        else foolbox.criteria.Misclassification(labels)
    )
    attack = foolbox.attacks.L2CarliniWagnerAttack(stepsize=0.05, confidence=0.01, **LIMITS)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
    _, theirs, _ = attack(wrapped, x, criterion, epsilons=None)
    # Foolbox returns black images where it has found none.
    found = ~(theirs == 0).flatten(1).all(1)
    assert torch.equal(ours.success, found)
    assert int(found.sum()) >= 5
    their_l2 = (theirs - x).flatten(1).norm(dim=1)
    assert torch.allclose(ours.l2[found].float(), their_l2[found], rtol=2e-3)
