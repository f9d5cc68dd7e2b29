"""Residual networks for CIFAR-10: MLPerf Tiny's ResNet-8 and ResNet-20 of He et al. 2016."""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, added before the last ReLU (He et al. 2016, Fig. 2).

    (N, inputs, H, W) -> (N, outputs, H / stride, W / stride). The shortcut is the identity where
    shapes agree and else a 1x1 convolution, ``normed`` or not: option B. biased: the convolutions
    have a bias of their own, which a batch norm behind them makes idle.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, *, biased: bool, normed: bool
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=biased)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=biased)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if (inputs, stride) != (outputs, 1):
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=biased))
            if normed:
                self.shortcut.append(nn.BatchNorm2d(outputs))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The map behind the block."""
        inner = self.relu1(self.norm1(self.conv1(x)))
        added: Tensor = self.relu2(self.norm2(self.conv2(inner)) + self.shortcut(x))
        return added


def residual(blocks: int, *, biased: bool, normed: bool) -> nn.Sequential:
    """A stem of 16 channels, three stages of ``blocks`` blocks of 16, 32 and 64, global average.

    (N, 3, 32, 32) in [0, 1] -> (N, 10) logits; the second and third stage halve the map. For
    ``biased`` and ``normed`` see ``Block``.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(3, 16, 3, padding=1, bias=biased), nn.BatchNorm2d(16), nn.ReLU()
    ]  # fmt: skip
    channels = 16
    for width in (16, 32, 64):
        for index in range(blocks):
            stride = 2 if index == 0 and width > 16 else 1
            layers.append(Block(channels, width, stride, biased=biased, normed=normed))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def resnet8() -> nn.Sequential:
    """ResNet-8 of MLPerf Tiny's image classification (Banbury et al. 2021), layer by layer.

    As in its reference model, convolutions have biases and shortcuts have no batch norm: 78,666
    numbers, of which 480 are statistics.
    """
    return residual(1, biased=True, normed=False)


def resnet20() -> nn.Sequential:
    """ResNet-20 of He et al. 2016, section 4.2, with the projections of option B.

    The paper's 0.27M parameters are those of option A, whose shortcuts have none; B adds 2,752.
    """
    return residual(3, biased=False, normed=True)
