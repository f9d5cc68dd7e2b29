"""Test-driven sparse training: what is chosen, what is left, what a kill leaves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim.compiler.compiler import compile
from hwsim.defenses.float_layers import layers_of, weights_of
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.models.recipe import Muon, Recipe, Restart
from hwsim.training.sparse.compress import Compressed, compress
from hwsim.training.sparse.densities import erk
from hwsim.training.sparse.opponents import AttackersTerm
from hwsim.training.sparse.settings import METHODS, Settings, method_of
from hwsim.training.sparse.sides import Labelled, TargetData, split
from hwsim.training.sparse.tester import Rating

RECIPE = Recipe(epochs=3, batch=16, lr=0.05, weight_decay=5e-4, shift=0, precision="float32",
                momentum=0.9)  # fmt: skip
SETTINGS = Settings(recipe=RECIPE, period=3, trial=2, tested=20, attack_epochs=(2, 1))
DENSITY = 0.2


def net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 20),
            nn.ReLU(), nn.Dropout(0.2), nn.Linear(20, 4),
        )  # fmt: skip


@pytest.fixture(scope="module")
def data() -> TargetData:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(112) % 4
    x = torch.rand(112, 1, 8, 8, generator=generator) * 0.3
    x[torch.arange(112), 0, labels * 2] += 0.6
    return split(Labelled(x[:64], labels[:64]), Labelled(x[64:], labels[64:]))


class Favours:
    """A tester to whom the candidate of this number is the best, time after time."""

    def __init__(self, number: int, of: int = 3) -> None:
        self.number, self.of, self.asked = number, of, 0
        self.state: dict[str, Tensor] = {}

    def prepare(self, module: nn.Module) -> None:
        self.state = {"prepared": torch.ones(1)}

    def __call__(self, module: nn.Module) -> Rating:
        self.asked += 1
        best = (self.asked - 1) % self.of == self.number
        return Rating(0.9 if best else 0.8, 0.75, self.state)


def same(a: nn.Module, b: nn.Module) -> bool:
    mine, theirs = a.state_dict(), b.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def weights(module: nn.Module) -> dict[str, Tensor]:
    names = [name for name, _ in layers_of(module)]
    return {n: w.detach() for n, w in zip(names, weights_of(module, names), strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_what_was_asked_for(method: str, data: TargetData) -> None:
    settings = dataclasses.replace(SETTINGS, candidates=2, stop_at=0.3)
    before = net()
    made = compress(method, before, data, settings, density=DENSITY, seed=1)
    assert same(before, net())  # it was copied
    assert not made.module.training
    whole = sum(weight.numel() for weight in weights(before).values())
    whole_left = whole if METHODS[method].starts == "dense" and method not in (
        "one-shot", "iterative") else round(DENSITY * whole)  # fmt: skip
    left, all_of_them = made.facts["weights"]
    assert all_of_them == whole
    assert abs(left - whole_left) <= (2 if METHODS[method].starts == "hashed" else 0)
    found = weights(made.module)
    assert made.facts["nonzero"] == sum(int(torch.count_nonzero(w)) for w in found.values()) <= left
    assert set(made.facts["layers"]) == set(found)
    tested = method_of(method, settings).choice in ("bmia", "wmia", "mmia")
    updates = made.facts["updates"]
    assert bool(updates) == (METHODS[method].updates != "none")
    for update in updates:
        assert len(update.get("candidates", [])) == (2 if tested else 0)
        if tested:
            scores = [one["score"] for one in update["candidates"]]
            assert update["chosen"] == scores.index(max(scores))
            assert scores == [one["task"] / max(one["attack"], 0.5) for one in update["candidates"]]
    assert (made.facts["epochs"] < 3) == made.facts["stopped"] == (method == "early")


def test_the_first_masks_are_of_erdos_renyi_kernels(data: TargetData) -> None:
    shapes = {name: weight.shape for name, weight in weights(net()).items()}
    assert compress("untested", net(), data, SETTINGS, density=DENSITY).facts["layers"] == erk(
        shapes, DENSITY
    )


@pytest.mark.parametrize("growth", ["random", "gradient"])
def test_a_tester_who_prefers_the_first_candidate_changes_nothing(
    data: TargetData, growth: str
) -> None:
    """The winner keeps what it learnt, and the losers leave no trace."""
    settings = dataclasses.replace(SETTINGS, growth=growth)
    alone = compress("untested", net(), data, settings, density=DENSITY)
    first = compress("bmia", net(), data, settings, density=DENSITY, tester=Favours(0))
    other = compress("bmia", net(), data, settings, density=DENSITY, tester=Favours(2))
    assert same(alone.module, first.module)
    assert [one["chosen"] for one in first.facts["updates"]] == [0, 0, 0]
    assert [one["chosen"] for one in other.facts["updates"]] == [2, 2, 2]
    assert not same(first.module, other.module)


def test_a_random_choice_goes_on_with_one_of_the_same_candidates(data: TargetData) -> None:
    chosen = compress("random", net(), data, SETTINGS, density=DENSITY, seed=3)
    numbers = [one["chosen"] for one in chosen.facts["updates"]]
    assert len(set(numbers)) > 1

    class Told(Favours):
        def __call__(self, module: nn.Module) -> Rating:
            self.number = numbers[self.asked // 3]
            return super().__call__(module)

    told = compress("bmia", net(), data, SETTINGS, density=DENSITY, seed=3, tester=Told(0))
    assert same(chosen.module, told.module)


def test_the_same_call_gives_the_same_weights_and_another_seed_others(data: TargetData) -> None:
    torch.manual_seed(8)
    before = torch.random.get_rng_state()
    one = compress("random", net(), data, SETTINGS, density=DENSITY, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)  # the caller's stream is left alone
    torch.rand(3)
    assert same(
        one.module, compress("random", net(), data, SETTINGS, density=DENSITY, seed=1).module
    )
    assert not same(
        one.module, compress("random", net(), data, SETTINGS, density=DENSITY, seed=2).module
    )


class StopNowError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("method", ["bmia", "mmia", "hash-bmia", "iterative", "regularized"])
def test_a_killed_compression_ends_in_the_same_weights(
    method: str, data: TargetData, tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, candidates=2, plain=0.4)

    def call(**more: object) -> Compressed:
        return compress(method, net(), data, settings, density=DENSITY, seed=2, **more)  # type: ignore[arg-type]

    whole = call()
    epochs: list[int] = []

    def killed(epoch: int, step: int, loss: float, what: str) -> None:
        epochs.append(epoch)
        if epoch == 2 and step == 1:
            raise StopNowError

    state = tmp_path / "state"
    with pytest.raises(StopNowError):
        call(state=state, on_step=killed)
    epochs.clear()
    resumed = call(state=state, on_step=lambda epoch, *_: epochs.append(epoch))
    assert set(epochs) == {2}
    assert same(whole.module, resumed.module)
    assert whole.facts == resumed.facts
    epochs.clear()
    assert call(state=state, on_step=lambda epoch, *_: epochs.append(epoch)).facts == whole.facts
    assert epochs == []  # nothing was left to do


def test_a_state_of_another_call_and_a_damaged_one_are_refused(
    data: TargetData, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    settings = dataclasses.replace(SETTINGS, recipe=dataclasses.replace(RECIPE, epochs=1))
    compress("untested", net(), data, settings, density=DENSITY, state=state)
    for other in (dict(density=0.3), dict(seed=4)):
        given = {"density": DENSITY, "seed": 0} | other
        with pytest.raises(InputError, match="made with other options"):
            compress("untested", net(), data, settings, state=state, **given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="made with other options"):
        compress("dense", net(), data, settings, density=DENSITY, state=state)
    content = bytearray(state.read_bytes())
    content[-5] ^= 1
    state.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        compress("untested", net(), data, settings, density=DENSITY, state=state)


@pytest.mark.parametrize("method", ["untested", "one-shot"])
def test_pruned_words_are_zero_in_the_memory_image_and_on_the_engine(
    method: str, data: TargetData
) -> None:
    made = compress(method, net(), data, SETTINGS, density=DENSITY)
    program = compile(made.module, data.learn.images, "tiny")
    for layer in program.mac_layers:
        weight = weights(made.module)[layer.name]
        zero = (weight.reshape(len(weight), -1) == 0).numpy()
        words = layer.virtual_weights.reshape(zero.shape)
        assert zero.any()
        assert (words[zero] == 0).all()
    answers = Engine(program)(data.judge.others.images)
    agree = (answers.argmax(1) == made.module(data.judge.others.images).argmax(1)).float().mean()
    assert agree > 0.8


def test_the_term_is_the_mean_loss_of_the_attackers_on_members_turned_around() -> None:
    class Knows(nn.Module):
        """Takes for a member whose largest logit is large."""

        def forward(self, records: object) -> Tensor:
            return records.outputs.amax(1)  # type: ignore[attr-defined]

    layer = nn.Linear(3, 2)
    x, labels = torch.rand(5, 3), torch.tensor([0, 1, 0, 1, 1])
    term = AttackersTerm([Knows(), Knows()], "logits", 0.1)
    logits, features = term.forward(layer, x)
    found = term(logits, features, labels)
    wrong = np.log1p(np.exp(-logits.detach().numpy().max(1)))
    assert float(found.detach()) == pytest.approx(-0.1 * wrong.mean(), rel=1e-5)
    # Descent makes the attackers' loss larger: the logits that give members away get smaller.
    (gradient,) = torch.autograd.grad(found, logits)
    assert (gradient.amax(1) > 0).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(recipe=dataclasses.replace(RECIPE, muon=Muon(0.1, 0.0))), "Muon moves weights"),
        (dict(recipe=dataclasses.replace(RECIPE, restart=Restart(1, 0.5, 0))), "has one cycle"),
        (dict(candidates=0), "needs 1 candidate"),
        (dict(tested=9), "10 samples of each side"),
        (dict(period=2), "leaves no room for a trial of 2"),
        (dict(first_rate=1.0), "death rates must fall within"),
        (dict(strength=-1.0), "needs a share of plain epochs"),
        (dict(growth="momentum"), "growth is random or gradient"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(change: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        dataclasses.replace(SETTINGS, **change)


def test_methods_that_make_no_sense_are_one_line(data: TargetData) -> None:
    with pytest.raises(InputError, match="unknown method 'safest': choose from bmia"):
        compress("safest", net(), data, SETTINGS)
    with pytest.raises(InputError, match="early stopping needs the accuracy"):
        compress("early", net(), data, SETTINGS)
    with pytest.raises(InputError, match="no Linear or Conv2d layer"):
        compress("bmia", nn.Flatten(), data, SETTINGS)
