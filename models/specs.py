"""The named networks before training: architecture, compression, data, recipe, what is known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from hwsim.models.recipe import Muon, Recipe, Restart
from hwsim.numbers.hashing import Scheme

#: How a weight file keeps the weights, see hwsim.models.weight_format.
Stored = Literal["float32", "bfloat16", "int8"]


@dataclass(frozen=True)
class Spec:
    """What a named network is before training.

    architecture: a key of hwsim.models.architectures. scheme, rate: passed to ``compress``;
    ``dense`` is the plain network. hash_banks: H of the banked scheme. hash_seed: layer k hashes
    with hash_seed + k. dataset: what it is trained on. images: how many of it, spread evenly, None
    for all. recipe: how, its seed included. stored: how
    its file keeps the weights. target: accuracy on the test images that its training is expected to
    reach. epoch_seconds: CPU time of one epoch, measured. paper_accuracy: share of test images,
    where the paper gives the number. paper_note: where it stands.
    """

    architecture: str
    scheme: Scheme = "dense"
    rate: float = 1.0
    hash_banks: int = 32
    hash_seed: int = 0
    dataset: str = "mnist"
    images: int | None = None
    recipe: Recipe = field(default_factory=Recipe)
    stored: Stored = "float32"
    target: float | None = None
    epoch_seconds: float | None = None
    paper_accuracy: float | None = None
    paper_note: str | None = None


_FIG3 = "Liu et al. 2018, section IV and Fig. 3"
_CURVE = "Liu et al. 2018 name 99.25% at 1/8 and 99.13% at 1/64, no number for this rate"
_TABLE1 = "Liu et al. 2018, Table I, gives layer counts, no accuracy"
_SLIDES = "slides of pruning and logits augmentation: C0, 80% on CIFAR-10"

_DENSE = Spec("mnist-cnn", paper_accuracy=0.9929, paper_note=_FIG3)
_H64 = Spec("mnist-cnn", "xxh32", 1 / 64, paper_accuracy=0.9913, paper_note=_FIG3)


def _again(spec: Spec, seed: int) -> Spec:
    """The same network from other random numbers, hash included.

    Hash seeds lie 100 apart, so that no layer of one network hashes as a layer of another.
    """
    return replace(
        spec, recipe=replace(spec.recipe, seed=seed), hash_seed=100 * seed, stored="bfloat16"
    )


def _plain(spec: Spec, epochs: int) -> Spec:
    """The same network without anything that holds margins back, trained for ``epochs``.

    No dropout, shifts or weight decay: the mechanism study asks what margins do to gradients.
    """
    recipe = replace(spec.recipe, epochs=epochs, shift=0, weight_decay=0.0)
    return replace(
        spec,
        architecture=f"{spec.architecture}-plain",
        recipe=recipe,
        stored="bfloat16",
        paper_accuracy=None,
        paper_note="trained without regularization, for its margins",
    )


def _cifar(
    architecture: str,
    epochs: int,
    target: float,
    note: str = _TABLE1,
    *,
    lr: float = 3e-3,
    weight_decay: float = 5e-2,
) -> Spec:
    recipe = Recipe(epochs=epochs, lr=lr, weight_decay=weight_decay, shift=4, flip=True)
    return Spec(
        architecture, dataset="cifar10", recipe=recipe, stored="bfloat16", target=target,
        paper_note=note,
    )  # fmt: skip


def _hashed(spec: Spec, rate: float) -> Spec:
    """Compressed; no accuracy is promised for it."""
    return replace(
        spec, scheme="xxh32", rate=rate, stored="bfloat16", target=None, paper_accuracy=None
    )


def _known(
    architecture: str,
    epochs: int,
    target: float,
    shift: int,
    *,
    batch: int = 128,
    lr: float = 0.2,
    weight_decay: float = 5e-4,
    momentum: float | None = 0.9,
    precision: str = "bfloat16",
    paper_accuracy: float | None = None,
    paper_note: str | None = None,
) -> Spec:
    """A small network without dropout.

    Stochastic gradient descent with momentum, as He et al. trained theirs: in 5 epochs ResNet-8
    reached 75.5% with it and 72.9% with AdamW at 5e-3, whose recipes of 30 to 36 epochs ended at
    81.3 and 82.7% (ResNet-8) and 85.9% (ResNet-20). ResNet-8 ended at 82.6% after 40 epochs with a
    decay of 5e-4 and ends at 84.8% so, ResNet-20 at 87.4%.
    """
    recipe = Recipe(
        epochs=epochs, batch=batch, lr=lr, weight_decay=weight_decay, shift=shift, flip=True,
        precision=precision, momentum=momentum,
    )  # fmt: skip
    return Spec(
        architecture, dataset="cifar10", recipe=recipe, target=target,
        paper_accuracy=paper_accuracy, paper_note=paper_note,
    )  # fmt: skip


_CIFAR = {
    "c0": replace(_cifar("c0", 20, 0.80, _SLIDES), paper_accuracy=0.80),
    "cifar-dnn1": _cifar("dnn1", 16, 0.82),
    "cifar-dnn2": _cifar("dnn2", 24, 0.86),
    "cifar-dnn3": _cifar("dnn3", 20, 0.88),
    # A fan-in of up to 4608 begins with small weights, for which AdamW's steps must be smaller.
    # In 8 bits its file is small enough to ship.
    "cifar-vgg16": replace(_cifar("vgg16", 20, 0.90, lr=1e-3, weight_decay=1e-1), stored="int8"),
}

SPECS: dict[str, Spec] = {
    "mnist-cnn": _DENSE,
    "mnist-cnn-h8": Spec("mnist-cnn", "xxh32", 1 / 8, paper_accuracy=0.9925, paper_note=_FIG3),
    "mnist-cnn-h16": Spec("mnist-cnn", "xxh32", 1 / 16, paper_note=_CURVE),
    "mnist-cnn-h32": Spec("mnist-cnn", "xxh32", 1 / 32, paper_note=_CURVE),
    "mnist-cnn-h64": _H64,
    "mnist-cnn-h16-banked": Spec(
        "mnist-cnn", "banked", 1 / 16, paper_note="this hashing scheme is ours, not the paper's"
    ),
    "mnist-cnn-s1": _again(_DENSE, 1),
    "mnist-cnn-s2": _again(_DENSE, 2),
    "mnist-cnn-h64-s1": _again(_H64, 1),
    "mnist-cnn-h64-s2": _again(_H64, 2),
    "mnist-cnn-plain-e4": _plain(_DENSE, 4),
    "mnist-cnn-plain": _plain(_DENSE, 24),
    "mnist-cnn-h64-plain-e4": _plain(_H64, 4),
    "mnist-cnn-h64-plain": _plain(_H64, 24),
}
for _name, _spec in _CIFAR.items():
    SPECS[_name] = _spec
    SPECS[f"{_name}-h16"] = _hashed(_spec, 1 / 16)

_BANBURY = "Banbury et al. 2021, MLPerf Tiny, Table 1: the quality that a submission must reach"
_HE = "He et al. 2016, Table 6: 8.75% error; with option A shortcuts, and 164 epochs"

#: Networks that people measure engines with. Small, so that their files keep float32.
SPECS |= {
    "lenet5": Spec(
        "lenet5", recipe=Recipe(epochs=20, batch=128, precision="float32"), target=0.988,
        paper_accuracy=0.9905,
        paper_note="LeCun et al. 1998, section III.B: 0.95% error, 0.8% with distorted images",
    ),
    "mlperf-resnet8": _known("resnet8", 100, 0.84, 3, weight_decay=2e-4, paper_accuracy=0.85,
                             paper_note=_BANBURY),
    "cifar-mobilenet": _known("mobilenet", 20, 0.84, 3, batch=64, lr=3e-3, weight_decay=1e-1,
                              momentum=None, precision="float32"),
    "resnet20": _known("resnet20", 30, 0.89, 4, paper_accuracy=0.9125, paper_note=_HE),
}  # fmt: skip
# 30 epochs of plain momentum miss the target, 90 of them, too.
SPECS["resnet20-muon"] = replace(
    SPECS["resnet20"],
    paper_accuracy=None,
    paper_note="as resnet20, its kernels by Muon",
    recipe=replace(
        SPECS["resnet20"].recipe,
        epochs=88,
        muon=Muon(lr=0.03, weight_decay=0.05),
        restart=Restart(epochs=32, rate=0.25, shift=2),
    ),
)
for _name in ("mlperf-resnet8", "cifar-mobilenet", "resnet20"):
    SPECS[f"{_name}-h16"] = replace(_hashed(SPECS[_name], 1 / 16), stored="float32")
for _rate in (8, 32, 64):
    SPECS[f"resnet20-h{_rate}"] = replace(SPECS["resnet20-h16"], rate=1 / _rate)


def _target(architecture: str, dataset: str, epochs: int) -> Spec:
    """A target of membership inference: few images, and nothing that holds back a gap."""
    recipe = Recipe(
        epochs=epochs, batch=64, lr=3e-3, weight_decay=0.0, shift=0, precision="float32"
    )
    return Spec(architecture, dataset=dataset, images=5000, recipe=recipe)


#: What is attacked and compressed in the study safecompress, which trains them itself.
TARGETS: dict[str, Spec] = {
    "small-mnist": _target("small-cnn", "mnist", 10),
    "small-fashion": _target("small-cnn", "fashion-mnist", 15),
    "small-cifar10": _target("small-cnn-rgb", "cifar10", 15),
    "small-diamonds": _target("small-mlp-22", "diamonds", 40),
    "small-newsgroups": _target("small-mlp-1024", "newsgroups", 10),
}
SPECS |= TARGETS

#: CPU seconds of one epoch on one core of an AMD EPYC with AVX-512 and bfloat16; of the plain
#: networks on one of an Intel Xeon with AMX.
_EPOCH_SECONDS = {
    "mnist-cnn": 47, "mnist-cnn-h8": 72, "mnist-cnn-h16": 70, "mnist-cnn-h32": 68,
    "mnist-cnn-h64": 71, "mnist-cnn-h16-banked": 71, "mnist-cnn-s1": 47, "mnist-cnn-s2": 47,
    "mnist-cnn-plain-e4": 27, "mnist-cnn-plain": 27, "mnist-cnn-h64-plain-e4": 48,
    "mnist-cnn-h64-plain": 48, "mnist-cnn-h64-s1": 71, "mnist-cnn-h64-s2": 71,
    "c0": 36, "c0-h16": 39,
    "cifar-dnn1": 58, "cifar-dnn1-h16": 58, "cifar-dnn2": 73, "cifar-dnn2-h16": 73,
    "cifar-dnn3": 237, "cifar-dnn3-h16": 242, "cifar-vgg16": 478, "cifar-vgg16-h16": 491,
    "lenet5": 7, "mlperf-resnet8": 36, "mlperf-resnet8-h16": 35, "cifar-mobilenet": 70,
    "cifar-mobilenet-h16": 70, "resnet20": 92, "resnet20-muon": 97,
    "resnet20-h8": 92, "resnet20-h16": 92, "resnet20-h32": 92, "resnet20-h64": 92,
    "small-mnist": 0.6, "small-fashion": 0.6, "small-cifar10": 0.7, "small-diamonds": 0.1,
    "small-newsgroups": 0.4,
}  # fmt: skip
SPECS = {name: replace(spec, epoch_seconds=_EPOCH_SECONDS[name]) for name, spec in SPECS.items()}


@dataclass(frozen=True)
class Pruned:
    """A network made from ``start`` by rounds of pruning; images: learnt from in each round, None
    for all.
    """

    start: str
    compression: int
    images: int | None = None

    @property
    def command(self) -> str:
        samples = "" if self.images is None else f" --samples {self.images}"
        return f"hwsim prune {self.start} --to {self.compression}{samples}"


#: M1 and C1 of the slides.
PRUNED = {"mnist-cnn-p7": Pruned("mnist-cnn", 7, 10_000), "c0-p7": Pruned("c0", 7)}

#: Networks that only studies ask for. They stand in the zoo of a checkout as all others do, but an
#: installed hwsim has them from a distribution of their own: they are more than half of all bytes.
STUDY_NETWORKS = (
    "mnist-cnn-plain", "mnist-cnn-plain-e4", "mnist-cnn-s1", "mnist-cnn-s2", "mnist-cnn-p7",
    "mnist-cnn-h64-plain", "mnist-cnn-h64-plain-e4", "mnist-cnn-h64-s1", "mnist-cnn-h64-s2",
    "mnist-cnn-h32", "c0-p7", "cifar-dnn1-h16", "cifar-dnn2", "cifar-vgg16",
    "resnet20-h8", "resnet20-h32", "resnet20-h64",
)  # fmt: skip
#: The distribution that brings them.
STUDY_DISTRIBUTION = "hwsim-study-networks"

#: The command that makes a network, for those that are made from others too.
RECIPES: dict[str, str] = {name: f"hwsim train {name}" for name in SPECS} | {
    name: pruned.command for name, pruned in PRUNED.items()
}
