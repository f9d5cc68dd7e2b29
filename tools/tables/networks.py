"""Tables of architectures and of what the cards say, for docs/networks.md and README.md."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwsim.files import markdown
from hwsim.models import zoo
from hwsim.models.architectures import ARCHITECTURES
from hwsim.networks.zoo_table import rate, share

#: CIFAR-10 networks, and where their shapes come from.
ORIGINS = {
    "c0": "slides of pruning and logits augmentation",
    "dnn1": "Liu et al. 2018, Table I",
    "dnn2": "Table I",
    "dnn3": "Table I",
    "vgg16": "Table I; configuration D",
}
#: Networks that people measure engines with: shape of an image, what they need, their origin.
MEASURED = {
    "lenet5": ((1, 28, 28), "tanh, average pooling", "LeCun et al. 1998, section II.B"),
    "resnet8": (
        (3, 32, 32), "additions, convolutions as shortcuts", "MLPerf Tiny, Banbury et al. 2021"
    ),
    "resnet20": ((3, 32, 32), "the same", "He et al. 2016, section 4.2, option B"),
    "mobilenet": ((3, 32, 32), "depthwise convolutions", "MobileNetV1, Howard et al. 2017"),
}  # fmt: skip
MNIST = ("mnist-cnn", "mnist-cnn-h8", "mnist-cnn-h16", "mnist-cnn-h32", "mnist-cnn-h64",
         "mnist-cnn-h16-banked")  # fmt: skip
CIFAR10 = ("c0", "cifar-dnn1", "cifar-dnn2", "cifar-dnn3", "cifar-vgg16")


def _kinds(name: str) -> tuple[list[nn.Conv2d], list[nn.Linear], int]:
    """Convolutions, fully connected layers and the number of pools of an architecture."""
    modules = list(ARCHITECTURES[name]().modules())
    convolutions = [m for m in modules if isinstance(m, nn.Conv2d)]
    linear = [m for m in modules if isinstance(m, nn.Linear)]
    return convolutions, linear, sum(isinstance(m, nn.MaxPool2d) for m in modules)


def architectures() -> str:
    """Layers of the CIFAR-10 networks."""
    rows = []
    for name, origin in ORIGINS.items():
        convolutions, linear, pools = _kinds(name)
        padded = "" if convolutions[0].padding != (0, 0) else ", unpadded"
        channels = ", ".join(str(m.out_channels) for m in convolutions) + padded
        features = ", ".join(str(m.out_features) for m in linear)
        rows.append([f"`{name}`", *(str(n) for n in (len(convolutions), len(linear), pools)),
                     f"{channels}; {features}", origin])  # fmt: skip
    head = ["architecture", "convolutions", "fully connected", "pools", "channels", "from"]
    return markdown.table(head, rows)


def products(module: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiplications of one image of ``shape`` in convolutions and fully connected layers."""
    counted = 0

    def count(layer: nn.Module, _: object, given: Tensor) -> None:
        nonlocal counted
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        # An output is one row of the weights times what the row reads.
        counted += given.numel() * (layer.weight.numel() // len(layer.weight))

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        module.eval()(torch.zeros(1, *shape))
    return counted


def measured_with() -> str:
    """Size and needs of the networks that people measure engines with."""
    rows = []
    for name, (shape, needs, origin) in MEASURED.items():
        module = ARCHITECTURES[name]()
        size = sum(parameter.numel() for parameter in module.parameters())
        rows.append([f"`{name}`", f"{products(module, shape):,}", f"{size:,}", needs, origin])
    head = ["architecture", "products an image", "parameters", "needs of an engine", "from"]
    return markdown.table(head, rows)


def mnist() -> str:
    """The six networks of README.md, accuracy by word width."""
    rows = []
    for name in MNIST:
        card = zoo.card(name)
        sharing = "none" if card.rate == 1 else f"{card.scheme} {rate(card.rate)}"
        fixed = [share(card.fixed_accuracy.get(bits)) for bits in (16, 8, 6, 4)]
        rows.append([name, sharing, f"{card.parameters:,}", share(card.test_accuracy), *fixed,
                     share(card.paper_accuracy)])  # fmt: skip
    head = ["network", "sharing", "parameters", "float", "16 bits", "8 bits", "6 bits", "4 bits",
            "paper (float)"]  # fmt: skip
    return markdown.table(head, rows)


def cifar10() -> str:
    """The papers' CIFAR-10 networks."""
    rows = []
    for name in CIFAR10:
        card = zoo.card(name)
        convolutions, linear, _ = _kinds(card.architecture)
        fixed = [share(card.fixed_accuracy.get(bits)) for bits in (8, 4)]
        rows.append([name, f"{len(convolutions)}, {len(linear)}", f"{card.parameters:,}",
                     share(card.test_accuracy), *fixed])  # fmt: skip
    head = ["network", "convolutions, fully connected", "parameters", "float", "8 bits", "4 bits"]
    return markdown.table(head, rows)
