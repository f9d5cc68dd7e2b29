"""AutoAttack's standard bundle: four attacks without tuning, and what makes their word doubtful."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from hwsim.attacks.apgd import APGD, APGDT
from hwsim.attacks.core.base import Aim, FixedBudgetAttack, judge
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.checks import check_count
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Space
from hwsim.attacks.fab import FAB
from hwsim.attacks.squares import random_squares

#: Logits of one image that differ by more than this share come from a model that draws.
SAME = 1e-4
#: What the flags say.
RANDOM = "the model answers one image in two ways: its success is that of one draw"
ZERO = "{} of {} images have a gradient of exactly zero: gradients cannot tell how robust they are"
FEW = "{} classes: the targeted difference of logits ratio needs 4, the margin stands for it"
MASKED = "the random search fooled {} of {} images that three gradient attacks did not"
LIKE_SOFTMAX = "the outputs look like probabilities, not logits: their gradients vanish"


class AutoAttack(FixedBudgetAttack):
    """APGD on cross-entropy, APGD-T on the targeted ratio, FAB-T and Square, on who is left.

    Croce, Hein 2020, section 6, version "standard". In L2 there is no Square here: what the other
    three leave counts as it is. ``flags`` holds what was found that makes a low success doubtful,
    once each, since the attack was made; each is a warning too.

    steps: of APGD and FAB. norm: ``linf`` or ``l2``. targets: classes that APGD-T and FAB-T try.
    queries: of Square. seed: draws belong to the example.
    """

    def __init__(
        self,
        *,
        steps: int = 100,
        norm: Norm = "linf",
        targets: int = 9,
        queries: int = 5000,
        seed: int = 0,
        space: Space | None = None,
    ) -> None:
        super().__init__(space=space)
        if norm not in ("linf", "l2"):
            raise AttackError(f"AutoAttack spends linf or l2, not {norm!r}")
        for value, name in ((steps, "steps"), (targets, "targets"), (queries, "queries")):
            check_count(value, name)
        check_count(seed, "seed", least=0)
        self.norm, self.steps, self.targets = norm, steps, targets
        self.queries, self.seed = queries, seed
        self.flags: list[str] = []

    def prepare(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Aim:
        """Ask twice, then hand on for each ε whom no attack has fooled so far."""
        logits = judge(model, inputs)
        goal.check(len(inputs), logits.shape[1])
        again = judge(model, inputs)
        if float((again - logits).abs().max()) > SAME * float(logits.abs().max()):
            self._flag(RANDOM)
        if float(logits.min()) >= 0.0 and bool(((logits.sum(1) - 1.0).abs() < 1e-4).all()):
            self._flag(LIKE_SOFTMAX)
        if logits.shape[1] < 4:
            self._flag(FEW.format(logits.shape[1]))
        done = goal.is_adversarial(logits)

        def at(epsilon: float) -> Tensor:
            run = _MemberRun(self, model, inputs, goal, epsilon, done)
            aim.zero_gradient = run.blind
            aim.forward, aim.backward = aim.forward + run.forward, aim.backward + run.backward
            return run.images

        aim = Aim(at, logits, torch.zeros_like(done), forward=2, backward=0)
        return aim

    def _flag(self, said: str) -> None:
        if said not in self.flags:
            self.flags.append(said)
            warnings.warn(said, stacklevel=2)


class _MemberRun:
    """The four attacks with one ε on one batch."""

    def __init__(
        self, attack: AutoAttack, model: nn.Module, inputs: Tensor, goal: Goal, epsilon: float,
        done: Tensor,
    ) -> None:  # fmt: skip
        self.images, self.done = inputs.clone(), done.clone()
        self.forward, self.backward = (torch.zeros(len(inputs), dtype=torch.int64) for _ in "fb")
        self.blind = torch.zeros_like(done)
        shared = {"steps": attack.steps, "norm": attack.norm, "seed": attack.seed}
        climbs = (
            APGD(space=attack.space, **shared),  # type: ignore[arg-type]
            APGDT(space=attack.space, targets=attack.targets, **shared),  # type: ignore[arg-type]
        )
        for number, climb in enumerate(climbs):
            row = self._left()
            if not len(row):
                return
            aim = climb.prepare(model, inputs[row], goal[row])
            images = aim.at(epsilon)
            self._take(row, images, goal[row].is_adversarial(judge(model, images)))
            self._spend(row, aim.forward + 1, aim.backward)
            if number == 0:
                self.blind[row] = aim.zero_gradient
                if zero := int(aim.zero_gradient.sum()):
                    attack._flag(ZERO.format(zero, len(row)))
        self._fab(attack, model, inputs, goal, attack.effective(epsilon))
        if attack.norm == "linf":
            self._squares(attack, model, inputs, goal, attack.effective(epsilon))

    def _left(self) -> Tensor:
        return (~self.done).nonzero().flatten()

    def _take(self, row: Tensor, images: Tensor, success: Tensor) -> None:
        self.images[row] = images
        self.done[row] |= success

    def _spend(self, row: Tensor, forward: int | Tensor, backward: int | Tensor) -> None:
        self.forward[row] += forward
        self.backward[row] += backward

    def _fab(
        self, attack: AutoAttack, model: nn.Module, inputs: Tensor, goal: Goal, radius: float
    ) -> None:
        row = self._left()
        if not len(row):
            return
        fab = FAB(
            steps=attack.steps, norm=attack.norm, targets=attack.targets, seed=attack.seed,
            space=attack.space,
        )  # fmt: skip
        found = fab.within(model, inputs[row], goal[row], radius + 1e-7)
        away = torch.linalg.vector_norm(
            (found.images - inputs[row]).double().flatten(1),
            float("inf") if attack.norm == "linf" else 2.0, dim=1,
        )  # fmt: skip
        near = found.found & (away <= radius + 1e-7)
        self._take(row[near], found.images[near], near[near])
        self._spend(row, found.forward, found.backward)

    def _squares(
        self, attack: AutoAttack, model: nn.Module, inputs: Tensor, goal: Goal, epsilon: float
    ) -> None:
        row = self._left()
        if not len(row) or inputs[0].numel() < 2:
            return
        images, forward = random_squares(
            model, attack.space, inputs[row], goal[row], epsilon,
            queries=attack.queries, seed=attack.seed,
        )  # fmt: skip
        success = goal[row].is_adversarial(judge(model, images))
        self._take(row[success], images[success], success[success])
        self._spend(row, forward + 1, 0)
        if fooled := int(success.sum()):
            attack._flag(MASKED.format(fooled, len(row)))
