"""Autograd and torch.func do with the engine what they do with any module, or refuse it."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from hwsim import Engine
from hwsim.engine.backward import GRADIENT_MODES
from hwsim.numbers.config import load_config
from tests.citizen import CLASSES, gradient, jacobian, pictures, softmax
from tests.gradients import assert_same
from tests.images import small_program


@pytest.fixture(scope="module")
def engine() -> Engine:
    """1x6x6 -> conv, pool, two fc -> 3 classes; 8 bits, all three schemes of sharing."""
    return Engine(small_program())


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_guards_record_nothing_and_change_no_logit(engine: Engine, guard: Any) -> None:
    x = pictures(5).requires_grad_()
    logits = engine(x)
    assert logits.requires_grad
    with guard():
        quiet = engine(x)
    assert not quiet.requires_grad
    assert torch.equal(quiet, logits)


@pytest.mark.parametrize("guard", [torch.enable_grad, torch.no_grad])
def test_a_tangent_is_refused_not_lost(engine: Engine, guard: Any) -> None:
    x = pictures(2)
    with guard(), forward_ad.dual_level():
        moving = forward_ad.make_dual(x, torch.ones_like(x))
        with pytest.raises(NotImplementedError, match="jvp"):
            engine(moving)


def test_a_tracer_is_refused_or_calls_the_engine_and_gets_no_constant(engine: Engine) -> None:
    """torch refuses on some machines to trace a function of its own, and on others calls it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            traced = torch.jit.trace(engine, (pictures(2),), check_trace=False)
        except RuntimeError:
            return
    x = pictures(3).flip(0)
    assert torch.equal(traced(x), engine(x))


def test_transforms_work_where_nothing_is_recorded(engine: Engine) -> None:
    x = pictures(4)
    with torch.inference_mode():
        assert torch.equal(torch.func.vmap(engine)(x[:, None])[:, 0], engine(x))
    # Images that the transform knows nothing of.
    found = torch.func.grad(lambda z: (engine(x) * z).sum())(torch.ones(4, CLASSES))
    assert torch.equal(found, engine(x))


def test_tensors_born_in_inference_mode_are_accepted(engine: Engine) -> None:
    with torch.inference_mode():
        images = pictures(3)
    assert torch.equal(engine(images), engine(pictures(3)))


def test_a_kept_graph_gives_the_same_gradient_again(engine: Engine) -> None:
    x = pictures(5).requires_grad_()
    loss = engine(x).logsumexp(1).sum()
    first, second = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
    (third,) = torch.autograd.grad(loss, x)
    assert torch.equal(first, second)
    assert torch.equal(first, third)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, x)


def test_images_changed_after_the_forward_pass_are_noticed(engine: Engine) -> None:
    x = pictures(2).requires_grad_()
    shifted = x * 1
    logits = engine(shifted)
    shifted.mul_(0.5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        logits.sum().backward()


def test_gradients_of_a_larger_graph_go_through_the_engine(engine: Engine) -> None:
    w = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    x = (torch.tanh(w) + 1) / 2
    (found,) = torch.autograd.grad(engine(x)[:, 1].sum(), w)
    factor = (1 - torch.tanh(w.detach()) ** 2) / 2
    seed = torch.eye(CLASSES)[1].expand(2, -1)
    assert_same(found, jacobian(engine, x)[:, 1] * factor, engine, x, seed, factor)


def test_checkpointing_recomputes_the_same_gradient(engine: Engine) -> None:
    x = pictures(3).requires_grad_()
    checkpoint(engine, x, use_reentrant=False)[:, 2].sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, jacobian(engine, x)[:, 2])


def test_a_second_derivative_is_refused_and_not_zero(engine: Engine) -> None:
    x = pictures(2).requires_grad_()
    (slopes,) = torch.autograd.grad(engine(x).logsumexp(1).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(slopes.sum(), x)


@pytest.mark.parametrize("dims", [0, 1, 2, -1])
def test_vmap_over_a_further_axis_equals_the_loop(engine: Engine, dims: int) -> None:
    stack = pictures(4, 3).movedim(0, dims)
    expected = torch.stack([engine(images) for images in stack.unbind(dims)])
    assert torch.equal(torch.func.vmap(engine, in_dims=dims)(stack), expected)


def test_nested_vmap_equals_the_loop(engine: Engine) -> None:
    stack = pictures(2, 3, 2)
    found = torch.func.vmap(torch.func.vmap(engine))(stack)
    assert torch.equal(found.flatten(0, 2), engine(stack.flatten(0, 2)))


@pytest.mark.parametrize("mode", GRADIENT_MODES)
def test_every_way_to_a_jacobian_equals_the_loop_over_classes(mode: Any) -> None:
    engine, images = Engine(small_program(), gradient=mode), pictures(3)
    expected = jacobian(engine, images)

    def one(image: Tensor) -> Tensor:
        return engine(image[None])[0]

    x = images.clone().requires_grad_()
    seeds = torch.eye(CLASSES)[:, None].expand(-1, 3, -1)
    batched = torch.autograd.grad(engine(x), x, seeds, is_grads_batched=True)[0]
    functional = torch.autograd.functional.jacobian
    whole = [
        torch.func.jacrev(engine)(images),
        functional(engine, images),
        functional(engine, images, vectorize=True),
    ]
    found = [
        batched.movedim(0, 1),
        torch.func.vmap(torch.func.jacrev(one))(images),
        torch.func.vmap(torch.func.jacrev(one, chunk_size=2))(images),
        torch.stack([torch.func.jacrev(one)(image) for image in images]),
        *(torch.stack([full[n, :, n] for n in range(3)]) for full in whole),
    ]
    for way in found:
        if mode == "finite-difference":  # of exact logits: nothing is summed
            assert torch.equal(way, expected)
            continue
        for k, seed in enumerate(seeds):
            assert_same(way[:, k], expected[:, k], engine, images, seed)
    for full in whole:  # images of a batch do not touch each other
        assert all(not full[a, :, b].any() for a in range(3) for b in range(3) if a != b)


def test_func_grad_equals_autograd(engine: Engine) -> None:
    def loss(image: Tensor) -> Tensor:
        return engine(image[None]).logsumexp(1).sum()

    images = pictures(4)
    expected = gradient(engine, images)
    alone, all_at_once = images[:1], softmax(engine, images)
    found = torch.func.grad(loss)(images[0])[None]
    assert_same(found, expected[:1], engine, alone, all_at_once[:1])
    found = torch.func.vmap(torch.func.grad(loss))(images)
    assert_same(found, expected, engine, images, all_at_once)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("count", [1, 5])
def test_a_callers_autocast_does_not_reach_the_integers(bits: int, count: int) -> None:
    engine = Engine(small_program(load_config("tiny").with_bits(bits)))
    images = pictures(count)
    logits, slopes = engine(images), gradient(engine, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(engine(images), logits)
        x = images.clone().requires_grad_()
        (found,) = torch.autograd.grad(engine(x).float().logsumexp(1).sum(), x)
        assert len(engine.feature_maps(images)) == 2
    assert torch.equal(found, slopes)
