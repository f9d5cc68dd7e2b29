"""What the three attacks of Carlini and Wagner share: Adam in tanh space, one run per example.

Carlini, Wagner, "Towards evaluating the robustness of neural networks", S&P 2017. A run minimizes
D(x′) + c·max(0, κ − margin(x′)) over w, x′ = (tanh(w) + 1)/2, from a given start and with a given
c. What distinguishes the three attacks is D, and what run follows when one ends.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.checks import check_count, check_number
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.inference import at_inference
from hwsim.attacks.core.margin import Margins, margin_gradient, margins
from hwsim.attacks.core.minimizing import Found, MinimizingAttack
from hwsim.attacks.core.result import distances
from hwsim.attacks.tanh import from_tanh, shrink, to_tanh

#: The last of ten or more searches of CWL2 tries this where none before has succeeded.
LARGEST_CONST = 1e10
#: Adam moves w by about this much a step; all that float32 tells apart lies within ±9.
MOST_STEP = 10.0
#: Beyond any logit of a network that means something.
MOST_CONFIDENCE = 1e6
#: Adam (Kingma, Ba 2015) with the usual constants.
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
#: A run that has not lowered its loss to this share within a tenth of its steps is given up.
#: The public code asks for 0.9999 of the batch's sum; one example, judged by the lowest loss of
#: each tenth, can be given up sooner (MNIST, 9 × 100 steps: a sixth fewer passes, L2 +0.4%).
PROGRESS = 0.99


@dataclass(eq=False)
class Runs:
    """The runs under way, one row for each example that is not finished. All tensors (n, …).

    row: int64, which example. original: (n, C, H, W). w: where the run is, first and second:
    Adam's moments, age: Adam's steps since they were reset. c: weight of the attack term. step:
    within this run. lowest: loss since the last check of progress, before: lowest until then,
    level: margin at that check. succeeded: bool, some image of this run was adversarial.
    """

    row: Tensor
    original: Tensor
    w: Tensor
    first: Tensor
    second: Tensor
    age: Tensor
    c: Tensor
    step: Tensor
    lowest: Tensor
    before: Tensor
    level: Tensor
    succeeded: Tensor

    def keep(self, chosen: Tensor) -> None:
        """Drop all rows but ``chosen``, (n,) bool."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[chosen])

    def again(self, rows: Tensor, c: Tensor, start: Tensor | None = None) -> None:
        """Begin new runs in ``rows`` (bool) with weights ``c``, (n,).

        start: (n, C, H, W) of w, Adam afresh; without it the run goes on where it is.
        """
        self.c = torch.where(rows, c, self.c)
        self.step[rows] = 0
        self.succeeded[rows] = False
        self.lowest[rows] = self.before[rows] = math.inf
        self.level[rows] = math.nan
        if start is not None:
            self.w[rows] = start[rows]
            self.first[rows] = 0.0
            self.second[rows] = 0.0
            self.age[rows] = 0


@dataclass(eq=False)
class Look:
    """What one evaluation saw, row by row as in Runs.

    w: where. images: on the grid, what the model was given. margin: of ``images``.
    gradient: −∂margin/∂x. distance: (n,) float64 from the original, in the attack's norm.
    """

    w: Tensor
    images: Tensor
    margin: Margins
    gradient: Tensor
    distance: Tensor


class CarliniWagner(MinimizingAttack):
    """Base of CWL2, CWL0 and CWLinf; they write ``begin``, ``penalty`` and ``follow``."""

    def __init__(
        self,
        *,
        steps: int,
        step_size: float,
        confidence: float,
        initial_const: float,
        abort_early: bool,
        space: Space | None,
    ) -> None:
        super().__init__(space=space)
        check_count(steps, "steps")
        check_number(step_size, "step_size", 0.0, MOST_STEP)
        check_number(initial_const, "initial_const", 0.0, LARGEST_CONST)
        if confidence != 0.0 or isinstance(confidence, bool):
            check_number(confidence, "confidence, unless it is 0,", 0.0, MOST_CONFIDENCE)
        self.steps, self.step_size, self.confidence = steps, step_size, confidence
        self.initial_const, self.abort_early = initial_const, abort_early
        self.factor = shrink(self.space)

    @abstractmethod
    def begin(self, runs: Runs) -> Runs:
        """The first runs, with what this attack remembers of each."""

    @abstractmethod
    def penalty(self, runs: Runs, moved: Tensor) -> tuple[Tensor, Tensor]:
        """D(x′), (n,), and ∂D/∂x′, (n, C, H, W); moved: x′ minus its start at δ = 0."""

    @abstractmethod
    def follow(self, runs: Runs, look: Look, ended: Tensor) -> Tensor:
        """Begin the next runs of the rows that ``ended``, (n,) bool; return who is finished."""

    def free(self, runs: Runs) -> Tensor | None:
        """(n, C, H, W) bool, the values that may change; None for all."""
        return None

    def content(self, runs: Runs, look: Look) -> Tensor:
        """(n,) bool, the runs that have what they were begun for and end here."""
        return torch.zeros_like(look.margin.reached)

    def search(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Found:
        """Runs of all examples side by side; whoever is finished leaves the batch."""
        logits = judge(model, inputs)
        goal.check(len(inputs), logits.shape[1])
        done = margins(logits, goal, self.confidence).reached
        with torch.inference_mode(False), torch.enable_grad(), at_inference(model):
            inputs, logits = inputs.clone(), logits.clone()
            best = _Nearest(inputs, done.clone(), self)
            runs = self.begin(_runs(inputs, (~done).nonzero().flatten(), self))
            while len(runs.row):
                self._step(model, goal, runs, best)
        return best.found(logits)

    def _step(self, model: nn.Module, goal: Goal, runs: Runs, best: _Nearest) -> None:
        """Evaluate every run where it is, then move it or let another one follow."""
        w, (images, slope) = runs.w, from_tanh(runs.w)
        start, _ = from_tanh(to_tanh(runs.original, self.factor))
        moved, placed = images - start, self.space.snap(images)
        free = self.free(runs)
        if free is not None:
            placed = torch.where(free, placed, runs.original)
            moved, slope = moved * free, slope * free
        margin, gradient = margin_gradient(model, placed, goal[runs.row], self.confidence)
        with torch.no_grad():
            away = distances(placed, runs.original, self.norm)
            look = Look(w, placed, margin, gradient, away)
            best.see(runs, look)
            runs.succeeded |= margin.reached
            value, pull = self.penalty(runs, moved)
            # Where the goal is missed by a tie alone the hinge is 0, but its kink has a slope.
            weight = (runs.c * ~margin.reached)[:, None, None, None]
            down = (pull + weight * gradient) * slope
            missing = (self.confidence - margin.value).clamp(min=0.0)
            runs.lowest = torch.minimum(runs.lowest, value + runs.c * missing)
            runs.step += 1
            ended = self._ended(runs, look, down)
            _adam(runs, down, self.step_size)
            if bool(ended.any()):
                finished = self.follow(runs, look, ended)
                if bool(finished.any()):
                    runs.keep(~finished)

    def _ended(self, runs: Runs, look: Look, down: Tensor) -> Tensor:
        """(n,) bool: out of steps, at its aim, without progress, or unable to move at all."""
        ended = (runs.step >= self.steps) | self.content(runs, look)
        # Adam at rest without a gradient never moves.
        ended |= ((down == 0) & (runs.first == 0)).flatten(1).all(1)
        if self.abort_early:
            check = runs.step % math.ceil(self.steps / 10) == 0
            # A margin that is bit for bit the same is a plateau of a quantized network: w moves,
            # nothing has crossed a step yet, and the loss cannot tell.
            level = look.margin.value
            ended |= check & ~(runs.lowest <= PROGRESS * runs.before) & (level != runs.level)
            runs.level = torch.where(check, level, runs.level)
            runs.before = torch.where(check, torch.minimum(runs.before, runs.lowest), runs.before)
            runs.lowest = torch.where(check, math.inf, runs.lowest)
        return ended


class _Nearest:
    """The nearest adversarial image of each example so far, and what was spent on it."""

    def __init__(self, inputs: Tensor, done: Tensor, attack: CarliniWagner) -> None:
        self.images = inputs.clone()
        self.reached = done
        self.distance = torch.where(done, 0.0, math.inf).double()
        self.blind = ~done
        # One clean pass before the search.
        self.forward = torch.ones(len(inputs), dtype=torch.int64)
        self.backward = torch.zeros_like(self.forward)

    def see(self, runs: Runs, look: Look) -> None:
        row = runs.row
        self.forward[row] += 1
        self.backward[row] += 1
        self.blind[row] &= (look.gradient == 0).flatten(1).all(1)
        nearer = look.margin.reached & (look.distance < self.distance[row])
        self.images[row[nearer]] = look.images[nearer]
        self.distance[row[nearer]] = look.distance[nearer]
        self.reached[row[nearer]] = True

    def found(self, logits: Tensor) -> Found:
        return Found(self.images, self.reached, logits, self.blind, self.forward, self.backward)


def _runs(inputs: Tensor, row: Tensor, attack: CarliniWagner) -> Runs:
    original = inputs[row]
    w = to_tanh(original, attack.factor)
    count = torch.zeros(len(row), dtype=torch.int64)
    infinite = torch.full((len(row),), math.inf, dtype=torch.float32)
    return Runs(
        row=row,
        original=original,
        w=w,
        first=torch.zeros_like(w),
        second=torch.zeros_like(w),
        age=count.clone(),
        c=torch.full((len(row),), attack.initial_const, dtype=torch.float32),
        step=count.clone(),
        lowest=infinite.clone(),
        before=infinite.clone(),
        level=infinite * math.nan,
        succeeded=count.bool(),
    )


def _adam(runs: Runs, down: Tensor, step_size: float) -> None:
    """One step of Adam against the gradient ``down``, each example with its own age."""
    runs.age += 1
    runs.first.mul_(BETA1).add_(down, alpha=1 - BETA1)
    runs.second.mul_(BETA2).addcmul_(down, down, value=1 - BETA2)
    age = runs.age.double()
    scale = (step_size / (1 - BETA1**age)).float()[:, None, None, None]
    unbias = (1 - BETA2**age).sqrt().float()[:, None, None, None]
    runs.w = runs.w - scale * runs.first / (runs.second.sqrt() / unbias + EPSILON)
