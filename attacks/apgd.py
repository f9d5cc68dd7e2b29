"""Auto-PGD: projected gradient ascent with momentum that halves its step where it stops paying."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from hwsim.attacks.core.balls import normalized, placed, project, wide
from hwsim.attacks.core.base import Aim, FixedBudgetAttack, input_gradient, judge
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.checks import check_count, check_number
from hwsim.attacks.core.criteria import Goal, Targeted
from hwsim.attacks.core.dlr import TargetedDLR
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.losses import Loss, Margin, goal_loss
from hwsim.attacks.core.noise import Noise

#: How much of the new step is taken, the rest is the way of the step before (α of the paper).
NEW = 0.75
#: Shares of the steps: until the first look, what each interval is shorter by, and the least.
FIRST, SHORTER, LEAST = 0.22, 0.03, 0.06


@dataclass(eq=False)
class _Climb:
    """Examples on their way up, one row each.

    row: which of the batch. u: where, off the grid; before: the step before; top: the best place
    so far, with its gradient and its value. eta: the step. last: the value at ``before``; risen:
    how often it rose since the last look; held: the best value at that look; halved: then, bool.
    """

    row: Tensor
    original: Tensor
    u: Tensor
    before: Tensor
    top: Tensor
    top_gradient: Tensor
    top_value: Tensor
    eta: Tensor
    last: Tensor
    risen: Tensor
    held: Tensor
    halved: Tensor

    def keep(self, chosen: Tensor) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[chosen])


class APGD(FixedBudgetAttack):
    """Steps of 2ε that are halved, and begun again at the best place, where the loss stops rising.

    Croce, Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
    parameter-free attacks", ICML 2020, Algorithm 1 and section 3. In L∞ a step follows the
    gradient's sign, in L2 the gradient of length 1; sign(0) = 0 and a gradient of 0 is no step.

    steps: gradients from each start. norm: ``linf`` or ``l2``. restarts: random starts; who
    has reached the goal has left. rho: of the steps since the last look that must have raised the
    loss, or the step is halved. loss: climbed, for targets descended; ``DLR()`` gives APGD-DLR.
    seed: draws belong to the example.
    """

    def __init__(
        self,
        *,
        steps: int = 100,
        norm: Norm = "linf",
        restarts: int = 1,
        rho: float = 0.75,
        seed: int = 0,
        loss: Loss | None = None,
        space: Space | None = None,
    ) -> None:
        super().__init__(loss=loss, space=space)
        if norm not in ("linf", "l2"):
            raise AttackError(f"APGD spends linf or l2, not {norm!r}")
        check_count(steps, "steps")
        check_count(restarts, "restarts")
        check_count(seed, "seed", least=0)
        check_number(rho, "rho", above=0.0, most=1.0)
        self.norm, self.steps, self.restarts, self.rho, self.seed = norm, steps, restarts, rho, seed

    def aims(self, goal: Goal, clean: Tensor) -> list[tuple[Goal, Loss]]:
        """What is climbed, one after the other, until the goal is reached."""
        return [(goal, self.loss)]

    def prepare(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Aim:
        """The clean answer serves every ε; the climb is made for each."""
        logits = judge(model, inputs)
        goal.check(len(inputs), logits.shape[1])

        def at(epsilon: float) -> Tensor:
            run = _ApgdRun(self, model, inputs, goal, self.effective(epsilon), logits)
            images = run.images()
            aim.zero_gradient = ~run.moved & (run.backward > 0)
            aim.forward, aim.backward = aim.forward + run.forward, aim.backward + run.backward
            return images

        aim = Aim(at, logits, torch.zeros(len(inputs), dtype=torch.bool), forward=1, backward=0)
        return aim

    def looks(self) -> list[int]:
        """Steps after which η is looked at; intervals are .22, .19, .16 … down to .06 of all."""
        gap = max(int(FIRST * self.steps), 1)
        found = [gap]
        while found[-1] < self.steps:
            gap = max(gap - max(int(SHORTER * self.steps), 1), max(int(LEAST * self.steps), 1))
            found.append(found[-1] + gap)
        return found


class APGDT(APGD):
    """APGD towards one class after the other, the likeliest first, until any is reached.

    Croce, Hein 2020, section 4: the loss is ``TargetedDLR()``, which needs four classes, and the
    margin where there are fewer. targets: classes tried, at most those that there are. A goal that
    has a target is tried alone. Other options as of APGD.
    """

    def __init__(
        self,
        *,
        steps: int = 100,
        norm: Norm = "linf",
        targets: int = 9,
        restarts: int = 1,
        rho: float = 0.75,
        seed: int = 0,
        space: Space | None = None,
    ) -> None:
        super().__init__(steps=steps, norm=norm, restarts=restarts, rho=rho, seed=seed, space=space)
        check_count(targets, "targets")
        self.targets = targets

    def aims(self, goal: Goal, clean: Tensor) -> list[tuple[Goal, Loss]]:
        """Towards each class, from the likeliest on."""
        loss: Loss = TargetedDLR() if clean.shape[1] > 3 else Margin()
        if goal.targeted:
            known = isinstance(goal, Targeted) or not isinstance(loss, TargetedDLR)
            return [(goal, loss if known else Margin())]
        labels = goal.loss_labels
        order = clean.scatter(1, labels[:, None], -torch.inf).argsort(
            dim=1, descending=True, stable=True
        )
        count = min(self.targets, clean.shape[1] - 1)
        return [(Targeted(order[:, k].clone(), labels), loss) for k in range(count)]


class _ApgdRun:
    """One attack with one ε on one batch."""

    def __init__(
        self,
        attack: APGD,
        model: nn.Module,
        inputs: Tensor,
        goal: Goal,
        epsilon: float,
        clean: Tensor,
    ) -> None:
        self.attack, self.model, self.inputs, self.goal = attack, model, inputs, goal
        self.epsilon, self.clean = epsilon, clean
        self.kept = inputs.clone()
        self.done = goal.is_adversarial(clean)
        self.value = torch.full((len(inputs),), -torch.inf, dtype=torch.float64)
        self.forward, self.backward = (torch.zeros(len(inputs), dtype=torch.int64) for _ in "fb")
        self.moved = torch.zeros(len(inputs), dtype=torch.bool)
        self.noise = Noise(inputs, attack.seed)

    def images(self) -> Tensor:
        """A success, else the image of the best loss that the last aim saw."""
        for aim, loss in self.attack.aims(self.goal, self.clean):
            self.value[:] = -torch.inf  # losses towards other classes do not compare
            for _ in range(self.attack.restarts):
                left = (~self.done).nonzero().flatten()
                if len(left):
                    self._climb(self._start(left), aim, loss)
        return self.kept

    def _start(self, row: Tensor) -> _Climb:
        """A random point on the sphere, or of the faces of the cube, cut at the box."""
        original, noise = self.inputs[row], self.noise[row]
        draw = noise.uniform() if self.attack.norm == "linf" else noise.normal()
        u = (original + self.epsilon * normalized(draw.to(original), self.attack.norm)).clamp(0, 1)
        low = torch.full((len(row),), -torch.inf, dtype=torch.float64)
        return _Climb(
            row=row, original=original, u=u, before=u, top=u, top_gradient=torch.zeros_like(u),
            top_value=low, last=low, held=low, risen=torch.zeros_like(row),
            eta=torch.full((len(row),), 2.0 * self.epsilon, dtype=torch.float32),
            halved=torch.zeros(len(row), dtype=torch.bool),
        )  # fmt: skip

    def _climb(self, climb: _Climb, aim: Goal, loss: Loss) -> None:
        looks, since = self.attack.looks(), 0
        for step in range(self.attack.steps):
            image = self._placed(climb)
            goal = aim[climb.row]
            gradient, logits = input_gradient(self.model, image, goal, loss)
            gradient = gradient * goal.direction
            self.forward[climb.row] += 1
            self.backward[climb.row] += 1
            self.moved[climb.row] |= (gradient != 0).flatten(1).any(1)
            value, stay = self._offer(climb.row, image, logits, goal, loss)
            if not bool(stay.any()):
                return
            if not bool(stay.all()):
                climb.keep(stay)
                gradient, value = gradient[stay], value[stay]
            _note(climb, gradient, value)
            if step in looks:
                gradient = self._look(climb, gradient, step - since)
                since = step
            self._move(climb, gradient, first=step == 0)
        image = self._placed(climb)
        logits = judge(self.model, image)
        self.forward[climb.row] += 1
        self._offer(climb.row, image, logits, aim[climb.row], loss)

    def _placed(self, climb: _Climb) -> Tensor:
        return placed(self.attack.space, climb.original, climb.u, self.epsilon, self.attack.norm)

    def _offer(
        self, row: Tensor, image: Tensor, logits: Tensor, aim: Goal, loss: Loss
    ) -> tuple[Tensor, Tensor]:
        """(n,) float64 values of the loss, higher is better, and (n,) bool, who is not done."""
        with torch.no_grad():
            value = aim.direction * goal_loss(loss, logits, aim).double()
        success = self.goal[row].is_adversarial(logits)
        better = success | ~(value <= self.value[row])
        chosen = row[better]
        self.kept[chosen], self.value[chosen] = image[better], value[better]
        self.done[row] |= success
        return value, ~success

    def _look(self, climb: _Climb, gradient: Tensor, steps: int) -> Tensor:
        """Halve the steps that do not pay, from the best place on; the gradients to follow."""
        poor = climb.risen <= self.attack.rho * steps
        poor |= ~climb.halved & (climb.held >= climb.top_value)
        climb.eta = torch.where(poor, climb.eta / 2, climb.eta)
        back = wide(poor, gradient)
        climb.u = torch.where(back, climb.top, climb.u)
        climb.halved, climb.held = poor, climb.top_value
        climb.risen = torch.zeros_like(climb.risen)
        return torch.where(back, climb.top_gradient, gradient)

    def _move(self, climb: _Climb, gradient: Tensor, first: bool) -> None:
        linf = self.attack.norm == "linf"
        step = wide(climb.eta, gradient) * (gradient.sign() if linf else normalized(gradient))
        ahead = self._inside(climb, climb.u + step)
        if not first:
            way = NEW * (ahead - climb.u) + (1 - NEW) * (climb.u - climb.before)
            ahead = self._inside(climb, climb.u + way)
        climb.before, climb.u = climb.u, ahead

    def _inside(self, climb: _Climb, u: Tensor) -> Tensor:
        radius = torch.full((len(u),), self.epsilon, dtype=u.dtype)
        return (climb.original + project(u - climb.original, radius, self.attack.norm)).clamp(0, 1)


def _note(climb: _Climb, gradient: Tensor, value: Tensor) -> None:
    """Remember the best place and whether the loss has risen."""
    better = value > climb.top_value
    climb.top = torch.where(wide(better, climb.u), climb.u, climb.top)
    climb.top_gradient = torch.where(wide(better, gradient), gradient, climb.top_gradient)
    climb.top_value = torch.where(better, value, climb.top_value)
    climb.risen = climb.risen + (value > climb.last)
    climb.last = value
