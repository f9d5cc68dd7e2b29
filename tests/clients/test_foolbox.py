"""Foolbox drives the Engine as its documentation shows: PyTorchModel around it, nothing else."""

from __future__ import annotations

import pytest
import torch

from tests.clients.conftest import EPSILON, Target

foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed: make test installs it")
pytestmark = pytest.mark.clients


def test_foolbox_reads_the_accuracy(target: Target) -> None:
    model = foolbox.PyTorchModel(target.engine, bounds=(0, 1))
    assert foolbox.utils.accuracy(model, target.images, target.labels) == 1.0


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [("LinfFastGradientAttack", {}, 24), ("LinfPGD", {"steps": 10, "rel_stepsize": 0.25}, 40)],
    ids=["FGSM", "PGD"],
)
def test_foolbox_linf_attacks_fool_the_engine(
    target: Target, name: str, options: dict, least: int
) -> None:
    model = foolbox.PyTorchModel(target.engine, bounds=(0, 1))
    attack = getattr(foolbox.attacks, name)(**options)
    raw, clipped, success = attack(model, target.images, target.labels, epsilons=EPSILON)
    assert raw.shape == clipped.shape
    assert target.fooled(clipped, EPSILON) == int(success.sum()) >= least


def test_foolbox_pgd_reaches_a_target_class(target: Target) -> None:
    few = target.take(16)
    wanted = (few.labels + 1) % 10
    model = foolbox.PyTorchModel(few.engine, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(steps=20, rel_stepsize=0.15)
    criterion = foolbox.criteria.TargetedMisclassification(wanted)
    _, clipped, success = attack(model, few.images, criterion, epsilons=2 * EPSILON)
    few.fooled(clipped, 2 * EPSILON)
    reached = few.engine(clipped).argmax(1) == wanted
    assert torch.equal(reached, success)
    assert int(reached.sum()) >= 12


def test_foolbox_carlini_wagner_finds_small_perturbations(target: Target) -> None:
    few = target.take(16)
    model = foolbox.PyTorchModel(few.engine, bounds=(0, 1))
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=4, steps=60, stepsize=0.02, initial_const=1.0
    )
    _, clipped, success = attack(model, few.images, few.labels, epsilons=None)
    assert few.fooled(clipped) == int(success.sum()) >= 14
    distance = (clipped - few.images).flatten(1).norm(dim=1)[success]
    # FGSM's corner of the box is EPSILON · 12 away; a minimizer has to do clearly better.
    assert float(distance.median()) < 0.8 * EPSILON * 12
