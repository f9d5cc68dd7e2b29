"""Which word each virtual weight of an instruction reads, whatever its fields say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.faults.instructions import Row, fan_in_of, groups_of, kind_of, outputs_of
from hwsim.faults.words import MemoryWords
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import ROTATION_SEED_XOR, xxh32_pair, xxh32_word
from hwsim.program.instruction import SCHEME_CODES
from hwsim.units import expander
from hwsim.units.index import Source


def tiles_of(config: EngineConfig, row: Row) -> tuple[int, ...]:
    """Rows of each row-tile."""
    return expander.tile_rows(groups_of(row), outputs_of(row), config.rows)


def source_of(config: EngineConfig, row: Row) -> Source:
    """Where its addresses come from.

    A layer without weights has them, too, and nobody looks at its scheme before: where that is not
    dense, rows of it may be in each other's way, though no word is read.
    """
    if row["scheme"] == SCHEME_CODES["dense"]:
        return "counter"
    return "hash" if config.index_mode == "hash" else "sram"


def addresses(words: MemoryWords, row: Row) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(address, negative) of each array row and column, layer-relative, ADDR_W bits.

    Of a conv or fc layer, of each virtual weight, (n_out, fan_in).
    """
    config = words.config
    top = (1 << config.addr_w) - 1
    i = np.arange(groups_of(row) * outputs_of(row), dtype=np.int64)[:, None]
    j = np.arange(fan_in_of(row), dtype=np.int64)[None]
    source = source_of(config, row)
    if source == "counter":
        address = (j * row["out_c"] + i) & top
        return address, np.zeros(address.shape, np.bool_)
    if source == "sram":
        stored = _stored(words, row)
        return stored & top, (stored >> config.addr_w & 1).astype(np.bool_)
    banked = row["scheme"] == SCHEME_CODES["banked"]
    shift = row["log2_hash_banks"] if banked else 0
    u = xxh32_pair(i, j, row["seed"]).astype(np.int64)
    scale = row["real_weights"] >> shift
    # A product of 64 bits without a sign.
    line = ((u.astype(np.uint64) * np.uint64(scale)) >> np.uint64(32)).astype(np.int64)
    address = (line << shift) & top
    if banked:
        rotation = xxh32_word(j, row["seed"] ^ ROTATION_SEED_XOR).astype(np.int64)
        address |= (rotation + i) & ((1 << shift) - 1) & top
    return address, (u & 1).astype(np.bool_)


def virtual_weights(words: MemoryWords, row: Row) -> NDArray[np.int64] | None:
    """Its weights (n_out, fan_in); None where it has none of its own.

    The negation of −2^(WGT_W−1) is itself, as WGT_W bits hold it.
    """
    if kind_of(row) not in ("conv", "fc"):
        return None
    address, negative = addresses(words, row)
    config = words.config
    lines = config.wgt_depth // config.banks
    # As many bits as a line of a bank has.
    line = (row["weight_base"] + address // config.banks) % (1 << max(1, (lines - 1).bit_length()))
    found = words.weights(line, address % config.banks)
    low = -(1 << (config.wgt_w - 1))
    return np.where(negative & (found != low), -found, found)


def _stored(words: MemoryWords, row: Row) -> NDArray[np.int64]:
    """Entries of the index memory, (n_out, fan_in)."""
    fan_in, found, line = fan_in_of(row), [], row["index_base"]
    for used in tiles_of(words.config, row):
        found.append(words.index(line, fan_in).T[:used])
        line += fan_in
    return np.concatenate(found)
