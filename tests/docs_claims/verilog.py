"""docs/rtl.md: measured cycles, configurations of its tests, limits of a trace."""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.numbers.config import load_config
from hwsim.rtl import waves
from tests.docs_claims.page import Page
from tests.rtl.configs import MANY
from tools.tables import cycles, measured


def _claims() -> Iterator[str]:
    busy = {name: cycles.convolutions_busy(name) for name in cycles.NETWORKS}
    yield f"in {busy['mnist-cnn-h16-banked']:.1%} of all cycles of the two convolutions together"
    yield f"in {busy['mnist-cnn-h16']:.1%} with random hashing"
    columns = cycles.read("mnist-cnn-h16-banked")[4]
    yield f"{columns['columns']:,} columns are expanded and issued in {columns['cycles']:,} cycles"
    slow = cycles.read("mnist-cnn-h16")[4]
    ratio = 1 + slow["rtl"]["conflict_cycles"] / slow["columns"]
    yield f"random hashing makes the array wait for the expander, {ratio:.2f} cycles a column"
    rows = load_config("default").rows
    yield f"The first convolution has 9 columns and {rows} rows to drain"
    yield f"its tiling allows 9 busy cycles in {rows}"
    yield f"the same on {len(MANY)} configurations, with many more networks"
    compared = measured.read("rtl-full")["random"]
    assert compared["engines"] - compared["skipping"] == len(MANY)
    yield f"estimated from at most {waves.SAMPLE:,} cycles in its middle"
    yield f"one of more than {waves.LARGE >> 30} GiB is refused"


PAGE = Page("docs/rtl.md", _claims, fixed={"10 ns are one cycle": "the unit of a trace"})
