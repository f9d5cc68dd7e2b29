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
from hwsim.numbers.fixedpoint import nearest, quantize
from hwsim.program.program import Layer, MacLayer, Program
from tests.property.networks import Case, cases
from tests.property.test_engine_equals_oracle import property_test

POLICIES: tuple[OnOverflow, ...] = ("error", "saturate", "rescale")
CHOICES = ("last", "fc", "all")


def _pairs(a: Program, b: Program) -> list[tuple[MacLayer, MacLayer]]:
    return list(zip(a.mac_layers, b.mac_layers, strict=True))


def _whole_bias(layer: Layer, unit: int) -> Layer:
    """The rounding of a moved bias is all that could differ: here there is nothing to round."""
    if not isinstance(layer, MacLayer):
        return layer
    rows = zip(layer.bias.tolist(), layer.rounding.tolist(), strict=True)
    words = [int((b - half) / unit) * unit + half for b, half in rows]
    return dataclasses.replace(layer, bias=np.array(words, np.int64))


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
    tau = math.ldexp(lsbs + 0.3, -before.output.fw)
    try:
        after = inhibit(before, tau, choice, policy)
    except InputError:
        assume(False)
    limit = before.config.wgt_max
    touched = after.history[-1]["layers"]
    for old, new in _pairs(before, after):
        assert new.spec == old.spec
        if old.name not in touched:
            assert new is old
            continue
        row = touched[old.name]
        # The rewrite of the dequantized weights with τ̂, quantized again: bit for bit.
        real = np.ldexp(old.weights.astype(float), -old.fw)
        tau_hat = math.ldexp(nearest(tau, old.fw), -old.fw)
        target = real + tau_hat * np.sign(real)
        assert new.weights.tolist() == quantize(target, new.fw, limit).tolist()
        # And within one step of the rewrite with τ itself, where it fits.
        float_words = np.ldexp(real + tau * np.sign(real), new.fw)
        inside = np.abs(float_words) <= limit
        assert np.all(np.abs(new.weights - float_words)[inside] <= 1)
        assert row["zero"] == int((new.weights == 0).sum())
        assert row["changed"] == int((new.weights != old.weights).sum())
        if policy == "rescale":
            assert row["saturated"] == 0
        else:
            assert new.fw == old.fw
            step = nearest(tau, old.fw)  # of any size where the layers' points lie far apart
            wide = [abs(word) + step > limit for word in old.weights.tolist() if word]
            assert row["saturated"] == sum(wide)
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
    assert after.logit_frac == before.logit_frac - power
    assert after.history[-1]["layers"][before.output.name]["changed"] == 0
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
    limit = before.config.wgt_max
    half, factor = Fraction(1, 2), Fraction(tau) / Fraction(2) ** (old.fw - new.fw)
    words = [math.floor(int(w) * factor + half) for w in old.weights]
    assert new.weights.tolist() == [max(-limit, min(limit, w)) for w in words]
    assert new.bias.tolist() == [math.floor(int(b) * factor + half) for b in old.bias]
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
            lambda layer: Scaling(lambda word: Fraction(int(word / unit) * unit)),
            {"rewrite": "coarse"},
        )
        coarse = coarse.replace(layers=tuple(_whole_bias(layer, unit) for layer in coarse.layers))
        moved = rewrite(
            coarse,
            [layer.name for layer in case.program.mac_layers],
            lambda layer: Scaling(lambda word: Fraction(word), point=bits),
            {"rewrite": "nothing"},
            "rescale",
        )
    except InputError:
        assume(False)
    for old, new in _pairs(coarse, moved):
        assert old.fw - new.fw == bits
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
