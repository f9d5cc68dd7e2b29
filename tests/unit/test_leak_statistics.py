"""What an observation tells of a class, on leaks whose size is known."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from hwsim.errors import InputError
from hwsim.runs import guessers
from hwsim.runs.guessers import guessing, halves
from hwsim.runs.information import entropy, information, local_information, scaled
from hwsim.runs.leak_judge import judged
from hwsim.runs.observers import Observer, observers
from hwsim.runs.welch import THRESHOLD, separation, welch

CLASSES = 10


def labels_of(count: int) -> np.ndarray:
    return np.arange(count) % CLASSES


def disjoint(labels: np.ndarray) -> np.ndarray:
    """Cycles that no two classes share."""
    return (100 * labels + np.random.default_rng(1).integers(0, 30, len(labels)))[:, None] * 1.0


# ---------------------------------------------------------------- information


def test_classes_with_disjoint_cycles_are_told_in_full() -> None:
    labels = labels_of(600)
    found = information(disjoint(labels), labels, np.random.default_rng(0))
    assert found.entropy == pytest.approx(math.log2(CLASSES))
    assert found.interval[0] <= math.log2(CLASSES) <= found.interval[1] + 1e-12
    assert found.value > 0.98 * math.log2(CLASSES)


@pytest.mark.parametrize("levels", [2, 40, 5000])
def test_cycles_that_do_not_depend_on_the_class_tell_nothing(levels: int) -> None:
    draw = np.random.default_rng(2)
    seen = draw.integers(0, levels, (800, 2)) * 1.0
    found = information(seen, labels_of(800), draw)
    assert found.interval[0] == 0 <= found.value < 0.06


def test_a_constant_tells_exactly_nothing() -> None:
    found = information(np.full((50, 3), 7.0), labels_of(50), np.random.default_rng(0))
    assert (found.value, found.interval) == (0.0, (0.0, 0.0))


def test_without_ties_the_estimate_is_that_of_scikit_learn() -> None:
    from sklearn.feature_selection import mutual_info_classif

    draw = np.random.default_rng(0)
    labels = draw.integers(0, 5, 600)
    seen = draw.normal(0.7 * labels, 1)[:, None]
    (expected,) = mutual_info_classif(seen, labels, discrete_features=False, random_state=0)
    assert local_information(scaled(seen), labels).mean() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("levels", [3, 30, 3000])
def test_the_estimate_counts_neighbours_as_a_plain_loop_does(columns: int, levels: int) -> None:
    from scipy.special import digamma

    draw = np.random.default_rng(4)
    labels, points = draw.integers(0, 3, 60), draw.integers(0, levels, (60, columns)) * 0.5
    found = local_information(points, labels)
    for n, point in enumerate(points):
        apart = np.abs(points - point).max(1)
        own = labels == labels[n]
        radius = np.sort(apart[own])[3]  # the first is itself
        near, around = ((apart <= radius) & own).sum() - 1, (apart <= radius).sum() - 1
        expected = digamma(60) - digamma(own.sum()) + digamma(near) - digamma(around)
        assert found[n] == pytest.approx(expected)


@pytest.mark.parametrize("columns", [1, 2])
def test_a_class_with_few_points_has_fewer_neighbours(columns: int) -> None:
    points = np.array([[0.0], [1.0], [5.0], [6.0], [7.0], [9.0]]) * np.ones(columns)
    labels = np.array([0, 0, 1, 1, 1, 2])
    found = local_information(points, labels)
    assert found[5] == 0
    # One neighbour for class 0, none of another class as near; two for class 1.
    assert found[:2] == pytest.approx(local_information(points[:5], labels[:5])[:2])
    assert found[0] > found[2] > 0


def noisy_channel(width: float, apart: float) -> float:
    """Bits between two equally likely classes and a normal variable cut into steps, by summing."""
    edges = np.arange(-9, 9 + apart, width)
    shares = [
        np.diff([0.5 * math.erfc(-(edge - middle) / math.sqrt(2)) for edge in edges])
        for middle in (0, apart)
    ]
    mean = sum(shares) / 2
    parts = [np.where(p > 0, p * np.log2(np.where(p > 0, p, 1) / np.maximum(mean, 1e-300)), 0)
             for p in shares]  # fmt: skip
    return float(sum(part.sum() for part in parts) / 2)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "apart"), [(0.02, 0.5), (0.02, 2.0), (0.3, 1.0), (1.0, 1.0)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(
    width: float, apart: float
) -> None:
    truth, hits = noisy_channel(width, apart), 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        labels = np.arange(600) % 2
        seen = np.floor(draw.normal(apart * labels, 1) / width)[:, None]
        low, high = information(seen, labels, draw, 8).interval
        hits += low <= truth <= high
    assert hits / 60 >= 0.9


def test_what_two_columns_tell_together_neither_tells_alone() -> None:
    draw = np.random.default_rng(5)
    bits = draw.integers(0, 2, (600, 2))
    labels, seen = bits[:, 0] ^ bits[:, 1], bits * 100 + draw.integers(0, 9, (600, 2)) * 1.0
    assert information(seen, labels, draw).value > 0.9
    for column in (0, 1):
        assert information(seen[:, column : column + 1], labels, draw).value < 0.05


def test_the_entropy_is_that_of_the_shares() -> None:
    assert entropy(np.array([0, 0, 1, 1])) == 1
    assert entropy(np.array([3, 3, 3])) == 0
    assert entropy(np.array([0, 1, 1, 1])) == pytest.approx(0.811278)


# ---------------------------------------------------------------- t-test


def test_t_is_that_of_scipy() -> None:
    from scipy.stats import ttest_ind

    draw = np.random.default_rng(6)
    first, second = draw.normal(0, 1, (30, 4)), draw.normal(0.5, 3, (50, 4))
    expected = ttest_ind(first, second, equal_var=False).statistic
    assert welch(first, second) == pytest.approx(expected)


def test_constants_are_apart_or_the_same() -> None:
    same, other = np.full((5, 1), 3.0), np.full((4, 1), 4.0)
    assert welch(same, same).tolist() == [0]
    assert welch(same, other).tolist() == [-math.inf]


def test_pairs_are_separated_as_scipy_says() -> None:
    from itertools import combinations

    from scipy.stats import ttest_ind

    draw = np.random.default_rng(7)
    labels = labels_of(500)
    seen = np.rint(draw.normal(labels[:, None] * [0.4, 0.1], 1) * 20)
    expected = [
        np.abs(ttest_ind(seen[labels == a], seen[labels == b], equal_var=False).statistic).max()
        for a, b in combinations(range(CLASSES), 2)
    ]
    found = separation(seen, labels)
    assert (found.pairs, found.separated) == (45, sum(t > THRESHOLD for t in expected))
    assert found.largest == pytest.approx(max(expected))
    assert 0 < found.separated < 45


def test_a_class_with_one_image_makes_no_pair() -> None:
    found = separation(np.arange(5.0)[:, None], np.array([0, 0, 1, 1, 2]))
    assert found.pairs == 1


# ---------------------------------------------------------------- guesses


def test_disjoint_cycles_are_guessed_always() -> None:
    labels = labels_of(600)
    found = guessing(disjoint(labels), labels, 0)
    assert found.best.rate.value == 1
    assert found.chance.value == pytest.approx(1 / CLASSES)


def test_independent_cycles_are_guessed_as_often_as_chance() -> None:
    seen = np.random.default_rng(8).integers(0, 500, (1000, 1)) * 1.0
    found = guessing(seen, labels_of(1000), 0)
    low, high = found.best.rate.interval
    assert low <= 1 / CLASSES <= high


@pytest.mark.slow
def test_the_choice_is_made_without_the_images_that_are_reported() -> None:
    labels = labels_of(400)
    seen = np.random.default_rng(9).normal(labels, 2.0)[:, None]
    found = guessing(seen, labels, 0)
    assert set(found.guesses) == {"linear", "neighbours", "forest"}
    best = max(one.cross_validated for one in found.guesses.values())
    assert found.best.cross_validated == best
    # Other images in the asked half: nothing that chooses may change.
    asked = halves(labels, 0)[1]
    other = seen.copy()
    other[asked] = 0.0
    again = guessing(other, labels, 0)
    assert again.chosen == found.chosen
    assert {n: one.cross_validated for n, one in again.guesses.items()} == {
        n: one.cross_validated for n, one in found.guesses.items()
    }


def test_the_halves_share_nothing_and_every_class() -> None:
    labels = np.repeat([0, 1, 2], [7, 8, 9])
    taught, asked = halves(labels, 3)
    assert sorted([*taught, *asked]) == list(range(24))
    for label in range(3):
        counts = [(labels[half] == label).sum() for half in (taught, asked)]
        assert abs(counts[0] - counts[1]) <= 1


def test_a_constant_is_guessed_from_as_from_nothing() -> None:
    labels = np.repeat([0, 1], [30, 50])
    found = guessing(np.full((80, 2), 5.0), labels, 0)
    assert (found.chosen, found.best.rate) == ("constant", found.chance)
    assert found.best.rate.value == 25 / 40
    assert found.area is not None
    assert found.area.value == 0.5


@pytest.mark.slow
def test_two_classes_have_an_area() -> None:
    draw = np.random.default_rng(10)
    labels = np.arange(400) % 2
    area = guessing(draw.normal(2.0 * labels, 1)[:, None], labels, 0).area
    assert area is not None
    assert area.interval is not None
    # P(N(2, 1) > N(0, 1)) = Φ(√2)
    assert area.interval[0] < 0.9214 < area.interval[1]
    assert guessing(disjoint(labels_of(200)), labels_of(200), 0).area is None


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers() -> None:
    labels = labels_of(300)
    seen = np.random.default_rng(11).normal(labels, 3.0)[:, None]
    assert judged(seen, labels, 4) == judged(seen, labels, 4)
    assert judged(seen, labels, 4) != judged(seen, labels, 5)


def test_too_few_images_are_refused() -> None:
    labels = np.array([0] * 20 + [1] * 4)
    with pytest.raises(InputError, match="24 images are too few to guess from"):
        guessing(np.arange(24.0)[:, None], labels, 0)


def test_without_scikit_learn_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match=r"pip install 'hwsim\[leak\]'"):
        guessers.require()


# ---------------------------------------------------------------- verdicts and observers


@pytest.mark.slow
def test_verdicts_follow_the_rule() -> None:
    labels, draw = labels_of(400), np.random.default_rng(12)
    assert judged(disjoint(labels), labels, 0)["verdict"] == "leaks"
    assert judged(draw.integers(0, 9, (400, 1)) * 1.0, labels, 0)["verdict"] == "nothing found"
    assert judged(np.ones((400, 1)), labels, 0)["verdict"] == "constant"


def test_who_sees_what() -> None:
    layers = np.array([[5, 1], [7, 1], [6, 2]])
    total, draw = layers.sum(1), np.random.default_rng(0)
    assert Observer("layers").observe(layers, total, draw).tolist() == layers.tolist()
    assert Observer("total").observe(layers, total, draw).tolist() == [[6], [8], [8]]
    many = np.arange(4000)
    noise = Observer("total", 50.0).observe(many[:, None], many, draw)[:, 0] - many
    assert abs(noise.mean()) < 3
    assert noise.std() == pytest.approx(50, rel=0.05)


def test_noise_on_a_constant_stays_a_constant() -> None:
    flat = np.full(9, 4)
    seen = Observer("total", 10.0).observe(flat[:, None], flat, np.random.default_rng(0))
    assert np.ptp(seen) == 0


def test_the_observers_of_a_study() -> None:
    assert [one.name for one in observers("both", [100, 0, 5])] == [
        "layers", "total", "total, σ 5", "total, σ 100",
    ]  # fmt: skip
    assert [one.name for one in observers("layers", [100])] == ["layers"]
    for noise in (-1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="noise must be a number of cycles, at least 0"):
            observers("both", [noise])
    with pytest.raises(InputError, match="observe must be one of both, layers, total"):
        observers("power", [])
