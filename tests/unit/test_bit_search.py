"""Searches for the worst bits: gains against every bit tried, short trials against whole passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.compiler.compiler import compile
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.faults import inject
from hwsim.faults.engine_victim import EngineVictim
from hwsim.faults.objective import Objective
from hwsim.faults.search import F64, Flip, Gains, Part, Victim, step
from hwsim.models.layers import HashConv2d, HashLinear
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.layers import Window
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.program.sums_proof import cannot_wrap
from tests.by_hand import WIDE, mac, pool
from tests.images import residual_program
from tests.strays import strays

BOTH = ("weights", "index")
#: Few index bits, so that every one can be tried.
SMALL = load_config("tiny").replace(wgt_depth=512, act_w=8)


IMAGES = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(5))


def program(dense: bool = False, config: EngineConfig = SMALL) -> Program:
    """Convolution, pool, two layers: hashed at 1/4 and 1/2, or the last layer alone dense."""
    torch.manual_seed(0)
    last = nn.Linear(6, 3) if dense else HashLinear(6, 3, rate=1 / 2, seed=3)
    layers = [
        HashConv2d(1, 4, 3, rate=1 / 4, seed=1), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        HashLinear(16, 6, rate=1 / 4, seed=2), nn.ReLU(), last,
    ]  # fmt: skip
    return compile(nn.Sequential(*layers).eval(), IMAGES, config)


def answered(found: Program, images: Tensor = IMAGES) -> F64:
    """Real logits, the long way."""
    return Engine(found).integer_logits(images).double().numpy() * found.logit_scale


def every(victim: EngineVictim) -> list[Flip]:
    """Every bit that a search may flip."""
    return [
        Flip(number, word, bit)
        for number, part in enumerate(victim.parts)
        for word in range(part.words)
        for bit in range(part.bits)
    ]


def ranks(values: F64) -> F64:
    """Of flat values, equal ones in the middle of theirs: their correlation is Spearman's."""
    _, which, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


def own_answers(victim: Victim) -> Objective:
    return Objective.away(victim.logits().argmax(1))


# --- trials -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_trial_answers_what_the_program_with_the_flip_answers() -> None:
    """Addresses of every bit among them: to other words, other layers' words, and to nothing."""
    victim = EngineVictim(program(), IMAGES, BOTH)
    before = victim.logits()
    changed = 0
    for flip in every(victim)[::5]:
        wanted = answered(inject(victim.program, [victim.fault(flip)]))
        np.testing.assert_array_equal(victim.trial([flip]), wanted, str(flip))
        changed += not np.array_equal(wanted, before)
    assert changed > 100
    np.testing.assert_array_equal(victim.logits(), before, "a trial leaves nothing behind")


@pytest.mark.slow
def test_kept_flips_add_up_whoever_reads_the_words() -> None:
    """An index may come to lead into another layer; then a flip of that word is seen by both."""
    victim = EngineVictim(program(), IMAGES, BOTH)
    flips = every(victim)
    order = np.random.default_rng(1).permutation(len(flips))
    for at in order[:60]:
        flip = flips[at]
        trial = victim.trial([flip])
        victim.keep([flip])
        wanted = answered(inject(victim.program, victim.faults))
        np.testing.assert_array_equal(trial, wanted)
        np.testing.assert_array_equal(victim.logits(), wanted)
    strays = sum(len(read) > 1 for read in _readers(victim))
    assert strays, "some word was read by two layers"
    np.testing.assert_array_equal(victim.answers(IMAGES), wanted.argmax(1))


def _readers(victim: EngineVictim) -> list[dict[int, NDArray[np.int64]]]:
    stored = victim.stored
    return [
        stored.readers(number, address)
        for number, layer in stored.layers.items()
        for address in range(layer.spec.real_weights)
    ]


def test_several_flips_of_one_word_are_tried_together() -> None:
    victim = EngineVictim(program(), IMAGES, BOTH)
    for part in range(len(victim.parts)):
        some = [Flip(part, 1, 0), Flip(part, 1, 7), Flip(part, 0, 3)]
        faults = [victim.fault(flip) for flip in some]
        wanted = answered(inject(victim.program, faults))
        np.testing.assert_array_equal(victim.trial(some), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("swapped", [False, True])
def test_a_flip_reaches_an_addition_through_either_source(swapped: bool) -> None:
    """Of conv1 one of the two alone is new; of conv0 both."""
    whole = residual_program()
    if swapped:
        wires = [replace(wire, sources=wire.sources[::-1]) for wire in whole.wires]
        whole = whole.replace(wires=tuple(wires))
        check(whole)
    images = 2 * IMAGES - 1
    victim, changed = EngineVictim(whole, images), set()
    before = victim.logits()
    for flip in every(victim)[::3]:
        wanted = answered(inject(whole, [victim.fault(flip)]), images)
        np.testing.assert_array_equal(victim.trial([flip]), wanted, str(flip))
        changed |= {flip.part} if not np.array_equal(wanted, before) else set()
    assert changed == {0, 1, 2}
    for part in (1, 0, 1):
        victim.keep([Flip(part, 1, victim.parts[part].bits - 1)])
        wanted = answered(inject(whole, victim.faults), images)
        np.testing.assert_array_equal(victim.logits(), wanted)
        found = victim.trial([Flip(part, 2, 3)])
        again = inject(whole, [*victim.faults, victim.fault(Flip(part, 2, 3))])
        np.testing.assert_array_equal(found, answered(again, images))


class Branches(nn.Module):
    """A convolution, two side by side that read it, and their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first = HashConv2d(1, 4, 3, padding=1, rate=1 / 2, seed=1)
        self.wide = HashConv2d(4, 4, 3, padding=1, rate=1 / 4, seed=2)
        self.short = HashConv2d(4, 4, 1, rate=1 / 2, seed=3)
        self.last = HashLinear(4, 3, rate=1 / 2, seed=4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.wide(x) + self.short(x))
        found: Tensor = self.last(nn.functional.avg_pool2d(x, 6).flatten(1))
        return found


def test_a_kept_flip_of_a_word_that_layers_side_by_side_read_is_seen_by_both() -> None:
    """An index of the one leads to a word of the other, which no stage joins to it but the sum."""
    torch.manual_seed(0)
    found = compile(Branches().eval(), IMAGES, SMALL)
    plain, stray = EngineVictim(found, IMAGES, BOTH), 0
    parts = {(part.memory, part.layer): n for n, part in enumerate(plain.parts)}
    for one, other in (("wide", "short"), ("short", "wide")):
        pairs = strays(plain, parts["index", one])
        for flip, word in [pair for pair in pairs if pair[1].part == parts["weights", other]][:4]:
            victim = EngineVictim(found, IMAGES, BOTH)
            victim.logits()
            for kept in (flip, word):
                trial = victim.trial([kept])
                victim.keep([kept])
                wanted = answered(inject(found, victim.faults))
                np.testing.assert_array_equal(trial, wanted)
                np.testing.assert_array_equal(victim.logits(), wanted)
            stray += 1
    assert stray >= 2


def test_a_flip_undone_leaves_the_clean_program() -> None:
    victim = EngineVictim(program(), IMAGES, BOTH)
    before, words = victim.logits(), [victim.word(part, 2) for part in range(len(victim.parts))]
    for part in range(len(victim.parts)):
        for _ in range(2):
            victim.keep([Flip(part, 2, 6)])
    np.testing.assert_array_equal(victim.logits(), before)
    assert [victim.word(part, 2) for part in range(len(victim.parts))] == words


@pytest.mark.slow
def test_sums_that_wrap_around_are_those_of_the_engine() -> None:
    """16-bit words leave an accumulator of 32 bits; a stage with a pool in it is taken apart."""
    wide = WIDE.replace(act_w=16, wgt_w=16, mult_w=16, acc_w=32)
    hidden = mac(
        (1, 4, 4), [[90, -200, 31, 7], [-3, 400, 12, 90]], kernel=2, post=(3, 4, 8), act_w=16
    )
    peak = pool((2, 3, 3), Window.square(2, 1))
    found = Program.chain(
        wide, (hidden, peak, mac((2, 2, 2), [[*range(7), -100], [9] * 8])), (1, 4, 4)
    )
    check(found)
    images = torch.round(IMAGES[:4, :, :4, :4] * 65535) / 65535
    victim = EngineVictim(found, images)
    wrapping = []
    for flip in [flip for flip in every(victim) if flip.bit > 12]:
        faulty = inject(found, [victim.fault(flip)])
        np.testing.assert_array_equal(victim.trial([flip]), answered(faulty, images))
        if not all(cannot_wrap(wide, layer) for layer in faulty.layers):
            wrapping.append(flip)
    assert {flip.part for flip in wrapping} == {0, 1}
    other = Flip(0, 1, 14)
    for flip in wrapping:
        victim.keep([flip])
        wanted = answered(inject(found, victim.faults), images)
        np.testing.assert_array_equal(victim.logits(), wanted)
        besides = inject(found, [*victim.faults, victim.fault(other)])
        np.testing.assert_array_equal(victim.trial([other]), answered(besides, images))


# --- gains --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dense", [False, True], ids=["hashed", "dense last layer"])
def test_gains_of_the_last_layer_are_what_the_logits_move_along_the_slope(dense: bool) -> None:
    """No gate is behind it: there the first order is exact, for every bit of words and indices."""
    victim = EngineVictim(program(dense), IMAGES, BOTH)
    objective, before = own_answers(victim), victim.logits()
    slope = objective.slope(before)
    gains = victim.gains(objective, None)
    last = [n for n, part in enumerate(victim.parts) if part.layer == victim.parts[-1].layer]
    assert len(last) == (1 if dense else 2)
    for number in last:
        part = victim.parts[number]
        first_order = np.zeros((part.words, part.bits))  # of words left out: nothing is gained
        first_order[gains[number].words] = gains[number].gains
        tried = np.array([
            [(slope * (victim.trial([Flip(number, word, bit)]) - before)).sum()
             for bit in range(part.bits)]
            for word in range(part.words)
        ])  # fmt: skip
        assert (np.abs(tried) > 1e-4).sum() > 20
        np.testing.assert_allclose(first_order, tried, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_gains_of_hidden_layers_rank_the_bits_as_trying_them_does() -> None:
    """Not exactly: gates open and close, codes are rounded, and a large step is not its slope."""
    victim = EngineVictim(program(), IMAGES, BOTH)
    objective = own_answers(victim)
    before = objective.value(victim.logits())
    for number, found in enumerate(victim.gains(objective, None)):
        tried = np.array([
            [objective.value(victim.trial([Flip(number, int(word), bit)])) - before
             for bit in range(found.gains.shape[1])]
            for word in found.words
        ])  # fmt: skip
        assert np.corrcoef(ranks(found.gains), ranks(tried))[0, 1] > 0.95
        better = (tried > tried.ravel()[found.gains.argmax()]).mean()
        assert better < 0.01, "the choice by first order is among the best percent"


def test_few_words_are_looked_at_but_those_with_the_largest_gradients() -> None:
    victim = EngineVictim(program(), IMAGES, BOTH)
    objective = own_answers(victim)
    for some, found in zip(victim.gains(objective, 3), victim.gains(objective, None), strict=True):
        assert len(some.words) == 3
        places = [found.words.tolist().index(word) for word in some.words]
        np.testing.assert_array_equal(some.gains, found.gains[places])
        if found.gains.shape[1] == SMALL.wgt_w:
            # The lowest bit moves a word by 1: its gain is the gradient.
            order = np.argsort(-np.abs(found.gains[:, 0]))
            assert set(found.words[order[:3]]) == set(some.words)


# --- the search ---------------------------------------------------------------------------------


class Plain(EngineVictim):
    """Every trial a whole pass of a program of its own, as the published script does it."""

    def trial(self, flips: Sequence[Flip]) -> F64:
        faults = [*self.faults, *map(self.fault, flips)]
        return answered(inject(self.program, faults))

    def keep(self, flips: Sequence[Flip]) -> None:
        super().keep(flips)
        self._run_on(Engine(inject(self.program, self.faults)))


@pytest.mark.parametrize("memories", [("weights",), ("index",), BOTH], ids="+".join)
def test_the_search_finds_the_flips_of_the_plain_way(memories: tuple[str, ...]) -> None:
    short, plain = (kind(program(), IMAGES, memories) for kind in (EngineVictim, Plain))
    objective = own_answers(short)
    for _ in range(6):
        one, other = (step(victim, objective, 10, 100) for victim in (short, plain))
        assert one == other
        assert one is not None
        assert one.after > one.before
        assert objective.value(short.logits()) == one.after
    assert short.faults == plain.faults


class Table(Victim):
    """A victim by hand: what each set of flips makes of the loss of one image of two classes."""

    parts = (Part("a", "weights", 2, 1), Part("b", "weights", 2, 1))

    def __init__(self, losses: dict[tuple[tuple[int, int], ...], float]) -> None:
        self.losses, self.kept = losses, []

    def logits(self) -> F64:
        return np.array([[0.0, 0.0]])

    def gains(self, objective: Objective, k_top: int | None) -> list[Gains]:
        return [Gains(np.arange(2), np.array([[1.0], [3.0]])) for _ in self.parts]

    def trial(self, flips: Sequence[Flip]) -> F64:
        return np.array([[0.0, self.losses[tuple((flip.part, flip.word) for flip in flips)]]])

    def keep(self, flips: Sequence[Flip]) -> None:
        self.kept += flips

    def word(self, part: int, word: int) -> int:
        return 0

    def answers(self, images: Tensor) -> NDArray[np.int64]:
        return np.zeros(1, np.int64)


AWAY = Objective.away(np.zeros(1, np.int64))


def test_of_the_best_bit_of_each_layer_the_one_with_the_largest_loss_is_kept() -> None:
    victim = Table({((0, 1),): 0.5, ((1, 1),): 2.0})
    found = step(victim, AWAY, None, 9)
    assert found is not None
    assert victim.kept == [Flip(1, 1, 0)]
    assert found.flips == tuple(victim.kept)
    assert found.trials == 2


def test_where_no_bit_raises_the_loss_two_of_a_layer_are_tried() -> None:
    both = ((0, 1), (0, 0)), ((1, 1), (1, 0))
    victim = Table({((0, 1),): -1.0, ((1, 1),): 0.0, both[0]: 0.1, both[1]: -3.0})
    found = step(victim, AWAY, None, 9)
    assert found is not None
    assert victim.kept == [Flip(0, 1, 0), Flip(0, 0, 0)]
    assert found.trials == 4


def test_the_search_ends_where_no_layer_has_more_bits_that_help_or_may_not_flip_more() -> None:
    both = ((0, 1), (0, 0)), ((1, 1), (1, 0))
    losses = {((0, 1),): -1.0, ((1, 1),): 0.0, both[0]: -0.1, both[1]: -3.0}
    assert step(Table(losses), AWAY, None, 9) is None
    del losses[both[0]], losses[both[1]]
    assert step(Table(losses), AWAY, None, 1) is None


# --- what is wanted -----------------------------------------------------------------------------


def test_slopes_of_objectives_are_those_of_their_values() -> None:
    noise = np.random.default_rng(0)
    labels = noise.integers(0, 4, 6)
    for objective in (
        Objective.away(labels), Objective.towards(2, 6), Objective.towards(1, 4, labels[4:]),
    ):  # fmt: skip
        logits, nudge = noise.normal(size=(6, 4)), 1e-6
        slope = objective.slope(logits)
        for place in np.ndindex(logits.shape):
            moved = logits.copy()
            moved[place] += nudge
            risen = (objective.value(moved) - objective.value(logits)) / nudge
            np.testing.assert_allclose(slope[place], risen, atol=1e-4)


def test_an_answer_that_is_no_number_is_the_farthest_from_every_label() -> None:
    broken = np.array([[0.0, 1.0], [np.nan, 0.0]])
    assert Objective.away(np.zeros(2, np.int64)).value(broken) == np.inf
    assert Objective.towards(1, 2).value(broken) == -np.inf
    # Broken as well is what is to be kept.
    assert Objective.towards(1, 1, np.zeros(1, np.int64)).value(broken) == -np.inf
    assert (Objective.away(np.zeros(2, np.int64)).slope(broken)[1] == 0).all()


# --- what is refused ----------------------------------------------------------------------------


def test_memories_that_hold_nothing_to_flip_are_refused() -> None:
    with pytest.raises(InputError, match="computes its indices and stores none"):
        EngineVictim(program(config=SMALL.replace(index_mode="hash")), IMAGES, ("index",))
    torch.manual_seed(0)
    dense = compile(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).eval(), IMAGES, SMALL)
    with pytest.raises(InputError, match="every layer of it is dense"):
        EngineVictim(dense, IMAGES, ("index",))
    for ecc in ("parity", "secded"):
        with pytest.raises(InputError, match=f"check bits .ecc = {ecc}"):
            EngineVictim(program(config=SMALL.replace(ecc=ecc)), IMAGES)
    with pytest.raises(InputError, match="not of 'bias'"):
        EngineVictim(dense, IMAGES, ("bias",))


def test_gradients_that_are_not_by_weights_are_refused() -> None:
    with pytest.raises(InputError, match="finite differences are of images only"):
        EngineVictim(program(), IMAGES, gradient="finite-difference")
