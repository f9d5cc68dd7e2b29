"""What guards a memory: what passes, what is noticed, and what an attacker makes of it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.faults import Fault, inject
from hwsim.faults.chase import JudgedFlips, Rules, chase
from hwsim.faults.codeword_moves import moves
from hwsim.faults.guarded_victim import KNOWING, GuardedVictim, GuessingVictim, victim_of
from hwsim.faults.guards import GuardChoice, bounds_of
from hwsim.faults.protection import behind_check_bits
from hwsim.faults.search import Flip, step
from hwsim.numbers.ecc import ECC, check_bits, check_of, decoded
from hwsim.runs.flip_catalog import KNOWS
from tests.unit.test_bit_search import BOTH, IMAGES, SMALL, answered, own_answers, program

GUARDS = ("parity", "secded", "clip", "signature:4", "signature:6:3")
KEY = 0x12345678


def victim(guard: str, memories: tuple[str, ...] = BOTH, key: int = KEY) -> GuardedVictim:
    return GuardedVictim(GuardChoice.of(guard).on(program(), key), IMAGES, memories)


# --- check bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [4, 8, 11, 25])
@pytest.mark.parametrize("ecc", ECC[1:])
def test_every_cheapest_move_passes_and_fewer_flips_never_do(ecc: Any, width: int) -> None:
    """Behind parity two flips, behind SECDED three: what is shown for words of 8 bits is tried."""
    masks, columns = moves(ecc, width)
    whole = width + check_bits(ecc, width)
    cost = {len(bits) for bits in columns}
    assert cost == {2 if ecc == "parity" else 3}
    assert len(set(masks.tolist())) == len(masks)
    assert {1 << bit for bit in range(min(width, 8))} <= set(masks.tolist())

    def given(bits: tuple[int, ...], word: int) -> tuple[int, bool]:
        data = np.array([word], np.uint64)
        flips = sum(1 << bit for bit in bits)
        check = check_of(ecc, data, width) ^ np.uint64(flips >> width)
        found, wrong = decoded(ecc, data ^ np.uint64(flips & (1 << width) - 1), check, width)
        return int(found[0]), bool(wrong[0])

    word = 0b1011 & (1 << width) - 1
    for mask, bits in zip(masks.tolist(), columns, strict=True):
        assert given(bits, word) == (word ^ mask, False)
    if width == 8:
        for count in range(1, min(cost)):
            for bits in itertools.combinations(range(whole), count):
                found, wrong = given(bits, word)
                assert wrong or found == word
        for bits in itertools.combinations(range(whole), min(cost)):
            found, wrong = given(bits, word)
            if not wrong and found != word:
                assert found ^ word in masks, "no cheapest move is missing"


# --- a bound --------------------------------------------------------------------------------------


def test_no_clean_word_lies_beyond_the_bound_and_no_smaller_bound_would_do() -> None:
    clean = program()
    guard = GuardChoice.of("clip").on(clean)
    assert guard.bounds == bounds_of(clean)
    for number, bound in guard.bounds.items():
        words = np.abs(clean.mac_layers[list(guard.bounds).index(number)].weights)
        assert words.max() == bound
    np.testing.assert_array_equal(answered(guard.with_words({})), answered(clean))


def test_what_is_read_is_saturated_before_its_sign_whoever_reads_it() -> None:
    """A word beyond, an index that leads to a larger word of another layer, and the least word."""
    clean = program()
    guard = GuardChoice.of("clip").on(clean)
    read, beyond, saturated = guard.read, 0, 0
    for layer in clean.mac_layers:
        number = clean.layers.index(layer)
        bound, place = guard.bounds[number], clean.placements()[number]
        for address in range(layer.spec.real_weights):
            line, field = divmod(address, SMALL.banks)
            words = {"weights": {(place.weight_base + line, field): 0x80}}
            found: Any = guard.with_words(words).layers[number]
            where = layer.hash_table[0] == address
            signs = np.where(layer.hash_table[1][where], 1, -1)
            np.testing.assert_array_equal(found.virtual_weights[where], bound * signs)
            saturated += len(signs)
        # Of an index every bit: what it reads is at most the bound.
        for line, bit in itertools.product(range(place.index_lines), range(1 + SMALL.addr_w)):
            at = place.index_base + line, 0
            word = read.written("index.mem", *at) ^ 1 << bit
            plain: Any = inject(clean, [Fault("index", *at, bit)]).layers[number]
            found = guard.with_words({"index": {at: word}}).layers[number]
            wanted = np.clip(plain.virtual_weights, -bound, bound)
            np.testing.assert_array_equal(found.virtual_weights, wanted)
            beyond += int(np.abs(plain.virtual_weights).max() > bound)
    assert saturated > 100
    assert beyond, "an index led to a word beyond the bound"


# --- victims --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("guard", GUARDS)
def test_trials_and_kept_moves_answer_what_the_guarded_program_answers(guard: str) -> None:
    """Moves that pass and flips at random, which are corrected, zeroed, saturated, or stop."""
    one, noise = victim(guard), np.random.default_rng(3)
    objective = own_answers(one)
    clean = one.logits()
    for turn in range(30):
        options = [
            flips
            for part, choice in one.choices(objective, 20)
            if (flips := choice.best(part, int(noise.integers(1, 3))))
        ]
        part = int(noise.integers(len(one.parts)))
        some = one.parts[part]
        drawn = [
            Flip(part, int(noise.integers(min(some.words, 9))), int(noise.integers(some.bits)))
            for _ in range(2)
        ]
        planned = turn % 3 and options
        flips = options[int(noise.integers(len(options)))] if planned else drawn
        stops = one._stops(flips)
        trial = one.trial(flips)
        if stops:
            np.testing.assert_array_equal(trial, one.logits())
            continue
        one.keep(flips)
        wanted = answered(one.held(one.faults))
        np.testing.assert_array_equal(trial, wanted)
        np.testing.assert_array_equal(one.logits(), wanted)
        assert not one.stopped
    assert not np.array_equal(one.logits(), clean)


@pytest.mark.parametrize("ecc", ECC[1:])
def test_what_check_bits_leave_of_flips_is_what_the_engine_s_own_leave(ecc: str) -> None:
    one = victim(ecc)
    guarded = program().replace(config=SMALL.replace(ecc=ecc))
    objective = own_answers(one)
    for _ in range(4):
        assert step(one, objective, 10, 99) is not None
        behind = behind_check_bits(guarded, one.faults)
        assert not behind.stops
        np.testing.assert_array_equal(one.logits(), answered(inject(program(), behind.faults)))


@pytest.mark.parametrize("memory", BOTH)
@pytest.mark.parametrize("guard", GUARDS)
def test_the_adaptive_attacker_is_never_stopped(guard: str, memory: str) -> None:
    one = victim(guard, (memory,))
    objective = own_answers(one)
    for _ in range(6):
        found = step(one, objective, 10, 99)
        assert found is not None
        assert found.after > found.before
    assert not one.stopped


def every_move(one: GuardedVictim, most: int) -> dict[tuple[Flip, ...], float]:
    """Every set of up to ``most`` flips of one part that stops nothing, and what it makes of the
    objective."""
    objective = own_answers(one)
    found = {}
    for number, part in enumerate(one.parts):
        bits = [Flip(number, w, b) for w in range(part.words) for b in range(part.bits)]
        for count in range(1, most + 1):
            for flips in itertools.combinations(bits, count):
                if not one._stops(flips):
                    found[flips] = objective.value(one.trial(list(flips)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("guard", "most"), [("parity", 2), ("secded", 2), ("clip", 1), ("signature:2", 2)]
)
def test_the_adaptive_step_is_among_the_best_of_all_sets_of_flips(guard: str, most: int) -> None:
    """Against trying every single flip and every pair, on the 9 words of one layer.

    Behind SECDED no pair does anything: a step takes three.
    """
    one = victim(guard, ("weights",))
    one.parts = one.parts[:1]
    one._numbers = one._numbers[:1]
    objective = own_answers(one)
    before = objective.value(one.logits())
    tried = every_move(one, most)
    best = max((value - before) / len(flips) for flips, value in tried.items())
    if guard == "secded":
        assert best == 0
        found = step(one, objective, None, 99)
        assert found is not None
        assert len(found.flips) == 3
        return
    found = step(one, objective, None, most)
    assert found is not None
    each = (found.after - before) / len(found.flips)
    better = [v for f, v in tried.items() if (v - before) / len(f) > each + 1e-12]
    assert each <= best + 1e-12
    assert len(better) <= 0.02 * len(tried)


# --- who knows what -------------------------------------------------------------------------------


def search(guard: str, knows: Any, memory: str = "weights", most: int = 12) -> Any:
    found = victim_of(program(), IMAGES, (memory,), GuardChoice.of(guard), knows, KEY)
    labels = found.answers(IMAGES)
    objective = own_answers(found)
    rules = Rules(10, most, -1.0)  # never
    return found, *chase(found, objective, JudgedFlips(IMAGES, labels), rules)


def test_the_blind_attacker_is_stopped_by_parity_at_once_and_corrected_by_secded() -> None:
    found, kept, ended = search("parity", "blind")
    assert (len(kept), ended) == (1, "caught")
    assert kept[0].accuracy is None
    found, kept, ended = search("secded", "blind")
    words = {(flip.part, flip.word) for one in kept for flip in one.flips}
    if len(words) == sum(len(one.flips) for one in kept):
        assert ended == "most"
        assert {one.accuracy for one in kept} == {1.0}
    clean = Engine(program()).integer_logits(IMAGES).argmax(1).numpy()
    if ended == "most":
        np.testing.assert_array_equal(found.answers(IMAGES), clean)


def test_a_search_with_fewer_flips_left_than_a_move_takes_has_made_the_most_it_may() -> None:
    for most in (4, 5):
        _, kept, ended = search("secded", "adaptive", most=most)
        assert [len(one.flips) for one in kept] == [3]
        assert ended == "most"


def test_flips_are_made_on_the_machine_and_planned_on_another() -> None:
    found, _, _ = search("signature:4", "blind", most=4)
    assert isinstance(found, GuessingVictim)
    assert found.machine.faults == found.plan.faults
    np.testing.assert_array_equal(
        found.machine.logits(), answered(found.machine.held(found.machine.faults))
    )
    assert found.machine.guard.seen("weights", found.machine._raw["weights"]).noticed


def test_who_has_no_key_plans_with_another() -> None:
    found, kept, _ = search("signature:4", "keyless", most=6)
    assert found.plan.guard.signatures.rule.key != found.machine.guard.signatures.rule.key
    assert kept
    one, *_ = search("signature:4", "adaptive", most=6)
    assert one.guard.signatures.rule.key == KEY


def test_a_search_behind_a_guard_that_was_interrupted_goes_on() -> None:
    for knows, guard in (("adaptive", "signature:4"), ("blind", "clip"), ("blind", "parity")):
        _, kept, ended = search(guard, knows)
        again = victim_of(program(), IMAGES, ("weights",), GuardChoice.of(guard), knows, KEY)
        judged = JudgedFlips(IMAGES, again.answers(IMAGES))
        objective = own_answers(again)
        rest, end = chase(again, objective, judged, Rules(10, 12, -1.0), kept[: len(kept) // 2])
        assert (rest, end) == (kept, ended)


def test_the_command_line_offers_what_attackers_may_know() -> None:
    assert KNOWS == KNOWING


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ecc", "no protection is called 'ecc': none, parity, secded, clip, signature"),
        ("clip:3", "no protection is called 'clip:3'"),
        ("signature:0", "groups of 2 … 65,536 words, not 0"),
        ("signature:8:4", "2 or 3 bits, not 4"),
        ("signature:-1", "give a signature as"),
        ("signature:8:2:1", "give a signature as"),
        ("signature:", "give a signature as"),
        # More digits than Python takes for a number.
        ("signature:" + "9" * 5000, "give a signature as"),
        ("signature:8:" + "0" * 5000 + "2", "give a signature as"),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_no_guard_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        GuardChoice.of(text)


def test_a_guard_is_written_as_it_is_read() -> None:
    for text in ("none", "parity", "secded", "clip", "signature:64", "signature:8:3"):
        assert GuardChoice.of(text).text == text
    assert GuardChoice.of("signature").text == "signature:64"


def test_two_guards_and_keys_of_none_are_refused() -> None:
    coded = program().replace(config=SMALL.replace(ecc="parity"))
    with pytest.raises(InputError, match=r"has check bits .ecc = parity. already"):
        victim_of(coded, IMAGES, BOTH, GuardChoice.of("clip"), "blind", KEY)
    with pytest.raises(InputError, match="without the key is one of a signature"):
        victim_of(program(), IMAGES, BOTH, GuardChoice.of("clip"), "keyless", KEY)
    hashed = program(config=SMALL.replace(index_mode="hash"))
    with pytest.raises(InputError, match="computes its indices and stores none"):
        victim_of(hashed, IMAGES, ("index",), GuardChoice.of("signature"), "blind", KEY)
    with pytest.raises(InputError, match="guards weights and index, not bias"):
        GuardChoice.of("clip").check(program(), ("bias",))
    own = victim_of(coded, IMAGES, BOTH, GuardChoice.of("none"), "adaptive", KEY)
    assert isinstance(own, GuardedVictim)
    assert {part.check for part in own.parts} == {1}
    assert torch.is_tensor(IMAGES)
