"""Square attack: a random search that sees scores and no gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.attacks.core.base import Aim, FixedBudgetAttack, judge
from hwsim.attacks.core.checks import check_count, check_number
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Space
from hwsim.attacks.oracle import Oracle, numpy_seed
from hwsim.attacks.sheet import Sheet


class Square(FixedBudgetAttack):
    """Squares of ±2ε at random places, kept where the margin of the logits falls.

    Andriushchenko, Croce, Flammarion, Hein, "Square Attack: a query-efficient black-box
    adversarial attack via random search", ECCV 2020; the search is ART's SquareAttack. Needs
    logits and nothing else of the model. Vectors and series are searched as sheets of their values,
    see sheet.py. An example that has reached its goal is left alone.

    steps: squares tried for each example, one query each. p_init: share of the pixels in the first
    squares, in (0, 1]. restarts: tries from other stripes. seed: the stripes belong to the place in
    the batch and the squares to the step, so results depend on how a set is cut into batches (and
    on nothing else); the library draws them so.
    """

    def __init__(
        self,
        *,
        steps: int = 500,
        p_init: float = 0.8,
        restarts: int = 1,
        seed: int = 0,
        space: Space | None = None,
    ) -> None:
        super().__init__(space=space)
        check_count(steps, "steps")
        check_count(restarts, "restarts")
        check_count(seed, "seed", 0)
        check_number(p_init, "p_init", 0.0, 1.0)
        self.steps, self.p_init, self.restarts, self.seed = steps, p_init, restarts, seed

    def prepare(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Aim:
        """Nothing is shared by two budgets but the clean logits."""
        logits = judge(model, inputs)
        goal.check(len(inputs), logits.shape[1])
        if inputs[0].numel() < 2:
            raise AttackError("Square needs inputs of at least two values, got one")
        sheet = Sheet(model, inputs.shape[1:])
        # ART draws a place in 0 … side − tile − 1, so a tile must leave one row over.
        height, width = sheet.sides
        side = min(height, width)
        p_init = min(self.p_init, (side - 1.5) ** 2 / (height * width) if side > 2 else 1e-9)
        # No gradient is asked for, so none can be zero.
        none = torch.zeros(len(inputs), dtype=torch.bool)
        aim = Aim(lambda epsilon: inputs, logits, none, forward=1, backward=0)

        def at(epsilon: float) -> Tensor:
            seen, folded = (sheet, sheet.fold(inputs)) if sheet.folds else (model, inputs)
            found, queries = self._search(seen, folded, goal, self.effective(epsilon), p_init)
            aim.forward = aim.forward + queries
            return sheet.unfold(found)

        aim.at = at
        return aim

    def _search(
        self, model: nn.Module, inputs: Tensor, goal: Goal, epsilon: float, p_init: float
    ) -> tuple[Tensor, Tensor]:
        """Images and (N,) queries of each."""
        oracle = Oracle(model, self.space)
        clean = oracle(inputs)
        classes = clean.shape[1]
        queries = torch.zeros(len(inputs), dtype=torch.int64)
        # ART hands these back row by row: the place of the maximum says which example it is.
        tags = np.zeros((len(inputs), classes), np.float32)
        tags[np.arange(len(inputs)), goal.loss_labels.numpy()] = np.arange(1, len(inputs) + 1)

        def rows(tag: NDArray[np.float32]) -> Tensor:
            return torch.from_numpy(tag.max(1).astype(np.int64) - 1)

        def criterion(logits: NDArray[np.float32], tag: NDArray[np.float32]) -> NDArray[np.bool_]:
            reached: NDArray[np.bool_]
            reached = goal[rows(tag)].is_adversarial(torch.from_numpy(logits)).numpy()
            return reached

        def loss(images: NDArray[np.float32], tag: NDArray[np.float32]) -> NDArray[np.float32]:
            x, which = torch.from_numpy(images), rows(tag)
            queries.index_add_(0, which, torch.from_numpy(oracle.unknown(x)).to(torch.int64))
            part = goal[which]
            logits, label = oracle(x), part.loss_labels[:, None]
            own = logits.gather(1, label).flatten()
            others = logits.scatter(1, label, -torch.inf).amax(1)
            lead: NDArray[np.float32] = (part.direction * (own - others)).numpy()
            return lead  # the library makes it smaller

        classifier: Any = oracle.classifier(tuple(inputs.shape[1:]), classes)
        from art.attacks.evasion import SquareAttack

        attack = SquareAttack(
            classifier, adv_criterion=criterion, loss=loss, max_iter=self.steps, eps=epsilon,
            p_init=p_init, nb_restarts=self.restarts, batch_size=256, verbose=False,
        )  # fmt: skip
        with numpy_seed(self.seed):
            images = torch.from_numpy(attack.generate(inputs.numpy(), tags))
        return self.space.snap(images), queries
