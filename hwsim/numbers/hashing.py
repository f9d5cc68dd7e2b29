"""Which real weight a virtual weight reads, and with which sign.

Virtual weight ``(i, j)``: ``i`` is the output neuron or channel, ``j`` the flattened fan-in
position in (cin, ky, kx) row-major order. One xxHash32 of the pair gives both the address and the
sign, so that a hardware unit can compute them on the fly. HashedNets (Chen et al. 2015) eq. 7;
Liu et al. 2018 eq. 3. The published codes hash a decimal string key; ours is arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Scheme = Literal["xxh32", "banked", "dense"]
SCHEMES: tuple[str, ...] = get_args(Scheme)

PRIME2, PRIME3, PRIME4, PRIME5 = 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1
#: Decorrelates the per-column rotation of the ``banked`` scheme from its address hash.
ROTATION_SEED_XOR = 0x85EBCA6B

U32 = NDArray[np.uint32]


def _lane(state: U32, lane: U32) -> U32:
    """Fold one 32-bit lane into an xxHash32 state (the short-input path)."""
    state = state + lane * np.uint32(PRIME3)
    rotated = (state << np.uint32(17)) | (state >> np.uint32(15))
    return rotated * np.uint32(PRIME4)


def _avalanche(state: U32) -> U32:
    state = state ^ (state >> np.uint32(15))
    state = state * np.uint32(PRIME2)
    state = state ^ (state >> np.uint32(13))
    state = state * np.uint32(PRIME3)
    return state ^ (state >> np.uint32(16))


def _start(seed: int | U32, length: int) -> U32:
    if isinstance(seed, np.ndarray):
        return seed + np.uint32((PRIME5 + length) & 0xFFFFFFFF)
    return np.array([(seed + PRIME5 + length) & 0xFFFFFFFF], np.uint32)


def xxh32_pair(i: NDArray[np.integer], j: NDArray[np.integer], seed: int | U32) -> U32:
    """xxHash32 of the 8 bytes ``uint32le(i) || uint32le(j)``; ``i``, ``j``, ``seed`` broadcast."""
    i32, j32 = np.asarray(i).astype(np.uint32), np.asarray(j).astype(np.uint32)
    return _avalanche(_lane(_lane(_start(seed, 8), i32), j32))


def xxh32_word(j: NDArray[np.integer], seed: int) -> U32:
    """xxHash32 of the 4 bytes ``uint32le(j)``."""
    return _avalanche(_lane(_start(seed, 4), np.asarray(j).astype(np.uint32)))


@dataclass(frozen=True)
class HashSpec:
    """How one layer shares its weights.

    scheme: ``xxh32`` (random hashing), ``banked`` (conflict-free rotation), ``dense`` (unshared).
    n_out, fan_in: the virtual weight matrix is ``n_out x fan_in``.
    real_weights: K, the number of stored words.
    seed: 32-bit hash seed of the layer.
    hash_banks: H of the ``banked`` scheme, a power of two fixed at training.
    """

    scheme: Scheme
    n_out: int
    fan_in: int
    real_weights: int
    seed: int = 0
    hash_banks: int = 32

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise ValueError(
                f"unknown hash scheme {self.scheme!r}: choose from {', '.join(SCHEMES)}"
            )
        if self.n_out < 1 or self.fan_in < 1:
            raise ValueError(f"empty layer: n_out={self.n_out}, fan_in={self.fan_in}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"hash seed {self.seed} does not fit 32 bits")
        if self.hash_banks < 1 or self.hash_banks & (self.hash_banks - 1):
            raise ValueError(f"hash_banks must be a power of two, got {self.hash_banks}")
        if not 1 <= self.real_weights < 2**32:
            raise ValueError(f"real_weights must be in 1 … 2^32-1, got {self.real_weights}")
        if self.scheme == "dense" and self.real_weights != self.virtual_weights:
            raise ValueError("a dense layer stores every virtual weight")
        if self.scheme == "banked" and self.real_weights % self.hash_banks:
            raise ValueError("a banked layer stores a multiple of hash_banks words")

    @property
    def virtual_weights(self) -> int:
        return self.n_out * self.fan_in

    @property
    def rate(self) -> float:
        """Effective compression: real weights per virtual weight."""
        return self.real_weights / self.virtual_weights

    @staticmethod
    def for_rate(
        scheme: Scheme, n_out: int, fan_in: int, rate: float, seed: int = 0, hash_banks: int = 32
    ) -> HashSpec:
        """The layer of ``n_out x fan_in`` virtual weights compressed to about ``rate``."""
        if not 0 < rate <= 1:
            raise ValueError(f"compression rate must be in (0, 1], got {rate}")
        n = n_out * fan_in
        if scheme == "dense":
            real = n
        elif scheme == "banked":
            real = hash_banks * max(1, int(n * rate / hash_banks + 0.5))
        else:
            real = max(1, int(n * rate + 0.5))
        return HashSpec(scheme, n_out, fan_in, real, seed, hash_banks)


def table(spec: HashSpec) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Addresses and signs of all virtual weights of a layer.

    Returns (address, negative), both of shape (n_out, fan_in): ``0 <= address < real_weights``;
    the virtual weight is ``-w[address]`` where negative, else ``w[address]``.
    """
    i = np.arange(spec.n_out, dtype=np.int64)[:, None]
    j = np.arange(spec.fan_in, dtype=np.int64)[None, :]
    if spec.scheme == "dense":
        return j * spec.n_out + i, np.zeros((spec.n_out, spec.fan_in), bool)
    u = xxh32_pair(i, j, spec.seed)
    negative = (u & np.uint32(1)).astype(bool)
    wide = u.astype(np.uint64)
    if spec.scheme == "xxh32":
        return ((wide * np.uint64(spec.real_weights)) >> np.uint64(32)).astype(np.int64), negative
    per_bank = spec.real_weights // spec.hash_banks
    row = ((wide * np.uint64(per_bank)) >> np.uint64(32)).astype(np.int64)
    rotation = xxh32_word(j, spec.seed ^ ROTATION_SEED_XOR).astype(np.int64)
    return row * spec.hash_banks + (i + rotation) % spec.hash_banks, negative
