"""FAB: projections onto linearized decision boundaries, drawn towards the original."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from hwsim.attacks.core.balls import lengths, normalized, wide
from hwsim.attacks.core.base import judge
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.checks import check_count, check_logits, check_number
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Grid, Space
from hwsim.attacks.core.inference import at_inference
from hwsim.attacks.core.margin import margins
from hwsim.attacks.core.minimizing import Found, MinimizingAttack
from hwsim.attacks.core.noise import Noise
from hwsim.attacks.core.planes import beyond, to_plane
from hwsim.attacks.core.result import distances
from hwsim.attacks.fmn import DUAL

#: By norm: the largest length of a random start.
AROUND: dict[Norm, float] = {"linf": 0.3, "l2": 1.0, "l1": 5.0}


@dataclass(eq=False)
class _FabWalk:
    """Examples under way, one row each.

    point: where, off the grid; image: what is shown of it. classes: (n, k) int64, may be met.
    """

    row: Tensor
    original: Tensor
    point: Tensor
    image: Tensor
    classes: Tensor

    def keep(self, chosen: Tensor) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[chosen])


class FAB(MinimizingAttack):
    """Onto the nearest boundary of the linearized network, a little beyond, and back inside.

    Croce, Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack",
    ICML 2020, Algorithm 1: with d the change of the point to its plane and d₀ that of the original,
    x ← (1 − a)(x + ηd) + a(x₀ + ηd₀), a = min(‖d‖/(‖d‖ + ‖d₀‖), α). A success is kept and pulled
    back, x ← x₀ + β(x − x₀). The plane is that of the class with the least
    \\|z_i − z_y\\| / ‖∇(z_i − z_y)‖; a gradient of 0 has no plane.

    steps: projections, two forward passes each. norm: ``linf``, ``l2`` or ``l1``. targets: 0, the
    nearest of all planes, one backward pass for each of them; k: FAB-T, one run towards each of
    the k likeliest classes, one backward pass a step. restarts: further runs are from random
    points. alpha, beta, eta: of the paper.
    """

    def __init__(
        self,
        *,
        steps: int = 100,
        norm: Norm = "linf",
        targets: int = 0,
        restarts: int = 1,
        alpha: float = 0.1,
        beta: float = 0.9,
        eta: float = 1.05,
        seed: int = 0,
        space: Space | None = None,
    ) -> None:
        super().__init__(space=space)
        if norm not in AROUND:
            raise AttackError(f"FAB minimizes {' or '.join(AROUND)}, not {norm!r}")
        check_count(steps, "steps")
        check_count(targets, "targets", least=0)
        check_count(restarts, "restarts")
        check_count(seed, "seed", least=0)
        check_number(alpha, "alpha", above=0.0, most=1.0)
        check_number(beta, "beta", above=0.0, most=1.0)
        check_number(eta, "eta", above=0.0, most=10.0)
        self.norm, self.steps, self.targets, self.restarts = norm, steps, targets, restarts
        self.alpha, self.beta, self.eta, self.seed = alpha, beta, eta, seed

    def search(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Found:
        """Run after run; an example goes on from nothing but its own best distance."""
        return self.within(model, inputs, goal, 0.0)

    def within(self, model: nn.Module, inputs: Tensor, goal: Goal, enough: float) -> Found:
        """As ``search``; examples leave with an image at distance ``enough`` or nearer."""
        logits = judge(model, inputs)
        goal.check(len(inputs), logits.shape[1])
        best = _Best(inputs, margins(logits, goal).reached, self, enough)
        noise = Noise(inputs, self.seed)
        with torch.inference_mode(False), torch.enable_grad(), at_inference(model):
            inputs, logits = inputs.clone(), logits.clone()
            for number in range(self.restarts):
                for classes in self._runs(logits, goal):
                    row = best.left()
                    if not len(row):
                        break
                    start = inputs[row]
                    if number:
                        start = self._near(start, noise[row], best.distance[row])
                    image = self.space.snap(start)
                    walk = _FabWalk(row, inputs[row], start, image, classes[row])
                    self._run(model, goal, walk, best)
        return Found(best.images, best.found, logits, best.blind, best.forward, best.backward)

    def _runs(self, logits: Tensor, goal: Goal) -> Iterator[Tensor]:
        """(N, k) int64 for each run: the classes whose planes it looks at."""
        label = goal.loss_labels[:, None]
        if goal.targeted:
            yield label
            return
        others = logits.scatter(1, label, -torch.inf)
        order = others.argsort(dim=1, descending=True, stable=True)[:, : logits.shape[1] - 1]
        if not self.targets:
            yield order
            return
        for k in range(min(self.targets, order.shape[1])):
            yield order[:, k : k + 1]

    def _near(self, original: Tensor, noise: Noise, distance: Tensor) -> Tensor:
        draw = noise.uniform() if self.norm == "linf" else noise.normal()
        far = distance.float().clamp(max=AROUND[self.norm]) / 2
        return (original + wide(far, original) * normalized(draw, self.norm)).clamp(0.0, 1.0)

    def _run(self, model: nn.Module, goal: Goal, walk: _FabWalk, best: _Best) -> None:
        for _ in range(self.steps):
            gap, slope = self._plane(model, goal[walk.row], walk.image, walk, best)
            with torch.no_grad():
                self._project(walk, gap, slope)
                logits = judge(model, walk.image)
                best.forward[walk.row] += 1
                reached = margins(logits, goal[walk.row]).reached
                best.offer(walk.row, walk.image, reached)
                self._back(walk, reached)
                left = best.distance[walk.row] > best.enough
                if not bool(left.all()):
                    walk.keep(left)
            if not len(walk.row):
                return

    def _back(self, walk: _FabWalk, reached: Tensor) -> None:
        """Towards the original where that has been left behind; on a grid by a step at least."""
        change = self.beta * (walk.point - walk.original)
        point = walk.original + change
        image = self.space.snap(point)
        if self.norm == "linf" and isinstance(self.space, Grid):
            levels = self.space.levels
            steps = (self.beta * (walk.image - walk.original) * levels).trunc() / levels
            image = self.space.snap(walk.original + steps)
        walk.point = torch.where(wide(reached, point), point, walk.point)
        walk.image = torch.where(wide(reached, image), image, walk.image)

    def _plane(
        self, model: nn.Module, goal: Goal, image: Tensor, walk: _FabWalk, best: _Best
    ) -> tuple[Tensor, Tensor]:
        """(n,) what is missing to the nearest boundary at the image, and its slope."""
        x = image.detach().clone().requires_grad_(True)
        logits = model(x)
        check_logits(logits, len(x))
        if not logits.requires_grad:
            raise AttackError("the model gives no gradient by its input: let it judge, not craft")
        best.forward[walk.row] += 1
        label = goal.loss_labels[:, None]
        own = logits.gather(1, label).flatten()
        nearest = torch.full((len(x),), math.inf, dtype=torch.float32)
        gap, slope = torch.zeros_like(nearest), torch.zeros_like(image)
        count = walk.classes.shape[1]
        for k in range(count):
            if goal.targeted:
                lead = own - logits.scatter(1, label, -torch.inf).amax(1)
            else:
                lead = logits.gather(1, walk.classes[:, k : k + 1]).flatten() - own
            (up,) = torch.autograd.grad(lead.sum(), x, retain_graph=k + 1 < count)
            best.backward[walk.row] += 1
            if not bool(torch.isfinite(up).all()):
                raise AttackError("the gradient by the input contains NaN or infinity")
            with torch.no_grad():
                steep = lengths(up, DUAL[self.norm])
                far = torch.where(steep > 0.0, lead.abs().float() / steep, math.inf)
                nearer = far < nearest
                nearest = torch.where(nearer, far, nearest)
                gap = torch.where(nearer, -lead.float(), gap)
                slope = torch.where(wide(nearer, up), up, slope)
        best.blind[walk.row] &= nearest.isinf()
        return gap, slope

    def _project(self, walk: _FabWalk, gap: Tensor, slope: Tensor) -> None:
        """Both projections, the point between them, and its image."""
        flat, weight = walk.point.flatten(1), slope.flatten(1)
        start, seen = walk.original.flatten(1), walk.image.flatten(1)
        # The plane runs through what the gradient at the image says of other points.
        missing = gap + (weight * (seen - flat)).sum(1)
        origin = gap + (weight * (seen - start)).sum(1)
        moved = to_plane(flat, weight, missing, self.norm)
        whole = to_plane(start, weight, origin, self.norm)
        here = lengths(moved, self.norm).clamp(min=1e-8)
        there = lengths(whole, self.norm).clamp(min=1e-8)
        share = (here / (here + there)).clamp(max=self.alpha)[:, None]
        ahead, direct = flat + self.eta * moved, start + self.eta * whole
        flat = ((1 - share) * ahead + share * direct).clamp(0.0, 1.0)
        walk.point = flat.view_as(slope)
        walk.image = beyond(self.space, start, flat, weight, self.norm).view_as(slope)


class _Best:
    """The nearest adversarial image of each example so far, and what was spent on it."""

    def __init__(self, inputs: Tensor, done: Tensor, attack: FAB, enough: float) -> None:
        self.inputs, self.norm = inputs, attack.norm
        self.images, self.found, self.blind = inputs.clone(), done.clone(), ~done
        self.distance = torch.where(done, 0.0, math.inf).double()
        self.forward = torch.ones(len(inputs), dtype=torch.int64)
        self.backward = torch.zeros_like(self.forward)
        least = 1.0001 / attack.space.levels if isinstance(attack.space, Grid) else 0.0
        self.enough = max(enough, least)

    def left(self) -> Tensor:
        return (self.distance > self.enough).nonzero().flatten()

    def offer(self, row: Tensor, image: Tensor, reached: Tensor) -> None:
        distance = distances(image, self.inputs[row], self.norm)
        nearer = reached & (distance < self.distance[row])
        self.images[row[nearer]] = image[nearer]
        self.distance[row[nearer]] = distance[nearer]
        self.found[row[nearer]] = True
