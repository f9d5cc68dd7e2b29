"""A network that a row trains itself, from its architecture, on a part of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hwsim.errors import InputError
from hwsim.models import zoo
from hwsim.models.datasets.dataset import Dataset
from hwsim.models.recipe import Recipe
from hwsim.models.train_network import as_tensor
from hwsim.studies.runner.machines import dataset
from hwsim.training.sparse.sides import Labelled, TargetData, split


@dataclass(frozen=True)
class TrainedTarget:
    """spec: a name of ``hwsim.models.specs.TARGETS``. dataset, architecture, epochs, batch, lr: of
    it, so that a row whose spec has changed is another row. members: how many of the training
    split. seed: of weights, batches, and of who is a member.
    """

    spec: str
    dataset: str
    architecture: str
    members: int
    epochs: int
    batch: int
    lr: float
    seed: int

    @staticmethod
    def named(
        spec: str, seed: int, members: int | None = None, share: float = 1.0
    ) -> TrainedTarget:
        """By its recipe; members: None for the recipe's. share: of its epochs, at least one."""
        known = zoo.spec(spec)
        count = members or known.images
        assert count is not None
        recipe = known.recipe
        epochs = max(1, round(share * recipe.epochs))
        return TrainedTarget(
            spec, known.dataset, known.architecture, count, epochs, recipe.batch, recipe.lr, seed
        )

    def parameters(self) -> dict[str, Any]:
        """As it stands in a task."""
        return asdict(self)

    @property
    def recipe(self) -> Recipe:
        """Nothing in it holds back the gap between members and others."""
        return Recipe(
            epochs=self.epochs, batch=self.batch, lr=self.lr, weight_decay=0.0, shift=0,
            precision="float32", seed=self.seed,
        )  # fmt: skip

    def network(self) -> nn.Module:
        """Untrained, its images as channels last: a third less time on a CPU."""
        network = zoo.build(self.spec, self.seed)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def sides(self) -> TargetData:
        """Members, and as many others of the same split, both drawn by the seed.

        Not from the test split, and not spread evenly: where that was collected later or by others,
        or where a file alternates between two sources as MNIST's does (of evenly spread members a
        linear classifier tells 71% from the rest by their pixels alone), whoever tells the two
        apart has not inferred membership.

        Raises
        ------
        InputError
            Where fewer than half as many others are left as there are members.
        """
        whole = dataset(self.dataset, "train")
        others = min(self.members, len(whole) - self.members)
        if 2 * others < self.members:
            raise InputError(
                f"{self.members} members of {whole.phrase}, which has {len(whole)}, leave too few "
                "others to tell them from"
            )
        order = np.random.default_rng(self.seed).permutation(len(whole))
        parts = order[: self.members], order[self.members : self.members + others]
        learn, rest = (_labelled(whole.at(np.sort(part))) for part in parts)
        return split(learn, rest, self.seed)

    def tested(self) -> Labelled:
        """All of the test split, on which nothing is trained, chosen or attacked."""
        return _labelled(dataset(self.dataset, "test"))


def _labelled(data: Dataset) -> Labelled:
    return Labelled(as_tensor(data), torch.from_numpy(data.labels))


def digests(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What a task reads whose parameters have a ``trained`` target; of others, nothing."""
    if "trained" not in parameters:
        return {}
    name = parameters["trained"]["dataset"]
    return {f"{name} {split}": dataset(name, split).digest for split in ("train", "test")}
