"""Pruning with masked fine-tuning: what is left, what is held, and what can be resumed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hwsim.defenses.pruning import prune_module
from hwsim.defenses.pruning_rounds import Round, plan
from hwsim.defenses.retraining import held, prune_and_retrain, remaining
from hwsim.errors import InputError
from hwsim.models.layers import compress
from hwsim.models.loop import train
from hwsim.models.recipe import Recipe


def net(hashed: bool = False) -> nn.Module:
    torch.manual_seed(4)
    plain = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 20), nn.ReLU(),
        nn.Linear(20, 4),
    )  # fmt: skip
    return compress(plain, 1 / 2) if hashed else plain


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(32) % 4
    x = torch.rand(32, 1, 8, 8, generator=generator) * 0.3
    x[torch.arange(32), 0, labels * 2] += 0.6
    return x, labels


def learn(module: nn.Module, now: Round) -> None:
    recipe = Recipe(epochs=1, batch=8, lr=1e-2, shift=0, precision="float32", seed=now.number)
    train(module, *data(), recipe)


def counts(module: nn.Module) -> list[int]:
    layers = [
        layer
        for layer in module.modules()
        if isinstance(getattr(layer, "weight", None), nn.Parameter)
    ]
    return [int(torch.count_nonzero(layer.weight)) for layer in layers]  # type: ignore[arg-type]


def weight_of(module: nn.Module) -> Tensor:
    """The kernel of the convolution, flat; training may have moved it to another memory format."""
    return next(module.parameters()).detach().reshape(-1)


@pytest.mark.parametrize("hashed", [False, True])
def test_without_training_it_is_the_pure_rewrite(hashed: bool) -> None:
    expected = prune_module(net(hashed), 3.0)
    module = net(hashed)
    prune_and_retrain(module, 3.0, lambda module, now: None)
    for a, b in zip(module.state_dict().values(), expected.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("hashed", [False, True])
def test_every_round_takes_5_percent_of_a_convolution_and_10_of_an_fc(hashed: bool) -> None:
    module, seen = net(hashed), []
    before = counts(module)

    def retrain(module: nn.Module, now: Round) -> None:
        learn(module, now)
        seen.append(counts(module))

    last = prune_and_retrain(module, 2.0, retrain)
    for after in seen:
        expected = [n - int(n * share) for n, share in zip(before, (0.05, 0.1, 0.1), strict=True)]
        assert after == expected
        before = after
    assert (last.number, last.left) == (len(seen), sum(seen[-1]))
    assert last.compression >= 2.0
    assert [now.left for now in remaining(net(hashed), 2.0)] == [sum(after) for after in seen]


def test_what_is_pruned_stays_zero_while_the_rest_learns() -> None:
    module = net()
    masks = {"0": torch.arange(54).numpy() % 2 == 0}
    before = [p.detach().clone() for p in module.parameters()]
    with held(module, masks):
        learn(module, Round(1, 0, 1.0))
    first = weight_of(module)
    assert (first[1::2] == 0).all()
    assert (first[::2] != 0).all()
    assert all(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    learn(module, Round(2, 0, 1.0))
    assert (weight_of(module)[1::2] != 0).any()  # no longer held


class StopNowError(Exception):
    pass


def test_interrupted_pruning_ends_in_the_same_weights(tmp_path: Path) -> None:
    whole = net()
    expected = prune_and_retrain(whole, 3.0, learn)

    def interrupted(module: nn.Module, now: Round) -> None:
        if now.number == 4:
            raise StopNowError
        learn(module, now)

    state = tmp_path / "state"
    with pytest.raises(StopNowError):
        prune_and_retrain(net(), 3.0, interrupted, state=state)
    numbers: list[int] = []

    def counted(module: nn.Module, now: Round) -> None:
        numbers.append(now.number)
        learn(module, now)

    resumed = net()
    assert prune_and_retrain(resumed, 3.0, counted, state=state) == expected
    assert numbers == list(range(4, expected.number + 1))
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    again = net()
    assert prune_and_retrain(again, 3.0, counted, state=state) == expected
    assert len(numbers) == expected.number - 3  # nothing was left to do


def test_state_of_other_options_and_damaged_state_are_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    prune_and_retrain(net(), 1.1, lambda module, now: None, state=state, facts={"lr": 1})
    with pytest.raises(InputError, match="made with other options"):
        prune_and_retrain(net(), 1.1, lambda module, now: None, state=state, facts={"lr": 2})
    with pytest.raises(InputError, match="of another network"):
        prune_and_retrain(net(True), 1.1, lambda module, now: None, state=state, facts={"lr": 1})
    state.write_bytes(state.read_bytes()[:30])
    with pytest.raises(InputError, match="damaged"):
        prune_and_retrain(net(), 1.1, lambda module, now: None, state=state, facts={"lr": 1})


def test_a_compression_out_of_reach_is_refused_before_any_round() -> None:
    def never(module: nn.Module, now: Round) -> None:
        raise AssertionError

    with pytest.raises(InputError, match="out of reach"):
        prune_and_retrain(net(), 1e6, never)
    with pytest.raises(InputError, match="above 1"):
        plan({"a": 10}, {"a": 10}, {"a": "fc"}, 1.0)
