"""The attacks on a network's memories that ``hwsim attack`` offers: searches for the worst bits.

Nothing here imports torch, so that ``--help`` stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FlipEntry:
    """One search. stop: where it ends, of accuracy, or of success where it has a target."""

    name: str
    title: str
    targeted: bool


FLIPS = {
    entry.name: entry
    for entry in (
        FlipEntry(
            "bfa", "Bit flips in weights or indices until nothing is recognized (BFA)", False
        ),
        FlipEntry(
            "tbfa", "Bit flips that turn a class, all or one image into a target (T-BFA)", True
        ),
    )
}
#: What an attacker may know of what guards a memory.
KNOWS = ("adaptive", "keyless", "blind")
#: The engine's gradients that a search may go by.
SLOPES = ("ste", "ste-bfloat16")
#: Training images that a search sees; words it looks at in each layer; bits it may flip; test
#: images that judge.
IMAGES, K_TOP, MOST, SAMPLES = 128, 100, 100, 1000
#: Share of the aimed images at which a target is reached.
REACHED = 0.99
#: Of guessing: at or below it nothing is recognized any more, 11% of ten classes as published.
GUESSING = 1.1
