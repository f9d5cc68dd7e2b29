"""Oracle, hashing: which real weight a virtual weight reads, one pair of integers at a time.

Follows docs/architecture.md, Hashing, and docs/images.md; shares nothing with hwsim.numbers.hashing
but the description of a layer's sharing.
"""

from __future__ import annotations

from functools import lru_cache

from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import MacLayer


def xxh32(data: bytes, seed: int) -> int:
    """xxHash32 of 4 or 8 bytes: the specification's path for inputs below 16 bytes."""
    if len(data) % 4 or len(data) >= 16:
        raise ValueError(f"only whole words below 16 bytes are hashed here, got {len(data)} bytes")
    state = (seed + 374761393 + len(data)) % 2**32
    for start in range(0, len(data), 4):
        lane = int.from_bytes(data[start : start + 4], "little")
        state = (state + lane * 3266489917) % 2**32
        state = (state << 17 | state >> 15) % 2**32
        state = state * 668265263 % 2**32
    state = (state ^ state >> 15) * 2246822519 % 2**32
    state = (state ^ state >> 13) * 3266489917 % 2**32
    return state ^ state >> 16


def address_and_sign(spec: HashSpec, i: int, j: int) -> tuple[int, int]:
    """(real weight that virtual weight (i, j) reads, +1 or -1)."""
    if spec.scheme == "dense":
        return j * spec.n_out + i, 1
    u = xxh32(i.to_bytes(4, "little") + j.to_bytes(4, "little"), spec.seed)
    sign = -1 if u % 2 else 1
    if spec.scheme == "xxh32":
        return u * spec.real_weights >> 32, sign
    banks = spec.hash_banks
    line = u * (spec.real_weights // banks) >> 32
    rotation = xxh32(j.to_bytes(4, "little"), spec.seed ^ 0x85EBCA6B)
    return line * banks + (i + rotation) % banks, sign


@lru_cache(maxsize=32)
def _index(spec: HashSpec) -> list[list[tuple[int, int]]]:
    """[i][j] -> (address, sign); kept, because a batch asks for the same layers again."""
    return [[address_and_sign(spec, i, j) for j in range(spec.fan_in)] for i in range(spec.n_out)]


def virtual_weights(layer: MacLayer) -> list[list[int]]:
    """[i][j] -> the weight that output i has for position j of its fan-in."""
    words = layer.weights.tolist()
    return [[sign * words[address] for address, sign in row] for row in _index(layer.spec)]
