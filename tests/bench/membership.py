"""16 shadow models trained side by side against one after the other: same numbers, same batches."""

from __future__ import annotations

import torch

from hwsim.attacks.membership.shadows import (
    ShadowRecipe,
    memberships,
    reduced,
    small_network,
    train_batched,
    train_each,
)
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import pixels
from tests.bench.measure import Line, seconds

IMAGES, MODELS, EPOCHS = 1000, 16, 3


def shadows() -> Line:
    """The small network on MNIST, as `hwsim attack mia-lira` trains it, fewer epochs."""
    data = load_dataset("mnist", "train").take(IMAGES)
    x, y = reduced(pixels(data)), torch.from_numpy(data.labels)
    inside, recipe = memberships(IMAGES, MODELS, 0), ShadowRecipe(epochs=EPOCHS)

    def make() -> torch.nn.Module:
        return small_network(x.shape[1], 10)

    took = seconds(
        {
            "batched": lambda: train_batched(make, x, y, inside, recipe),
            "each": lambda: train_each(make, x, y, inside, recipe),
        },
        rounds=5,
    )
    pair = (train(make, x, y, inside, recipe) for train in (train_batched, train_each))
    apart = max(
        float((a - b).detach().abs().max())
        for one, other in zip(*pair, strict=True)
        for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )
    note = (
        f"{MODELS} networks {x.shape[1]}-{make()[0].out_features}-10, each on {IMAGES // 2} "  # type: ignore[index,union-attr]
        f"images, batches of {recipe.batch}, {EPOCHS} epochs, {torch.get_num_threads()} threads; "
        f"weights differ by {apart:.1e} at most"
    )
    return Line(
        "shadows-16", took["batched"], took["each"], "s", took["each"] / took["batched"],
        "one after the other", ">= 4", note,
    )  # fmt: skip
