"""LUTs between engines that were measured: the laws, and the table that ships."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from hwsim.fpga.cell_laws import ModuleLaws, OptionUnknownError, solved
from hwsim.fpga.cell_model import AXES, TABLE, CellModel, CellPoint, axes_of, rest_of
from hwsim.numbers.config import load_config

BASE = load_config("default")


def point(**changed: Any) -> CellPoint:
    """An engine whose cells are known: 5 + 3 rows·cols + rows·banks, and what options add."""
    config = BASE.replace(**changed)
    if changed.get("bits"):
        config = config.with_bits(changed["bits"])
    rows, cols, banks = config.rows, config.cols, config.banks
    modules = {
        "hne_core": 5, "hne_mac_row": 3 * rows * cols, "hne_bank_arbiter": rows * banks,
    }  # fmt: skip
    if config.index_mode == "hash":
        modules["hne_mulhi32"] = 7 * rows
    if config.skip:
        modules["hne_core"] *= 2
        modules["hne_slots"] = 11
    total = sum(modules.values())
    return CellPoint(axes_of(config), total, 0, 0, {k: {"luts": v} for k, v in modules.items()},
                     "by hand")  # fmt: skip


SIZES = ((8, 4, 8), (16, 8, 16), (16, 8, 64), (32, 4, 32), (4, 8, 8))


def table() -> list[CellPoint]:
    plain = [point(rows=r, cols=c, banks=b) for r, c, b in SIZES]
    hashed = [point(rows=r, cols=c, banks=b, index_mode="hash") for r, c, b in SIZES[:2]]
    return [*plain, *hashed, point(rows=8, cols=4, banks=8, skip=True)]


@pytest.mark.parametrize(
    "asked",
    [
        {"rows": 8, "cols": 16, "banks": 32},
        {"rows": 64, "cols": 4, "banks": 64, "index_mode": "hash"},
        {"rows": 16, "cols": 4, "banks": 16, "skip": True},
        {"rows": 16, "cols": 4, "banks": 16, "skip": True, "index_mode": "hash"},
    ],
)
def test_an_engine_between_and_beyond_is_what_the_laws_make_it(asked: dict[str, Any]) -> None:
    wanted = point(**asked)
    assert ModuleLaws(table(), "luts").cells(wanted.axes) == pytest.approx(wanted.luts)


def test_an_option_that_nobody_measured_is_not_guessed() -> None:
    for asked in ({"ecc": "secded"}, {"act_w": 4, "wgt_w": 4}):
        with pytest.raises(OptionUnknownError):
            ModuleLaws(table(), "luts").cells(point(**asked).axes)
    with pytest.raises(OptionUnknownError):
        ModuleLaws(table()[:5], "luts").cells(point(index_mode="hash").axes)


def test_a_module_that_either_of_two_options_brings_is_that_options_own() -> None:
    """As units of check bits: others for parity than for SECDED, and for stored indices."""

    def checked(ecc: str, luts: int, **changed: Any) -> CellPoint:
        one = point(ecc=ecc, **changed)
        return replace(one, modules={**one.modules, "hne_code": {"luts": luts}})

    sizes = {"rows": 8, "cols": 4, "banks": 8}
    laws = ModuleLaws([
        *table(), checked("parity", 80, **sizes), checked("secded", 800, **sizes),
        checked("secded", 240, **sizes, index_mode="hash"),
    ], "luts")  # fmt: skip

    def added(ecc: str, **changed: Any) -> float:
        with_it, bare = (point(**changed, ecc=e).axes for e in (ecc, "none"))
        return laws.cells(with_it) - laws.cells(bare)

    assert added("parity", **sizes) == pytest.approx(80)
    assert added("secded", **sizes) == pytest.approx(800)
    assert added("secded", **sizes, index_mode="hash") == pytest.approx(240)
    assert added("secded", **sizes, skip=True) == pytest.approx(800)
    assert added("secded", rows=16, cols=4, banks=16) == pytest.approx(1600)


def test_units_of_rows_that_one_size_was_measured_of_grow_with_them() -> None:
    plain = [point(rows=r, cols=c, banks=b) for r, c, b in SIZES]
    laws = ModuleLaws([*plain, point(rows=16, cols=8, banks=16, index_mode="hash")], "luts")
    law = {name: laws._module(name, point(rows=8, index_mode="hash").axes, frozenset())
           for name in laws.names}  # fmt: skip
    assert law["hne_mulhi32"] == pytest.approx(7 * 8)


def test_a_width_between_is_between() -> None:
    narrow = point(rows=8, cols=4, banks=8, act_w=4, wgt_w=4)
    halved = CellPoint(
        narrow.axes, 0, 0, 0,
        {k: {"luts": v["luts"] // 2 + v["luts"] % 2} for k, v in narrow.modules.items()}, "",
    )  # fmt: skip
    laws = ModuleLaws([*table(), halved], "luts")
    eight, six, four = (laws.cells(point(act_w=bits, wgt_w=bits).axes) for bits in (8, 6, 4))
    assert four < six < eight
    assert six == pytest.approx((eight + four) / 2)
    with pytest.raises(OptionUnknownError):
        laws.cells(point(act_w=12, wgt_w=12).axes)


def test_no_term_is_negative() -> None:
    axes = [point(rows=r, cols=c, banks=b).axes for r, c, b in SIZES[:3]]
    weights = solved(("one", "rows"), axes, [100.0, 10.0, 10.0])  # falls with rows
    assert min(weights) >= 0


def test_the_table_is_of_todays_verilog() -> None:
    """Otherwise: python -m tools.cells, with Yosys"""
    model = CellModel.load()
    assert not model.stale
    assert model.rest == rest_of(BASE)
    assert all({*one.axes} == {*AXES} for one in model.points)


def test_what_was_measured_is_told_as_measured_and_what_was_not_with_its_error() -> None:
    model = CellModel.load()
    known = model.cells(BASE)
    assert known is not None
    assert (known.origin, known.luts, known.error) == ("measured", 42800, 0.0)
    between = model.cells(BASE.replace(cols=16))
    assert between is not None
    assert between.origin == "interpolated"
    assert 0 < between.error < 0.2
    assert between.error == max(abs(one) for one in model.errors.values())
    assert model.cells(BASE.replace(softmax=False)) is None


def test_another_verilog_makes_nothing_of_the_table_measured() -> None:
    import json

    content = json.loads(TABLE.read_text(encoding="utf-8"))
    stale = CellModel(content, verilog="another")
    found = stale.cells(BASE)
    assert stale.stale
    assert found is not None
    assert found.origin == "interpolated"
    assert stale.routed(load_config("small")) is None
    assert CellModel.load().routed(load_config("small")) == 109.0


def test_a_law_that_errs_does_not_make_an_option_larger() -> None:
    """A module that skipping leaves alone is left alone, however far its law is off there."""
    sizes = [(8, 4, 8), (16, 8, 16), (32, 4, 32)]
    plain = [point(rows=r, cols=c, banks=b) for r, c, b in sizes]
    odd = {**plain[0].modules, "hne_mac_row": {"luts": 900}}  # rows·cols make 96 of it
    skipping = point(rows=8, cols=4, banks=8, skip=True)
    table = [
        replace(plain[0], modules=odd), *plain[1:],
        replace(skipping, modules={**skipping.modules, "hne_mac_row": {"luts": 900}}),
    ]  # fmt: skip
    laws = ModuleLaws(table, "luts")
    off, on = (laws.cells(point(rows=16, cols=4, banks=16, skip=s).axes) for s in (False, True))
    assert on - off == pytest.approx(5 + 11)  # the core twice, and the slots


def test_options_of_the_table_do_to_every_engine_what_they_did_where_they_were_mapped() -> None:
    """Of small engines and of large ones: skipping adds an eighth to the one, not a third."""
    laws = ModuleLaws(CellModel.load().points, "luts")
    known = {tuple(one.axes.values()): one.luts for one in CellModel.load().points}
    small = BASE.replace(rows=8, cols=4, banks=8)
    for changes in ({"skip": True}, {"ecc": "secded"}, {"act_w": 4, "wgt_w": 4}):
        with_it = small.replace(**changes)
        wanted = known[tuple(axes_of(with_it).values())] / known[tuple(axes_of(small).values())]
        found = laws.cells(axes_of(with_it)) / laws.cells(axes_of(small))
        assert found == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize(
    ("changes", "origin"),
    [
        ({"rows": 8, "banks": 32}, "interpolated"),
        ({"rows": 64, "banks": 64}, "extrapolated"),
        ({"cols": 32}, "extrapolated"),
        ({"rows": 1, "banks": 1}, "extrapolated"),
        ({"banks": 64}, "extrapolated"),
        # Of hash units engines of 8 and of 16 rows were mapped.
        ({"rows": 16, "banks": 32, "index_mode": "hash"}, "interpolated"),
        ({"rows": 32, "banks": 32, "index_mode": "hash"}, "extrapolated"),
    ],
)
def test_what_lies_beyond_all_that_was_mapped_is_told_apart(
    changes: dict[str, Any], origin: str
) -> None:
    found = CellModel.load().cells(BASE.replace(**changes))
    assert found is not None
    assert found.origin == origin
    assert math.isinf(found.error) == (origin == "extrapolated")


def test_other_depths_are_not_measured_and_other_sums_have_no_number() -> None:
    model = CellModel.load()
    shallow = model.cells(BASE.replace(act_depth=BASE.act_depth // 2))
    assert shallow is not None
    assert shallow.origin == "interpolated"
    assert model.cells(BASE.replace(acc_w=48)) is None
    assert model.cells(BASE.replace(act_w=8, wgt_w=4)) is None
