"""How a compression is trained and tested, and its methods by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from hwsim.errors import InputError
from hwsim.models.recipe import Recipe

Growth = Literal["random", "gradient"]
Attacker = Literal["bmia", "wmia", "mmia"]
ATTACKERS: tuple[Attacker, ...] = get_args(Attacker)


def _recipe() -> Recipe:
    return Recipe(
        epochs=30, batch=128, lr=0.05, weight_decay=5e-4, shift=0, precision="float32",
        momentum=0.9,
    )  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Numbers of a compression; the defaults are the paper's where it gives one.

    recipe: as of ``hwsim train``, but ``lr`` is constant, divided by 10 after half and again after
    three quarters of all steps. candidates: of an update. growth: ``random`` or ``gradient``, of a
    batch of its own for each candidate. period: steps between two updates, None for two epochs.
    trial: steps that a candidate learns before its test; the winner keeps them, so that only the
    others' are extra. first_rate, last_rate: share of the living weights that an update replaces,
    along a cosine. tested: samples of each side that a test uses. attack_epochs: of the attacker's
    first training and of each later one, which goes on from the winner's. plain: share of the
    epochs before the adversarial term of mmia and of ``regularized`` sets in. strength: of that
    term of mmia. regularization: the same of ``regularized``. stop_at: ``early`` ends after the
    first epoch whose accuracy on the tester's non-members is that high, in 0 … 1.
    """

    recipe: Recipe = field(default_factory=_recipe)
    candidates: int = 3
    growth: Growth = "random"
    period: int | None = None
    trial: int = 4
    first_rate: float = 0.5
    last_rate: float = 0.005
    tested: int = 500
    attack_epochs: tuple[int, int] = (10, 2)
    plain: float = 0.5
    strength: float = 0.1
    regularization: float = 1.0
    stop_at: float | None = None

    def __post_init__(self) -> None:
        if self.recipe.muon is not None:
            raise InputError("Muon moves weights that a mask holds at 0: give a recipe without it")
        if self.candidates < 1 or self.tested < 10 or min(self.attack_epochs) < 1:
            raise InputError(
                "a test needs 1 candidate, 10 samples of each side and 1 epoch of its attacker at "
                f"least, got {self.candidates}, {self.tested} and {min(self.attack_epochs)}"
            )
        if self.growth not in get_args(Growth):
            raise InputError(f"growth is random or gradient, not {self.growth!r}")
        if self.trial < 0 or (self.period is not None and self.period <= self.trial):
            raise InputError(
                f"an update every {self.period} steps leaves no room for a trial of {self.trial}"
            )
        if not 0.0 <= self.last_rate <= self.first_rate < 1.0:
            raise InputError(
                f"death rates must fall within 0 … 1, got {self.first_rate} to {self.last_rate}"
            )
        if not 0.0 <= self.plain <= 1.0 or min(self.strength, self.regularization) < 0.0:
            raise InputError(
                "the adversarial term needs a share of plain epochs in 0 … 1 and a strength of 0 "
                f"or more, got {self.plain}, {self.strength} and {self.regularization}"
            )
        if self.recipe.adversarial is not None or self.recipe.sponge is not None:
            raise InputError("sparse training knows no adversarial images and no sponge")

    def facts(self) -> dict[str, Any]:
        """The fields for a card or a checkpoint, as JSON has them."""
        found = asdict(self) | {"recipe": self.recipe.facts()}
        return found | {"attack_epochs": list(self.attack_epochs)}


@dataclass(frozen=True)
class SparseMethod:
    """What a method does beside training.

    starts: with ``dense`` weights, drawn ``masks``, or ``hashed`` at equal rates. updates: by which
    rule, ``none``, ``regrow`` (masks), ``reallocate`` (hashed words), ``once`` (magnitude pruning
    in the middle) or ``gradually``. choice: among candidates, ``first``, ``random``, or an
    attacker's name. opponent: whose loss the training raises, if anyone's.
    """

    starts: Literal["dense", "masks", "hashed"]
    updates: Literal["none", "regrow", "reallocate", "once", "gradually"] = "none"
    choice: Literal["first", "random", "bmia", "wmia", "mmia"] = "first"
    opponent: Literal["bmia", "mmia"] | None = None
    stops: bool = False


METHODS: dict[str, SparseMethod] = {
    "bmia": SparseMethod("masks", "regrow", "bmia"),
    "wmia": SparseMethod("masks", "regrow", "wmia"),
    "mmia": SparseMethod("masks", "regrow", "mmia", "mmia"),
    "random": SparseMethod("masks", "regrow", "random"),
    "untested": SparseMethod("masks", "regrow"),
    "hash-bmia": SparseMethod("hashed", "reallocate", "bmia"),
    "hash-wmia": SparseMethod("hashed", "reallocate", "wmia"),
    "hash-mmia": SparseMethod("hashed", "reallocate", "mmia", "mmia"),
    "hash-random": SparseMethod("hashed", "reallocate", "random"),
    "hash": SparseMethod("hashed"),
    "dense": SparseMethod("dense"),
    "early": SparseMethod("dense", stops=True),
    "one-shot": SparseMethod("dense", "once"),
    "iterative": SparseMethod("dense", "gradually"),
    "regularized": SparseMethod("masks", "regrow", opponent="bmia"),
}


def method_of(name: str, settings: Settings) -> SparseMethod:
    """The method of a name. Raises InputError for an unknown one, and for ``early`` without
    ``stop_at``.
    """
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}: choose from {', '.join(METHODS)}")
    found = METHODS[name]
    if found.stops and settings.stop_at is None:
        raise InputError("early stopping needs the accuracy to stop at")
    return found
