"""docs/explore.md: clocks of the routed engines, and lanes in the table of measured cells."""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.fpga.cell_model import CellModel
from hwsim.numbers.config import load_config
from tests.docs_claims.page import Page

LANE = "hne_post_lane"


def _claims() -> Iterator[str]:
    model, small = CellModel.load(), load_config("small")
    assert model.routed(small.replace(skip=True)) is None
    yield f"`small` at {model.routed(small)} MHz"
    lanes = {
        one.modules[LANE]["luts"] // one.axes["cols"]
        for one in model.points
        if one.axes["act_w"] == 8 and one.axes["cols"] > 2 and not one.axes["skip"]
    }
    yield f"takes {min(lanes)} LUTs\nin one engine and {max(lanes)}"


PAGE = Page(
    "docs/explore.md",
    _claims,
    fixed={
        "Wilson's 95% intervals": "the method's level",
        "of the 9.2 ns of `small` 4.7 ns are wires": "docs/synthesis.md, table of what was tried",
    },
)
