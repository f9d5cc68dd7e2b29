"""Indices that lead astray: flips after which two layers read one word."""

from __future__ import annotations

from hwsim.faults.engine_victim import EngineVictim
from hwsim.faults.search import Flip


def strays(victim: EngineVictim, number: int) -> list[tuple[Flip, Flip]]:
    """Flips of indices of a part that lead to a word of another layer, and of that word's top bit.

    None of a part of words. Of no more than 32 indices.
    """
    if victim.parts[number].memory != "index":
        return []
    stored, config = victim.stored, victim.program.config
    layers = {layer.name: n for n, layer in stored.layers.items()}
    mine = layers[victim.parts[number].layer]
    found = []
    for entry in range(min(victim.parts[number].words, 32)):
        for bit in range(config.addr_w):
            address = (stored.entry(mine, entry) ^ 1 << bit) & (1 << config.addr_w) - 1
            at = int(stored.word_of(mine, address))
            for other, part in enumerate(victim.parts):
                if part.memory != "weights" or layers[part.layer] == mine:
                    continue
                here = victim.here(layers[part.layer], part.words)
                if here.start <= at < here.stop:
                    top = Flip(other, at - here.start, config.wgt_w - 1)
                    found.append((Flip(number, entry, bit), top))
    return found
