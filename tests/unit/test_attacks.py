from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwsim.attacks.core.base import input_gradient, judge
from hwsim.attacks.core.criteria import Targeted, Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Continuous, Grid
from hwsim.attacks.core.inference import at_inference
from hwsim.attacks.core.losses import CrossEntropy, ProbabilityLoss
from hwsim.attacks.fgsm import FGSM, HFGSM, directions

N, CLASSES = 24, 5


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(6 * 9, CLASSES),
    ).eval()


@pytest.fixture
def inputs() -> torch.Tensor:
    return Grid(255).snap(torch.rand(N, 2, 6, 6, generator=torch.Generator().manual_seed(2)))


@pytest.fixture
def labels(model, inputs) -> torch.Tensor:
    return judge(model, inputs).argmax(1)


def textbook(model, inputs, labels, epsilon):
    x = inputs.clone().requires_grad_(True)
    F.cross_entropy(model(x), labels).backward()
    return (inputs + epsilon * x.grad.sign()).clamp(0, 1)


def test_fgsm_is_the_textbook_formula(model, inputs, labels):
    attack = FGSM(space=Continuous())
    result = attack(model, inputs, Untargeted(labels), epsilon=0.07)
    torch.testing.assert_close(
        result.adversarial, textbook(model, inputs, labels, 0.07), atol=1e-7, rtol=0
    )


def test_fgsm_on_the_grid_moves_whole_lsbs(model, inputs, labels):
    result = FGSM()(model, inputs, Untargeted(labels), epsilon=0.1)
    expected = textbook(model, inputs, labels, 25 / 255)
    assert torch.equal(Grid(255).lsb(result.adversarial), Grid(255).lsb(expected))
    assert torch.equal(Grid(255).snap(result.adversarial), result.adversarial)
    assert result.effective_epsilon == 25 / 255
    assert torch.allclose(result.linf, torch.tensor(25 / 255).double(), atol=1e-7)


def test_targeted_fgsm_goes_down_the_loss_of_the_target(model, inputs, labels):
    targets = (labels + 1) % CLASSES
    result = FGSM()(model, inputs, Targeted(targets, labels), epsilon=0.02)
    before, after = (
        F.cross_entropy(judge(model, x), targets, reduction="none")
        for x in (inputs, result.adversarial)
    )
    assert float((after < before).float().mean()) > 0.9
    x = inputs.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), targets), x)
    assert torch.equal((inputs - result.raw).sign(), gradient.sign())


def test_success_is_judged_on_the_clipped_images(model, inputs, labels):
    result = FGSM()(model, inputs, Untargeted(labels), epsilon=0.3)
    assert torch.equal(result.success, judge(model, result.adversarial).argmax(1) != labels)
    assert result.success.any()
    assert float(result.raw.min()) < 0 <= float(result.adversarial.min())


def test_norms_count_changed_pixels_and_distances(model, inputs, labels):
    result = FGSM()(model, inputs, Untargeted(labels), epsilon=0.1)
    delta = (result.adversarial - inputs).flatten(1)
    assert torch.equal(result.l0, (delta != 0).sum(1).double())
    assert torch.allclose(result.l1, delta.abs().sum(1).double())
    assert torch.allclose(result.l2, delta.square().sum(1).sqrt().double())


def test_queries_count_crafting_and_the_check(model, inputs, labels):
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    result = FGSM()(model, inputs, Untargeted(labels), epsilon=0.1)
    assert result.forward.tolist() == [len(passes)] * N == [2] * N
    assert result.backward.tolist() == [1] * N


def test_several_epsilons_share_one_gradient(model, inputs, labels):
    single = [FGSM()(model, inputs, Untargeted(labels), epsilon=e) for e in (0.05, 0.2)]
    passes, calls = [], []
    model.register_full_backward_hook(lambda *_: passes.append(1))
    sweep = FGSM().sweep(
        model,
        inputs,
        Untargeted(labels),
        epsilons=[0.05, 0.2],
        batch_size=10,
        progress=lambda done, of: calls.append((done, of)),
    )
    assert len(passes) == 3
    assert calls == [(10, N), (20, N), (N, N)]
    for a, b in zip(single, sweep, strict=True):
        assert torch.equal(a.adversarial, b.adversarial)
        assert torch.equal(a.success, b.success)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_batch_size_does_not_change_the_result(model, inputs, labels, batch_size):
    whole = FGSM()(model, inputs, Untargeted(labels), epsilon=0.1)
    parts = FGSM()(model, inputs, Untargeted(labels), epsilon=0.1, batch_size=batch_size)
    # A convolution may sum in another order for another batch: rounding may decide a sign
    # only where the gradient is nothing but rounding.
    gradient, _ = input_gradient(model, inputs, Untargeted(labels), CrossEntropy())
    clear = gradient.abs() > 1e-5 * gradient.abs().amax((1, 2, 3), keepdim=True)
    assert float(clear.float().mean()) > 0.95 * float((gradient != 0).float().mean())
    assert torch.equal(whole.adversarial[clear], parts.adversarial[clear])
    assert torch.equal(whole.success, parts.success)
    assert torch.equal(whole.forward, parts.forward)


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_it_was(model, inputs, labels, training):
    model.train(training)
    model[0].weight.requires_grad_(False)
    before = [(m.training) for m in model.modules()], [p.requires_grad for p in model.parameters()]
    statistics = model[1].running_mean.clone()
    first = FGSM()(model, inputs, Untargeted(labels), epsilon=0.1)
    second = FGSM()(model, inputs, Untargeted(labels), epsilon=0.1)
    assert torch.equal(first.adversarial, second.adversarial)  # dropout was off
    assert torch.equal(statistics, model[1].running_mean)
    assert all(p.grad is None for p in model.parameters())
    assert before == (
        [(m.training) for m in model.modules()],
        [p.requires_grad for p in model.parameters()],
    )
    assert inputs.grad is None
    assert not inputs.requires_grad


def test_the_model_is_left_as_it_was_after_an_error(model, inputs):
    model.train()
    with pytest.raises(AttackError, match="5 classes"):
        FGSM()(model, inputs, Untargeted(torch.full((N,), CLASSES)), epsilon=0.1)
    assert all(m.training for m in model.modules())
    assert all(p.requires_grad for p in model.parameters())


def test_parameters_are_left_alone_while_the_model_runs(model, inputs, labels):
    # They may be learning in another thread; gradients are asked for by the input alone.
    seen = []
    model.register_forward_hook(
        lambda m, *_: seen.append(all(p.requires_grad for p in m.parameters()))
    )
    directions(model, inputs, Untargeted(labels))
    with at_inference(model):
        assert all(p.requires_grad for p in model.parameters())
    assert seen == [True]
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_attacks_work_inside_no_grad_and_inference_mode(model, inputs, labels, context):
    outside = FGSM()(model, inputs, Untargeted(labels), epsilon=0.1)
    with context():
        again = Grid(255).snap(inputs)  # an inference tensor, in inference mode
        inside = FGSM()(model, again, Untargeted(labels.clone()), epsilon=0.1)
        free = FGSM(space=Continuous())(model, again, Untargeted(labels.clone()), epsilon=0.1)
    assert torch.equal(outside.adversarial, inside.adversarial)
    assert free.success.shape == (N,)


def test_inputs_are_not_changed_and_off_grid_inputs_are_snapped_first(model, inputs, labels):
    off = (inputs + 0.001).clamp(0, 1)
    copy = off.clone()
    result = FGSM()(model, off, Untargeted(labels), epsilon=0.1)
    assert torch.equal(off, copy)
    assert torch.equal(result.original, Grid(255).snap(off))


class Steep(nn.Module):
    """Two logits whose margin is scale·x: large enough, softmax saturates to exactly 1."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = x.flatten(1).mean(1) * self.scale
        return torch.stack([z, -z], 1)


def test_an_exactly_zero_gradient_leaves_the_image_and_is_reported():
    x = torch.ones(3, 1, 2, 2)
    x[0] = 0.0  # margin 0: a healthy gradient
    result = FGSM()(Steep(500.0), x, Untargeted(torch.zeros(3, dtype=torch.int64)), epsilon=0.5)
    assert result.zero_gradient.tolist() == [False, True, True]
    assert torch.equal(result.adversarial[1:], x[1:])
    assert result.success.tolist() == [False, False, False]
    assert result.l0.tolist() == [0, 0, 0]  # and example 0 was clipped back from below 0


def test_a_model_without_any_gradient_is_all_zero(inputs):
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    nn.init.zeros_(model[1].weight)
    result = HFGSM()(model, inputs, Untargeted(torch.zeros(N, dtype=torch.int64)), epsilon=0.5)
    assert result.zero_gradient.all()
    assert torch.equal(result.adversarial, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cross_entropy_gradient_is_exactly_softmax_minus_onehot(dtype):
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(0)) * 8
    labels = torch.arange(50) % 10
    z = logits.clone().requires_grad_(True)
    loss = CrossEntropy(dtype=dtype)(z, labels)
    assert loss.dtype == dtype
    assert torch.equal(loss, F.cross_entropy(logits.to(dtype), labels, reduction="none"))
    (gradient,) = torch.autograd.grad(loss.sum(), z, retain_graph=True)
    expected = torch.softmax(logits.to(dtype), 1) - F.one_hot(labels, 10)
    assert torch.equal(gradient, expected.to(torch.float32))
    native = logits.clone().requires_grad_(True)
    F.cross_entropy(native.to(dtype), labels, reduction="sum").backward()
    torch.testing.assert_close(gradient, native.grad, rtol=1e-5, atol=1e-12)
    (again,) = torch.autograd.grad((3 * loss).sum(), z)
    torch.testing.assert_close(again, 3 * gradient)


@pytest.mark.parametrize(
    ("dtype", "margin", "winner", "loser"),
    [
        (torch.float32, 16.0, False, False),
        (torch.float32, 20.0, True, False),  # in whatever order the CPU adds ten numbers
        (torch.float32, 105.0, True, True),
        (torch.float64, 36.0, False, False),
        (torch.float64, 40.0, True, False),
        (torch.float64, 105.0, True, True),  # the cast to float32, not the softmax
    ],
)
def test_gradients_vanish_at_the_documented_margins(dtype, margin, winner, loser):
    z = torch.zeros(1, 10)
    z[0, 0] = margin
    for loss in (
        CrossEntropy(dtype=dtype),
        lambda a, b: F.cross_entropy(a.to(dtype), b, reduction="none"),
    ):
        logits = z.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(logits, torch.tensor([0])).sum(), logits)
        assert bool(gradient[0, 0] == 0) == winner
        assert bool((gradient[0, 1:] == 0).all()) == loser


def test_probability_loss_differentiates_the_models_own_probabilities():
    def sixteen_bits(logits):
        return torch.floor(torch.softmax(logits.double(), 1) * 65536) / 65536

    z = torch.tensor([[2.0, 1.0, 0.0], [12.0, 0.0, 0.0]], requires_grad=True)
    labels = torch.tensor([0, 0])
    loss = ProbabilityLoss(sixteen_bits)(z, labels)
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    expected = sixteen_bits(z.detach()) - F.one_hot(labels, 3)
    assert torch.equal(gradient, expected.float())
    assert gradient[1, 1:].tolist() == [0.0, 0.0]
    assert torch.allclose(loss, -sixteen_bits(z.detach())[:, 0].log())


def test_a_loss_with_integer_probabilities_is_refused():
    with pytest.raises(AttackError, match="floating point"):
        ProbabilityLoss(lambda z: z.long())(torch.zeros(1, 2), torch.tensor([0]))
    with pytest.raises(AttackError, match="float32 and float64"):
        CrossEntropy(dtype=torch.float16)


def test_loss_choice_decides_the_gradient(inputs):
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    goal = Untargeted(torch.zeros(N, dtype=torch.int64))
    attack = FGSM(loss=ProbabilityLoss(lambda z: F.one_hot(z.argmax(1) * 0, 3).float()))
    assert attack(model, inputs, goal, epsilon=0.1).zero_gradient.all()
    assert not FGSM()(model, inputs, goal, epsilon=0.1).zero_gradient.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.double(), "float32"),
        (lambda x: x[0], "shape"),
        (lambda x: x[:0], "0 samples"),
        (lambda x: x.numpy(), "torch tensor"),
        (lambda x: x + 1, "reach from"),
        (lambda x: x - 0.5, "reach from"),
        (lambda x: torch.where(x == x.max(), torch.nan, x), "contain NaN"),
    ],
)
def test_bad_inputs_are_refused_in_one_line(model, inputs, labels, change, message):
    with pytest.raises(AttackError, match=message) as caught:
        FGSM()(model, change(inputs), Untargeted(labels), epsilon=0.1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y[:-1], "shape"),
        (lambda y: y.float(), "int64"),
        (lambda y: y - 10, ">= 0"),
        (lambda y: y + CLASSES, "5 classes"),
    ],
)
def test_bad_labels_and_targets_are_refused(model, inputs, labels, change, message):
    with pytest.raises(AttackError, match=f"labels.*{message}"):
        FGSM()(model, inputs, Untargeted(change(labels)), epsilon=0.1)
    with pytest.raises(AttackError, match=f"targets.*{message}"):
        FGSM()(model, inputs, Targeted(change(labels), labels), epsilon=0.1)


def test_a_target_equal_to_its_source_is_refused(model, inputs, labels):
    targets = (labels + 1) % CLASSES
    targets[3] = labels[3]
    with pytest.raises(AttackError, match=r"of input 3 is its own class \(1 such"):
        FGSM()(model, inputs, Targeted(targets, labels), epsilon=0.1)


class Spoiled(nn.Module):
    def __init__(self, inner: nn.Module, spoil) -> None:
        super().__init__()
        self.inner, self.spoil = inner, spoil

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.spoil(self.inner(x))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda z: z * torch.nan, "NaN"),
        (lambda z: z[:, :, None], "logits, got"),
        (lambda z: z[:1], "logits, got"),
        (lambda z: (z,), "got tuple"),
        (lambda z: z.detach(), "let it judge"),
        (lambda z: z.detach().requires_grad_(True), "let it judge"),
    ],
)
def test_models_that_break_the_protocol_are_refused(model, inputs, labels, spoil, message):
    with pytest.raises(AttackError, match=message):
        FGSM()(Spoiled(model, spoil), inputs, Untargeted(labels), epsilon=0.1)


def test_a_nan_gradient_is_refused(inputs, labels):
    class Root(nn.Module):
        def forward(self, x):
            y = (x.flatten(1)[:, :CLASSES] * 0).sqrt()  # 0 forward, 0·inf = NaN backward
            return y * 0

    with pytest.raises(AttackError, match="gradient by the input contains NaN"):
        FGSM()(Root(), inputs, Untargeted(labels), epsilon=0.1)


def test_a_model_that_returns_probabilities_is_warned_about(model, inputs, labels):
    soft = Spoiled(model, lambda z: z.softmax(1))
    with pytest.warns(UserWarning, match="probabilities, not logits"):
        FGSM()(soft, inputs, Untargeted(labels), epsilon=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FGSM()(model, inputs, Untargeted(labels), epsilon=0.1)


@pytest.mark.parametrize("epsilon", [-1, 2, float("nan"), 0.001, "x"])
def test_bad_epsilons_are_refused(model, inputs, labels, epsilon):
    with pytest.raises(AttackError, match="epsilon"):
        FGSM()(model, inputs, Untargeted(labels), epsilon=epsilon)


def test_an_empty_list_of_epsilons_and_a_batch_of_0_are_refused(model, inputs, labels):
    with pytest.raises(AttackError, match="empty"):
        FGSM().sweep(model, inputs, Untargeted(labels), epsilons=[])
    with pytest.raises(AttackError, match="batch size"):
        FGSM()(model, inputs, Untargeted(labels), epsilon=0.1, batch_size=0)
