"""How much an observation of time tells about a class: information, guesses, t-tests, a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.files.content import digest
from hwsim.importer.load import array_digest
from hwsim.runs.guessers import guessing
from hwsim.runs.information import information
from hwsim.runs.welch import separation

#: Permutations of labels from which the bias of information is known, and fewer on the curve.
PERMUTATIONS, FEWER = 20, 5


def judged(
    observed: NDArray[np.float64],
    labels: NDArray[np.int64],
    seed: int,
    permutations: int = PERMUTATIONS,
) -> dict[str, Any]:
    """All that is said of ``observed`` (N, D) about ``labels`` (N,); JSON-serialisable.

    information: bits, corrected, with interval, baseline and entropy of the class. accuracy:
    of the classifier chosen by cross-validation, with Wilson's interval, beside ``chance``.
    guesses: of all classifiers. separated of pairs, and largest |t|: Welch. area: of the ROC curve,
    of two classes only. verdict: see ``verdict``.
    """
    random = np.random.default_rng([seed, 1])
    told = information(observed, labels, random, permutations)
    guess, apart = guessing(observed, labels, seed), separation(observed, labels)
    found: dict[str, Any] = {
        "images": len(labels),
        "information": told.value,
        "information_interval": told.interval,
        "baseline": told.baseline,
        "entropy": told.entropy,
        "accuracy": guess.best.rate.value,
        "interval": guess.best.rate.interval,
        "judged_on": guess.best.rate.total,
        "chance": guess.chance.value,
        "guesser": guess.chosen,
        "guesses": {
            name: {
                "cross_validated": one.cross_validated,
                "accuracy": one.rate.value,
                "interval": one.rate.interval,
            }
            for name, one in guess.guesses.items()
        },
        "pairs": apart.pairs,
        "separated": apart.separated,
        # Two different constants are infinitely apart, which JSON has no number for.
        "largest_t": apart.largest if np.isfinite(apart.largest) else None,
    }
    if guess.area is not None:
        found |= {"area": guess.area.value, "area_interval": guess.area.interval}
    return found | {"verdict": verdict(found)}


class Judge:
    """``judged`` by one seed, of what varies alone, each observation once.

    Where one layer varies, who sees layers and who sees the whole see the same, up to a constant:
    they are told the same.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._known: dict[str, dict[str, Any]] = {}

    def __call__(
        self,
        observed: NDArray[np.float64],
        labels: NDArray[np.int64],
        permutations: int = PERMUTATIONS,
    ) -> dict[str, Any]:
        """As ``judged``: observed (N, D), labels (N,)."""
        varying = observed[:, np.ptp(observed, axis=0) > 0]
        varying = varying - varying.min(0)
        parts = [array_digest(np.ascontiguousarray(one)) for one in (varying, labels)]
        key = digest([*parts, varying.shape[1], permutations])
        if key not in self._known:
            self._known[key] = judged(varying, labels, self.seed, permutations)
        return dict(self._known[key])


def verdict(found: Mapping[str, Any]) -> str:
    """One of four, by rule.

    ``constant``: time never varies. ``leaks``: the accuracy's interval lies above chance and that
    of the information above 0. ``nothing found``: neither does. ``in doubt``: one of them.
    """
    if found["guesser"] == "constant":
        return "constant"
    signs = (found["interval"][0] > found["chance"]) + (found["information_interval"][0] > 0)
    return ("nothing found", "in doubt", "leaks")[signs]


def membership_verdict(found: Mapping[str, Any], alone: Mapping[str, Any]) -> str:
    """That of ``verdict``, but for a leak that is no more than the images' own.

    Training images may look other than test images (MNIST's do), and then time tells them apart
    without any memory of them. ``as images differ``: the area under the ROC curve is not above that
    of the image ``alone``, interval against interval.
    """
    said: str = found["verdict"]
    more = found["area_interval"][0] > alone["area_interval"][1]
    return "as images differ" if said == "leaks" and not more else said
