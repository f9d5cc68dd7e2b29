"""Defenses as ROM rewrites are exact, on random networks of every configuration."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from hwsim.defenses.augmentation import augment
from hwsim.defenses.inhibition import inhibit
from hwsim.defenses.pruning import prune
from hwsim.defenses.rewriting import OnOverflow, Scaling, rewrite
from hwsim.engine import reference
from hwsim.engine.forward import Datapath
from hwsim.errors import InputError
from hwsim.program.layers import Layer, MacLayer
from hwsim.program.program import Program
from tests.property.networks import Case, cases
from tests.property.test_engine_equals_oracle import property_test

POLICIES: tuple[OnOverflow, ...] = ("error", "saturate", "rescale")
CHOICES = ("last", "fc", "all")


def _pairs(a: Program, b: Program) -> list[tuple[MacLayer, MacLayer]]:
    return list(zip(a.mac_layers, b.mac_layers, strict=True))


def _zeros(program: Program) -> dict[str, int]:
    """The code of real 0 in what each layer with weights reads."""
    return {
        layer.name: sources[0].zero
        for layer, sources in zip(program.layers, program.numbers, strict=True)
        if isinstance(layer, MacLayer)
    }


def _real_bias(layer: MacLayer, zero: int) -> list[int]:
    """The bias words without zero points and rounding, by their definition."""
    found = []
    for c in range(layer.n_out):
        total = sum(layer.virtual_weights[c].tolist())
        m, s = int(layer.multiplier[c]), int(layer.shift[c])
        held = -zero * total
        if not layer.last:
            held = held * m + (layer.zero << s) + ((1 << s) >> 1)
        found.append(int(layer.bias[c]) - held)
    return found


def _whole_bias(layer: Layer, unit: int, zeros: dict[str, int]) -> Layer:
    """The rounding of a moved bias is all that could differ: here there is nothing to round."""
    if not isinstance(layer, MacLayer):
        return layer
    real = _real_bias(layer, zeros[layer.name])
    held = [int(b) - r for b, r in zip(layer.bias, real, strict=True)]
    words = [int(Fraction(r, unit)) * unit + h for r, h in zip(real, held, strict=True)]
    return dataclasses.replace(layer, bias=np.array(words, np.int64))


def _moved(old: MacLayer, new: MacLayer) -> int:
    """Bits by which the binary point went down, of all rows alike."""
    factors = set((new.weight_scale / old.weight_scale).tolist())
    assert len(factors) == 1
    return int(math.log2(factors.pop()))


def _row_steps(layer: MacLayer) -> np.ndarray:
    """What a step of each word is worth, (K,)."""
    if len(layer.weight_scale) == 1:
        return np.full(layer.weights.size, layer.weight_scale[0])
    assert layer.spec.scheme == "dense"
    return layer.weight_scale[np.arange(layer.weights.size) % layer.n_out]


def _equal_to_oracle(program: Program, case: Case) -> None:
    maps = case.images[:1].transpose(0, 2, 3, 1)
    datapath = Datapath(program, frozenset(("int8", "float32", "float64")))
    logits = datapath.run(maps.astype(datapath.map_dtype)).logits
    assert logits[0].tolist() == list(reference.run(program, case.images[0]).logits)


@property_test(0.08)
@given(cases(), st.integers(1, 40), st.sampled_from(POLICIES), st.sampled_from(CHOICES))
def test_inhibition_moves_every_word_by_the_rounded_tau(
    case: Case, lsbs: int, policy: OnOverflow, choice: str
) -> None:
    before = case.program
    assume(before.mac_layers)
    last = before.mac_layers[-1]
    tau = (lsbs + 0.3) * float(last.weight_scale.max())
    try:
        after = inhibit(before, tau, choice, policy)
    except InputError:
        assume(False)
    limit, zeros = before.config.wgt_max, _zeros(before)
    touched = after.history[-1]["layers"]
    for old, new in _pairs(before, after):
        assert new.spec == old.spec
        if old.name not in touched:
            assert new is old
            continue
        row, move = touched[old.name], _moved(old, new)
        # The rewrite with τ̂ = round(τ / step), exactly, rounded once to the new step.
        steps = [Fraction(step) for step in _row_steps(old).tolist()]
        hats = [math.floor(Fraction(tau) / step + Fraction(1, 2)) for step in steps]
        old_words = old.weights.tolist()
        wide = [w + hat * ((w > 0) - (w < 0)) for w, hat in zip(old_words, hats, strict=True)]
        words = [math.floor(Fraction(w, 2**move) + Fraction(1, 2)) for w in wide]
        assert new.weights.tolist() == [max(-limit, min(limit, word)) for word in words]
        assert row["zero"] == int((new.weights == 0).sum())
        assert row["changed"] == int((new.weights != old.weights).sum())
        if policy == "rescale":
            assert row["saturated"] == 0
        else:
            assert move == 0
            assert row["saturated"] == sum(abs(word) > limit for word in wide)
            # The weights moved, the real bias did not.
            zero = zeros[old.name]
            assert _real_bias(new, zero) == _real_bias(old, zero)
    _equal_to_oracle(after, case)


@property_test(0.08)
@given(cases(), st.integers(-3, 6))
def test_augmentation_by_a_power_of_two_changes_no_weight_word_and_no_argmax(
    case: Case, power: int
) -> None:
    before = case.program
    try:
        after = augment(before, 2.0**power)
    except InputError:
        assume(False)
    for old, new in _pairs(before, after):
        assert np.array_equal(old.weights, new.weights)
        assert np.array_equal(old.bias, new.bias)
    assert after.logit_scale == before.logit_scale * 2.0**power
    name = before.mac_layers[-1].name
    assert after.history[-1]["layers"][name]["changed"] == 0
    image = case.images[0]
    assert reference.run(after, image).logits == reference.run(before, image).logits


@property_test(0.08)
@given(cases(), st.floats(0.1, 20), st.sampled_from(POLICIES))
def test_augmentation_rounds_each_word_and_bias_once(
    case: Case, tau: float, policy: OnOverflow
) -> None:
    before = case.program
    try:
        after = augment(before, tau, "last", policy)
    except InputError:
        assume(False)
    old, new = before.output, after.output
    if not isinstance(old, MacLayer):
        # The same codes, worth more.
        assert after.logit_scale == before.logit_scale * tau
        assert all(a.weights is b.weights for a, b in _pairs(before, after))
        return
    assert isinstance(new, MacLayer)
    limit, zero = before.config.wgt_max, _zeros(before)[old.name]
    half, factor = Fraction(1, 2), Fraction(tau) / Fraction(2) ** _moved(old, new)
    words = [math.floor(int(w) * factor + half) for w in old.weights]
    assert new.weights.tolist() == [max(-limit, min(limit, w)) for w in words]
    moved = [math.floor(b * factor + half) for b in _real_bias(old, zero)]
    assert _real_bias(new, zero) == moved
    _equal_to_oracle(after, case)


@property_test(0.08)
@given(cases(), st.integers(1, 4))
def test_a_moved_binary_point_keeps_what_a_hidden_layer_computes(case: Case, bits: int) -> None:
    """Words that are multiples of 2^bits lose nothing when the point moves, nor do the maps."""
    unit = 1 << bits
    try:
        coarse = rewrite(
            case.program,
            [layer.name for layer in case.program.mac_layers],
            lambda layer: Scaling(lambda word, _: Fraction(int(word / unit) * unit)),
            {"rewrite": "coarse"},
        )
        zeros = _zeros(coarse)
        coarse = coarse.replace(
            layers=tuple(_whole_bias(layer, unit, zeros) for layer in coarse.layers)
        )
        moved = rewrite(
            coarse,
            [layer.name for layer in case.program.mac_layers],
            lambda layer: Scaling(lambda word, _: Fraction(word), point=bits),
            {"rewrite": "nothing"},
            "rescale",
        )
    except InputError:
        assume(False)
    for old, new in _pairs(coarse, moved):
        assert _moved(old, new) == bits
        assert (new.weights * unit).tolist() == old.weights.tolist()
    one, other = (reference.run(program, case.images[0]) for program in (coarse, moved))
    for a, b in zip(one.feature_maps[:-1], other.feature_maps[:-1], strict=True):
        assert np.array_equal(a, b)


@property_test(0.08)
@given(cases(), st.floats(1.05, 4), st.sampled_from(CHOICES))
def test_pruning_zeroes_the_smallest_words_and_nothing_else(
    case: Case, compression: float, choice: str
) -> None:
    before = case.program
    try:
        after = prune(before, compression, choice)
    except InputError:
        assume(False)
    touched = after.history[-1]["layers"]
    left = words = 0
    for old, new in _pairs(before, after):
        if old.name not in touched:
            assert new is old
            continue
        gone = new.weights != old.weights
        assert not new.weights[gone].any()
        kept = np.abs(new.weights[new.weights != 0].astype(int))
        if gone.any():
            assert kept.min() >= np.abs(old.weights[gone].astype(int)).max()
        left += int((new.weights != 0).sum())
        words += new.weights.size
    assert words / left >= compression
    _equal_to_oracle(after, case)
