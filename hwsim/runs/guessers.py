"""Who guesses a class from what he observed: scikit-learn's classifiers, taught on one half.

The attacker has seen half of the images with their classes. He chooses a classifier by
cross-validation among these; on the other half each is asked once, and his choice is what counts,
so that nothing is chosen on the images that are reported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.attacks.evaluate.rates import Rate
from hwsim.attacks.evaluate.roc import Auc, auc
from hwsim.errors import InputError

Points = NDArray[np.float64]
Labels = NDArray[np.int64]

#: Parts of the attacker's half by which he chooses.
FOLDS = 3
TREES = 100


@dataclass(frozen=True)
class Guess:
    """What a classifier got right. cross_validated: share of the attacker's own half."""

    cross_validated: float
    rate: Rate


@dataclass(frozen=True)
class Guessing:
    """What all of them got right on images that nobody learnt from.

    chosen: the name with the best cross-validation. chance: of who always says the most frequent
    class of the attacker's half. area: of the chosen one's probability of class 1, of two classes
    only.
    """

    guesses: Mapping[str, Guess]
    chosen: str
    chance: Rate
    area: Auc | None = None

    @property
    def best(self) -> Guess:
        """The chosen one's."""
        return self.guesses[self.chosen]


def require() -> None:
    """Raises InputError where scikit-learn, which brings SciPy, is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise InputError("hwsim leak needs scikit-learn: pip install 'hwsim[leak]'") from None


def _linear(seed: int, size: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=300)


def _neighbours(seed: int, size: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(min(25, max(1, size // 4)))


def _forest(seed: int, size: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    # One thread: many small forests, and the same numbers on every machine.
    return RandomForestClassifier(TREES, min_samples_leaf=5, random_state=seed, n_jobs=1)


#: Name in results -> seed, images to learn from -> its classifier. linear: multinomial logistic
#: regression. neighbours: the nearest 25.
GUESSERS: dict[str, Callable[[int, int], Any]] = {
    "linear": _linear,
    "neighbours": _neighbours,
    "forest": _forest,
}


def halves(labels: Labels, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The attacker's half and the asked one, indices, with as much of each class as can be."""
    random = np.random.default_rng(seed)
    taught: list[NDArray[np.intp]] = []
    asked: list[NDArray[np.intp]] = []
    for turn, label in enumerate(np.unique(labels)):
        own = random.permutation(np.flatnonzero(labels == label))
        # Odd ones out go to both halves in turn.
        middle = (len(own) + turn % 2) // 2
        taught.append(own[:middle])
        asked.append(own[middle:])
    return np.sort(np.concatenate(taught)), np.sort(np.concatenate(asked))


def check(labels: Labels, seed: int) -> None:
    """Raises InputError where the attacker's half has too few images to choose a classifier by."""
    counts = np.unique(labels[halves(labels, seed)[0]], return_counts=True)[1]
    if len(counts) < 2 or np.sort(counts)[-2] < FOLDS:
        raise InputError(
            f"{len(labels)} images are too few to guess from: an attacker needs {FOLDS} of two "
            "classes at least, and as many to be judged by"
        )


def guessing(observed: Points, labels: Labels, seed: int) -> Guessing:
    """How well ``labels`` (N,) are guessed from ``observed`` (N, D).

    A constant is guessed from like nothing: always the most frequent class. The same seed gives the
    same numbers. Raises InputError as ``check``.
    """
    check(labels, seed)
    taught, asked = halves(labels, seed)
    classes, counts = np.unique(labels[taught], return_counts=True)
    frequent = classes[counts.argmax()]
    chance = Rate(int((labels[asked] == frequent).sum()), len(asked))
    two = len(classes) == 2 and set(classes) == {0, 1}
    if not np.ptp(observed, axis=0).any():
        first = Guess(float(counts.max() / counts.sum()), chance)
        ones = int((labels[asked] == 1).sum())
        tied = auc(np.zeros(ones), np.zeros(len(asked) - ones)) if two else None
        return Guessing({"constant": first}, "constant", chance, tied)
    found: dict[str, Guess] = {}
    fitted: dict[str, Any] = {}
    for name, make in GUESSERS.items():
        fitted[name], found[name] = _guess(
            make(seed, len(taught)), observed, labels, taught, asked, seed
        )
    chosen = max(found, key=lambda name: found[name].cross_validated)
    area = None
    if two:
        belief = fitted[chosen].predict_proba(observed[asked])[:, 1]
        area = auc(belief[labels[asked] == 1], belief[labels[asked] == 0])
    return Guessing(found, chosen, chance, area)


def _guess(
    classifier: Any,
    observed: Points,
    labels: Labels,
    taught: NDArray[np.intp],
    asked: NDArray[np.intp],
    seed: int,
) -> tuple[Any, Guess]:
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), classifier)
    parts = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A linear classifier that has not settled guesses as it stands, and a class may be rare.
        warnings.simplefilter("ignore")
        shares = cross_val_score(pipeline, observed[taught], labels[taught], cv=parts)
        pipeline.fit(observed[taught], labels[taught])
        right = pipeline.predict(observed[asked]) == labels[asked]
    return pipeline, Guess(float(shares.mean()), Rate(int(right.sum()), len(asked)))
