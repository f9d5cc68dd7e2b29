"""The greedy search behind JSMA and HJSMA: which values change, in which order, when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from attacks.base import judge
from attacks.criteria import Goal, Targeted
from attacks.pairs import best_pairs
from attacks.saliency import derivatives, differentiating, forward, saliency

if TYPE_CHECKING:
    from attacks.jsma import JSMA

#: Images that run through the model at once: enough to fill it, few enough for the memory.
CHUNK = 128

#: Why the search of an example ended. RUNNING: it has not, a larger budget goes on.
RUNNING, REACHED, NOT_SALIENT, SPENT = range(4)


class _Change(NamedTuple):
    """One iteration on n examples ``rows``: the (n, 1 or 2) ``places`` became ``values``, and
    ``changed``, (n,), values have been changed by then.
    """

    rows: Tensor
    changed: Tensor
    places: Tensor
    values: Tensor


class _Passes(NamedTuple):
    """The model ran on ``rows``, as it does for every budget of at least ``need``; all (n,)."""

    rows: Tensor
    need: Tensor
    forward: int
    backward: Tensor


class GreedySearch:
    """A search on one batch of images, carried on as larger budgets ask for it.

    logits: clean, (N, classes). zero_gradient: (N,) bool. ending: (N,) int64, RUNNING … SPENT.
    iterations, changed: (N,) int64, so far. What it answers for a budget does not depend on the
    budgets that it was asked for before.
    """

    def __init__(self, attack: JSMA, model: nn.Module, inputs: Tensor, goal: Goal) -> None:
        self.attack, self.model, self.inputs, self.goal = attack, model, inputs, goal
        self.limit = attack.iterations(inputs[0].numel())
        self._rising = attack.theta > 0
        self._leaving = not isinstance(goal, Targeted)
        by_source = self._leaving and attack.untargeted == "source"
        # S⁻ is S⁺ of the negated derivatives: for falling values, and again to leave a class.
        self._sign = (1 if self._rising else -1) * (-1 if by_source else 1)
        self._classes = goal.loss_labels.clone()
        self._x = inputs.flatten(1).clone()
        self._domain = self._x < 1.0 if self._rising else self._x > 0.0
        self._touched = torch.zeros_like(self._domain)
        self._u, self._v = torch.zeros_like(self._x), torch.zeros_like(self._x)
        self._changes: list[_Change] = []
        self._passes: list[_Passes] = []
        count = len(inputs)
        self._need, self.changed, self.iterations = torch.zeros(3, count, dtype=torch.int64)
        self.ending = torch.full((count,), RUNNING)
        self.zero_gradient, self._looked = torch.zeros(2, count, dtype=torch.bool)
        everyone = torch.arange(count)
        self.logits = torch.cat([self._look(rows) for rows in everyone.split(CHUNK)])
        self._need += self.width

    @property
    def width(self) -> int:
        """Values changed in one iteration."""
        return 2 if self.attack.pairs else 1

    # ---------------------------------------------------------------- answers

    def images(self, budget: float) -> Tensor:
        """(N, C, H, W): after the last iteration that leaves at most ``budget`` values changed."""
        while len(rows := self._willing(budget)):
            for part in rows.split(CHUNK):
                self._iterate(part)
        x = self.inputs.flatten(1).clone()
        for change in self._changes:
            within = change.changed <= budget
            x[change.rows[within, None], change.places[within]] = change.values[within]
        return x.view_as(self.inputs)

    def passes(self, budget: float) -> tuple[Tensor, Tensor]:
        """(N,) forward and (N,) backward passes that a search with this budget alone makes."""
        ahead, back = torch.zeros(2, len(self.inputs), dtype=torch.int64)
        for part in self._passes:
            within = part.need <= budget
            ahead[part.rows[within]] += part.forward
            back[part.rows[within]] += part.backward[within]
        return ahead, back

    # ---------------------------------------------------------------- the search

    def _willing(self, budget: float) -> Tensor:
        return torch.nonzero((self.ending == RUNNING) & (self._need <= budget)).flatten()

    def _iterate(self, rows: Tensor) -> None:
        """Look at what the images are now, unless that was done; change those still running."""
        if len(unseen := rows[~self._looked[rows]]):
            self._look(unseen)
        rows = rows[self.ending[rows] == RUNNING]
        places, found = self._choose(rows)
        self.ending[rows[~found]] = NOT_SALIENT
        self._change(rows[found], places[found])

    def _look(self, rows: Tensor) -> Tensor:
        """Run the model on the images: who has reached the goal, and the map of the others.

        Returns the logits; none where the model has nothing more to say.
        """
        attack, first = self.attack, self.iterations[rows] == 0
        spent = self.iterations[rows] >= self.limit
        x = self._x[rows].view(-1, *self.inputs.shape[1:])
        logits, reached = torch.zeros(0), torch.zeros_like(spent)
        backward = torch.zeros_like(rows)
        if bool(((attack.recompute | first) & ~spent).any()):
            with differentiating(self.model):
                leaf, wired = forward(self.model, x)
                logits = wired.detach()
                if bool(first.any()):
                    self._aim_at(rows[first], logits[first])
                if attack.stop:
                    reached = self.goal[rows].is_adversarial(logits)
                going = ~reached & ~spent
                if bool(going.any()):
                    u, v = derivatives(leaf, wired, self._classes[rows], attack.output)
                    self._u[rows], self._v[rows] = self._sign * u, -self._sign * v
                    still = ((u == 0) & (v == 0)).all(1)
                    self.zero_gradient[rows] |= still & first & going
                    backward = 2 * going.long()
        elif attack.stop:
            logits = judge(self.model, x, batch_size=CHUNK)
            reached = self.goal[rows].is_adversarial(logits)
        self.ending[rows[spent]] = SPENT
        self.ending[rows[reached]] = REACHED
        self._looked[rows] = True
        self._passes.append(_Passes(rows, self._need[rows], int(len(logits) > 0), backward))
        return logits

    def _aim_at(self, rows: Tensor, logits: Tensor) -> None:
        """Check the goal against the number of classes; the runner-up becomes the target."""
        self.goal[rows].check(len(rows), logits.shape[1])
        if self._leaving and self.attack.untargeted == "runner-up":
            others = logits.scatter(1, self._classes[rows, None], -torch.inf)
            self._classes[rows] = others.argmax(1)

    def _choose(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 1 or 2) places to change, and (n,) whether any is salient."""
        u, v, domain = self._u[rows], self._v[rows], self._domain[rows]
        if self.attack.pairs:
            return best_pairs(u, v, domain)
        score, place = saliency(u, v, self.attack.score).masked_fill(~domain, 0.0).max(1)
        return place[:, None], score > 0.0

    def _change(self, rows: Tensor, places: Tensor) -> None:
        at = rows[:, None], places
        sign = torch.full_like(self._x[at], 1.0 if self._rising else -1.0)
        values = self.attack.space.move(self._x[at], sign, abs(self.attack.theta)).clamp(0.0, 1.0)
        self._x[at] = values
        self._touched[at] = True
        # The map is that of the original image: a change that was made says nothing of a second.
        again = (values < 1.0 if self._rising else values > 0.0) & self.attack.recompute
        self._domain[at] = again
        self._looked[rows] = False
        self.iterations[rows] += 1
        changed = self.changed[rows] = self._touched[rows].sum(1)
        self._changes.append(_Change(rows, changed, places, values))
        # A full budget still serves where enough of what was changed can be changed further.
        open_again = (self._touched[rows] & self._domain[rows]).sum(1)
        self._need[rows] = changed + (self.width - open_again).clamp(min=0)
