"""Weight gradients of layers small enough to follow by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from hwsim.engine.backward import Backward
from hwsim.engine.forward import Datapath
from hwsim.engine.weight_gradient import gradients
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.program.wires import Input
from tests.by_hand import TINY, mac, net
from tests.gradients import assert_oracles

ONE = (1, 1, 1)


@pytest.mark.parametrize("step", [1 / 15, 2.0**-4], ids=["of a pixel", "a power of two"])
def test_a_weight_gradient_is_in_real_units_whatever_the_step_of_the_map(step: float) -> None:
    """Steps of pixels count as 2^-A on the way back: at 4 bits weights once got 16/15 of theirs."""
    program = net(mac(ONE, [[2]], post=(1, 0, 0), scale=step), mac(ONE, [[1]], scale=step))
    check(program)
    datapath = Datapath(program, frozenset())
    image = np.full((1, 1, 1, 1), 5, np.uint8)
    tape = datapath.run(image, states=True, kept_maps=True)
    assert tape.logits.tolist() == [[10]]
    found = gradients(Backward(datapath, "ste"), tape, torch.ones(1, 1))
    # A unit of the first weight moves the map by its input of 5 steps; what is added there, and to
    # the logit, by as much as is added.
    expected = [[[5 * step]], [[10 * step]]]
    for weight, value in zip(found.weights, expected, strict=True):
        np.testing.assert_allclose(weight, value, rtol=2**-22)
    np.testing.assert_allclose(torch.cat(found.outputs), [1, 1], rtol=2**-22)
    # By the pixel x, of which there are 15 steps: 2 · 15 steps of the logit.
    np.testing.assert_allclose(found.images.item(), 30 * step, rtol=2**-22)


def test_a_layer_that_stands_in_a_network_twice_has_the_slopes_of_each_place() -> None:
    """It reads steps of 1/15 first and its own of 1/16 then: both were taken for the first."""
    twice, zero = mac(ONE, [[2]], post=(1, 0, 0)), 3
    program = Program.chain(TINY, (twice, twice, mac(ONE, [[1]])), ONE)
    shifted = Program.chain(TINY, program.layers, Input(ONE, Fraction(1, 15), zero))
    for one in (program, shifted):
        check(one)
        datapath = Datapath(one, frozenset())
        image, seed = np.full((1, 1, 1, 1), 3, np.uint8), np.ones((1, 1), np.float32)
        tape = datapath.run(image, states=True, kept_maps=True)
        found = gradients(Backward(datapath, "ste"), tape, torch.from_numpy(seed))
        assert_oracles(found.images, one, image.astype(np.int64), seed)
        # What each reads in steps above its zero, behind it 2 and 1.
        reads = 3 - one.input.zero, 6, 12
        expected = [2 * reads[0] / 16, reads[1] / 16, reads[2] / 16]
        np.testing.assert_allclose(torch.cat(found.weights).ravel(), expected, rtol=2**-20)
