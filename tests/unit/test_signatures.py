"""Signatures of groups of words, beside what the definition says word by word."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.faults.guards import SignatureGuard
from hwsim.faults.signature import SignatureRule, SignedMemory
from hwsim.program.program import Program
from tests.unit.test_bit_search import BOTH, SMALL, program

KEY = 0x12345678


def by_hand(
    clean: Program, memory: str, number: int, rule: SignatureRule, words: dict[tuple[int, int], int]
) -> set[tuple[tuple[int, int], ...]]:
    """Groups that a signature finds bad: straight from what a signature is, word by word."""
    from hwsim.numbers.hashing import xxh32_pair
    from hwsim.rom.words import WordReader, signed

    read, place = WordReader(clean), clean.placements()[number]
    file = read.files[f"{memory}.mem"]
    first, lines = (
        (place.weight_base, place.weight_lines)
        if memory == "weights"
        else (place.index_base, place.index_lines)
    )
    count = -(-lines // rule.group)
    found = set()
    for field in range(file.fields):
        for block in range(count):
            members = [
                (first + line, field)
                for line in range(lines)
                if (line % count if memory == "weights" else line // rule.group) == block
            ]
            before = after = 0
            for at in members:
                noise = int(xxh32_pair(np.array([at[0]]), np.array([field // 32]), rule.key)[0])
                sign = -1 if noise >> field % 32 & 1 else 1
                written = read.written(f"{memory}.mem", *at)
                before += sign * signed(written, file.width)
                after += sign * signed(words.get(at, written), file.width)
            low, mask = file.width + 1 - rule.bits, (1 << rule.bits) - 1
            if (before >> low) & mask != (after >> low) & mask:
                found.add(tuple(members))
    return found


@pytest.mark.parametrize(("group", "bits"), [(2, 2), (4, 2), (5, 3), (64, 3)])
def test_groups_that_are_found_bad_are_those_of_the_definition(group: int, bits: int) -> None:
    clean = program()
    noise, rule = np.random.default_rng(group), SignatureRule(group, bits, KEY)
    guard = SignatureGuard(clean, rule)
    bad = sound = 0
    for memory, number in itertools.product(BOTH, (0, 2, 3)):
        if not hasattr(clean.layers[number], "spec"):
            continue
        file = guard.read.files[f"{memory}.mem"]
        own = guard.signatures.of(memory, number)
        for _ in range(12):
            words = {}
            for _ in range(int(noise.integers(1, 6))):
                line = own.first + int(noise.integers(own.lines))
                at = line, int(noise.integers(min(file.fields, 2)))
                flip = 1 << file.width - 1 - int(noise.choice(3, p=[0.6, 0.2, 0.2]))
                words[at] = words.get(at, guard.stored(memory, at)) ^ flip
            wanted = by_hand(clean, memory, number, rule, words)
            changes = guard.changes(memory, words).get(number, {})
            found = {tuple(own.members(one)) for one in own.bad(changes)}
            assert found == wanted
            bad, sound = bad + len(wanted), sound + (not wanted)
            seen = guard.seen(memory, words)
            members = {at for one in wanted for at in one}
            if memory == "index":
                assert set(seen.stops) == members & {*words}
                continue
            for at in {*words, *members}:
                given = seen.words.get(at, guard.stored(memory, at))
                assert given == (0 if at in members else words[at])
    assert bad > 20
    assert sound, "some flips cancel, or stand below the bits that count"


def test_a_group_holds_every_word_once() -> None:
    for memory, number in itertools.product(BOTH, (0, 3)):
        own = SignatureGuard(program(), SignatureRule(5, 2, KEY)).signatures.of(memory, number)
        members = [at for group in range(own.groups) for at in own.members(group)]
        assert len(members) == len(set(members)) == own.lines * own.fields
        line, field = np.array(members).T
        groups = own.group_of(line - own.first, field)
        assert [own.members(int(one)).count(at) for one, at in zip(groups, members, strict=True)]
        assert max(len(own.members(one)) for one in range(own.groups)) <= 5


def top_pairs(own: Any, words: NDArray[np.int64], signs: NDArray[np.int64]) -> list[list[int]]:
    """Pairs of words of a group whose top bits cancel, by their numbers in ``words``."""
    every: NDArray[np.int64] = np.arange(len(words), dtype=np.int64)
    line, field = np.divmod(every, SMALL.banks)
    which = own.group_of(line, field)
    steps = signs * np.where(words < 0, 1, -1)
    return [
        [a, b]
        for a, b in itertools.combinations(range(len(words)), 2)
        if which[a] == which[b] and steps[a] + steps[b] == 0
    ]


def test_one_top_bit_is_always_noticed_and_two_that_cancel_by_nobody_who_has_this_key() -> None:
    """Who does not have it takes other signs: of his pairs about half are noticed."""
    clean = program()
    number = clean.layers.index(clean.mac_layers[1])
    caught = {"true": 0, "guessed": 0}
    tried = 0
    for key in range(8):
        guard = SignatureGuard(clean, SignatureRule(4, 2, key))
        other = SignatureGuard(clean, SignatureRule(4, 2, key + 1000))
        words = clean.mac_layers[1].weights.astype(np.int64)
        line, field = np.divmod(np.arange(len(words), dtype=np.int64), SMALL.banks)
        for name, signer in (("true", guard), ("guessed", other)):
            own = signer.signatures.of("weights", number)
            for pair in top_pairs(own, words, own.signs(line, field)):
                places = [(own.first + int(line[at]), int(field[at])) for at in pair]
                flipped = {at: guard.stored("weights", at) ^ 0x80 for at in places}
                caught[name] += bool(guard.seen("weights", flipped).noticed)
                tried += name == "guessed"
                for at in places:
                    one = {at: flipped[at]}
                    assert guard.seen("weights", one).noticed
    assert caught["true"] == 0
    assert tried > 40
    assert 0.25 < caught["guessed"] / tried < 0.75


MUTANTS = {
    "ignores its key": ("signs", lambda self, line, field: np.ones_like(line)),
    "of the lowest bits": ("signature", lambda self, sums: sums & (1 << self.rule.bits) - 1),
    "of neighbours": ("group_of", lambda self, line, field: line // self.rule.group * self.fields
                      + field),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_signature_fails_these_tests(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SignedMemory, *MUTANTS[mutant])
    with pytest.raises(AssertionError):
        test_groups_that_are_found_bad_are_those_of_the_definition(4, 2)


def test_a_signature_that_ignores_its_key_keeps_nothing_from_who_lacks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SignedMemory, *MUTANTS["ignores its key"])
    with pytest.raises(AssertionError):
        test_one_top_bit_is_always_noticed_and_two_that_cancel_by_nobody_who_has_this_key()
