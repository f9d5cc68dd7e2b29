"""Designs: which are engines, which dominate which, and when a difference counts."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from hwsim.attacks.evaluate.rates import Rate
from hwsim.errors import InputError
from hwsim.fpga.cell_model import CellCount
from hwsim.numbers.config import load_config
from hwsim.studies.explore import page
from hwsim.studies.explore.campaign import QUICK, Exploration, Explored, left_of
from hwsim.studies.explore.design import Design, DesignAxes, DesignGrid, EngineChoice
from hwsim.studies.explore.found import FlipsFound, cells_found
from hwsim.studies.explore.objectives import (
    GOALS,
    Measured,
    beats,
    front,
    matrix,
    no_worse,
    standings,
)
from hwsim.studies.explore.result import ExploredFront
from hwsim.studies.explore.rows import cost, storing
from hwsim.studies.explore.verdicts import judged
from hwsim.studies.explore.words import brief, said
from hwsim.studies.output import _without_places
from hwsim.studies.runner import machines
from hwsim.studies.runner.executors import chosen
from hwsim.studies.runner.machines import Subject
from hwsim.studies.runner.store import Store

BASE = load_config("default")
TWO = [GOALS["cycles"], GOALS["accuracy"]]


def axes(**changed: tuple[object, ...]) -> DesignAxes:
    plain = {
        "networks": ("a",), "bits": (8,), "rows": (16,), "cols": (8,), "banks": (16,),
        "index": ("sram",), "skip": (False,), "ecc": ("none",),
    }  # fmt: skip
    return DesignAxes(**(plain | changed))


def explored(name: str, **values: Measured) -> Explored:
    return Explored(Design(name, EngineChoice.of(BASE)), values, {})


# ------------------------------------------------------------ the grid


def test_a_grid_has_every_combination_once_and_says_why_others_are_no_engines() -> None:
    grid = DesignGrid(axes(rows=(8, 16, 32), banks=(16, 32), cols=(4, 6)), BASE)
    assert len({*grid.designs}) == len(grid.designs) == 5
    assert sum(grid.refused.values()) + len(grid.designs) == grid.axes.size == 12
    assert grid.refused["banks (16) must be at least rows (32)"] == 2
    assert {one.engine.cols for one in grid.designs} == {4}


def test_a_grid_without_any_engine_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match=r"none of 2 combinations is an engine: banks \(16\)"):
        DesignGrid(axes(rows=(32, 64)), BASE)


def test_a_grid_that_nobody_could_wait_for_is_refused() -> None:
    with pytest.raises(InputError, match="give fewer values"):
        DesignGrid(axes(rows=tuple(range(1, 257)), cols=tuple(range(1, 257)), bits=(4, 5, 6, 8)),
                   BASE)  # fmt: skip


def test_an_engine_is_the_base_with_its_axes_and_nothing_else() -> None:
    chosen = EngineChoice(8, 4, 32, 4, "hash", True, "secded")
    made = chosen.config(load_config("wide"))
    assert (made.rows, made.cols, made.banks, made.act_w, made.wgt_w) == (8, 4, 32, 4, 4)
    assert (made.index_mode, made.skip, made.ecc) == ("hash", True, "secded")
    assert made.tile_depth == load_config("wide").tile_depth
    assert EngineChoice.of(BASE).config(BASE) == BASE
    assert chosen.text == "8×4/32 4b hash skip secded"


# ------------------------------------------------------------ the front


def dominated(row: np.ndarray, other: np.ndarray) -> bool:
    return bool((other <= row).all() and (other < row).any())


def test_the_front_is_what_a_plain_loop_says() -> None:
    random = np.random.default_rng(0)
    for width in (1, 2, 4):
        values = random.integers(0, 5, (60, width)).astype(float)  # with many ties
        plain = [not any(dominated(row, other) for other in values) for row in values]
        assert front(values).tolist() == plain


def test_equal_designs_stay_or_go_together() -> None:
    values = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 3.0], [2.0, 3.0], [0.0, 9.0]])
    assert front(values).tolist() == [True, True, False, False, True]


def test_axes_that_are_to_be_high_are_turned() -> None:
    many = [{"cycles": Measured.exact(1), "accuracy": Measured.exact(0.9)},
            {"cycles": Measured.exact(1), "accuracy": Measured.exact(0.8)}]  # fmt: skip
    assert front(matrix(many, TWO)).tolist() == [True, False]


# ------------------------------------------------------------ when a difference counts


def test_counts_differ_by_any_amount_and_are_equal_only_where_they_are() -> None:
    low, high = Measured.exact(1), Measured.exact(2)
    assert low.against(high, lowest=True) == "better"
    assert low.against(high, lowest=False) == "worse"
    assert low.against(Measured.exact(1), lowest=True) == "equal"


def test_rates_are_apart_where_their_intervals_are() -> None:
    def rate(of: int, source: str) -> Measured:
        return Measured.rate(Rate(of, 100), source)

    assert rate(20, "a").against(rate(60, "b"), lowest=True) == "better"
    assert rate(50, "a").against(rate(55, "b"), lowest=True) == "open"
    assert rate(50, "a").against(rate(50, "b"), lowest=True) == "open"
    assert rate(50, "a").against(rate(50, "a"), lowest=True) == "equal"


def test_flips_are_apart_where_all_batches_are_and_a_search_that_gave_up_has_no_end() -> None:
    few = Measured.batches([2, 4, 3], [True, True, True], "a")
    many = Measured.batches([5, 9, 9], [True, False, False], "b")
    assert few.against(many, lowest=False) == "worse"
    assert many.against(few, lowest=False) == "better"
    given_up = Measured.batches([9] * 3, [False] * 3, "c")
    assert given_up.against(many, lowest=False) == "open"
    assert given_up.against(Measured.batches([9] * 3, [False] * 3, "d"), False) == "open"
    assert said("flips", given_up) == "≥ 9.0"


def test_two_batches_say_nothing() -> None:
    few, many = (Measured.batches([n, n], [True, True], n) for n in (1, 8))
    assert few.against(many, lowest=False) == many.against(few, lowest=False) == "open"
    assert few.against(few, lowest=False) == "equal"
    assert said("flips", many) == "8.0"


def test_an_interpolated_number_is_apart_only_beyond_its_error() -> None:
    guessed = Measured(100, 90, 110, None, True)
    assert guessed.against(Measured.exact(120), lowest=True) == "better"
    assert guessed.against(Measured.exact(105), lowest=True) == "open"
    assert guessed.against(Measured(100, 90, 110, None, True), lowest=True) == "open"
    assert brief("luts", guessed) == "~100"
    assert brief("luts", None) == "–"


def test_searches_count_the_first_step_that_gets_there() -> None:
    steps = [{"bits": 2, "accuracy": 0.8}, {"bits": 5, "accuracy": 0.5}, {"bits": 6,
             "accuracy": 0.1}]  # fmt: skip
    caught = [{"bits": 3, "accuracy": 0.9}, {"bits": 4, "accuracy": None}]
    found = FlipsFound.of("weights", [{"steps": steps}, {"steps": caught}, {"steps": []}], 8, "a")
    assert found.reached == (True, False, False)
    assert found.value.value == (5 + 9 + 9) / 3
    assert (found.value.low, found.value.high) == (5, math.inf)


# ------------------------------------------------------------ verdicts


def test_verdicts_follow_from_all_designs() -> None:
    base = explored("base", cycles=Measured.exact(10), accuracy=Measured(0.9, 0.85, 0.95, 1))
    fast = explored("fast", cycles=Measured.exact(5), accuracy=Measured(0.9, 0.85, 0.95, 1))
    best = explored("best", cycles=Measured.exact(9), accuracy=Measured(0.99, 0.98, 1.0, 2))
    worse = explored("worse", cycles=Measured.exact(5), accuracy=Measured(0.5, 0.4, 0.6, 3))
    every = judged(base, [base, fast, best, worse], TWO)
    assert (every.verdict, every.winner) == ("beaten on every axis", best)
    some = judged(base, [base, fast, worse], TWO)
    assert (some.verdict, some.winner) == ("beaten", fast)
    assert "on accuracy none is better by more than can be told" in some.text
    assert some.counts["accuracy"] == {"better": 0, "worse": 1, "equal": 1, "open": 0}
    none = judged(base, [base, worse], TWO)
    assert (none.verdict, none.winner) == ("not beaten", None)
    assert "None of 1 other designs" in none.text


def test_who_beats_another_is_no_worse_and_not_beaten_by_it() -> None:
    values = [Measured(v, v - 1, v + 1, k) for k, v in enumerate((0, 1, 4, 4))]
    for a, b in product(values, repeat=2):
        one, other = {"cycles": a, "accuracy": b}, {"cycles": b, "accuracy": a}
        there, back = standings(one, other, TWO), standings(other, one, TWO)
        assert not (beats(there) and (no_worse(back) or beats(back)))
        assert not beats(there) or no_worse(there)


def test_of_other_budgets_nothing_can_be_told() -> None:
    """At 4 bits ε = 0.1 is one code of 15, a third less than 25 of 255."""
    assert left_of(0.1, 8) == 25 / 255
    assert left_of(0.1, 4) == 1 / 15
    assert left_of(2 / 15, 8) == left_of(2 / 15, 4) == 2 / 15
    assert left_of(2 / 15, 6) == 8 / 63
    strong, weak = Rate(10, 100), Rate(90, 100)
    alike = [Measured.rate(rate, name, 0.2) for rate, name in ((strong, "a"), (weak, "b"))]
    assert alike[0].against(alike[1], lowest=True) == "better"
    other = Measured.rate(weak, "b", 1 / 15)
    assert alike[0].against(other, lowest=True) == "open"


@pytest.mark.slow
def test_weights_off_chip_are_waited_for_image_by_image() -> None:
    """An engine that skips: rows keep the cycles of each image, not their mean."""
    subject = Design("mnist-cnn-h16-banked", EngineChoice.of(BASE)).subject("default").parameters()
    found = cost(subject, {"skip": True}, 3)
    cycles = np.array([layer["cycles"] for layer in found["layers"]])
    assert cycles.shape[1] == 3
    assert len({*cycles.sum(0).tolist()}) > 1
    assert found["cycles"] == pytest.approx(cycles.sum(0).mean() + found["start"])


@pytest.mark.slow
def test_flips_of_weights_ask_for_no_room_for_an_index() -> None:
    """``small`` hashes, and has 64 lines for indices: its networks cannot store theirs."""
    program = machines.program(Subject("mnist-cnn-h64", "fixed", (), 8, "small"))
    assert program.config.idx_depth == 64
    found = storing(program)
    assert (found.config.index_mode, found.config.ecc) == ("sram", "none")
    assert found.config.idx_depth == 411_720
    roomy = machines.program(Subject("mnist-cnn-h64", "fixed", (), 8, "default"))
    assert storing(roomy).config == roomy.config


@pytest.mark.slow
def test_a_network_that_fits_no_engine_costs_no_attack(tmp_path: Path) -> None:
    """On ``tiny`` no convolution of 576 columns has room."""
    engine = EngineChoice.of(load_config("tiny"))
    many = [Design("mnist-cnn-h16", engine)]
    seen: list[tuple[float, float]] = []
    exploration = Exploration("tiny", QUICK)
    with Store(tmp_path / "rows.sqlite") as store, chosen(1, None) as (executor, width):
        assert exploration.compute(many, store, executor, width, lambda *at: seen.append(at)) == []
        assert store.seconds(exploration.every_task) == store.seconds([exploration.cost(many[0])])
    ((reason, count),) = exploration.refused.items()
    assert count == 1
    assert reason.startswith("mnist-cnn-h16: 3: fan-in 576 exceeds TILE_DEPTH 256")


def test_a_document_names_no_place_of_the_machine_that_wrote_it() -> None:
    typed = (
        "hwsim explore net --jobs 2 --store /a/b.sqlite --out=/c --eps 0.1 --docs docs/explore.md"
    )
    assert _without_places(typed) == "hwsim explore net --eps 0.1 --docs docs/explore.md"


def test_a_base_with_two_widths_is_no_point_of_the_axes() -> None:
    """Designs have one width: the verdict would be about an engine that nobody named."""
    with pytest.raises(InputError, match="activations of 8 bits and weights of 4"):
        DesignGrid(axes(), BASE.replace(wgt_w=4))


def test_luts_beyond_the_mapped_engines_have_no_ends() -> None:
    near = cells_found(CellCount(100, 0, 0, "interpolated", 0.15))
    far = cells_found(CellCount(100, 0, 0, "extrapolated", math.inf))
    assert (near.low, near.high) == (85, 115)
    assert near.against(Measured.exact(200), lowest=True) == "better"
    assert far.against(Measured.exact(200), lowest=True) == "open"
    assert (said("luts", near), said("luts", far)) == ("~100", "~100?")


def test_the_page_has_every_axis_that_is_not_alike_for_all() -> None:
    pytest.importorskip("plotly")
    many = [
        Explored(
            Design("a", replace(EngineChoice.of(BASE), bandwidth=port)),
            {"cycles": Measured.exact(1), "pgd": Measured.exact(0.5)}, {},
        )
        for port in (4.0, None, 16.0)
    ]  # fmt: skip
    found = ExploredFront.of(many, many[1:2], [GOALS["cycles"], GOALS["pgd"]])
    (lines,) = page._coordinates(found).data
    (port,) = [one for one in lines.dimensions if one.label == "bytes a cycle"]
    assert list(port.ticktext) == ["4", "16", "on chip"]
    assert list(port.values) == [0, 2, 1]
    alike = ExploredFront.of(many[1:2], many[1:2], [GOALS["cycles"], GOALS["pgd"]])
    (lines,) = page._coordinates(alike).data
    assert "bytes a cycle" not in [one.label for one in lines.dimensions]
