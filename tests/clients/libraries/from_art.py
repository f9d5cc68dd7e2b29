"""The evasion attacks of the Adversarial Robustness Toolbox on image classifiers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.clients.libraries.attempts import CLASSES, SIDE, Case, Victim
from tests.clients.libraries.budgets import budget

DELTA = 0.2
#: What has no place in the list, and why. Its own ``_estimator_requirements`` sort out others.
NO_CASE = {
    "AdversarialPatchTensorFlowV2": "for TensorFlow",
    "FeatureAdversariesTensorFlowV2": "for TensorFlow",
    "ProjectedGradientDescentTensorFlowV2": "for TensorFlow",
    "MalwareGDTensorFlow": "for TensorFlow",
    "LowProFool": "takes tables (N, features)",
    "OverTheAirFlickeringPyTorch": "takes videos",
    "OverloadPyTorch": "takes an object detector",
    "SNAL": "takes an object detector",
}
#: Compiled by numba for half a minute in every process: the test runs Foolbox's, the same code.
COMPILES = {"BrendelBethgeAttack"}
#: Budgets of single attacks.
OWN: dict[str, dict[str, Any]] = {
    "CarliniL0Method": {"max_iter": 1, "binary_search_steps": 1},
    "CarliniLInfMethod": {
        "max_iter": 1, "initial_const": 1.0, "largest_const": 1.5, "decrease_factor": 0.5,
    },
    "BrendelBethgeAttack": {"steps": 2},
    "DeepFool": {"max_iter": 1},
    "GeoDA": {"max_iter": 500, "sub_dim": 4},
    "PixelAttack": {"max_iter": 1, "th": 1},
    "ShadowAttack": {"batch_size": 4},
    "SignOPTAttack": {"max_iter": 1, "beta": 0.1},
    "ThresholdAttack": {"max_iter": 1, "th": 1, "es": 1},
    "UniversalPerturbation": {"max_iter": 1, "attacker": "fgsm"},
    "VirtualAdversarialMethod": {"max_iter": 1, "batch_size": 4},
}  # fmt: skip
#: Those that take nothing but probabilities.
PROBABILITIES = {"SimBA", "VirtualAdversarialMethod"}


def cases() -> Iterator[Case]:
    """Those that take images and a classifier, in alphabetical order."""
    from art.attacks import EvasionAttack, evasion

    for name, kind in sorted(vars(evasion).items()):
        if not (inspect.isclass(kind) and issubclass(kind, EvasionAttack)):
            continue
        if kind is EvasionAttack or inspect.isabstract(kind) or not _classifies(kind):
            continue
        if name in NO_CASE:
            continue
        run, how = SPECIAL.get(name, (_plain, ""))
        if name in PROBABILITIES:
            how = "a softmax behind the model: it takes probabilities"
        yield Case("ART", name, _bound(run, kind), how, name in COMPILES)


def _classifies(kind: Any) -> bool:
    """Whether an image classifier is what it asks for."""
    from art.estimators.classification import PyTorchClassifier

    wanted = getattr(kind, "_estimator_requirements", ())
    ours = PyTorchClassifier.__mro__
    return all(
        any(one in ours for one in (need if isinstance(need, tuple) else (need,)))
        for need in wanted
    )


def classifier(model: nn.Module, shape: tuple[int, ...] = (3, SIDE, SIDE), **more: Any) -> Any:
    """ART's own wrapper of a PyTorch model."""
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model, nn.CrossEntropyLoss(), shape, CLASSES, clip_values=(0.0, 1.0), device_type="cpu",
        **more,
    )  # fmt: skip


#: An attack of this class on the victim -> images, as ART's array.
Run = Callable[[Any, Victim], Any]


def _bound(run: Run, kind: Any) -> Callable[[Victim], Tensor]:
    return lambda victim: torch.as_tensor(np.asarray(run(kind, victim)))


def _attack(kind: Any, victim: Victim, **more: Any) -> Any:
    model = victim.model
    if kind.__name__ in PROBABILITIES:
        model = nn.Sequential(model, nn.Softmax(1))
    return kind(classifier(model), **budget(kind, **{**OWN.get(kind.__name__, {}), **more}))


def _hot(labels: Tensor) -> Any:
    """(N,) classes -> (N, CLASSES) float32, ART's form of labels."""
    return np.eye(CLASSES, dtype=np.float32)[labels.numpy()]


def _pixels(images: Tensor) -> Any:
    return images.numpy().copy()


def _plain(kind: Any, victim: Victim, **more: Any) -> Any:
    """Labels, or targets where it is targeted; ``more`` goes to ``generate``."""
    attack = _attack(kind, victim)
    y = victim.targets if getattr(attack, "targeted", False) else victim.labels
    return attack.generate(_pixels(victim.images), _hot(y), **more)


# ------------------------------------------------------------- what documentation asks for beyond


def _starting_points(kind: Any, victim: Victim) -> Any:
    return _plain(kind, victim, starting_points=_pixels(victim.others))


def _x_init(kind: Any, victim: Victim) -> Any:
    return _plain(kind, victim, x_init=_pixels(victim.others))


def _one_by_one(kind: Any, victim: Victim) -> Any:
    attack = _attack(kind, victim)
    pairs = zip(_pixels(victim.images)[:, None], _hot(victim.targets)[:, None], strict=True)
    return np.concatenate([attack.generate(x, y) for x, y in pairs])


def _targets(kind: Any, victim: Victim) -> Any:
    return _attack(kind, victim).generate(_pixels(victim.images), _hot(victim.targets))


def _patch(kind: Any, victim: Victim) -> Any:
    attack = _attack(kind, victim, patch_shape=tuple(victim.images.shape[1:]))
    attack.generate(_pixels(victim.images), _hot(victim.targets))
    return attack.apply_patch(_pixels(victim.images), scale=0.5)


def _members(kind: Any, victim: Victim) -> Any:
    from art.attacks.evasion import AutoProjectedGradientDescent, SquareAttack

    target = classifier(victim.model)
    members = [one(target, **budget(one)) for one in (AutoProjectedGradientDescent, SquareAttack)]
    attack = kind(target, attacks=members)
    return attack.generate(_pixels(victim.images), _hot(victim.labels))


def _guides(kind: Any, victim: Victim) -> Any:
    """A model of one layer, whose features are the logits, and images to be like."""
    model = nn.Sequential(victim.model)
    options = {"delta": DELTA, "layer": 0, "step_size": DELTA / 2}
    attack = kind(classifier(model), **budget(kind, **options))
    few = {"maxiter": 2} if kind.__name__.endswith("Numpy") else {}
    return attack.generate(_pixels(victim.images), _pixels(victim.others), **few)


def _rows(kind: Any, victim: Victim) -> Any:
    from art.attacks.evasion import BasicIterativeMethod

    target = classifier(victim.model)
    inner = BasicIterativeMethod(target, **budget(BasicIterativeMethod))
    attack = kind(target, inner, frame_index=2, verbose=False)
    return attack.generate(_pixels(victim.images), _hot(victim.labels))


def _sizes(kind: Any, victim: Victim) -> Any:
    more = {"noise_size": (SIDE, SIDE), "net_size": (SIDE, SIDE)}
    attack = _attack(kind, victim, **more)
    mask = np.ones((len(victim.images), 3, SIDE, SIDE))
    return attack.generate(
        _pixels(victim.images), _hot(victim.targets), mask=mask, x_tar=_pixels(victim.others)
    )


class _ChannelsLast(nn.Module):
    """``model``, for images (N, H, W, C)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.permute(0, 3, 1, 2))  # type: ignore[no-any-return]


def _laser(kind: Any, victim: Victim) -> Any:
    from art.attacks.evasion.laser_attack.laser_attack import LaserBeam, LaserBeamGenerator

    target = classifier(_ChannelsLast(victim.model), (SIDE, SIDE, 3), channels_first=False)
    low, high = LaserBeam.from_array([380, 0, 1, 1]), LaserBeam.from_array([780, 3.14, SIDE, 2])
    attack = kind(target, 3, LaserBeamGenerator(low, high))
    found = attack.generate(_pixels(victim.images.permute(0, 2, 3, 1)), victim.labels.numpy())
    return found.transpose(0, 3, 1, 2)


#: How each is called that takes more than a model, images and labels, and that in words.
SPECIAL: dict[str, tuple[Run, str]] = {
    "AdversarialPatch": (_patch, "`patch_shape`; targets"),
    "AdversarialPatchNumpy": (_patch, "targets"),
    "AdversarialPatchPyTorch": (_patch, "`patch_shape`; targets"),
    "AutoAttack": (_members, "of APGD and Square"),
    "BrendelBethgeAttack": (_starting_points, "`starting_points`"),
    "FeatureAdversariesNumpy": (_guides, "`delta`, guides; the logits as features"),
    "FeatureAdversariesPyTorch": (_guides, "`delta`, `step_size`, guides; the logits as features"),
    "FrameSaliencyAttack": (_rows, "rows as frames, BIM as the attack"),
    "GRAPHITEBlackbox": (_sizes, "sizes, a mask, targets, `x_tar`"),
    "GRAPHITEWhiteboxPyTorch": (_sizes, "sizes, a mask, targets"),
    "LaserAttack": (_laser, "laser beams; a model of NHWC"),
    "ShadowAttack": (_one_by_one, "one image a call; targets"),
    "SignOPTAttack": (_x_init, "`x_init`; targets"),
    "TargetedUniversalPerturbation": (_targets, "targets"),
    "ThresholdAttack": (_plain, "`es=1`: needs no other package"),
}
