"""Engine configurations that random networks run on: each is one build of the simulation."""

from __future__ import annotations

import os
from typing import Any

from hwsim.numbers.config import EngineConfig, load_config

#: ``make rtl-full``: all configurations and more networks on each.
FULL = os.environ.get("HWSIM_RTL") == "full"
#: ``make coverage``: what the few have, and wide accumulators.
COVERAGE = os.environ.get("HWSIM_RTL") == "coverage"

#: Room for every network that tests/property/networks.py draws.
_ROOM = dict(tile_depth=512, wgt_depth=65536, idx_depth=65536, act_depth=8192)


def _engine(rows: int, cols: int, banks: int, mode: str = "sram", **more: Any) -> EngineConfig:
    name = f"{rows}x{cols}-{banks}-{mode}"
    return load_config("tiny").replace(
        name=name, rows=rows, cols=cols, banks=banks, index_mode=mode, **{**_ROOM, **more}
    )


def _skipping(
    rows: int, cols: int, banks: int, mode: str = "sram", *, columns: int, masks: int, **more: Any
) -> EngineConfig:
    """An engine that skips, with a list of so many columns and masks of so many windows."""
    plain = _engine(rows, cols, banks, mode, **more)
    name = f"{plain.name}-skip"
    return plain.replace(name=name, skip=True, skip_columns=columns, skip_masks=masks)


#: One of each kind: indices stored and computed, equal and unequal sides, narrow and wide words,
#: with and without the probability unit.
FEW = [
    _engine(2, 2, 2),
    _engine(4, 2, 4, "hash", act_w=16, wgt_w=16),
    _engine(3, 8, 16, act_w=5, wgt_w=4, mult_w=8, softmax=False),
]
#: Engines that skip zeros: lists and masks of some layers do not fit. The first two in every run.
SKIPPING = [
    _skipping(2, 4, 4, columns=60, masks=40),
    _skipping(3, 2, 4, "hash", columns=33, masks=15, act_w=5, wgt_w=6, mult_w=9),
    _skipping(1, 1, 1, columns=100, masks=64, softmax=False),
    _skipping(8, 16, 8, columns=200, masks=31, act_w=10, wgt_w=10, acc_w=48),
    _skipping(5, 8, 16, "hash", columns=1, masks=1),
    _skipping(2, 32, 2, columns=129, masks=256),
    _skipping(4, 8, 32, "hash", columns=512, masks=4096, ecc="secded"),
]
#: One that skips, whose masks and list just fit what samples.small_network asks for.
SKIPPING_TINY = load_config("tiny").replace(
    name="tiny-skip", skip=True, skip_columns=45, skip_masks=18
)
_WIDE = _engine(8, 16, 8, act_w=10, wgt_w=10, acc_w=48)
MANY = [
    *FEW,
    _engine(2, 2, 4, "hash"),
    _engine(4, 4, 4),
    _engine(4, 4, 16, "hash", act_w=4, wgt_w=5, mult_w=9),
    _engine(1, 1, 1, softmax=False),
    _engine(1, 4, 2, "hash", act_w=7, wgt_w=11),
    _engine(5, 1, 32, "hash", wgt_w=13),
    _engine(7, 2, 8, act_w=11, wgt_w=6, mult_w=11),
    _engine(8, 4, 8, "hash", softmax=False),
    _WIDE,
    _engine(16, 8, 16),
    _engine(9, 32, 64, "hash", act_w=9, mult_w=13),
    _engine(32, 16, 32),
]
#: What also rounds twice: its tests are its own.
TWICE = _engine(2, 4, 4, mult_w=32, requantization="twice-away")
#: Whose banks have lines that no address but one with a fault asks for, and fewer than addresses.
HOLES = _engine(3, 2, 4, wgt_depth=4 * 700)
#: Whose words are so wide that a few of them overflow an accumulator.
WRAPS = _engine(4, 2, 4, act_w=16, wgt_w=16, acc_w=32)
ENGINES = MANY + SKIPPING if FULL else FEW + SKIPPING[:2] + [_WIDE] * COVERAGE
