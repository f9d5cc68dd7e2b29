"""Each transform of the gradient, and S-FGRM, against their formulas in plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Continuous, Grid
from hwsim.attacks.core.iterated import Position
from hwsim.attacks.core.noise import Noise
from hwsim.attacks.mifgsm import MIFGSM
from hwsim.attacks.sfgrm import SFGRM, rescale
from hwsim.attacks.transforms import (
    DepthFirst,
    Diverse,
    Nesterov,
    Scales,
    Smoothed,
    Transform,
    shrinking,
)

EPSILON = 20 / 255


@pytest.fixture
def inputs() -> Tensor:
    return torch.rand(4, 2, 5, 6, generator=torch.Generator().manual_seed(0))


def at(inputs: Tensor, memory: Tensor | None = None, seed: int = 0) -> Position:
    memory = torch.zeros_like(inputs) if memory is None else memory
    goal = Untargeted(torch.zeros(len(inputs), dtype=torch.int64))
    return Position(
        inputs, inputs, inputs, memory, goal, Noise(inputs, seed),
        alpha=0.01, epsilon=EPSILON, decay=0.5,
    )  # fmt: skip


def energy(x: Tensor) -> Tensor:
    """A nonlinear function of the pixels, one value an image."""
    weight = torch.linspace(-1, 1, x[0].numel()).view(1, *x.shape[1:])
    return ((x + 0.1) ** 3 * weight).flatten(1).sum(1)


def slope(x: Tensor) -> Tensor:
    """The gradient of ``energy``."""
    point = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(energy(point).sum(), point)
    return found


def test_nesterov_looks_ahead_along_the_momentum(inputs: Tensor) -> None:
    memory = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(1)) * 40
    found = Nesterov().around(slope, at(inputs, memory))(inputs)
    expected = slope((inputs + 0.01 * 0.5 * memory).clamp(0, 1))
    assert torch.equal(found, expected)


def test_depth_first_sampling_walks_from_neighbour_to_neighbour(inputs: Tensor) -> None:
    transform = DepthFirst(samples=3, radius=1.5)
    visited: list[Tensor] = []

    def field(x: Tensor) -> Tensor:
        visited.append(x)
        return slope(x)

    found = transform.around(field, at(inputs, seed=4))(inputs)
    noise, x, total = Noise(inputs, 4), inputs, slope(inputs)
    for _ in range(3):
        x = (x + 1.5 * EPSILON * noise.uniform()).clamp(0, 1)
        total = total + slope(x)
    torch.testing.assert_close(found, total / 4)
    assert len(visited) == transform.passes == 4
    assert torch.equal(visited[0], inputs)
    farthest = float((visited[3] - inputs).abs().max())
    assert 1.5 * EPSILON < farthest <= 3 * 1.5 * EPSILON  # from the previous one, not the first


def test_scales_are_differentiated_through_the_scaling(inputs: Tensor) -> None:
    transform = Scales(copies=4)
    point = inputs.clone().requires_grad_()
    mean = sum((energy(point / 2**i) for i in range(4)), torch.zeros(4)) / 4
    (expected,) = torch.autograd.grad(mean.sum(), point)
    torch.testing.assert_close(transform.around(slope, at(inputs))(inputs), expected)
    assert transform.passes == 4


@pytest.mark.parametrize(("size", "side", "offset"), [(7, 5, 1), (28, 26, 0), (6, 6, 0), (5, 1, 4)])
def test_shrinking_is_bilinear_interpolation_and_padding(size: int, side: int, offset: int) -> None:
    x = torch.rand(3, 2, size, size)
    matrix = shrinking(size, torch.tensor([side]), torch.tensor([offset]))[0]
    small = F.interpolate(x, size=[side, side], mode="bilinear", align_corners=False)
    rest = size - side - offset
    expected = F.pad(small, [offset, rest, offset, rest])
    torch.testing.assert_close(matrix @ x @ matrix.mT, expected, atol=1e-6, rtol=1e-5)


def test_diverse_inputs_are_differentiated_through_the_resize(inputs: Tensor) -> None:
    seen: list[Tensor] = []

    def field(x: Tensor) -> Tensor:
        seen.append(x)
        return slope(x)

    transform = Diverse(rate=0.5, probability=1.0)
    found = transform.around(field, at(inputs, seed=9))(inputs)
    rows, columns = transform._draw(at(inputs, seed=9), 5, 6)
    for n in range(len(inputs)):
        point = inputs[n : n + 1].clone().requires_grad_()
        moved = rows[n] @ point @ columns[n].mT
        (expected,) = torch.autograd.grad(energy(moved).sum(), point)
        torch.testing.assert_close(found[n : n + 1], expected)
        torch.testing.assert_close(seen[0][n : n + 1], moved.detach())
    sides = (rows.sum(2) > 0).sum(1)
    assert int(sides.min()) >= 3
    assert int(sides.max()) <= 4


def test_diversity_leaves_some_examples_alone() -> None:
    x = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    rows, columns = Diverse(probability=0.25)._draw(at(x), 8, 8)
    same = [
        torch.equal(r, torch.eye(8)) and torch.equal(c, torch.eye(8))
        for r, c in zip(rows, columns, strict=True)
    ]
    assert 0.65 < sum(same) / 200 < 0.85


def test_smoothing_is_a_gaussian_with_zeros_outside(inputs: Tensor) -> None:
    found = Smoothed(kernel=3, deviations=2.0).around(slope, at(inputs))(inputs)
    line = [math.exp(-2.0), 1.0, math.exp(-2.0)]
    line = [value / sum(line) for value in line]
    g = slope(inputs)
    expected = torch.zeros_like(g)
    height, width = g.shape[2:]
    for y in range(height):
        for x in range(width):
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    if 0 <= y + dy < height and 0 <= x + dx < width:
                        weight = line[dy + 1] * line[dx + 1]
                        expected[:, :, y, x] += weight * g[:, :, y + dy, x + dx]
    torch.testing.assert_close(found, expected)


def test_a_kernel_of_one_changes_nothing(inputs: Tensor) -> None:
    found = Smoothed(kernel=1).around(slope, at(inputs))(inputs)
    torch.testing.assert_close(found, slope(inputs))


def plain_rescale(image: Sequence[float], factor: float) -> list[float]:
    logs = [math.log2(abs(g)) for g in image if g]
    mean = sum(logs) / max(1, len(logs))
    deviation = math.sqrt(sum((v - mean) ** 2 for v in logs) / max(1, len(logs)))
    found = []
    for g in image:
        if not g:
            found.append(0.0)
            continue
        norm = (math.log2(abs(g)) - mean) / deviation if deviation else 0.0
        found.append(factor * math.copysign(1.0, g) / (1 + math.exp(-norm)))
    return found


@pytest.mark.parametrize(
    "image",
    [
        [1.0, -2.0, 0.5, -0.001],
        [1e-30, -1e-20, 0.0, 1e-38],
        [0.0, 0.0, 0.0, 0.0],
        [0.25, -0.25, 0.0, 0.25],
        [0.0, 0.0, -3.0, 0.0],
    ],
)
def test_rescale_is_its_formula_for_each_image_by_itself(image: list[float]) -> None:
    other = [3.0, -1.0, 2.0, 8.0]
    found = rescale(torch.tensor([image, other]).view(2, 1, 2, 2), 2.0).flatten(1)
    expected = torch.tensor([plain_rescale(image, 2.0), plain_rescale(other, 2.0)])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_rescale_keeps_the_sign_and_the_order_of_the_gradient() -> None:
    g = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    found = rescale(g)
    assert torch.equal(found.sign(), g.sign())
    assert torch.equal(found[0].flatten().argsort(), g[0].flatten().argsort())
    assert float(found.abs().max()) < 2


def small_network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)
        ).eval()  # fmt: skip


def test_sfgrm_is_its_algorithm_in_a_plain_loop(inputs: Tensor) -> None:
    model, labels = small_network(), torch.tensor([0, 1, 2, 0])
    attack = SFGRM(steps=3, samples=2, radius=0.5, decay=0.7, factor=1.5, seed=6,
                   space=Continuous())  # fmt: skip
    result = attack(model, inputs, Untargeted(labels), epsilon=EPSILON)

    def gradient(x: Tensor) -> Tensor:
        point = x.clone().requires_grad_()
        loss = F.cross_entropy(model(point), labels, reduction="sum")
        return torch.autograd.grad(loss, point)[0]

    noise, x, memory = Noise(inputs, 6), inputs, torch.zeros_like(inputs)
    for _ in range(3):
        neighbour, total = x, gradient(x)
        for _ in range(2):
            neighbour = (neighbour + 0.5 * EPSILON * noise.uniform()).clamp(0, 1)
            total = total + gradient(neighbour)
        mean = total / 3
        memory = 0.7 * memory + mean / mean.abs().mean((1, 2, 3), keepdim=True)
        x = x + EPSILON / 3 * rescale(memory, 1.5)
        x = torch.clamp(x, inputs - EPSILON, inputs + EPSILON).clamp(0, 1)
    torch.testing.assert_close(result.adversarial, x, atol=1e-6, rtol=0)
    assert result.backward.tolist() == [9] * 4
    assert result.forward.tolist() == [9 + 2] * 4


def test_without_samples_and_with_equal_steps_sfgrm_is_mifgsm(inputs: Tensor) -> None:
    class Signs(nn.Module):
        """Every pixel's gradient is as large as any other's."""

        def forward(self, x: Tensor) -> Tensor:
            pattern = torch.ones_like(x[0])
            pattern[:, ::2] = -1
            value = (x * pattern).flatten(1).sum(1)
            return torch.stack([value, -value], 1)

    goal = Untargeted(torch.zeros(4, dtype=torch.int64))
    ours = SFGRM(samples=0)(Signs(), inputs, goal, epsilon=EPSILON)
    assert torch.equal(
        ours.adversarial, MIFGSM()(Signs(), inputs, goal, epsilon=EPSILON).adversarial
    )


def test_transforms_apply_from_the_outside_in(inputs: Tensor) -> None:
    calls: list[str] = []

    class Note(Transform):
        def __init__(self, name: str) -> None:
            self.name = name

        def around(self, field: Callable[[Tensor], Tensor], position: Position):  # type: ignore[no-untyped-def]
            def noted(x: Tensor) -> Tensor:
                calls.append(self.name)
                return field(x)

            return noted

    goal = Untargeted(torch.zeros(4, dtype=torch.int64))
    MIFGSM(steps=1, transforms=[Note("outer"), Note("inner")])(
        small_network(), inputs, goal, epsilon=EPSILON
    )
    assert calls == ["outer", "inner"]


@pytest.mark.parametrize(
    "transforms",
    [[Nesterov()], [Scales(copies=2)], [Diverse()], [Smoothed(kernel=3)],
     [Nesterov(), Smoothed(), DepthFirst(samples=2), Scales(copies=2), Diverse()]],
    ids=["NI", "SIM", "DIM", "TIM", "all"],
)  # fmt: skip
def test_every_combination_stays_on_the_grid_and_counts_its_passes(
    inputs: Tensor, transforms: list[Transform]
) -> None:
    model, x = small_network(), Grid(255).snap(inputs)
    goal = Untargeted(model(x).argmax(1))
    calls: list[int] = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    result = SFGRM(steps=2, samples=1, transforms=transforms)(model, x, goal, epsilon=EPSILON)
    handle.remove()
    passes = 2 * math.prod(t.passes for t in transforms) * 2
    assert result.backward.tolist() == [passes] * 4
    assert result.forward.tolist() == [passes + 2] * 4 == [len(calls)] * 4
    assert torch.equal(Grid(255).snap(result.adversarial), result.adversarial)
    assert float(result.linf.max()) <= EPSILON + 1e-6
    early = SFGRM(steps=2, samples=1, transforms=transforms, early_exit=True)
    assert not (result.success & ~early(model, x, goal, epsilon=EPSILON).success).any()


def test_draws_belong_to_the_example_and_not_to_the_batch(inputs: Tensor) -> None:
    model = small_network().double()

    class Wide(nn.Module):
        """float64 inside, so that the order of a sum decides no sign."""

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = model(x.double())
            return logits

    goal = Untargeted(torch.tensor([0, 1, 2, 0]))
    attack = SFGRM(steps=2, samples=2, transforms=[Diverse()])
    whole = attack(Wide(), inputs, goal, epsilon=EPSILON)
    parts = attack(Wide(), inputs, goal, epsilon=EPSILON, batch_size=3)
    assert torch.equal(whole.adversarial, parts.adversarial)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DepthFirst(samples=0), "samples must be a whole number of at least 1"),
        (lambda: DepthFirst(radius=0.0), "radius must be a number above 0"),
        (lambda: Scales(copies=0), "copies"),
        (lambda: Diverse(rate=0.0), "rate"),
        (lambda: Diverse(rate=1.5), "rate must be a number above 0 and at most 1"),
        (lambda: Diverse(probability=2.0), "probability"),
        (lambda: Smoothed(kernel=4), "kernel must be odd"),
        (lambda: Smoothed(kernel=0), "kernel"),
        (lambda: Smoothed(deviations=0.0), "deviations"),
        (lambda: SFGRM(factor=0.0), "factor"),
        (lambda: SFGRM(samples=-1), "samples"),
    ],
)
def test_options_that_make_no_sense_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(AttackError, match=message):
        make()
