"""BIM and PGD: sign steps inside the ball, from the image itself or from random starts."""

from __future__ import annotations

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.iterated import IteratedAttack
from hwsim.attacks.core.losses import Loss


class BIM(IteratedAttack):
    """Basic iterative method, FGSM in small steps; aimed at a target it descends its loss.

    Kurakin, Goodfellow, Bengio, "Adversarial examples in the physical world", 2016:
    X_{k+1} = clip_{X, ε}(X_k + α · sign(∇J(X_k))). Default α = 2ε/steps (Foolbox's 0.2 ε for 10).
    """

    reach = 2.0

    def __init__(
        self,
        *,
        steps: int = 10,
        step_size: float | None = None,
        early_exit: bool = True,
        loss: Loss | None = None,
        space: Space | None = None,
    ) -> None:
        super().__init__(
            steps=steps, step_size=step_size, restarts=1, random_start=False,
            early_exit=early_exit, seed=0, loss=loss, space=space,
        )  # fmt: skip


class PGD(IteratedAttack):
    """Projected gradient descent: BIM from random starts in the ball.

    Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018.
    Default α = 2.5ε/steps, enough to reach any face of the ball from any start.
    """

    reach = 2.5

    def __init__(
        self,
        *,
        steps: int = 40,
        step_size: float | None = None,
        restarts: int = 1,
        random_start: bool = True,
        early_exit: bool = True,
        seed: int = 0,
        loss: Loss | None = None,
        space: Space | None = None,
    ) -> None:
        if not random_start and restarts != 1:
            raise AttackError(
                f"{restarts} restarts without a random start take the same way: "
                "give random_start=True or restarts=1"
            )
        super().__init__(
            steps=steps, step_size=step_size, restarts=restarts, random_start=random_start,
            early_exit=early_exit, seed=seed, loss=loss, space=space,
        )  # fmt: skip
