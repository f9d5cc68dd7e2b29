"""The float network under a bit search: its words are those of the weights, shared where hashed."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim.compiler.compiler import compile
from hwsim.errors import InputError
from hwsim.faults.float_victim import FloatVictim, flipped
from hwsim.faults.objective import Objective
from hwsim.faults.search import Flip, step
from hwsim.models.layers import HashConv2d, HashLinear, decode
from hwsim.numbers.config import load_config
from hwsim.program.program import Program

IMAGES = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(5))


class Residual(nn.Module):
    """Works in place behind its convolutions, and uses the second of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3)
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.last = nn.ReLU(inplace=True), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        x = self.twice(self.relu(self.twice(x))).add_(x)
        return self.last(x.flatten(1))


def hashed() -> tuple[nn.Module, Program]:
    torch.manual_seed(0)
    module = nn.Sequential(
        HashConv2d(1, 4, 3, rate=1 / 4, seed=1), nn.ReLU(), nn.Flatten(),
        HashLinear(64, 3, rate=1 / 8, seed=2),
    )  # fmt: skip
    return decode(module).eval(), compile(module.eval(), IMAGES, load_config("tiny"))


def victim_of(module: nn.Module, program: Program) -> FloatVictim:
    return FloatVictim(copy.deepcopy(module), program, IMAGES)


def test_a_trial_is_a_whole_pass_with_the_word_changed() -> None:
    """What ran before is not computed again, though what follows works in place."""
    torch.manual_seed(0)
    module = Residual().eval()
    victim = victim_of(module, hashed()[1])
    assert [part.layer for part in victim.parts] == ["first", "twice", "last"]
    before = victim.logits()
    for number, part in enumerate(victim.parts):
        for bit in (31, 22, 25):
            found = victim.trial([Flip(number, 1, bit)])
            changed = copy.deepcopy(module)
            weight = dict(changed.named_modules())[part.layer].weight.data.view(-1)
            weight[1] = float(flipped(weight[1:2].numpy(), bit)[0])
            with torch.no_grad():
                np.testing.assert_array_equal(found, changed(IMAGES).double().numpy())
            assert not np.array_equal(found, before)
    np.testing.assert_array_equal(victim.logits(), before)


def test_a_word_of_a_hashed_layer_is_read_by_all_who_share_it() -> None:
    module, program = hashed()
    victim = victim_of(module, program)
    assert [part.words for part in victim.parts] == [
        layer.spec.real_weights for layer in program.mac_layers
    ]
    victim.keep([Flip(1, 3, 31)])
    address, _ = program.mac_layers[1].hash_table
    before, after = module[3].weight, victim.module[3].weight
    moved = (before != after).numpy()
    np.testing.assert_array_equal(moved, address == 3)
    np.testing.assert_array_equal(after.detach().numpy()[moved], -before.detach().numpy()[moved])


def test_gains_of_the_last_layer_are_what_the_logits_move_along_the_slope() -> None:
    module, program = hashed()
    victim = victim_of(module, program)
    objective, before = Objective.away(victim.logits().argmax(1)), victim.logits()
    slope, found = objective.slope(before), victim.gains(objective, None)[1]
    for word, row in zip(found.words.tolist(), found.gains, strict=True):
        for bit in (31, 23, 22, 20):  # larger steps are left to float32's rounding
            moved = victim.trial([Flip(1, word, bit)]) - before
            np.testing.assert_allclose(row[bit], (slope * moved).sum(), rtol=1e-3, atol=1e-6)


def test_one_exponent_bit_is_the_end_of_a_float_network() -> None:
    module, program = hashed()
    victim = victim_of(module, program)
    found = step(victim, Objective.away(victim.logits().argmax(1)), 100, 1)
    assert found is not None
    assert [flip.bit for flip in found.flips] == [30]
    assert found.after > 1e9


def test_words_that_would_be_no_number_are_not_chosen() -> None:
    """1.0 has all exponent bits but one: flipped it is infinite, and has no first order."""
    module, program = hashed()
    with torch.no_grad():
        module[3].weight.fill_(1.0)
    victim = victim_of(module, program)
    assert math.isinf(flipped(np.ones(1, np.float32), 30)[0])
    found = victim.gains(Objective.away(victim.logits().argmax(1)), None)[1]
    assert np.isfinite(found.gains).all()
    assert (found.gains[:, 30] == 0).all()


def test_an_answer_that_is_no_number_is_no_class() -> None:
    module, program = hashed()
    victim = victim_of(module, program)
    assert set(victim.answers(IMAGES)) <= {0, 1, 2}
    with torch.no_grad():
        victim.module[3].bias.fill_(float("nan"))
    assert set(victim.answers(IMAGES)) == {-1}


def test_a_network_without_weights_is_refused() -> None:
    with pytest.raises(InputError, match="no weights"):
        FloatVictim(nn.Flatten(), hashed()[1], IMAGES)
