"""The papers' networks, by name."""

from __future__ import annotations

from torch import nn


def mnist_cnn() -> nn.Sequential:
    """784-C64-C128-F512-10 of Liu et al. 2018, section IV; (N, 1, 28, 28) -> (N, 10) logits.

    The paper does not give kernel, padding or pooling: we choose 3x3, padding 1 and 2x2
    max-pools. The dropouts are ours and vanish at inference.
    """
    return nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(128 * 7 * 7, 512),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(512, 10),
    )


ARCHITECTURES = {"mnist-cnn": mnist_cnn}
