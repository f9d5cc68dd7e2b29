"""A MobileNet for CIFAR-10: depthwise separable convolutions (Howard et al. 2017)."""

from __future__ import annotations

from torch import nn

#: Channels of the first convolution.
STEM = 16
#: (channels, stride) of the pairs behind the stem.
PAIRS = ((64, 2), (96, 1), (128, 2), (192, 1), (192, 1), (256, 1))


def _normed(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> list[nn.Module]:
    """Convolution, batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def mobilenet() -> nn.Sequential:
    """MobileNetV1, Table 1, cut down to 32x32 images: (N, 3, 32, 32) in [0, 1] -> (N, 10) logits.

    A 3x3 stem, then pairs of a depthwise 3x3 and a pointwise 1x1 convolution, each followed by
    batch norm and ReLU, then the global average. The number of pairs and their widths are ours,
    chosen to stay below 12 million multiplications an image.
    """
    layers = _normed(3, STEM, 3, 1, 1)
    channels = STEM
    for width, stride in PAIRS:
        layers += _normed(channels, channels, 3, stride, channels)
        layers += _normed(channels, width, 1, 1, 1)
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
