"""A torch classifier's answers as an attacker sees them, from the class alone to gradients."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.inference import at_inference
from hwsim.attacks.membership.records import Records

#: class: the answer. probabilities: softmax. logits: before it. white: logits, loss, and the
#: gradient by the last layer's weight.
View = Literal["class", "probabilities", "logits", "white"]
VIEWS: tuple[View, ...] = ("class", "probabilities", "logits", "white")


def observe(
    module: nn.Module, x: Tensor, labels: Tensor, view: View = "logits", batch: int = 500
) -> Records:
    """What is seen of ``module`` on samples, members and others alike: as they are, in eval mode.

    Parameters
    ----------
    module : nn.Module
        (n, …) -> (n, C) logits; left in the mode that it was in.
    x, labels : Tensor
        (N, …) as the module takes them; int64 (N,).
    view : str
        One of VIEWS. ``white`` wants a network whose last layer is linear.
    batch : int
        Samples at a time.

    Raises
    ------
    AttackError
        For labels that do not fit, an unknown view, and ``white`` of another network.
    """
    if view not in VIEWS:
        raise AttackError(f"unknown view {view!r}: choose from {', '.join(VIEWS)}")
    if not 0 < len(x) == len(labels):
        raise AttackError(f"cannot observe {len(x)} samples with {len(labels)} labels")
    parts = []
    with at_inference(module), torch.no_grad():
        for start in range(0, len(x), batch):
            logits, features = watched(module, x[start : start + batch], view == "white")
            parts.append(seen_of(logits, labels[start : start + batch], view, features))
    return parts[0].joined(parts[1:])


def watched(module: nn.Module, x: Tensor, wanted: bool = True) -> tuple[Tensor, Tensor | None]:
    """Logits (n, C) and, if ``wanted``, what went into the last layer (n, F); both differentiable.

    The last layer is the last one with ``in_features`` that ran; its output must be the module's.
    Hashed and masked layers are found as plain ones are.
    """
    if not wanted:
        return module(x), None
    ran: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        ran.append((given[0], made))

    hooks = [
        layer.register_forward_hook(keep)
        for layer in module.modules()
        if hasattr(layer, "in_features")
    ]
    try:
        logits: Tensor = module(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not ran or ran[-1][1].shape != logits.shape or not torch.equal(ran[-1][1], logits):
        raise AttackError(
            "no linear layer makes this network's logits, so there is no gradient by its last "
            "weight: see it through its logits"
        )
    return logits, ran[-1][0]


def seen_of(logits: Tensor, labels: Tensor, view: View, features: Tensor | None = None) -> Records:
    """Records of logits (n, C), labels (n,) and, of ``white``, features (n, F).

    Differentiable, for whoever trains a network against an attacker.
    """
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise AttackError(f"the model must return (N, classes) logits, got {tuple(logits.shape)}")
    classes = logits.shape[1]
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise AttackError(f"labels must be classes, 0 … {classes - 1}")
    answers = logits.detach().argmax(1)
    if view == "class":
        return Records(labels, answers, classes)
    if view == "probabilities":
        return Records(
            labels, answers, classes, logits.float().softmax(1), outputs_are="probabilities"
        )
    if view == "logits":
        return Records(labels, answers, classes, logits.float())
    hot = F.one_hot(labels, classes)
    return Records(
        labels, answers, classes, logits.float(),
        losses=F.cross_entropy(logits.double(), labels, reduction="none"),
        features=None if features is None else features.float(),
        residuals=logits.float().softmax(1) - hot,
    )  # fmt: skip
