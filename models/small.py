"""Small networks for the data sets on which membership is inferred: quick to train many times."""

from __future__ import annotations

from torch import nn


def small_cnn(channels: int = 1, size: int = 28) -> nn.Sequential:
    """C8-P-C16-P-F256-10 on (N, channels, size, size) -> (N, 10) logits; sizes divisible by 4.

    Kernels are 3x3, padded by 1, pools 2x2, and nothing regularizes: what it has seen is to be told
    from what it has not.
    """
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * (size // 4) ** 2, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )


def small_mlp(features: int, classes: int) -> nn.Sequential:
    """F256-F128-classes on (N, features, 1, 1) or (N, features) -> (N, classes) logits."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(features, 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    )
