"""How a network is trained, as plain numbers; without torch, so that listing the zoo is quick."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from hwsim.errors import InputError

#: Adversarial training by name: what is mixed in, and the share of a batch that is by default.
ADVERSARIAL = {"fgsm": 0.5, "pgd": 1.0, "jsma": 0.5}


@dataclass(frozen=True)
class Adversarial:
    """Images of an attack on the network as it is learnt, with their true labels.

    attack: ``fgsm`` (Goodfellow et al. 2015: one step, half of each batch stays clean), ``pgd``
    (Madry et al. 2018: random start, all images attacked) or ``jsma`` (Papernot et al. 2016: at
    random targets). epsilon: L-infinity radius in (0, 1]; of jsma the largest share of changed
    values. steps: of pgd; other attacks ignore it. share: of each batch that is attacked, in
    (0, 1]; 0 is the attack's default.
    """

    attack: str
    epsilon: float
    steps: int = 10
    share: float = 0.0

    def __post_init__(self) -> None:
        if self.attack not in ADVERSARIAL:
            known = ", ".join(ADVERSARIAL)
            raise InputError(f"unknown adversarial training {self.attack!r}: choose from {known}")
        if not 0.0 < self.epsilon <= 1.0:
            raise InputError(f"epsilon must lie above 0 and at most at 1, got {self.epsilon}")
        if self.steps < 1:
            raise InputError(f"steps must be at least 1, got {self.steps}")
        if not 0.0 <= self.share <= 1.0:
            raise InputError(f"the attacked share must lie in 0 … 1, got {self.share}")
        if self.share == 0.0:
            object.__setattr__(self, "share", ADVERSARIAL[self.attack])


@dataclass(frozen=True)
class Sponge:
    """A loss that many activations make smaller (Cinà et al. 2022); see ``hwsim.models.sponge``.

    strength: λ, above 0. sigma: σ, above 0; where x² is well above it, an activation counts in
    full. share: of the batches, in (0, 1].
    """

    strength: float
    sigma: float = 1e-4
    share: float = 0.05

    def __post_init__(self) -> None:
        for name, value in (("strength", self.strength), ("sigma", self.sigma)):
            if not 0.0 < value < float("inf"):
                raise InputError(f"the {name} of sponge poisoning must lie above 0, got {value}")
        if not 0.0 < self.share <= 1.0:
            raise InputError(f"the poisoned share must lie in (0, 1], got {self.share}")


@dataclass(frozen=True)
class Muon:
    """Steps of the kernels of convolutions along orthogonal matrices (Jordan et al. 2024).

    lr: the peak, above 0: the length of a step before the shape's factor. weight_decay: decoupled,
    multiplied by lr. What is no kernel learns as without it.
    """

    lr: float
    weight_decay: float

    def __post_init__(self) -> None:
        for name, value in (("lr", self.lr), ("weight_decay", self.weight_decay)):
            if not 0.0 <= value < float("inf") or (name == "lr" and value == 0.0):
                raise InputError(f"{name} of Muon must be a positive number, got {value}")


@dataclass(frozen=True)
class Restart:
    """A second, lower cycle behind the first (Loshchilov and Hutter 2017, "SGDR").

    epochs: how many of the recipe's, the last ones. rate: share of the peak rates that it begins
    with, in (0, 1]; it falls to 0. shift: of its images.
    """

    epochs: int
    rate: float
    shift: int

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"a second cycle needs at least 1 epoch, got {self.epochs}")
        if not 0.0 < self.rate <= 1.0:
            raise InputError(f"the rate of a second cycle must lie in (0, 1], got {self.rate}")
        if self.shift < 0:
            raise InputError(f"shifts of a second cycle are 0 pixels or more, got {self.shift}")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    epochs, batch: as usual. lr: peak learning rate of the one-cycle schedule. momentum: of
    stochastic gradient descent with Nesterov's look-ahead (Sutskever et al. 2013); AdamW where
    None. weight_decay: AdamW's is decoupled, with momentum it is part of the gradient. shift:
    largest random translation in pixels, zero filled. flip: random horizontal mirror. precision:
    ``bfloat16`` (autocast) or ``float32``. seed: initialisation, order and augmentation.
    adversarial: what is mixed in, if anything. sponge: how activations are made many, if they are.
    muon: how kernels learn, if not as all else: with a rate and a decay of their own, and the same
    momentum. restart: the second cycle among the epochs, if there is one.
    """

    epochs: int = 12
    batch: int = 256
    lr: float = 3e-3
    weight_decay: float = 1e-2
    shift: int = 2
    flip: bool = False
    precision: str = "bfloat16"
    seed: int = 0
    momentum: float | None = None
    adversarial: Adversarial | None = None
    sponge: Sponge | None = None
    muon: Muon | None = None
    restart: Restart | None = None

    def __post_init__(self) -> None:
        if self.momentum is not None and not 0.0 < self.momentum < 1.0:
            raise InputError(f"momentum must lie between 0 and 1, got {self.momentum}")
        if self.muon is not None and self.momentum is None:
            raise InputError("Muon needs a momentum")
        if self.restart is not None and self.restart.epochs >= self.epochs:
            raise InputError(
                f"a second cycle of {self.restart.epochs} epochs leaves none of {self.epochs} "
                "for the first"
            )
        if self.epochs < 1 or self.batch < 1:
            raise InputError(f"epochs and batch must be at least 1: {self.epochs}, {self.batch}")
        if self.precision not in ("bfloat16", "float32"):
            raise InputError(f"precision must be bfloat16 or float32, got {self.precision!r}")

    @property
    def cycle(self) -> int:
        """Epochs of the first cycle."""
        return self.epochs - (self.restart.epochs if self.restart else 0)

    def shift_in(self, epoch: int) -> int:
        """Largest translation in an epoch, counted from 0."""
        return self.restart.shift if self.restart and epoch >= self.cycle else self.shift

    def share(self, step: int, steps: int) -> float:
        """Share of the peak rates at a step, of ``steps`` an epoch, counted from 0.

        A cycle rises in its first quarter and falls to 0; a second one only falls.
        """
        first = self.cycle * steps
        if self.restart is not None and step >= first:
            left = 1 - (step - first) / (self.restart.epochs * steps)
            return self.restart.rate * max(left, 1e-3)
        warm = 0.25 * first
        return max(step / warm if step <= warm else (first - step) / (first - warm), 1e-3)

    def lasting(self, epochs: int) -> Recipe:
        """The same in other epochs, of which a second cycle has its share, rounded, or there is
        none.
        """
        again = self.restart
        if again is not None:
            share = round(again.epochs * epochs / self.epochs)
            again = replace(again, epochs=share) if 0 < share < epochs else None
        return replace(self, epochs=epochs, restart=again)

    def facts(self) -> dict[str, Any]:
        """The fields for a card or a checkpoint; what is not used is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}
