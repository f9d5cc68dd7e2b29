"""JSMA: change the few values that the saliency map names, one pair after the other."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Aim, FixedBudgetAttack
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Space
from hwsim.attacks.greedy import GreedySearch
from hwsim.attacks.saliency import Output

#: What an untargeted attack differentiates; see JSMA.
Untarget = Literal["source", "runner-up"]


class JSMA(FixedBudgetAttack):
    """Jacobian-based saliency map attack; ε counts changed values (L0), inf: as many as Υ allows.

    Papernot et al., "The limitations of deep learning in adversarial settings", EuroS&P 2016,
    Algorithm 3: while the goal is not reached, change the pair of values that maximizes −αβ by θ,
    then differentiate anew. A value at an end of its range leaves the search; where no value or
    pair is salient the search of that example ends, it never falls back on an arbitrary pixel.

    theta: change of a value as a share of its range, −1 … 1 but not 0, in whole steps of the grid;
    negative lowers values and uses the reversed map. max_distortion: Υ as a share of the M values,
    in (0, 1]; the search makes at most ⌊M·Υ/2⌋ iterations of pairs, ⌊M·Υ⌋ of single values. pairs:
    two values at a time, or one, scored by ∂F_t·|Σ∂F_o|. recompute: differentiate after every
    change (Papernot), or once at the original image (Liu et al. 2018, Algorithm 1); then no value
    is changed twice.
    block: iterations between two looks at the model; 1 is the published attack. A longer block
    follows one map for all its iterations, and the block that reaches the goal is bisected for the
    shortest beginning that does: far fewer passes for a few more changed values.
    output: F is the logits or the probabilities. stop: end an example when the crafting model
    reaches the goal, else go on to ε or Υ. untargeted: follow the reversed map of the source
    class, which lowers F_source and raises the others, or make the runner-up on the original
    image the target; success is leaving the source class either way.
    """

    norm = "l0"
    #: How a single value is scored, see saliency.Score.
    score: Literal["target", "product"] = "product"

    def __init__(
        self,
        *,
        theta: float = 1.0,
        max_distortion: float = 0.145,
        pairs: bool = True,
        recompute: bool = True,
        block: int = 1,
        output: Output = "probabilities",
        stop: bool = True,
        untargeted: Untarget = "source",
        space: Space | None = None,
    ) -> None:
        super().__init__(space=space)
        _check_number("theta", theta)
        _check_number("max_distortion", max_distortion)
        if not 0.0 < abs(theta) <= 1.0:
            raise AttackError(f"theta must lie in -1 … 1 and not be 0, got {theta}")
        if not 0.0 < max_distortion <= 1.0:
            raise AttackError(
                f"max_distortion is a share of all values, above 0 and at most 1, "
                f"got {max_distortion}"
            )
        _check_choice("output", output, Output)
        _check_choice("untargeted", untargeted, Untarget)
        if isinstance(block, bool) or not isinstance(block, int) or block < 1:
            raise AttackError(f"block must be a number of iterations, at least 1, got {block!r}")
        self.space.unit.effective(abs(theta))  # refused if below one step of the grid
        self.theta, self.max_distortion, self.pairs = theta, max_distortion, pairs
        self.recompute, self.block, self.output = recompute, block, output
        self.stop, self.untargeted = stop, untargeted

    def iterations(self, values: int, max_distortion: float | None = None) -> int:
        """Most iterations on an image of ``values`` values, at another Υ if one is given."""
        level = self.max_distortion if max_distortion is None else max_distortion
        # The tolerance takes 0.29·200/2 for the 29 that is meant, not for 28.999999999999996.
        return math.floor(values * level / self.width + 1e-9)

    @property
    def width(self) -> int:
        """Values changed in one iteration."""
        return 2 if self.pairs else 1

    def search(self, model: nn.Module, inputs: Tensor, goal: Goal) -> GreedySearch:
        """The search itself, for studies; ``inputs`` lie in ``self.space``.

        The images that it makes are those of the unit box.
        """
        attack, model, inputs = self.shown(model, inputs)
        values = inputs[0].numel()
        if not self.iterations(values):
            raise AttackError(
                f"max_distortion {self.max_distortion:g} of {values} values allows no change: "
                f"give at least {self.width / values:.3g}"
            )
        with torch.inference_mode(False):  # what it keeps is changed where gradients are on
            return GreedySearch(attack, model, inputs, goal)

    def prepare(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Aim:
        """One search serves every ε; it is carried only as far as the largest ε asked for."""
        search = self.search(model, inputs, goal)
        forward, backward = search.passes(0)
        aim = Aim(search.images, search.logits, search.zero_gradient, forward, backward)

        def at(epsilon: float) -> Tensor:
            images = search.images(epsilon)
            aim.forward, aim.backward = search.passes(epsilon)
            return images

        aim.at = at
        return aim


class HJSMA(JSMA):
    """HJSMA as Liu et al. 2018 publish it: eq. 7, value by value, the gradient taken once.

    Algorithm 1 computes the gradient outside its loop (line 3) and lets the number i of changed
    elements grow (line 10) until the answer flips: with ``stop``, ε is the bound of i. Aimed at
    an Engine it differentiates the hashed hardware network; the generator knows no difference.
    """

    score = "target"

    def __init__(
        self,
        *,
        theta: float = 1.0,
        max_distortion: float = 0.145,
        pairs: bool = False,
        recompute: bool = False,
        block: int = 1,
        output: Output = "probabilities",
        stop: bool = True,
        untargeted: Untarget = "source",
        space: Space | None = None,
    ) -> None:
        super().__init__(
            theta=theta, max_distortion=max_distortion, pairs=pairs, recompute=recompute,
            block=block, output=output, stop=stop, untargeted=untargeted, space=space,
        )  # fmt: skip


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise AttackError(f"{name} must be a number, got {value!r}")


def _check_choice(name: str, value: object, kind: object) -> None:
    if value not in get_args(kind):
        raise AttackError(f"unknown {name} {value!r}: choose from {', '.join(get_args(kind))}")
