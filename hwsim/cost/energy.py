"""Energy of an inference or a batch: how often each event happens, times picojoules per event.

Arithmetic and SRAM at 45 nm, 0.9 V: Horowitz, "Computing's energy problem", ISSCC 2014. Clock
tree, registers, control, the gates of check bits, leakage and the streams are not included. Weight
and index memories are priced as macros of the size that the network needs, the other memories as
configured.

Where zeros are skipped, a column of a zero is charged for nothing but its code, which the scan
reads; what is listed is written once, and read by each row-tile instead of the activation memory,
from a macro of SKIP_COLUMNS entries. Telling a zero costs nothing, as no other control does. Every
column of every layer pays the product that finds its words, 32 bits by those of a column's number.
A convolution pays for each column that it issues, for the words that say which are zeros, and for
the place of each column that comes out of turn; its weights are expanded all the same.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hwsim.cost.activity import Activity
from hwsim.numbers.config import EngineConfig
from hwsim.units import slots

HOROWITZ = "Horowitz ISSCC 2014, 45 nm, 0.9 V"
#: (operation, pJ, source): the published points behind the fits.
PUBLISHED: tuple[tuple[str, float, str], ...] = (
    ("integer add, 8 bits", 0.03, HOROWITZ),
    ("integer add, 16 bits", 0.05, HOROWITZ),
    ("integer add, 32 bits", 0.1, HOROWITZ),
    ("integer multiply, 8 bits", 0.2, HOROWITZ),
    ("integer multiply, 32 bits", 3.1, HOROWITZ),
    ("float32 add", 0.9, HOROWITZ),
    ("float32 multiply", 3.7, HOROWITZ),
    ("SRAM 8 KB, 64-bit read", 10.0, HOROWITZ),
    ("SRAM 32 KB, 64-bit read", 20.0, HOROWITZ),
    ("SRAM 1 MB, 64-bit read", 100.0, HOROWITZ),
    ("DRAM, 64-bit read", 1300.0, HOROWITZ + ", lower end; 2600 upper end"),
)
ADD_PER_BIT = 0.003125
MULTIPLY_SQUARE, MULTIPLY_LINEAR = 0.0029948, 0.0010417
SRAM_CUBIC = (9.024e-4, -2.688e-2, 0.2089)  # of x³, x², x; x = log2(bits of the macro)
SRAM_FLOOR_BITS, SRAM_CEILING_BITS = 1 << 16, 1 << 23  # 8 KB … 1 MB: where the fit holds
SRAM_SMALL = 0.157  # below the range the cubic turns up again: hold its value at 2^16 bits
DRAM_PER_BIT = 20.3


def add_pj(bits: int) -> float:
    """One integer addition or comparison of ``bits`` bits, pJ."""
    return ADD_PER_BIT * bits


def multiply_pj(a: int, b: int) -> float:
    """One integer multiplication of a by b bits, pJ; the square fit, taken as a product."""
    return MULTIPLY_SQUARE * a * b + MULTIPLY_LINEAR * (a + b) / 2


def sram_pj_per_bit(macro_bits: int) -> tuple[float, str]:
    """(pJ per bit accessed, note) of a macro; the note says where the fit is left."""
    if macro_bits < SRAM_FLOOR_BITS:
        return SRAM_SMALL, "below 8 KB: held"
    x = math.log2(macro_bits)
    cubic, square, linear = SRAM_CUBIC
    pj = cubic * x**3 + square * x**2 + linear * x
    return pj, "extrapolated above 1 MB" if macro_bits > SRAM_CEILING_BITS else ""


@dataclass(frozen=True)
class EnergyRow:
    """One line of the table: ``count`` events of ``pj`` each; note: fit range, source."""

    name: str
    count: int
    pj: float
    note: str = ""

    @property
    def nj(self) -> float:
        return self.count * self.pj / 1000


@dataclass(frozen=True)
class Alternative:
    """The same layers on the same machine, stored in another way.

    weight_bits, index_bits: as allocated. dram: what does not fit the configured memories (or is
    put there to compare) and is fetched from DRAM each time it is used: '', 'weights', 'index' or
    both. weights_nj: fetching, indexing and expanding weights. nj: everything.
    """

    name: str
    weight_bits: int
    index_bits: int
    dram: str
    weights_nj: float
    nj: float


@dataclass(frozen=True)
class EnergyReport:
    """rows: this program on this engine, in table order. alternatives: what it competes with."""

    rows: tuple[EnergyRow, ...]
    alternatives: tuple[Alternative, ...]

    @property
    def nj(self) -> float:
        return sum(row.nj for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        return {
            "nj": self.nj,
            "rows": [{**dataclasses.asdict(row), "nj": row.nj} for row in self.rows],
            "alternatives": [dataclasses.asdict(one) for one in self.alternatives],
        }


def _memory_row(name: str, count: int, bits: int, macro_bits: int, dram: bool = False) -> EnergyRow:
    if dram:
        return EnergyRow(f"{name} from DRAM", count, DRAM_PER_BIT * bits, f"{bits} bits")
    per_bit, note = sram_pj_per_bit(macro_bits)
    text = f"{bits} bits of {_size(macro_bits)}"
    return EnergyRow(name, count, per_bit * bits, f"{text}, {note}" if note else text)


def _size(bits: int) -> str:
    kib = bits / 8 / 1024
    return f"{kib / 1024:.1f} MB" if kib >= 1024 else f"{kib:.1f} KB"


def weight_rows(
    activity: Activity,
    config: EngineConfig,
    weight_lines: int,
    index_lines: int,
    index_mode: str,
    dram: Sequence[str] = (),
) -> list[EnergyRow]:
    """The rows that differ between alternatives: finding, reading and expanding the weights."""
    word = config.stored_bits(config.wgt_w)
    rows = [
        _memory_row(
            "weight bank reads", activity.weight_reads, word, weight_lines * word,
            "weights" in dram,
        ),
    ]  # fmt: skip
    if activity.index_lines and index_mode == "sram":
        line = config.rows * config.stored_bits(1 + config.addr_w)
        count = activity.index_lines
        rows.append(_memory_row("index reads", count, line, index_lines * line, "index" in dram))
    elif index_mode == "hash" and activity.hash_multiplies:
        rows.append(
            EnergyRow("hash multiplies", activity.hash_multiplies, multiply_pj(32, 32), "32 bits")
        )
        rows.append(EnergyRow("hash adds", activity.hash_adds, add_pj(32), "32 bits"))
    column = config.rows * config.wgt_w
    rows.append(
        _memory_row("tile buffer writes", activity.tile_writes, column, config.tile_depth * column)
    )
    return rows


def datapath_rows(activity: Activity, config: EngineConfig) -> list[EnergyRow]:
    """The rows that are the same for every way of storing the weights."""
    a, w, acc, m = config.act_w, config.wgt_w, config.acc_w, config.mult_w
    column = config.rows * w
    sums = acc + m
    scale = config.stored_bits(m + math.ceil(math.log2(sums)))
    channel = scale + config.stored_bits(sums)
    # A bank of it has the lines of all images of a batch, however many are in this one.
    maps = config.batch * config.act_depth * a
    rows = [
        EnergyRow("MAC multiplies", activity.macs, multiply_pj(a, w), f"{a} x {w} bits"),
        EnergyRow("MAC adds", activity.macs, add_pj(acc), f"{acc} bits"),
        _memory_row("tile buffer reads", activity.tile_reads, column, config.tile_depth * column),
        _memory_row("activation reads", activity.act_reads, a, maps),
        _memory_row("activation writes", activity.act_writes, a, maps),
        _memory_row(
            "scale and bias reads", activity.channel_reads, channel, config.chan_depth * channel
        ),
        EnergyRow(
            "post multiplies", activity.requantized, multiply_pj(acc, m), f"{acc} x {m} bits"
        ),
        EnergyRow(
            "post adds", activity.requantized + activity.biased, add_pj(sums), f"{sums} bits"
        ),
    ]
    if activity.compares:
        rows.append(EnergyRow("pool compares", activity.compares, add_pj(a), f"{a} bits"))
    if activity.table_reads:
        code = config.stored_bits(a)
        bits = (config.lut_tables << a) * code
        rows.append(_memory_row("table reads", activity.table_reads, code, bits))
    if activity.list_writes or activity.list_reads:
        entry = config.column_bits + a
        bits = config.skip_columns * entry
        rows.append(_memory_row("column list writes", activity.list_writes, entry, bits))
        rows.append(_memory_row("column list reads", activity.list_reads, entry, bits))
    if activity.mask_words:
        bits = config.skip_masks * slots.WINDOW
        rows.append(_memory_row("mask words", activity.mask_words, slots.WINDOW, bits))
        place = (config.act_depth - 1).bit_length() + 8
        bits = config.tile_depth * place
        rows.append(_memory_row("place reads", activity.place_reads, place, bits))
    if activity.column_products:
        text = f"32 x {config.column_bits} bits"
        pj = multiply_pj(32, config.column_bits)
        rows.append(EnergyRow("column products", activity.column_products, pj, text))
    return rows


def in_dram(
    config: EngineConfig, weight_lines: int, index_lines: int, index_mode: str
) -> tuple[str, ...]:
    """What exceeds the configured on-chip memories and must be fetched from DRAM at every use."""
    outside = []
    if weight_lines * config.banks > config.wgt_depth:
        outside.append("weights")
    if index_mode == "sram" and index_lines > config.idx_depth:
        outside.append("index")
    return tuple(outside)


def alternative(
    name: str,
    activity: Activity,
    config: EngineConfig,
    weight_lines: int,
    index_lines: int,
    index_mode: str,
    dram: Sequence[str] | None = None,
) -> Alternative:
    """Price one way of storing the weights. dram: what to fetch from DRAM; None: what must be."""
    if dram is None:
        dram = in_dram(config, weight_lines, index_lines, index_mode)
    rows = weight_rows(activity, config, weight_lines, index_lines, index_mode, dram)
    weights_nj = sum(row.nj for row in rows)
    stored_index = index_lines if index_mode == "sram" else 0
    return Alternative(
        name=name,
        weight_bits=weight_lines * config.banks * config.stored_bits(config.wgt_w),
        index_bits=stored_index * config.rows * config.stored_bits(1 + config.addr_w),
        dram=" and ".join(dram),
        weights_nj=weights_nj,
        nj=weights_nj + sum(row.nj for row in datapath_rows(activity, config)),
    )
