"""The Engine among other people's code: states, pickles, processes, odd tensors, odd pixels."""

from __future__ import annotations

import copy
import io
import multiprocessing
import os
import pickle
import signal
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwsim import Engine, compile
from hwsim.errors import InputError
from hwsim.numbers.config import load_config
from hwsim.program.program import Program


def program_of(seed: int) -> Program:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
        ).eval()
        return compile(net, torch.rand(32, 1, 8, 8))


@pytest.fixture(scope="module")
def program() -> Program:
    return program_of(0)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(70, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def gradient(engine: Engine, images: Tensor) -> Tensor:
    x = images.detach().clone().requires_grad_()
    return torch.autograd.grad(engine(x)[:, 0].sum(), x)[0]


# ------------------------------------------------------------------- pixels outside [0, 1]


def test_pixels_outside_are_refused_with_the_option_that_takes_them(
    program: Program, images: Tensor
) -> None:
    with pytest.raises(InputError, match=r'outside="clamp"') as caught:
        Engine(program)(images + 0.5)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="error or clamp"):
        Engine(program, outside="wrap")  # type: ignore[arg-type]


def test_a_clamping_engine_answers_what_the_saturated_image_gets(
    program: Program, images: Tensor
) -> None:
    engine, far = Engine(program, outside="clamp"), images * 5 - 2
    assert float(far.min()) < 0 < 1 < float(far.max())
    assert torch.equal(engine(far), Engine(program)(far.clamp(0, 1)))
    assert torch.equal(engine.integer_logits(far), engine.integer_logits(far.clamp(0, 1)))
    assert torch.equal(engine(images * 1e30), engine((images > 0).float()))


@pytest.mark.parametrize("bits", [4, 8, 9, 16])
@pytest.mark.parametrize("size", [1e30, 2.0**997, 1.7e308])
def test_a_clamping_engine_saturates_whatever_float64_holds(size: float, bits: int) -> None:
    """From 2^997 on a white pixel was black once, or of more than 8 bits no code at all."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    program = compile(net, torch.rand(8, 1, 2, 2), load_config("tiny").with_bits(bits))
    signs = torch.tensor([[[[1.0, -1.0], [-1.0, 1.0]]]], dtype=torch.float64)
    codes = Engine(program, outside="clamp").grid(signs * size)
    assert codes.tolist() == ((signs > 0).long() * (2**bits - 1)).permute(0, 2, 3, 1).tolist()


@pytest.mark.parametrize("mode", ["ste", "ste-bfloat16", "ste-unclamped", "finite-difference"])
def test_a_clamp_passes_the_gradient_straight_through(
    program: Program, images: Tensor, mode: Any
) -> None:
    engine, far = Engine(program, mode, outside="clamp"), images[:4] * 5 - 2
    found = gradient(engine, far)
    assert torch.equal(found, gradient(engine, far.clamp(0, 1)))
    beyond = (far < 0) | (far > 1)
    assert bool((found[beyond] != 0).any())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_clamping_engine_still_refuses_what_is_no_number(
    program: Program, images: Tensor, value: float
) -> None:
    broken = images.clone()
    broken[3, 0, 1, 1] = value
    with pytest.raises(InputError, match="NaN or infinity"):
        Engine(program, outside="clamp")(broken)


# ------------------------------------------------------------------- odd tensors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.to_sparse(), r"dense.*sparse_coo.*to_dense"),
        (lambda x: x.to_mkldnn(), r"dense.*mkldnn.*to_dense"),
        (lambda x: x.to("meta"), "meta"),
        (lambda x: torch.quantize_per_tensor(x, 1 / 255, 0, torch.quint8), "dequantize"),
        (lambda x: torch.nested.nested_tensor([x[0], x[1]]), "nested"),
        (lambda x: x.to(torch.complex64), "floating point"),
        (lambda x: x.numpy(), "torch tensor"),
        (lambda x: None, "torch tensor"),
    ],
    ids=["sparse", "mkldnn", "meta", "quantized", "nested", "complex", "numpy", "none"],
)
def test_tensors_that_are_no_images_are_refused_in_one_line(
    program: Program, images: Tensor, change: Any, message: str
) -> None:
    engine = Engine(program)
    for ask in (engine, engine.integer_logits, engine.feature_maps):
        with pytest.raises(InputError, match=message) as caught:
            ask(change(images))
        assert "\n" not in str(caught.value)


def test_a_negative_view_is_the_image_it_stands_for(program: Program, images: Tensor) -> None:
    view = torch._neg_view(-images)
    assert view.is_neg()
    engine = Engine(program)
    assert torch.equal(engine(view), engine(images))
    imaginary = torch.complex(torch.zeros_like(images), -images).conj().imag
    assert imaginary.is_neg()
    assert torch.equal(engine(imaginary), engine(images))


# ------------------------------------------------------------------- states and pickles


def test_a_state_carries_its_program_and_loads_only_into_the_same(program: Program) -> None:
    engine, twin = Engine(program), Engine(program_of(0))
    twin.load_state_dict(engine.state_dict())
    other = Engine(program_of(1))
    with pytest.raises(InputError, match="another program") as caught:
        other.load_state_dict(engine.state_dict())
    assert "\n" not in str(caught.value)
    nested = nn.ModuleDict({"judge": other})
    with pytest.raises(InputError, match="another program"):
        nested.load_state_dict(nn.ModuleDict({"judge": engine}).state_dict())
    with pytest.raises(InputError, match="names no program"):
        other.load_state_dict({"logit_scale": torch.tensor(1.0)}, strict=False)


def test_one_word_of_the_rom_makes_another_state(program: Program) -> None:
    last = program.output
    words = last.weights.copy()
    words[3] ^= 1
    changed = program.replace(
        layers=(*program.layers[:-1], type(last)(**{**_fields(last), "weights": words}))
    )
    with pytest.raises(InputError, match="another program"):
        Engine(changed).load_state_dict(Engine(program).state_dict())


def _fields(layer: Any) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in layer.__dataclass_fields__}


@pytest.mark.parametrize("way", ["pickle", "torch.save", "deepcopy"])
def test_an_engine_that_was_away_answers_as_before(
    program: Program, images: Tensor, way: str
) -> None:
    engine = Engine(program, "ste-unclamped", outside="clamp")
    if way == "pickle":
        back = pickle.loads(pickle.dumps(engine))
    elif way == "torch.save":
        file = io.BytesIO()
        torch.save(engine, file)
        file.seek(0)
        back = torch.load(file, weights_only=False)
    else:
        back = copy.deepcopy(engine)
    assert torch.equal(back(images * 2), engine(images * 2))
    assert torch.equal(gradient(back, images), gradient(engine, images))
    assert (back.gradient, back.outside, back.training) == ("ste-unclamped", "clamp", False)
    back.load_state_dict(engine.state_dict())


# ------------------------------------------------------------------- other processes


def _answer(engine: Engine, images: Tensor, queue: Any) -> None:
    queue.put((engine(images).numpy(), gradient(engine, images).numpy()))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("count", [1, 70])
def test_an_engine_works_in_every_kind_of_process(
    program: Program, images: Tensor, method: str, count: int
) -> None:
    engine = Engine(program)
    few = images[:count]
    logits, slope = engine(few), gradient(engine, few)  # so that this process has its threads
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=_answer, args=(engine, few, queue))
    process.start()
    try:
        far_logits, far_slope = queue.get(timeout=120)
    finally:
        process.kill()
        process.join()
    assert torch.equal(torch.from_numpy(far_logits), logits)
    assert torch.equal(torch.from_numpy(far_slope), slope)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_waits_for_no_thread_of_its_parent() -> None:
    # One image, and one layer that is large enough for torch to cut it up among its threads.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 676, 10))
        engine = Engine(compile(net.eval(), torch.rand(8, 1, 28, 28)))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        one, many = torch.rand(1, 1, 28, 28), torch.rand(100, 1, 28, 28)
        want = [engine(x) for x in (one, many)]
        torch.zeros(1 << 20).add_(1)  # this process has OpenMP threads now
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)  # a child that waits for ever is ended, and its status tells
            same = all(bool((engine(x) == y).all()) for x, y in zip((one, many), want, strict=True))
            os._exit(0 if same else 3)
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(("mode", "count"), [("ste", 100), ("finite-difference", 2)])
def test_a_forked_process_attacks_as_its_parent_does(mode: Any, count: int) -> None:
    # As many pixels as torch cuts up among its threads, in the attacker's own copies and sums too.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 676, 10))
        engine = Engine(compile(net.eval(), torch.rand(8, 1, 28, 28)), mode)
        images = torch.rand(count, 1, 28, 28)

    def attacked() -> Tensor:
        return (images + 0.1 * gradient(engine, images).sign()).clamp(0, 1)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        want = attacked()
        torch.zeros(1 << 20).add_(1)  # this process has OpenMP threads now
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)  # a child that waits for ever is ended, and its status tells
            os._exit(0 if bool((attacked() == want).all()) else 3)
        assert os.waitpid(pid, 0)[1] == 0
        assert torch.get_num_threads() == 2, "the parent keeps its threads"
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_joblib_workers_give_the_same_logits(program: Program, images: Tensor) -> None:
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    engine = Engine(program)
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(engine.forward)(images) for _ in range(2))
    assert all(torch.equal(one, engine(images)) for one in found)
