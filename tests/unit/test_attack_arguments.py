"""Every attack takes labels, budgets and images as people have them, and shares a model fairly."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Attack, judge
from hwsim.attacks.core.criteria import Targeted, Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.inference import at_inference
from hwsim.attacks.cw_l0 import CWL0
from hwsim.attacks.cw_l2 import CWL2
from hwsim.attacks.cw_linf import CWLinf
from hwsim.attacks.decision import HopSkipJump
from hwsim.attacks.evaluate.cross import Crossing, cross_evaluate
from hwsim.attacks.evaluate.schedule import escalate
from hwsim.attacks.evaluate.tally import total
from hwsim.attacks.evaluate.transfer import transfer
from hwsim.attacks.fgsm import FGSM
from hwsim.attacks.jsma import HJSMA, JSMA
from hwsim.attacks.mifgsm import MIFGSM
from hwsim.attacks.pgd import BIM, PGD
from hwsim.attacks.random_noise import RandomNoise
from hwsim.attacks.sfgrm import SFGRM
from hwsim.attacks.square import Square

CLASSES, N = 5, 12
ATTACKS: list[Attack] = [
    FGSM(), BIM(steps=3), PGD(steps=3), MIFGSM(steps=2), SFGRM(steps=2, samples=1),
    JSMA(), HJSMA(), CWL2(steps=4, binary_search_steps=2), CWL0(steps=4), CWLinf(steps=4),
    RandomNoise(draws=3), Square(steps=4), HopSkipJump(steps=1, evaluations=4, tries=4),
]  # fmt: skip
every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)


def budget(attack: Attack) -> float:
    return {"l0": 8.0, "l2": 2.0, "linf": 0.2}[attack.norm]


def network(classes: int = CLASSES) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, classes))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return network().eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def labels(model: nn.Module, images: Tensor) -> Tensor:
    return judge(model, images).argmax(1)


def refused(message: str) -> Any:
    return pytest.raises(AttackError, match=rf"\A[^\n]*{message}[^\n]*\Z")


# ------------------------------------------------------------------- models and labels


@every_attack
def test_a_model_of_one_logit_is_refused_and_never_robust(attack: Attack, images: Tensor) -> None:
    zeros = torch.zeros(N, dtype=torch.int64)
    with refused("one class"):
        attack(network(1).eval(), images, Untargeted(zeros), epsilon=budget(attack))


@every_attack
@pytest.mark.parametrize("wrong", [CLASSES, -1])
def test_labels_that_no_class_has_are_refused(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor, wrong: int
) -> None:
    bad = labels.clone()
    bad[-1] = wrong
    with refused("labels"):
        attack(model, images, Untargeted(bad), epsilon=budget(attack))
    with refused("targets"):
        attack(model, images, Targeted(bad, (bad + 1) % CLASSES), epsilon=budget(attack))


@every_attack
@pytest.mark.parametrize(
    "change",
    [
        Tensor.tolist, Tensor.numpy, lambda y: tuple(y.tolist()), Tensor.int, Tensor.byte,
        lambda y: y.numpy().astype(np.uint16), lambda y: y.numpy().astype(">i4"),
        lambda y: y.to(torch.uint64),
    ],
    ids=["list", "numpy", "tuple", "int32", "uint8", "uint16", "big-endian", "uint64"],
)  # fmt: skip
def test_labels_may_be_lists_and_arrays_of_any_integer(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor, change: Any
) -> None:
    if not isinstance(attack, FGSM | BIM | JSMA) and change is not Tensor.tolist:
        pytest.skip("one kind of labels is enough for the slower attacks")
    want = attack(model, images, Untargeted(labels), epsilon=budget(attack))
    # Without a goal: untargeted.
    for goal in (change(labels), Untargeted(change(labels))):
        found = attack(model, images, goal, epsilon=budget(attack))
        assert torch.equal(found.adversarial, want.adversarial)
        assert torch.equal(found.success, want.success)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: None, "None.*one class index for each image"),
        (lambda y: torch.eye(CLASSES)[y], "argmax"),
        (lambda y: torch.eye(CLASSES, dtype=torch.int64)[y], "argmax"),
        (lambda y: y[:, None], "flatten"),
        (lambda y: y.float(), "long"),
        (lambda y: y.numpy().astype(np.float64), "long"),
        (lambda y: y > 2, "whole numbers"),
        (lambda y: 3, "one for each image"),
        (lambda y: torch.tensor(3), "one for each image"),
        (lambda y: np.int64(3), "one for each image"),
        (lambda y: y[:-1], "one for each image"),
        (lambda y: [], "one for each image"),
        (lambda y: [[1], [2, 3]], "class ind"),
        (lambda y: ["cat"] * N, "whole numbers"),
        (lambda y: [None] * N, "whole numbers"),
        (lambda y: "three", "class indices"),
        (lambda y: {0: 1}, "class indices"),
        (lambda y: y.to("meta"), "in memory"),
        (lambda y: y.to_sparse(), "ordinary"),
        (lambda y: y.reshape(1, 1, -1), "shape"),
        (lambda y: [2**70] * N, "whole numbers"),
    ],
)
def test_what_is_no_label_is_refused_with_the_remedy(
    model: nn.Module, images: Tensor, labels: Tensor, change: Any, message: str
) -> None:
    with refused(message):
        FGSM()(model, images, Untargeted(change(labels)), epsilon=0.1)
    with refused(message):
        FGSM()(model, images, change(labels), epsilon=0.1)


def test_the_ways_around_an_attack_take_lists_too(
    model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    options: dict[str, Any] = {"attack": FGSM(), "epsilons": np.array([0.1, 0.2])}
    models = {"m": model}
    one, two = (
        total(cross_evaluate(Crossing.of(models, **options), images, y))
        for y in (labels, labels.tolist())
    )
    assert one == two
    there = [
        transfer(models, images, y, crafted_on="m", **options) for y in (labels, labels.tolist())
    ]
    assert there[0] == there[1]
    targets = (labels + 1) % CLASSES
    raised = [
        escalate(FGSM(), model, images, epsilons=[0.1, 0.2], targets=t)
        for t in (targets, targets.tolist())
    ]
    assert torch.equal(raised[0].success, raised[1].success)


# ------------------------------------------------------------------- budgets


@pytest.mark.parametrize(
    "epsilons",
    [
        np.linspace(0, 0.3, 4), torch.linspace(0, 0.3, 4), (0.0, 0.1, 0.2, 0.3),
        [np.float32(e) for e in (0, 0.1, 0.2, 0.3)], [torch.tensor(e) for e in (0, 0.1, 0.2, 0.3)],
        (k / 10 for k in range(4)), np.array([0, 0.1, 0.2, 0.3], np.float16),
    ],
    ids=["numpy", "tensor", "tuple", "float32 scalars", "0-d tensors", "generator", "float16"],
)  # fmt: skip
def test_budgets_may_be_arrays_tensors_and_numpy_scalars(
    model: nn.Module, images: Tensor, labels: Tensor, epsilons: Any
) -> None:
    want = FGSM().sweep(model, images, labels, epsilons=[0.0, 0.1, 0.2, 0.3])
    found = FGSM().sweep(model, images, labels, epsilons=epsilons)
    assert [type(r.epsilon) for r in found] == [float] * 4
    if getattr(epsilons, "dtype", None) == np.float16:
        return  # 0.1 in float16 is 25 steps as well, 0.3 is one less
    for a, b in zip(want, found, strict=True):
        assert torch.equal(a.adversarial, b.adversarial)


@pytest.mark.parametrize(
    "epsilons",
    [0.1, "0.1", None, [None], ["0.1"], [True], np.zeros((2, 2)), torch.tensor(0.1), [], [1j],
     [math.nan], [np.array([0.1, 0.2])], np.array(["a"])],
)  # fmt: skip
def test_budgets_that_are_no_row_of_numbers_are_refused(
    model: nn.Module, images: Tensor, labels: Tensor, epsilons: Any
) -> None:
    with refused("epsilon"):
        FGSM().sweep(model, images, labels, epsilons=epsilons)
    with refused("epsilon"):
        escalate(FGSM(), model, images, epsilons=epsilons)


@every_attack
def test_a_budget_of_0_is_the_clean_accuracy(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    some_wrong = labels.clone()
    some_wrong[:3] = (labels[:3] + 1) % CLASSES
    result = attack(model, images, some_wrong, epsilon=0)
    assert result.success.tolist() == [True] * 3 + [False] * (N - 3)
    assert torch.equal(result.adversarial, attack.space.snap(images))
    assert result.effective_epsilon == 0.0
    assert not result.zero_gradient.any()
    assert (result.forward == 1).all()
    assert (result.backward == 0).all()


@every_attack
def test_a_sweep_gives_the_same_in_any_order(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    up = [0.0, budget(attack) / 2, budget(attack)]
    rising = attack.sweep(model, images, labels, epsilons=up)
    falling = attack.sweep(model, images, labels, epsilons=up[::-1])
    for a, b in zip(rising, falling[::-1], strict=True):
        assert a.epsilon == b.epsilon
        for field in ("adversarial", "success", "forward", "backward", "zero_gradient"):
            assert torch.equal(getattr(a, field), getattr(b, field)), field


def test_algorithm_1_raises_the_budget_in_whatever_order_it_is_given(
    model: nn.Module, images: Tensor
) -> None:
    rising = escalate(FGSM(), model, images, epsilons=[0.0, 0.02, 0.1])
    mixed = escalate(FGSM(), model, images, epsilons=[0.1, 0.0, 0.02])
    assert rising.success_escalated[0] == 0
    assert mixed.success_escalated == [rising.success_escalated[i] for i in (2, 0, 1)]
    assert torch.equal(mixed.adversarial, rising.adversarial)


def test_cross_evaluation_at_0_leaves_every_answer(
    model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    tally = total(cross_evaluate(Crossing.of({"m": model}, FGSM(), [0.0, 0.2]), images, labels))
    assert tally.success["m_m"][0] == tally.success_escalated["m_m"][0] == 0
    assert tally.success["m_m"][1] > 0
    assert tally.forward["m"][0] == N
    assert tally.backward["m"] == (0, N)
    assert tally.zero_gradient["m"] == 0


# ------------------------------------------------------------------- images


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.numpy(), "from_numpy"),
        (lambda x: x.half(), "float"),
        (lambda x: x.to_sparse(), "to_dense"),
        (lambda x: x.to_mkldnn(), "to_dense"),
        (lambda x: x.to("meta"), "meta"),
        (lambda x: x.tolist(), "torch tensor"),
    ],
)
def test_images_that_are_no_ordinary_tensors_are_refused(
    model: nn.Module, images: Tensor, labels: Tensor, change: Any, message: str
) -> None:
    with refused(message):
        FGSM()(model, change(images), labels, epsilon=0.1)


@every_attack
def test_a_negative_view_is_attacked_as_the_image_it_stands_for(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    want = attack(model, images, labels, epsilon=budget(attack))
    found = attack(model, torch._neg_view(-images), labels, epsilon=budget(attack))
    assert torch.equal(found.adversarial, want.adversarial)


# ------------------------------------------------------------------- models shared by threads


class Meeting(nn.Module):
    """Its forward waits for the other threads twice, and asks in between whether it may drop out.

    ``late``: the thread that stays inside longer than all others.
    """

    def __init__(self, parties: int) -> None:
        super().__init__()
        self.inside = threading.Barrier(parties, timeout=60)
        self.inner = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(36, CLASSES))
        self.seen: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        if threading.current_thread() is not threading.main_thread():
            self.inside.wait()
        self.seen.append(any(m.training for m in self.modules()))
        found: Tensor = self.inner(x)
        return found


def test_threads_that_share_a_model_in_training_all_find_it_at_inference(images: Tensor) -> None:
    model, parties = Meeting(4), 4
    for module in model.modules():
        assert module.training
    with at_inference(model), torch.no_grad():
        want = model.inner(images)

    def ask(rank: int) -> bool:
        # One more image for each, so that they leave one after the other and not together.
        found = [judge(model, images) for _ in range(3)]
        return all(torch.equal(logits, want) for logits in found)

    with ThreadPoolExecutor(parties) as threads:
        assert all(threads.map(ask, range(parties)))
    assert model.seen == [False] * 12
    assert all(module.training for module in model.modules())


def test_who_leaves_first_does_not_switch_dropout_on_for_who_stays(images: Tensor) -> None:
    model = network().train()
    entered, left = threading.Event(), threading.Event()
    seen = []

    def stay() -> None:
        with at_inference(model):
            entered.set()
            assert left.wait(60)
            seen.append(any(m.training for m in model.modules()))

    with at_inference(model):
        thread = threading.Thread(target=stay)
        thread.start()
        assert entered.wait(60)
    left.set()
    thread.join()
    assert seen == [False]
    assert all(m.training for m in model.modules())


def test_a_module_that_two_models_contain_stays_at_inference_until_both_are_done() -> None:
    shared = nn.Dropout()
    one, two = nn.Sequential(shared), nn.Sequential(shared, nn.ReLU().eval())
    with at_inference(two):
        with at_inference(one):
            assert not shared.training
        assert not shared.training
    assert shared.training
    assert [m.training for m in two] == [True, False]


def test_a_wrapper_that_counts_its_calls_counts_them_all(images: Tensor) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.calls = network(), 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            found: Tensor = self.inner(x)
            return found

    model = Counting()
    judge(model, images)
    FGSM()(model, images, [0] * N, epsilon=0.1)
    assert model.calls == 3
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
