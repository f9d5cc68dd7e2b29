"""The table of the probability unit: one in Python, in the oracle, and in Verilog."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from hwsim import Engine, compile
from hwsim.audit.gradients import CHIP, make_loss
from hwsim.audit.integers import ties
from hwsim.engine import reference
from hwsim.program.layers import binary_point
from hwsim.rtl.tree import module_file
from hwsim.units.softmax import EXP_LUT, probabilities, probabilities_at, verilog_table

TABLE = module_file("hne_exp_lut")


def test_committed_table_is_what_the_generator_writes() -> None:
    assert TABLE.read_text(encoding="utf-8") == verilog_table()


def test_table_is_that_of_the_oracle() -> None:
    assert tuple(EXP_LUT.tolist()) == reference.EXP_LUT


def test_verilog_leaves_out_zeros_only() -> None:
    entries = re.findall(r"8'd(\d+): power_o <= 17'd(\d+);", verilog_table())
    listed = {int(n): int(power) for n, power in entries}
    assert [listed.get(n, 0) for n in range(256)] == list(reference.EXP_LUT)


def some_logits(largest: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-largest, largest, (200, 7))


@pytest.mark.parametrize("frac", [-3, 0, 4, 5, 17, 40])
def test_a_power_of_two_is_a_step_like_any_other(frac: int) -> None:
    logits = some_logits(2 ** max(3, min(frac + 4, 45)))
    expected = probabilities(logits, frac)
    assert np.array_equal(probabilities_at(logits, 2.0**-frac), expected)
    assert expected[0].tolist() == reference.softmax_unit(logits[0].tolist(), frac)


@pytest.mark.parametrize("scale", [1 / 255, 0.1, 3.7e-6, 40.0])
def test_other_steps_are_taken_exactly(scale: float) -> None:
    logits = some_logits(max(2, round(30 / scale)))
    # A lead of exactly a sixteenth of a nat, and one integer less, where there are such.
    edge = int(Fraction(1, 16) / Fraction(scale))
    logits[:2] = 0
    logits[0, 1:], logits[1, 1:] = -edge, -edge - 1
    for row, found in zip(logits.tolist(), probabilities_at(logits, scale).tolist(), strict=True):
        leads = [Fraction(max(row) - z) * Fraction(scale) for z in row]
        powers = [reference.EXP_LUT[min(int(16 * lead), 255)] for lead in leads]
        assert found == [(power << 16) // sum(powers) for power in powers]


def test_the_audit_takes_logits_of_any_step() -> None:
    """As of networks that were quantized elsewhere."""
    torch.manual_seed(0)
    x = torch.rand(40, 12)
    program = compile(nn.Sequential(nn.Linear(12, 5)), x)
    last = replace(program.output, scale=program.logit_scale * 1.3)
    engine = Engine(program.replace(layers=(*program.layers[:-1], last)))
    assert binary_point(engine.program.logit_scale) is None
    logits = engine(x)
    p = engine.probabilities(logits)
    integers = engine.integer_logits(x).numpy()
    exact = probabilities_at(integers, engine.program.logit_scale)
    assert np.array_equal(p.double().numpy() * 65536, exact)
    assert float((p - logits.softmax(1)).abs().max()) < 1 / 16
    found = ties(engine, x)
    assert (found.images, found.top, found.one_hot) == (40, 0, 0)
    x.requires_grad_(True)
    loss = make_loss(CHIP, engine)(engine(x), logits.argmax(1))
    (slope,) = torch.autograd.grad(loss.sum(), x)
    assert bool((slope != 0).any(1).all())
