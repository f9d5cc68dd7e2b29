"""Energy image by image: what analyze says of all columns, less those that are left out."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from hwsim.cost.energy import sram_pj_per_bit
from hwsim.cost.image_energy import SPONGE_OPERATION, SPONGE_WORD, ImageEnergy
from hwsim.cost.timing import analyze
from hwsim.engine.cycles import timing_of
from hwsim.engine.machine import SkippingMachine
from hwsim.engine.module import Engine
from hwsim.numbers.config import load_config
from hwsim.program.layers import MacLayer, PoolLayer
from hwsim.program.program import Program
from tests.images import residual_program, small_program


def skipping(index_mode: str = "sram") -> Program:
    return small_program(load_config("tiny").replace(skip=True, index_mode=index_mode))


def full(program: Program) -> dict[int, np.ndarray]:
    found = timing_of(program).skipping
    return {number: np.ones((1, one.fan_in), np.bool_) for number, one in found.items()}


@pytest.mark.parametrize("index_mode", ["sram", "hash"])
def test_an_image_without_a_zero_costs_all_and_its_list(index_mode: str) -> None:
    program = skipping(index_mode)
    config = program.config
    entry = math.ceil(math.log2(config.skip_columns)) + config.act_w
    per_bit, _ = sram_pj_per_bit(config.skip_columns * entry)
    code = sram_pj_per_bit(config.act_depth * config.act_w)[0] * config.act_w
    expected = analyze(program).energy.nj
    for layer in program.layers:
        if isinstance(layer, MacLayer) and layer.kind == "fc":
            tiles = math.ceil(layer.n_out / config.rows)
            # Entries are written once and read by every row-tile; codes only by the scan.
            expected += layer.fan_in * (1 + tiles) * entry * per_bit / 1000
            expected -= layer.fan_in * (tiles - 1) * code / 1000
    found = ImageEnergy(program)(full(program), 1)
    assert found == pytest.approx(expected, rel=1e-9)


def test_columns_add_up_and_an_image_of_zeros_takes_the_first() -> None:
    program = skipping()
    energy, wanted = ImageEnergy(program), full(program)
    number = 2
    some = np.random.default_rng(0).random((5, 27)) < 0.5
    some[0] = False
    many = {n: np.repeat(one, 5, 0) for n, one in wanted.items()} | {number: some}
    found = energy(many, 5)
    missing = np.where(some, 0.0, energy.columns[number]).sum(1)
    missing[0] -= energy.columns[number][0]
    assert np.allclose(found, energy(wanted, 1) - missing)
    assert (energy.columns[number] > 0).all()


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
