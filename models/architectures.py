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


def vgg16(batch_norm: bool = True) -> nn.Sequential:
    """VGG-16 of Liu et al. 2018, Table I, for CIFAR-10: 13 convolutions, 3 Linear, 5 max-pools.

    (N, 3, 32, 32) -> (N, 10) logits. Simonyan and Zisserman 2015, configuration D, with 512 wide
    Linear layers, as 32x32 images leave 512 features.
    """
    layers: list[nn.Module] = []
    channels = 3
    for width, depth in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
        for _ in range(depth):
            layers.append(nn.Conv2d(channels, width, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU())
            channels = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.5)]
    layers += [nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 10)]
    return nn.Sequential(*layers)


ARCHITECTURES = {"mnist-cnn": mnist_cnn, "vgg16": vgg16}
