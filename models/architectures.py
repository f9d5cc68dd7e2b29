"""The networks by name: the papers', and those that people compare engines with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from hwsim.models.mobile import mobilenet
from hwsim.models.residual import resnet8, resnet20
from hwsim.models.small import small_cnn, small_mlp


def mnist_cnn(dropout: bool = True) -> nn.Sequential:
    """784-C64-C128-F512-10 of Liu et al. 2018, section IV; (N, 1, 28, 28) -> (N, 10) logits.

    The paper does not give kernel, padding or pooling: we choose 3x3, padding 1 and 2x2
    max-pools. The dropouts are ours and vanish at inference; without them they are identities, so
    that layers keep their names.
    """
    first, second = (0.25, 0.5) if dropout else (0.0, 0.0)
    return _of_the_papers(
        nn.Conv2d(1, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(first),
        nn.Linear(128 * 7 * 7, 512),
        nn.ReLU(),
        nn.Dropout(second),
        nn.Linear(512, 10),
    )


def cifar_net(
    stages: Sequence[tuple[int, int]],
    hidden: Sequence[int],
    *,
    padding: int = 1,
    batch_norm: bool = True,
    dropout: float = 0.5,
) -> nn.Sequential:
    """A plain network for CIFAR-10: (N, 3, 32, 32) in [0, 1] -> (N, 10) logits.

    stages: (channels, number of 3x3 convolutions), each stage ended by a 2x2 max-pool. hidden:
    widths of the fully connected layers before the last. batch_norm: between each convolution and
    its ReLU; such a convolution has no bias of its own.
    """
    layers: list[nn.Module] = []
    channels, size = 3, 32
    for width, depth in stages:
        for _ in range(depth):
            layers.append(nn.Conv2d(channels, width, 3, padding=padding, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU())
            channels, size = width, size + 2 * padding - 2
        layers.append(nn.MaxPool2d(2))
        size //= 2
    layers.append(nn.Flatten())
    features = channels * size * size
    for width in hidden:
        layers += [nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout)]
        features = width
    return _of_the_papers(*layers, nn.Linear(features, 10))


def _of_the_papers(*layers: nn.Module) -> nn.Sequential:
    """Layers whose weights have one binary point each, as in the papers' fixed-point machines.

    The compiler gives rows of dense layers steps of their own elsewhere.
    """
    network = nn.Sequential(*layers)
    # Not by assignment: torch declares that attributes of a module are tensors or modules.
    vars(network)["one_binary_point"] = True
    return network


def c0() -> nn.Sequential:
    """C0 of the pruning and logits augmentation slides: unprotected, 80% on CIFAR-10.

    The slides show no layers. Their attacks are those of Carlini and Wagner 2017, so we take that
    paper's CIFAR-10 network (Table 1: two stages of two unpadded 3x3 convolutions, two fully
    connected layers of 256) with half its channels and with batch norm, which is what 80% needs.
    """
    return cifar_net([(32, 2), (64, 2)], [256, 256], padding=0, dropout=0.3)


def dnn1() -> nn.Sequential:
    """DNN1 of Liu et al. 2018, Table I: 4 convolutions, 2 Linear, 2 max-pools.

    The table gives the counts; the widths are ours, as are those of DNN2 and DNN3.
    """
    return cifar_net([(32, 2), (64, 2)], [512], dropout=0.3)


def dnn2() -> nn.Sequential:
    """DNN2 of Liu et al. 2018, Table I: 6 convolutions, 2 Linear, 3 max-pools."""
    return cifar_net([(32, 2), (64, 2), (128, 2)], [512], dropout=0.3)


def dnn3() -> nn.Sequential:
    """DNN3 of Liu et al. 2018, Table I: 9 convolutions, 2 Linear, 3 max-pools."""
    return cifar_net([(48, 3), (96, 3), (192, 3)], [512], dropout=0.3)


def vgg16(batch_norm: bool = True) -> nn.Sequential:
    """VGG-16 of Liu et al. 2018, Table I: 13 convolutions, 3 Linear, 5 max-pools.

    Simonyan and Zisserman 2015, configuration D, with 512 wide Linear layers, as 32x32 images
    leave 512 features.
    """
    stages = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
    return cifar_net(stages, [512, 512], batch_norm=batch_norm)


def lenet5() -> nn.Sequential:
    """LeNet-5 of LeCun et al. 1998, section II.B; (N, 1, 28, 28) -> (N, 10) logits.

    28x28 images are padded to the paper's 32x32. As usual since, C3 sees all of S2's maps,
    averages are not scaled, tanh is not stretched, and the last layer is linear.
    """
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 10),
    )


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "mnist-cnn": mnist_cnn,
    "mnist-cnn-plain": partial(mnist_cnn, dropout=False),
    "c0": c0,
    "dnn1": dnn1,
    "dnn2": dnn2,
    "dnn3": dnn3,
    "vgg16": vgg16,
    "lenet5": lenet5,
    "resnet8": resnet8,
    "resnet20": resnet20,
    "mobilenet": mobilenet,
    "small-cnn": small_cnn,
    "small-cnn-rgb": partial(small_cnn, 3, 32),
    "small-mlp-22": partial(small_mlp, 22, 5),
    "small-mlp-1024": partial(small_mlp, 1024, 20),
}
