"""What sparse training is made of: densities, death and growth, hashed words that move."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from hwsim.errors import InputError
from hwsim.models import allocation
from hwsim.models.datasets.dataset import Dataset
from hwsim.models.layers import compress as hash_layers
from hwsim.models.recipe import Recipe
from hwsim.training.sparse import masks
from hwsim.training.sparse.batches import Batches
from hwsim.training.sparse.densities import erk, rounded
from hwsim.training.sparse.hashed import moved
from hwsim.training.sparse.learner import Learner, rate
from hwsim.training.sparse.sides import Labelled, split
from hwsim.training.sparse.updates import gradual

LENET = {"0": (6, 1, 5, 5), "3": (16, 6, 5, 5), "7": (120, 400), "9": (84, 120), "11": (10, 84)}


def plain() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 20), nn.Linear(20, 4))


# ---------------------------------------------------------------- densities


@pytest.mark.parametrize("density", [0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
def test_a_layer_keeps_what_the_formula_of_erdos_renyi_kernels_says(density: float) -> None:
    found = erk(LENET, density)
    total = sum(map(math.prod, LENET.values()))
    assert sum(found.values()) == round(density * total)
    # ε by bisection: Σ min(1, ε · share) · size rises with it.
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        kept = sum(min(1.0, middle * sum(s) / math.prod(s)) * math.prod(s) for s in LENET.values())
        low, high = (middle, high) if kept < density * total else (low, middle)
    for name, shape in LENET.items():
        wanted = min(1.0, low * sum(shape) / math.prod(shape)) * math.prod(shape)
        assert abs(found[name] - wanted) <= 1, name


def test_hashed_layers_keep_the_density_each() -> None:
    assert erk({"a": (100,), "b": (40,)}, 0.5) == {"a": 50, "b": 20}


def test_every_layer_keeps_a_weight() -> None:
    assert erk({"a": (100, 100), "b": (1, 2)}, 1e-5) == {"a": 1, "b": 1}


def test_rounding_keeps_the_sum_and_the_sizes() -> None:
    assert rounded({"a": 1.7, "b": 2.6, "c": 0.2}, {"a": 2, "b": 9, "c": 9}, 5) == {
        "a": 2, "b": 2, "c": 1
    }  # fmt: skip
    assert rounded({"a": 2.0, "b": 0.0}, {"a": 2, "b": 4}, 6) == {"a": 2, "b": 4}


@pytest.mark.parametrize("density", [0.0, -0.1, 1.1, math.nan])
def test_a_density_is_a_share(density: float) -> None:
    with pytest.raises(InputError, match="density must lie above 0 and at most at 1"):
        erk(LENET, density)


# ---------------------------------------------------------------- masks


def test_the_smallest_living_weights_die_and_the_dead_with_the_largest_scores_grow() -> None:
    weight = torch.tensor([[0.3, 9.0, -0.1], [0.2, 0.5, 0.0]])
    alive = torch.tensor([[True, False, True], [True, True, False]])
    after, died = masks.killed({"a": weight}, {"a": alive}, 0.5)
    assert died == {"a": 2}
    assert after["a"].tolist() == [[True, False, False], [False, True, False]]
    scores = torch.tensor([[9.0, 1.0, 3.0], [2.0, 9.0, 4.0]])
    grown = masks.grown(after, died, {"a": scores})["a"]
    assert grown.tolist() == [[True, False, True], [False, True, True]]


def test_random_growth_is_a_draw_among_the_dead_of_which_each_may_come() -> None:
    alive = torch.arange(40) < 10
    came = torch.zeros(40, dtype=torch.long)
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        after = masks.grown_at_random({"a": alive}, {"a": 6}, generator)["a"]
        assert after[:10].all()
        assert int(after.sum()) == 16
        came += after & ~alive
    # 60 draws of 6 out of 30: 12 in the mean, standard deviation 3.1.
    assert 1 <= int(came[10:].min()) <= int(came[10:].max()) <= 27


def test_a_layer_keeps_its_last_weight() -> None:
    one = {"a": torch.tensor([True, False])}
    assert masks.killed({"a": torch.ones(2)}, one, 0.99)[0]["a"].tolist() == [True, False]


def test_the_largest_of_all_layers_stay_and_no_layer_is_emptied() -> None:
    weights = {"a": torch.tensor([5.0, 4.0, 3.0, 2.0]), "b": torch.tensor([0.1, 0.2])}
    all_of_them = {
        name: torch.ones(len(value), dtype=torch.bool) for name, value in weights.items()
    }
    kept = masks.largest(weights, all_of_them, 3)
    assert kept["a"].tolist() == [True, True, False, False]
    assert kept["b"].tolist() == [False, True]
    again = masks.largest({k: v * 0 for k, v in weights.items()}, kept, 9)
    assert masks.density(again) == masks.density(kept) == 0.5  # the dead stay dead


def test_schedules_begin_and_end_where_they_should() -> None:
    assert masks.death_rate(0.0, 0.5, 0.005) == 0.5
    assert masks.death_rate(0.5, 0.5, 0.005) == pytest.approx(0.2525)
    assert masks.death_rate(1.0, 0.5, 0.005) == pytest.approx(0.005)
    assert [rate(p) for p in (0.0, 0.49, 0.5, 0.74, 0.75, 1.0)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    assert [gradual(p, 0.2) for p in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx(
        [1.0, 1.0, 0.2 + 0.8 / 8, 0.2, 0.2]
    )


# ---------------------------------------------------------------- learners


@pytest.mark.parametrize("momentum", [0.9, None])
def test_dead_weights_are_zero_whatever_the_optimizer_does(momentum: float | None) -> None:
    recipe = Recipe(batch=8, lr=0.05, weight_decay=0.1, precision="float32", momentum=momentum)
    x, y = torch.rand(8, 1, 8, 8), torch.arange(8) % 4
    shapes = {"0": torch.Size((4, 1, 3, 3)), "2": torch.Size((20, 144)), "3": torch.Size((4, 20))}
    learner = Learner(plain(), masks.drawn(shapes, erk(shapes, 0.3), 1), recipe)
    for step in range(3):
        learner.step(x, y, step, 6)
    others = masks.drawn(shapes, erk(shapes, 0.3), 2)
    learner.mask(others)
    for name, weight in learner.weights.items():
        came = others[name] & ~masks.drawn(shapes, erk(shapes, 0.3), 1)[name]
        assert (weight[came] == 0).all()  # what comes to life begins at 0, its moments, too
        assert all((v[came] == 0).all() for k, v in learner.optimizer.state[weight].items()
                   if k != "step")  # fmt: skip
    for step in range(3, 6):
        learner.step(x, y, step, 6)
    for name, weight in learner.weights.items():
        assert (weight[~others[name]] == 0).all()
        assert (weight[others[name]] != 0).float().mean() > 0.9


def test_a_copy_learns_by_itself_and_alike() -> None:
    recipe = Recipe(batch=8, lr=0.05, precision="float32", momentum=0.9)
    x, y = torch.rand(8, 1, 8, 8), torch.arange(8) % 4
    first = Learner(plain(), {}, recipe)
    first.step(x, y, 0, 4)
    before = [p.detach().clone() for p in first.module.parameters()]
    second = first.copy()
    second.step(x, y, 1, 4)
    assert all(torch.equal(a, b) for a, b in zip(before, first.module.parameters(), strict=True))
    first.step(x, y, 1, 4)
    for a, b in zip(first.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_batch_is_the_same_whenever_it_is_asked_for() -> None:
    data = Labelled(torch.rand(20, 1, 8, 8), torch.arange(20) % 4)
    batches = Batches(data, Recipe(epochs=2, batch=8, shift=1, flip=True))
    assert (batches.steps, batches.total) == (3, 6)
    ahead = [batches.at(step) for step in range(6)]
    for step in (5, 0, 3):
        assert all(torch.equal(a, b) for a, b in zip(batches.at(step), ahead[step], strict=True))
    plain_batches = Batches(data, Recipe(epochs=2, batch=8, shift=0))
    seen = torch.cat([plain_batches.at(step)[0] for step in range(3)])
    assert torch.equal(seen.flatten(1).sum(1).sort().values,
                       data.images.flatten(1).sum(1).sort().values)  # fmt: skip
    with pytest.raises(InputError, match="only images"):
        Batches(Labelled(torch.rand(20, 5), torch.arange(20) % 4), Recipe())


def test_halves_are_disjoint_balanced_and_of_the_seed() -> None:
    learn = Labelled(torch.arange(60.0)[:, None], torch.zeros(60, dtype=torch.long))
    others = Labelled(-1 - torch.arange(44.0)[:, None], torch.zeros(44, dtype=torch.long))
    found = split(learn, others, 5)
    parts = [found.tester.members, found.judge.members, found.tester.others, found.judge.others]
    assert [len(part) for part in parts] == [22] * 4
    values = torch.cat([part.images[:, 0] for part in parts])
    assert len(values.unique()) == 88
    assert (values[:44] >= 0).all()
    assert (values[44:] < 0).all()
    assert torch.equal(split(learn, others, 5).judge.members.images, parts[1].images)
    assert not torch.equal(split(learn, others, 6).judge.members.images, parts[1].images)
    with pytest.raises(InputError, match="60 members and 19 others are too few"):
        split(learn, others.at(slice(19)))


def test_drawn_samples_are_of_the_seed_and_leave_the_others() -> None:
    labels = np.arange(50) % 5
    images = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    data = Dataset("mnist", "train", images, labels, "here", "0" * 64, False)
    chosen, rest = data.drawn(20, 3)
    assert (len(chosen), len(rest)) == (20, 30)
    assert sorted([*chosen.images.reshape(-1), *rest.images.reshape(-1)]) == [*range(50)]
    assert (np.diff(chosen.images.reshape(-1).astype(int)) > 0).all()
    assert (chosen.images == data.drawn(20, 3)[0].images).all()
    assert (chosen.images != data.drawn(20, 4)[0].images).any()
    with pytest.raises(InputError, match="gives 1 to 50"):
        data.drawn(51, 0)


# ---------------------------------------------------------------- hashed words


def test_moved_words_are_the_signed_averages_of_what_they_serve() -> None:
    module = hash_layers(plain(), 0.3)
    now = allocation.allocation(module)
    counts = {**now, "2": now["2"] - 5, "3": now["3"] + 5}
    after = allocation.reallocated(module, counts)
    assert allocation.allocation(after) == counts
    old, new = (allocation.hashed_layers(one) for one in (module, after))
    assert torch.equal(old["0"].weight, new["0"].weight)
    for name in ("2", "3"):
        before, slots = old[name].virtual_weight().detach(), new[name].slot.tolist()
        sums: dict[int, list[float]] = {}
        for slot, value in zip(slots, before.reshape(-1).tolist(), strict=True):
            k, negative = slot % counts[name], slot >= counts[name]
            sums.setdefault(k, []).append(-value if negative else value)
        for k, word in enumerate(new[name].weight.tolist()):
            values = sums.get(k, [0.0])
            assert word == pytest.approx(sum(values) / len(values), abs=1e-6)
        bias, twin = old[name].bias, new[name].bias
        assert bias is not None
        assert twin is not None
        assert torch.equal(bias, twin)


def test_little_is_lost_when_few_words_move() -> None:
    module = hash_layers(plain(), 0.1)
    layer = allocation.hashed_layers(module)["2"]
    count = layer.spec.real_weights
    more = allocation.hashed_layers(allocation.reallocated(module, {"2": count + count // 20}))["2"]
    both = torch.stack([layer.virtual_weight().reshape(-1), more.virtual_weight().reshape(-1)])
    # Another seed would leave a correlation of 0.
    assert float(torch.corrcoef(both.detach())[0, 1]) > 0.75


def test_words_go_from_one_layer_to_another_within_the_room_that_there_is() -> None:
    counts, room = {"a": 10, "b": 4, "c": 3}, {"a": 12, "b": 40, "c": 3}
    for seed in range(20):
        after = moved(counts, room, 0.5, torch.Generator().manual_seed(seed))
        changed = {name: after[name] - counts[name] for name in counts}
        assert sum(changed.values()) == 0
        assert sorted(changed.values())[1] == 0  # one gave, one took
        assert after["c"] <= 3
        assert after["a"] <= 12
    assert moved({"a": 1, "b": 1}, room, 0.5, torch.Generator()) == {"a": 1, "b": 1}


def test_banked_words_do_not_move() -> None:
    banked = hash_layers(plain(), 0.5, "banked", hash_banks=2)
    with pytest.raises(InputError, match="xxh32 only"):
        allocation.reallocated(banked, {"2": 1000})


@pytest.mark.parametrize("counts", [{"1": 4}, {"2": 0}, {"3": 81}])
def test_words_that_no_layer_could_have_are_refused(counts: dict[str, int]) -> None:
    with pytest.raises(InputError, match="no hashed layer that could have"):
        allocation.reallocated(hash_layers(plain(), 0.5), counts)
