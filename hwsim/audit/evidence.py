"""What an audit has measured, as plain values that JSON can keep.

Success is kept for every single image, so that attacks can be compared image by image and the
worst case be taken over all of them. All images are ones that the engine classifies correctly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Family = Literal[
    "one-step", "iterated", "longer", "unbounded", "minimizing", "gradient-free", "transfer"
]
#: More than this share of all images must not fall only because the steps are doubled.
GAINED = 0.05
Probe = Literal["directions", "coordinates"]


def bits(success: NDArray[np.bool_] | Sequence[bool]) -> str:
    """One character per image: 1 where the attack succeeded."""
    return "".join("01"[bool(hit)] for hit in success)


@dataclass(frozen=True)
class Attempt:
    """One attack on N images.

    name: unique, such as ``pgd ce-float32``. loss: what it differentiates, "" for none. source:
    what it was crafted on, "" for the engine under audit. epsilons: L∞, rising; success: one
    string of N bits for each, counted on the very image that is judged. zero_gradient: images
    that never had a nonzero gradient. forward, backward: passes on an image, all epsilons together,
    on average.
    """

    name: str
    family: Family
    loss: str
    source: str
    epsilons: Sequence[float]
    success: Sequence[str]
    zero_gradient: int
    forward: float
    backward: float

    @property
    def table(self) -> NDArray[np.bool_]:
        """(E, N)."""
        return np.array([[char == "1" for char in row] for row in self.success], bool)

    def reached(self, epsilon: float) -> NDArray[np.bool_]:
        """(N,): adversarial at this ε or a smaller one; the ball of a smaller ε lies within."""
        rows = [row for e, row in zip(self.epsilons, self.table, strict=True) if e <= epsilon]
        result: NDArray[np.bool_] = np.any(rows, axis=0)
        return result if rows else np.zeros(len(self.success[0]), bool)


@dataclass(frozen=True)
class GradientEvidence:
    """Clean gradients of one loss on N images.

    zero_images: exactly zero in every pixel. zero_pixels: share of pixels, over all images, where
    it is exactly zero. no_winner: images where the entry of the answered class in the gradient by
    the logits is exactly zero, though the true one is not. cosine: of the gradient by the logits
    with the true one, mean over images, 0 for an image without any; None where the loss defines
    its own gradient. log10_size: of nonzero pixels' |gradient|, the 5%, 50% and 95% quantiles.
    """

    loss: str
    zero_images: int
    zero_pixels: float
    no_winner: int
    cosine: float | None
    log10_size: Sequence[float | None]


@dataclass(frozen=True)
class Agreement:
    """How well the gradient at one depth predicts the datapath behind it.

    depth: ``input`` or the layer whose output map is moved. probe: ``directions`` (all values at
    once, at random) or ``coordinates`` (one by one). step: LSB. cosine: per gradient mode, mean
    over images; None where neither says anything. lowest: of any image.
    """

    depth: str
    probe: Probe
    step: int
    cosine: Mapping[str, float | None]
    lowest: Mapping[str, float | None]


@dataclass(frozen=True)
class Saturation:
    """Share of values of one feature map that are 2^A − 1 and 0."""

    layer: str
    saturated: float
    zero: float


@dataclass(frozen=True)
class Ties:
    """Images whose integer logits leave something undecided, of N.

    top: two classes share the maximum. dlr: the first and the third logit are equal. one_hot: the
    16-bit probability unit says exactly 1 and 0.
    """

    images: int
    top: int
    dlr: int
    one_hot: int


@dataclass(frozen=True)
class Stability:
    """Repeated inference: ``logits`` compared bit by bit in ``runs`` runs, ``different`` ones."""

    runs: int
    logits: int
    different: int


@dataclass(frozen=True)
class Convergence:
    """Images that an attack without early exit misses at one ε, and those still on the move.

    unfinished: the best loss so far still rose by more than 5% of its whole range during the last
    tenth of the attack's own steps. steps: the last number of them that was doubled, which is done
    until no more than ``GAINED`` of the images fall by it. gained: images that fell by that.
    """

    attack: str
    epsilon: float
    missed: int
    unfinished: int
    steps: int
    gained: int


@dataclass
class Evidence:
    """All of it; parts that a stage has not delivered are empty or None."""

    images: int
    attempts: dict[str, Attempt] = field(default_factory=dict)
    gradients: list[GradientEvidence] = field(default_factory=list)
    agreement: list[Agreement] = field(default_factory=list)
    saturation: list[Saturation] = field(default_factory=list)
    convergence: list[Convergence] = field(default_factory=list)
    ties: Ties | None = None
    stability: Stability | None = None
    skipped: dict[str, str] = field(default_factory=dict)

    def merge(self, other: Evidence) -> None:
        """Add what a stage has found."""
        for part in fields(self):
            mine, new = getattr(self, part.name), getattr(other, part.name)
            if isinstance(mine, dict):
                mine.update(new)
            elif isinstance(mine, list):
                mine.extend(new)
            elif mine is None:
                setattr(self, part.name, new)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evidence:
        """What ``as_dict`` wrote. Raises TypeError, KeyError or ValueError for anything else."""
        kinds: dict[str, Any] = {
            "gradients": GradientEvidence, "agreement": Agreement, "saturation": Saturation,
            "convergence": Convergence,
        }  # fmt: skip
        lists = {name: [kind(**row) for row in data[name]] for name, kind in kinds.items()}
        attempts = {name: Attempt(**row) for name, row in data["attempts"].items()}
        ties, stability = data["ties"], data["stability"]
        return cls(
            images=int(data["images"]),
            attempts=attempts,
            ties=None if ties is None else Ties(**ties),
            stability=None if stability is None else Stability(**stability),
            skipped=dict(data["skipped"]),
            **lists,
        )
