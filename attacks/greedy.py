"""The greedy search behind JSMA and HJSMA: which values change, in which order, when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.pairs import best_pairs
from hwsim.attacks.saliency import derivatives, differentiating, forward, saliency

if TYPE_CHECKING:
    from hwsim.attacks.jsma import JSMA

#: Images that run through the model at once: enough to fill it, few enough for the memory.
CHUNK = 128
#: A value this near to the bound that it moves to counts as saturated.
SATURATED = 0.01

#: Why the search of an example ended. RUNNING: it has not, a larger budget goes on.
RUNNING, REACHED, NOT_SALIENT, SPENT = range(4)


class _Change(NamedTuple):
    """One iteration on n examples ``rows``: the (n, 1 or 2) ``places`` became ``values``;
    ``changed`` values have been changed by then, in ``iteration`` iterations, both (n,).
    """

    rows: Tensor
    iteration: Tensor
    changed: Tensor
    places: Tensor
    values: Tensor

    def keep(self, which: Tensor) -> _Change:
        return _Change(*(part[which] for part in self))


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
        self._leaving = not goal.targeted
        by_source = self._leaving and attack.untargeted == "source"
        # S⁻ is S⁺ of the negated derivatives: for falling values, and again to leave a class.
        self._sign = (1 if self._rising else -1) * (-1 if by_source else 1)
        self._classes = goal.loss_labels.clone()
        self._x = inputs.flatten(1).clone()
        self._domain = self._open(self._x)
        self._touched = torch.zeros_like(self._domain)
        self._u, self._v = torch.zeros_like(self._x), torch.zeros_like(self._x)
        self._changes: list[_Change] = []
        self._passes: list[_Passes] = []
        count = len(inputs)
        self._need, self.changed, self.iterations = torch.zeros(3, count, dtype=torch.int64)
        #: Iterations when the model was last asked.
        self._seen = torch.full((count,), -1, dtype=torch.int64)
        self.ending = torch.full((count,), RUNNING, dtype=torch.int64)
        self.zero_gradient = torch.zeros(count, dtype=torch.bool)
        everyone = torch.arange(count)
        self.logits = torch.cat([self._look(rows) for rows in everyone.split(CHUNK)])
        self._need += attack.width

    # ---------------------------------------------------------------- answers

    @torch.inference_mode(False)
    def images(self, budget: float) -> Tensor:
        """(N, C, H, W): after the last iteration that leaves at most ``budget`` values changed."""
        while len(rows := self._willing(budget)):
            for part in rows.split(CHUNK):
                self._advance(part)
        made = torch.zeros_like(self.iterations)
        for change in self._changes:
            made[change.rows] += change.changed <= budget
        return self._replay(made)

    def passes(self, budget: float) -> tuple[Tensor, Tensor]:
        """(N,) forward and (N,) backward passes that a search with this budget alone makes."""
        ahead, back = torch.zeros(2, len(self.inputs), dtype=torch.int64)
        for part in self._passes:
            within = part.need <= budget
            ahead[part.rows[within]] += part.forward
            back[part.rows[within]] += part.backward[within]
        return ahead, back

    def changed_after(self, iterations: int) -> Tensor:
        """(N,) int64 values changed by the first ``iterations`` iterations, or fewer made."""
        changed = torch.zeros_like(self.changed)
        for change in self._changes:
            part = change.keep(change.iteration <= iterations)
            changed[part.rows] = part.changed
        return changed

    # ---------------------------------------------------------------- the search

    def _willing(self, budget: float) -> Tensor:
        return torch.nonzero((self.ending == RUNNING) & (self._need <= budget)).flatten()

    def _open(self, values: Tensor) -> Tensor:
        return values < 1.0 - SATURATED if self._rising else values > SATURATED

    def _advance(self, rows: Tensor) -> None:
        """One block of iterations: look at the images unless that was done, then change them."""
        if len(unseen := rows[self._seen[rows] < self.iterations[rows]]):
            self._look(unseen)
        begun = rows = rows[self.ending[rows] == RUNNING]
        for _ in range(self.attack.block):
            rows = rows[self.iterations[rows] < self.limit]
            places, found = self._choose(rows)
            lost = rows[~found]
            # A map that is used up within a block is looked at anew.
            self.ending[lost[self._seen[lost] == self.iterations[lost]]] = NOT_SALIENT
            rows = rows[found]
            self._change(rows, places[found])
        if self.attack.block > 1:
            # Now and not later: what is shortened here must not depend on the budget.
            begun = begun[self.ending[begun] == RUNNING]
            if len(begun):
                self._look(begun)

    def _look(self, rows: Tensor) -> Tensor:
        """Run the model on the images: who has reached the goal, and the map of the others.

        Returns the logits; none where the model has nothing more to say.
        """
        attack, first = self.attack, self._seen[rows] < 0
        spent = self.iterations[rows] >= self.limit
        reached = torch.zeros_like(spent)
        backward = torch.zeros_like(rows)
        logits = torch.zeros(0, dtype=torch.float32)
        if bool(((attack.recompute | first) & ~spent).any()):
            with differentiating(self.model):
                leaf, wired = forward(self.model, self._images(rows))
                logits = wired.detach()
                if bool(first.any()):
                    self._take_aim(rows[first], logits[first])
                if attack.stop:
                    reached = self.goal[rows].is_adversarial(logits)
                going = ~reached & ~spent
                if bool(going.any()):
                    u, v = derivatives(leaf, wired, self._classes[rows], attack.output)
                    self._u[rows], self._v[rows] = self._sign * u, -self._sign * v
                    self.zero_gradient[rows] |= first & going & ((u == 0) & (v == 0)).all(1)
                    backward = going * (2 if attack.output == "logits" else 1)
        elif attack.stop:
            logits = judge(self.model, self._images(rows), batch_size=CHUNK)
            reached = self.goal[rows].is_adversarial(logits)
        self._passes.append(_Passes(rows, self._need[rows], int(len(logits) > 0), backward))
        self.ending[rows[spent]] = SPENT
        self.ending[rows[reached]] = REACHED
        self._shorten(rows[reached])
        self._seen[rows] = self.iterations[rows]
        return logits

    def _images(self, rows: Tensor) -> Tensor:
        return self._x[rows].view(-1, *self.inputs.shape[1:])

    def _take_aim(self, rows: Tensor, logits: Tensor) -> None:
        """Check the goal against the number of classes; the runner-up becomes the target."""
        self.goal[rows].check(len(rows), logits.shape[1])
        if self._leaving and self.attack.untargeted == "runner-up":
            others = logits.scatter(1, self._classes[rows, None], -torch.inf)
            self._classes[rows] = others.argmax(1)

    def _shorten(self, rows: Tensor) -> None:
        """Bisect the block that reached the goal: an end that reaches it, one before does not."""
        low, high = self._seen[rows], self.iterations[rows]
        made = self.iterations.clone()
        while bool((wide := high - low > 1).any()):
            part, middle = rows[wide], (low[wide] + high[wide]) // 2
            made[part] = middle
            logits = judge(self.model, self._replay(made)[part], batch_size=CHUNK)
            reached = self.goal[part].is_adversarial(logits)
            high[wide] = torch.where(reached, middle, high[wide])
            low[wide] = torch.where(reached, low[wide], middle)
            self._passes.append(_Passes(part, self._need[part], 1, torch.zeros_like(part)))
        made[rows] = high
        if bool((made < self.iterations).any()):
            self._changes = [c.keep(c.iteration <= made[c.rows]) for c in self._changes]
            self.iterations = made
            self._x = self._replay(made).flatten(1)
            self.changed[rows] = (self._x != self.inputs.flatten(1))[rows].sum(1)

    def _replay(self, made: Tensor) -> Tensor:
        """(N, C, H, W): the images after ``made`` iterations, (N,)."""
        x = self.inputs.flatten(1).clone()
        for change in self._changes:
            part = change.keep(change.iteration <= made[change.rows])
            x[part.rows[:, None], part.places] = part.values
        return x.view_as(self.inputs)

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
        # A map that is never computed anew says nothing of a second change.
        self._domain[at] = self._open(values) & self.attack.recompute
        self.iterations[rows] += 1
        self.changed[rows] = changed = self._touched[rows].sum(1)
        self._changes.append(_Change(rows, self.iterations[rows], changed, places, values))
        # A full budget still serves where enough of what was changed can be changed further.
        again = (self._touched[rows] & self._domain[rows]).sum(1)
        self._need[rows] = changed + (self.attack.width - again).clamp(min=0)
