"""A flipped bit in words: where it stands, and what became of what it is part of."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from hwsim.faults.engine_victim import EngineVictim
from hwsim.faults.guarded_victim import GuessingVictim
from hwsim.faults.search import Flip, Victim


def described(victim: Victim, flip: Flip, word: int) -> dict[str, Any]:
    """layer, memory, word and bit of a flip; before, after: what the word is worth; fault: of the
    engine, its place in the memories of an image.

    word: its bits before, check bits above them, which are worth nothing. Words of weights are
    worth integers or floats, None where they are no number; indices a sign and an address.
    """
    part, on_engine = victim.parts[flip.part], isinstance(victim, EngineVictim | GuessingVictim)
    data = part.bits - part.check
    return {
        "layer": part.layer,
        "memory": part.memory,
        "word": flip.word,
        "bit": flip.bit,
        "before": _worth(on_engine, part.memory, data, word),
        "after": _worth(on_engine, part.memory, data, word ^ 1 << flip.bit),
        "fault": asdict(victim.fault(flip)) if on_engine else None,  # type: ignore[attr-defined]
    }


def _worth(on_engine: bool, memory: str, bits: int, word: int) -> int | float | str | None:
    word &= (1 << bits) - 1
    if memory == "index":
        sign, address = divmod(word, 1 << (bits - 1))
        return f"{'-' if sign else '+'}w[{address}]"
    if on_engine:
        return word - (1 << bits) if word >> (bits - 1) else word
    value = float(np.array([word], np.uint32).view(np.float32)[0])
    return value if math.isfinite(value) else None
