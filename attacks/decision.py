"""HopSkipJump: an attack that sees the answered class and nothing else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.checks import as_inputs, check_count, check_number
from hwsim.attacks.core.criteria import ConfidenceReduction, Goal
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.minimizing import Found, MinimizingAttack
from hwsim.attacks.core.noise import Noise
from hwsim.attacks.core.result import distances
from hwsim.attacks.core.units import to_unit
from hwsim.attacks.oracle import Oracle, numpy_seed

#: Questions of the last bisection between the original and the nearest image found.
BISECTIONS = 8


class HopSkipJump(MinimizingAttack):
    """Walks along the decision boundary, by a gradient estimated from yes-or-no answers.

    Chen, Jordan, Wainwright, "HopSkipJumpAttack: a query-efficient decision-based attack", IEEE
    S&P 2020; the walk is ART's HopSkipJump. Uses the argmax only. Images are asked about as the
    pixel bus carries them, and the nearest adversarial one that was ever asked about is returned.

    steps: hops. norm: ``l2`` or ``linf``. evaluations: questions for the first estimate; the k-th
    takes √k times as many. tries: uniform random images to begin with. starting_images: (M, C, H,
    W) images that the attacker owns, such as training images; the nearest that reaches the goal is
    where the walk begins (a targeted attack hardly ever finds its target in noise). theta: relative
    width at which bisections stop, and of the probes; the library's own is 0.01/√d, whose probes
    vanish between two steps of the grid. seed: draws belong to the example, not to its batch.
    """

    def __init__(
        self,
        *,
        steps: int = 10,
        norm: Norm = "l2",
        evaluations: int = 100,
        tries: int = 100,
        starting_images: Tensor | None = None,
        theta: float = 0.003,
        seed: int = 0,
        space: Space | None = None,
    ) -> None:
        super().__init__(space=space)
        if norm not in ("l2", "linf"):
            raise AttackError(f"HopSkipJump minimizes l2 or linf, not {norm!r}")
        check_count(steps, "steps")
        check_count(evaluations, "evaluations")
        check_count(tries, "tries")
        check_count(seed, "seed", 0)
        check_number(theta, "theta", 0.0, 1.0)
        if starting_images is not None:
            starting_images = as_inputs(starting_images, self.space)
        self.norm, self.theta, self.starting_images = norm, theta, starting_images
        self.steps, self.evaluations, self.tries, self.seed = steps, evaluations, tries, seed

    def in_unit_box(self) -> HopSkipJump:
        """The images that the attacker owns, too."""
        twin = super().in_unit_box()
        if self.starting_images is not None:
            twin.starting_images = to_unit(self.space, self.space.snap(self.starting_images))
        return twin

    def search(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Found:
        """One example after the other: their walks have nothing in common."""
        logits = judge(model, inputs)
        goal.check(len(inputs), logits.shape[1])
        if isinstance(goal, ConfidenceReduction):
            raise AttackError("HopSkipJump sees answers, no confidence: give it another goal")
        images, found = inputs.clone(), goal.is_adversarial(logits)
        forward = torch.ones(len(inputs), dtype=torch.int64)
        noise = Noise(inputs, self.seed)
        owned, owned_logits = self._owned(model, inputs)
        if owned is not None:
            forward += len(owned)  # each example's attacker asks about them himself
        for n in torch.nonzero(~found).flatten().tolist():
            one = torch.tensor([n])
            walk = _Walk(model, inputs[one], goal[one], self)
            start = self._start(walk, owned, owned_logits, noise[one])
            if start is not None:
                walk.run(start, int(noise[one].integers(2**32)))
                images[n], found[n] = walk.best, True
            forward[n] += walk.oracle.asked
        return Found(
            images, found, logits, torch.zeros_like(found), forward, torch.zeros_like(forward)
        )

    def _owned(self, model: nn.Module, inputs: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if self.starting_images is None:
            return None, None
        if self.starting_images.shape[1:] != inputs.shape[1:]:
            raise AttackError(
                f"starting images have shape {tuple(self.starting_images.shape[1:])}, the inputs "
                f"{tuple(inputs.shape[1:])}"
            )
        owned = self.space.snap(self.starting_images)
        return owned, judge(model, owned)

    def _start(
        self, walk: _Walk, owned: Tensor | None, logits: Tensor | None, noise: Noise
    ) -> Tensor | None:
        """(1, C, H, W) with the goal reached, or None."""
        if owned is not None and logits is not None:
            hit = walk.each(len(logits)).is_adversarial(logits)
            if bool(hit.any()):
                far = distances(owned[hit], walk.original.expand_as(owned[hit]), self.norm)
                start = owned[hit][int(far.argmin())][None]
                walk.take(start)
                return start
        for _ in range(self.tries):
            start = self.space.snap(noise.uniform(0.0, 1.0))
            walk.oracle(start)
            if walk.best is not None:
                return start
        return None


class _Walk:
    """The walk of one example; remembers the nearest image with the goal reached."""

    def __init__(self, model: nn.Module, original: Tensor, goal: Goal, attack: HopSkipJump) -> None:
        self.original, self.goal, self.attack = original, goal, attack
        self.oracle = Oracle(model, attack.space)
        self.oracle.on_answer = self._hear
        self.best: Any = None
        self.distance = float("inf")

    def each(self, count: int) -> Goal:
        """The example's goal for ``count`` images."""
        return self.goal[torch.zeros(count, dtype=torch.int64)]

    def take(self, image: Tensor) -> None:
        """Keep an image (1, C, H, W) that is known to reach the goal, if it is nearer."""
        distance = float(distances(image, self.original, self.attack.norm))
        if distance < self.distance:
            self.best, self.distance = image[0].clone(), distance

    def _hear(self, images: Tensor, logits: Tensor) -> None:
        reached = images[self.each(len(images)).is_adversarial(logits)]
        if len(reached):
            far = distances(reached, self.original.expand_as(reached), self.attack.norm)
            self.take(reached[int(far.argmin())][None])

    def run(self, start: Tensor, seed: int) -> None:
        """ART's walk from ``start``, then a bisection from its nearest image."""
        attack, label = self.attack, self.goal.loss_labels
        classes = self.oracle(self.original).shape[1]
        targeted = self.goal.targeted
        classifier: Any = self.oracle.classifier(tuple(self.original.shape[1:]), classes)
        from art.attacks.evasion import HopSkipJump as Art

        walker = Art(
            classifier, batch_size=256, targeted=targeted, verbose=False,
            norm=2 if attack.norm == "l2" else "inf", max_iter=attack.steps,
            init_eval=attack.evaluations, max_eval=max(10_000, attack.evaluations),
        )  # fmt: skip
        walker.theta = attack.theta
        with numpy_seed(seed):
            walker.generate(
                self.original.numpy(), label.numpy() if targeted else None, x_adv_init=start.numpy()
            )
        self._bisect()

    def _bisect(self) -> None:
        low, high, far = 0.0, 1.0, self.best[None]
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            image = self.attack.space.snap(self.original + middle * (far - self.original))
            if bool(self.goal.is_adversarial(self.oracle(image))[0]):
                high = middle
            else:
                low = middle
