"""What the audit measures without an attack, against values known by other means."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hwsim import Engine
from hwsim.attacks.core.losses import CrossEntropy
from hwsim.audit import agreement
from hwsim.audit import integers as datapath
from hwsim.audit.attempts import still_rising
from hwsim.audit.gradients import examine, true_seed
from hwsim.audit.tails import tails
from hwsim.numbers.config import load_config
from hwsim.program.program import Program
from tests.images import residual_program, small_program


@pytest.fixture
def program() -> Program:
    return small_program(load_config("default"))


@pytest.fixture
def images() -> Tensor:
    draw = torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(3))
    return torch.floor(draw * 255 + 0.5) / 255


def whole(images: Tensor) -> Any:
    return (images.double() * 255).round().long().numpy()


# --- where a network is cut -----------------------------------------------------------------------


def test_a_network_cut_behind_a_layer_gives_the_same_logits(
    program: Program, images: Tensor
) -> None:
    engine = Engine(program)
    found = list(tails(engine))
    assert [tail.depth for tail in found] == ["input", "after pool", "after fc0"]
    maps = engine.feature_maps(images)
    for tail in found:
        read = whole(images) if tail.map is None else maps[tail.map]
        image = tail.program.input
        x = torch.from_numpy(((read - image.zero) * float(image.scale)).astype(np.float32))
        assert torch.equal(Engine(tail.program).integer_logits(x), engine.integer_logits(images))


def test_layers_of_one_name_are_cut_at_depths_of_their_own() -> None:
    program = residual_program(load_config("default"))
    same = [dataclasses.replace(layer, name="block") for layer in program.layers]
    engine = Engine(program.replace(layers=tuple(same)))
    found = list(tails(engine))
    assert [tail.map for tail in found] == [None, 0, 2, 3, 4, 5]
    assert [tail.depth for tail in found] == [
        "input", "after block", *(f"after block ({n})" for n in (3, 4, 5, 6))
    ]  # fmt: skip


def test_a_graph_is_cut_only_where_one_map_is_alive() -> None:
    """Behind the second convolution the first one's map is still wanted, for the sum."""
    program = residual_program(load_config("default"))
    engine = Engine(program)
    found = {tail.depth: tail.program for tail in tails(engine)}
    names = ["conv0", "conv1", "add", "lut", "affine", "average"]
    assert [stage.name for stage in engine.datapath.stages[:-1]] == names
    assert list(found) == ["input", *(f"after {name}" for name in names if name != "conv1")]
    generator = torch.Generator().manual_seed(5)
    low, high = engine.bounds
    x = torch.rand(5, *program.input_shape, generator=generator) * (high - low) + low
    for depth in names:
        if depth == "conv1":
            continue
        tail = found[f"after {depth}"]
        read = engine.feature_maps(x)[names.index(depth)].astype(np.int64)
        image = tail.input
        y = torch.from_numpy(((read - image.zero) * float(image.scale)).astype(np.float32))
        assert torch.equal(Engine(tail).integer_logits(y), engine.integer_logits(x))


# --- gradients against the datapath ---------------------------------------------------------------


def test_before_a_linear_layer_the_gradient_is_exact(program: Program, images: Tensor) -> None:
    engine = Engine(program)
    cut = list(tails(Engine(program)))[-1]
    depth, tail = cut.depth, cut.program
    maps = engine.feature_maps(images)[-1].astype(np.int64)
    labels = engine(images).argmax(1).numpy()
    row = agreement.directions(tail, maps, labels, depth=depth, step=4, draws=8)
    assert row.cosine["ste"] == pytest.approx(1.0, abs=1e-6)
    one = agreement.coordinates(tail, maps, labels, step=3)
    assert one.cosine["ste"] == pytest.approx(1.0, abs=1e-6)


def test_a_gradient_of_another_network_is_found_out(
    program: Program, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = list(tails(Engine(program)))[-1]
    depth, tail = cut.depth, cut.program
    maps = Engine(program).feature_maps(images)[-1].astype(np.int64)
    labels = Engine(program)(images).argmax(1).numpy()
    slope = agreement._slope

    def turned(one: Program, mode: Any, *rest: Any) -> Any:
        found = slope(one, mode, *rest)
        return -found if mode == "ste" else np.zeros_like(found)

    monkeypatch.setattr(agreement, "_slope", turned)
    row = agreement.directions(tail, maps, labels, depth=depth, step=4, draws=8)
    assert row.cosine["ste"] == pytest.approx(-1.0, abs=1e-6)
    # No gradient where the datapath moves is no guide either.
    assert row.cosine["ste-unclamped"] == 0.0


def test_where_nothing_moves_there_is_nothing_to_disagree_about(program: Program) -> None:
    last = program.output
    dead = dataclasses.replace(last, weights=np.zeros_like(last.weights))
    still = program.replace(layers=(*program.layers[:-1], dead))
    maps = np.full((2, 1, 6, 6), 100)
    row = agreement.directions(still, maps, np.array([0, 1]), depth="input", step=1, draws=2)
    assert row.cosine == {"ste": None, "ste-unclamped": None}


@pytest.mark.parametrize(
    ("top", "steps"), [(15, (1, 2)), (255, (1, 4, 16)), (65535, (1, 4, 16, 64, 256, 1024, 4096))]
)
def test_step_widths_grow_with_the_range(top: int, steps: tuple[int, ...]) -> None:
    assert agreement.widths(top) == steps


# --- gradients by loss ----------------------------------------------------------------------------


def test_the_true_gradient_by_the_logits_is_that_of_cross_entropy() -> None:
    logits = torch.randn(5, 10, generator=torch.Generator().manual_seed(1)).double() * 3
    labels = torch.arange(5)
    z = logits.clone().requires_grad_()
    (seed,) = torch.autograd.grad(torch.nn.functional.cross_entropy(z, labels, reduction="sum"), z)
    cosine = torch.nn.functional.cosine_similarity(true_seed(logits, labels), seed)
    assert torch.allclose(cosine, torch.ones(5).double())


def test_the_true_gradient_survives_any_margin() -> None:
    logits = torch.tensor([[1000.0, 2.0, 1.0]])
    expected = torch.tensor([[-(1 + math.exp(-1)), 1.0, math.exp(-1)]]).double()
    torch.testing.assert_close(true_seed(logits, torch.tensor([0])), expected)


class Fixed(Engine):
    """An engine whose logits are multiplied: a confident network with the same gradients."""

    factor = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.factor


def test_a_confident_network_loses_first_the_winner_and_then_everything(
    program: Program, images: Tensor
) -> None:
    engine = Fixed(program)
    logits = engine(images)
    best = logits.topk(2, 1).values
    margin = float((best[:, 0] - best[:, 1]).min())
    largest = float((best[:, 0] - logits.amin(1)).max())
    labels = logits.argmax(1)
    assert margin > 0
    engine.factor = 5 / largest  # every class keeps a probability
    assert examine(engine, images, labels, "ce-float32").no_winner == 0
    engine.factor = 30 / margin
    rounded = examine(engine, images, labels, "ce-float32")
    assert (rounded.no_winner, rounded.zero_images) == (6, 0)
    assert examine(engine, images, labels, "ce-float64").no_winner < 6
    engine.factor = 200 / margin
    gone = examine(engine, images, labels, "ce-float32")
    assert (gone.zero_images, gone.cosine, gone.log10_size) == (6, 0.0, [None, None, None])
    for name in ("margin", "dlr", "ce-rescaled"):
        assert examine(engine, images, labels, name).zero_images == 0


# --- integers -------------------------------------------------------------------------------------


def test_an_engine_that_answers_differently_is_found_out(program: Program, images: Tensor) -> None:
    assert datapath.stability(Engine(program), images).different == 0

    class Drifting(Engine):
        calls = 0

        def integer_logits(self, x: Tensor) -> Tensor:
            Drifting.calls += 1
            found = super().integer_logits(x)
            found[0, 0] += Drifting.calls == 4
            return found

    assert datapath.stability(Drifting(program), images).different == 1


def test_ties_are_counted_on_integers(
    program: Program, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, far = Engine(program), 20 << program.logit_frac
    rows = [[5, 5, 1], [5, 4, 1], [3, 3, 3], [far, 0, 0]]
    monkeypatch.setattr(engine, "integer_logits", lambda x: torch.tensor(rows))
    seen = datapath.ties(engine, images[:4])
    assert (seen.images, seen.top, seen.dlr, seen.one_hot) == (4, 2, 1, 1)


def test_saturation_is_that_of_the_feature_maps(program: Program, images: Tensor) -> None:
    engine = Engine(program)
    rows = datapath.saturation(engine, images)
    assert [row.layer for row in rows] == ["pool", "fc0"]
    for row, maps in zip(rows, engine.feature_maps(images), strict=True):
        assert row.saturated == np.mean(maps == 255)
        assert row.zero == np.mean(maps == 0)


# --- attacks that stop too early ------------------------------------------------------------------


def test_a_loss_that_still_rises_is_told_from_one_that_has_arrived() -> None:
    t = np.arange(41.0)
    rising, arrived = t, np.minimum(t, 30)
    flat, wobbling = np.zeros(41), np.where(t % 2 == 0, 10.0, 9.0)
    losses = np.stack([rising, arrived, flat, wobbling], 1)
    assert still_rising(losses).tolist() == [True, False, False, False]


def test_a_loss_object_is_fresh_for_every_attack(program: Program) -> None:
    from hwsim.audit.gradients import LOSSES, make_loss, usable_losses

    engine = Engine(program)
    assert all(make_loss(name, engine) is not make_loss(name, engine) for name in LOSSES)
    assert isinstance(make_loss("ce-float32", engine), CrossEntropy)
    assert "dlr" not in usable_losses(2)
