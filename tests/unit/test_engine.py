"""Engine is a citizen of PyTorch: what torch does to any module, it can do to this one."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from hwsim import Engine
from hwsim.engine import reference
from hwsim.errors import InputError
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from tests.citizen import CLASSES, gradient, jacobian, pictures, softmax
from tests.gradients import assert_same
from tests.images import small_program


@pytest.fixture(scope="module")
def engine() -> Engine:
    """1x6x6 -> conv, pool, two fc -> 3 classes; 8 bits, all three schemes of sharing."""
    return Engine(small_program())


# --- nn.Module ----------------------------------------------------------------------------------


def test_device_comes_from_the_first_parameter(engine: Engine) -> None:
    assert next(engine.parameters()).device == torch.device("cpu")
    assert not any(p.requires_grad for p in engine.parameters())
    assert isinstance(engine, nn.Module)
    assert not isinstance(engine, nn.Sequential)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.eval(),
        lambda e: e.train(),
        lambda e: e.to("cpu"),
        lambda e: e.to(torch.float64),
        lambda e: e.half(),
        lambda e: e.requires_grad_(True),
        lambda e: e.to(memory_format=torch.channels_last),
        lambda e: nn.Sequential(nn.Identity(), e),
        lambda e: nn.DataParallel(e),
        copy.copy,
        copy.deepcopy,
        lambda e: copy.deepcopy(copy.deepcopy(nn.Sequential(e))),
    ],
)
def test_what_torch_does_to_a_module_changes_no_logit(
    change: Callable[[Engine], nn.Module],
) -> None:
    plain, images = Engine(small_program()), pictures(5)
    logits, slopes = plain(images), gradient(plain, images)
    changed: Any = change(plain)
    assert torch.equal(changed(images), logits)
    assert torch.equal(gradient(changed, images), slopes)


def test_a_deep_copy_is_its_own_module_and_shares_the_packed_weights(engine: Engine) -> None:
    twin = copy.deepcopy(engine)
    assert twin is not engine
    assert next(twin.parameters()) is not next(engine.parameters())
    assert twin.datapath is engine.datapath
    assert twin.program is engine.program


def test_state_dict_makes_the_round_trip(engine: Engine) -> None:
    other = Engine(small_program())
    keys = other.load_state_dict(engine.state_dict())
    assert not keys.missing_keys
    assert not keys.unexpected_keys
    assert torch.equal(other(pictures(4)), engine(pictures(4)))


def test_module_and_tensor_hooks_run(engine: Engine) -> None:
    seen: list[str] = []
    handles = [
        engine.register_forward_pre_hook(lambda *_: seen.append("before")),
        engine.register_forward_hook(lambda *_: seen.append("after")),
        engine.register_full_backward_hook(lambda *_: seen.append("backward")),
    ]
    x = pictures(3).requires_grad_()
    x.register_hook(lambda slopes: slopes * 2)
    try:
        engine(x)[:, 0].sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    assert seen == ["before", "after", "backward"]
    assert x.grad is not None
    assert torch.equal(x.grad, 2 * jacobian(engine, x)[:, 0])


# --- batches ------------------------------------------------------------------------------------


def test_a_batch_of_nothing_gives_nothing(engine: Engine) -> None:
    x = pictures(0).requires_grad_()
    logits = engine(x)
    logits.sum().backward()
    assert logits.shape == (0, CLASSES)
    assert logits.dtype == torch.float32
    assert x.grad is not None
    assert x.grad.shape == x.shape
    assert engine.integer_logits(x).shape == (0, CLASSES)
    assert engine.probabilities(logits).shape == (0, CLASSES)
    shapes = [maps.shape for maps in engine.feature_maps(pictures(2))]
    assert [maps.shape for maps in engine.feature_maps(x)] == [(0, *s[1:]) for s in shapes]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 150])
def test_results_do_not_depend_on_the_batch(engine: Engine, count: int) -> None:
    images = pictures(count)
    logits, slopes = engine(images), gradient(engine, images)
    for n in {0, count // 2, count - 1}:
        alone = images[n : n + 1]
        assert torch.equal(engine(alone)[0], logits[n])
        seed = softmax(engine, alone)
        assert_same(gradient(engine, alone), slopes[n : n + 1], engine, alone, seed)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
        lambda x: torch.stack([x, x], -1)[..., 1],
        lambda x: x.flip(0).flip(0),
        lambda x: nn.Parameter(x.clone()),
        lambda x: x.double(),
    ],
    ids=["channels_last", "transposed", "strided", "flipped", "parameter", "float64"],
)
def test_memory_layout_changes_nothing(engine: Engine, change: Callable[[Tensor], Tensor]) -> None:
    images = pictures(5)
    changed = change(images)
    assert torch.equal(engine(changed), engine(images))
    found = gradient(engine, changed)
    assert found.dtype == changed.dtype
    assert torch.equal(found.float(), gradient(engine, images))


def test_expanded_images_give_equal_rows(engine: Engine) -> None:
    images = pictures(1).expand(5, -1, -1, -1)
    assert torch.equal(engine(images), engine(images[:1]).expand(5, -1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_images_are_taken_at_their_value(engine: Engine, dtype: torch.dtype) -> None:
    images = pictures(5).to(dtype)
    assert torch.equal(engine(images), engine(images.float()))
    assert gradient(engine, images).dtype == dtype


# --- threads ------------------------------------------------------------------------------------


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_callers_thread_count_is_obeyed_and_kept(
    engine: Engine, threads: None, count: int
) -> None:
    images = pictures(200)
    logits, slopes = engine(images), gradient(engine, images)
    torch.set_num_threads(count)
    assert torch.equal(engine(images), logits)
    assert_same(gradient(engine, images), slopes, engine, images, softmax(engine, images))
    assert torch.get_num_threads() == count


def test_threads_started_later_keep_the_callers_thread_count(engine: Engine, threads: None) -> None:
    torch.set_num_threads(2)
    engine(pictures(200))
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [2]


def test_python_threads_may_share_an_engine(engine: Engine) -> None:
    batches = [pictures(100, seed=seed) for seed in range(3)]
    expected = [(engine(images), gradient(engine, images)) for images in batches]
    found: dict[int, list[tuple[Tensor, Tensor]]] = {0: [], 1: [], 2: []}

    def work(number: int) -> None:
        for _ in range(5):
            images = batches[number]
            found[number].append((engine(images), gradient(engine, images)))

    workers = [threading.Thread(target=work, args=(number,)) for number in found]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number, (logits, slopes) in enumerate(expected):
        assert len(found[number]) == 5
        for mine in found[number]:
            assert torch.equal(mine[0], logits)
            images = batches[number]
            assert_same(mine[1], slopes, engine, images, softmax(engine, images))


class _Judged(Dataset):
    """Logits computed inside a data loader's worker process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Tensor:
        return self.engine(pictures(70, seed=index))


def test_forked_data_loader_workers_may_run_the_engine(engine: Engine) -> None:
    if "fork" not in torch.multiprocessing.get_all_start_methods():
        pytest.skip("this system has no fork")
    expected = torch.stack([engine(pictures(70, seed=seed)) for seed in range(2)])
    loader = DataLoader(
        _Judged(engine), batch_size=2, num_workers=1, timeout=60, multiprocessing_context="fork"
    )
    assert torch.equal(next(iter(loader)), expected)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(6, 6), "shape (N, 1, 6, 6), got (6, 6)"),
        (torch.zeros(1, 6, 6), "got (1, 6, 6)"),
        (torch.zeros(2, 3, 6, 6), "got (2, 3, 6, 6)"),
        (torch.zeros(2, 1, 6, 7), "got (2, 1, 6, 7)"),
        (torch.zeros(2, 1, 6, 6, dtype=torch.uint8), "got torch.uint8"),
        (torch.zeros(2, 1, 6, 6, dtype=torch.bool), "got torch.bool"),
        (torch.zeros(2, 1, 6, 6, dtype=torch.complex64), "got torch.complex64"),
        (torch.full((2, 1, 6, 6), float("nan")), "NaN"),
        (torch.full((2, 1, 6, 6), float("inf")), "infinity"),
        (torch.full((2, 1, 6, 6), -0.01), "must lie in [0, 1], got -0.01"),
        (torch.full((2, 1, 6, 6), 1.00002), "must lie in [0, 1], got 1.00002 … 1.00002"),
        (torch.full((2, 1, 6, 6), 255.0), "raw pixels"),
        (np.zeros((2, 1, 6, 6), np.float32), "torch tensor, got ndarray"),
        (None, "torch tensor, got NoneType"),
    ],
)
@pytest.mark.parametrize("ask", ["forward", "integer_logits", "feature_maps"])
def test_wrong_images_are_refused_with_one_line(
    engine: Engine, images: Any, words: str, ask: str
) -> None:
    with pytest.raises(InputError) as refusal:
        getattr(engine, ask)(images)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_one_bad_pixel_of_a_batch_is_refused(engine: Engine) -> None:
    images = pictures(80)
    images[77, 0, 3, 3] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        engine(images)


def test_rounding_just_outside_the_box_is_forgiven(engine: Engine) -> None:
    images = pictures(2).round()
    assert torch.equal(engine(images * 1.000002 - 0.000001), engine(images))


def test_an_unknown_gradient_mode_names_the_known_ones() -> None:
    with pytest.raises(
        InputError, match=r"'exact'.*ste, ste-bfloat16, ste-unclamped, finite-difference"
    ):
        Engine(small_program(), gradient="exact")


# --- logits -------------------------------------------------------------------------------------


def linear_program(bits: int, fw: int, words: np.ndarray, bias: list[int]) -> Program:
    """A 1x4x4 image and one fully connected layer; words: (classes, 16)."""
    config = load_config("default").with_bits(bits)
    count, none = len(bias), np.zeros(len(bias), np.int32)
    layer = MacLayer(
        name="fc", kind="fc", in_shape=(1, 4, 4), out_shape=(count, 1, 1), window=None,
        spec=HashSpec("dense", count, 16, 16 * count),
        weights=np.ascontiguousarray(words.T).reshape(-1).astype(np.int32),
        weight_scale=np.array([2.0**-fw]), scale=2.0 ** -(bits + fw), hi=config.act_max,
        multiplier=none, shift=none, bias=np.array(bias, np.int64), last=True,
    )  # fmt: skip
    return Program.chain(config, (layer,), (1, 4, 4))


def test_small_logits_are_the_exact_integers() -> None:
    engine = Engine(small_program())
    images = pictures(50)
    unit = 2.0**-engine.program.logit_frac
    expected = engine.integer_logits(images).double() * unit
    assert torch.equal(engine(images).double(), expected)


def test_large_logits_lose_their_maximum_and_keep_the_class() -> None:
    noise = np.random.default_rng(0)
    words = noise.integers(-32767, 32768, (6, 16))
    words[4] = words[2]  # two classes, one apart
    engine = Engine(linear_program(16, 12, words, [0, 0, 7, 0, 8, 0]))
    images = torch.from_numpy(noise.random((200, 1, 4, 4)))
    images[:40] = torch.from_numpy((words[2].reshape(4, 4) > 0).astype(np.float64))
    integers = engine.integer_logits(images)
    assert int(integers.abs().max()) > 1 << 30
    assert int(integers[0].argmax()) == 4
    assert int(integers[0, 4] - integers[0, 2]) == 1
    logits = engine(images)
    assert torch.equal(logits.amax(1), torch.zeros(200))
    assert torch.equal(logits.argmax(1), integers.argmax(1))
    exact = (integers - integers.amax(1, keepdim=True)).double() * 2.0**-28
    torch.testing.assert_close(logits.double(), exact, rtol=2**-23, atol=0)
    for n in range(3):
        fixed = np.floor(images[n].numpy() * 65535 + 0.5).astype(np.int64)
        assert integers[n].tolist() == reference.run(engine.program, fixed).logits


def test_equal_large_logits_stay_a_tie_that_the_first_class_wins() -> None:
    words = np.full((3, 16), 30000)
    engine = Engine(linear_program(16, 12, words, [5, 9, 9]))
    logits = engine(torch.ones(1, 1, 4, 4))
    assert logits.argmax(1).tolist() == [1]
    assert float(logits[0, 1]) == float(logits[0, 2]) == 0


def test_probabilities_equal_the_softmax_unit(engine: Engine) -> None:
    images = pictures(60)
    integers, frac = engine.integer_logits(images), engine.program.logit_frac
    found = engine.probabilities(engine(images))
    assert found.dtype == torch.float32
    expected = [reference.softmax_unit(row.tolist(), frac) for row in integers]
    assert (found * 65536).tolist() == expected


@pytest.mark.parametrize("fw", [0, 8, 14, 15])
def test_probabilities_of_large_logits_equal_the_softmax_unit_at_table_edges(fw: int) -> None:
    # One integer below a table step needs more bits than a float32 has.
    step = 1 << (16 + fw - 4)
    for entry in (1, 2, 3, 100, 254, 255, 256):
        bias = [10, 10 - entry * step + 1, 10 - entry * step, 10 - entry * step - 1]
        words = np.zeros((4, 16))
        words[:, 0] = 32767  # makes room for logits beyond 2^24
        engine = Engine(linear_program(16, fw, words, bias))
        logits = engine(torch.ones(1, 1, 4, 4))
        expected = reference.softmax_unit(bias, engine.program.logit_frac)
        assert (engine.probabilities(logits) * 65536).tolist() == [expected]


def test_the_representation_says_what_it_is() -> None:
    engine = Engine(small_program(), gradient="finite-difference")
    assert "8-bit weights" in repr(engine)
    assert "gradient=finite-difference" in repr(engine)


def test_wider_program_runs_at_every_width() -> None:
    for bits in (4, 6, 10, 16):
        program = small_program(load_config("tiny").with_bits(bits))
        assert torch.isfinite(Engine(program)(pictures(2))).all()


def test_the_program_is_left_alone(engine: Engine) -> None:
    before = [layer.weights.copy() for layer in engine.program.mac_layers]
    gradient(engine, pictures(9))
    for layer, weights in zip(engine.program.mac_layers, before, strict=True):
        np.testing.assert_array_equal(layer.weights, weights)
    assert dataclasses.is_dataclass(engine.program)
