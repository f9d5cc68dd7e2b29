"""docs/timing.md: latencies and fills are those of the units."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from hwsim.numbers.config import load_config
from hwsim.units import act_buffer, expander, index, mac_array, pool, post, sequencer, softmax
from tests.docs_claims.page import Page
from tools.tables import batching


def _fill(unit: ModuleType) -> int:
    return int(unit.FILL)


def _claims() -> Iterator[str]:
    yield f"`instruction` ({sequencer.INSTRUCTION})"
    yield f"Every layer costs FETCH + SETUP = {sequencer.INSTRUCTION} cycles"
    yield f"LANE + ROUND + MIX + SCALE + ROTATE = {index.LATENCY['hash']} for `hash`"
    yield f"(where nothing is skipped) is {index.LATENCY['counter']} for `counter`"
    yield f"{index.LATENCY['sram']} for `sram` (read, output register)"
    yield f"`expander.TURNS` = COMPARE + FIRST + COUNT + TURN = {expander.TURNS}"
    yield (
        f"expander {_fill(expander)}, act_buffer {_fill(act_buffer)}, post {_fill(post)}, "
        f"softmax {_fill(softmax)}; that of mac_array, {_fill(mac_array)}, and of pool, "
        f"{_fill(pool)}"
    )
    yield f"each row is written FILL = {_fill(post)} cycles after its cycle"
    more = index.LATENCY["hash"] - index.LATENCY["sram"]
    yield f"`hash` adds {more} cycles a layer"
    yield f"(LATENCY {index.LATENCY['hash']} instead of {index.LATENCY['sram']})"
    yield f"classes + FILL + LOAD + {softmax.DIVIDE}·classes cycles"
    yield {1: "the one cycle START before the first"}[sequencer.START]
    engine = load_config(batching.CONFIG)
    full = engine.replace(batch=batching.BATCH)
    yield (
        f"The activation memory of `{engine.name}` has {engine.act_bits:,} bits, and "
        f"{full.act_bits:,} with `batch = {batching.BATCH}`"
    )
    words = {8: "eight stages later the accumulators are in the shadow bank"}
    yield words[mac_array.FILL]
    words = {4: "Four stages later (ROUTE, READ, SIGN, WRITE) it is in the tile buffer"}
    yield words[expander.FILL]


PAGE = Page(
    "docs/timing.md",
    _claims,
    fixed={
        "1 µs = 1 cycle": "the unit of a trace",
        "reports 3x less energy for it": "EIE's abstract: skipping zero activations saves 3x",
    },
)
