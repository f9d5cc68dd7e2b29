"""The sponge papers' model of a machine, counted value by value."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from hwsim.cost.sponge import SPONGE_OPERATION, SPONGE_WORD
from hwsim.engine.machine import SkippingMachine
from hwsim.engine.module import Engine
from hwsim.numbers.config import load_config
from hwsim.program.layers import PoolLayer
from hwsim.program.program import Program
from tests.images import residual_program, small_program


@pytest.mark.parametrize("make", [small_program, residual_program])
def test_the_sponge_papers_model_counted_value_by_value(make: object) -> None:
    program: Program = make(load_config("tiny").replace(skip=True))  # type: ignore[operator]
    engine = Engine(program)
    low, high = engine.bounds
    x = low + (high - low) * torch.rand(
        3, *program.input_shape, generator=torch.Generator().manual_seed(0)
    )
    # Every layer alone, so that no pool is taken in the pass of another.
    codes = engine.grid(x)
    maps = {0: codes}
    read = written = values = 0
    for stage in Engine(program).datapath.stages:
        numbers = program.numbers[stage.number]
        for place, meaning in zip(stage.sources, numbers, strict=True):
            part = maps[place.map][..., place.channel :][..., : stage.layer.in_shape[0]]
            read = read + (part != meaning.zero).sum((1, 2, 3))
            values += part[0].size
        sources = [
            np.ascontiguousarray(
                maps[place.map][..., place.channel :][..., : stage.layer.in_shape[0]]
            )
            for place in stage.sources
        ]
        if stage.last:
            written = written + (engine.integer_logits(x).numpy() != 0).sum(1)
            break
        zero = numbers[0].zero if isinstance(stage.layer, PoolLayer) else stage.layer.zero
        alone = engine.datapath.step(dataclasses.replace(stage, pool=None), sources)
        written = written + (alone != zero).sum((1, 2, 3))
        out = engine.datapath.step(stage, sources)
        if stage.pool is not None:
            read = read + (alone != zero).sum((1, 2, 3))
            values += alone[0].size
            written = written + (out != zero).sum((1, 2, 3))
        assert stage.target is not None
        channels, height, width = program.maps[stage.target.map].shape
        whole = maps.setdefault(stage.target.map, np.zeros((3, height, width, channels), out.dtype))
        whole[..., stage.target.channel :][..., : out.shape[3]] = out
    weights = [layer.virtual_weights for layer in program.mac_layers]
    used, words = sum(np.count_nonzero(w) for w in weights), sum(w.size for w in weights)
    macs = sum(layer.macs for layer in program.mac_layers)
    expected = SPONGE_WORD * (used + read + written)
    expected = expected + SPONGE_OPERATION * macs * used / words * read / values
    found = SkippingMachine(engine).costs(x)
    assert np.allclose(found.sponge, expected / 1000)
    assert np.array_equal(found.cycles, engine.cycles(x).sum(1) + 1)
    assert np.array_equal(found.answers, engine(x).argmax(1).numpy())
    assert np.allclose(found.edp, found.energy * found.cycles)
