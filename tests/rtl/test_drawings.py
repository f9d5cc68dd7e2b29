"""The pictures of docs/rtl.md show the design as it is: ``make drawings`` made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.draw import blocks, hierarchy, wavedrom
from tools.draw.__main__ import FOLDER, wave_file
from tools.draw.record import record
from tools.draw.scenes import SCENES
from tools.draw.verilog import MODULES

pytestmark = pytest.mark.rtl

NAMES = [scene.name for scene in SCENES]


def kept(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_hierarchy_is_that_of_the_verilog() -> None:
    assert {part.module for part in hierarchy.parts()} == set(MODULES)
    assert str(hierarchy.draw()) == kept(FOLDER / "hierarchy.svg"), "run `make drawings`"


def test_the_data_path_shows_modules_that_are_there() -> None:
    assert {block.module for block in blocks.BLOCKS} <= set(MODULES)
    assert str(blocks.draw()) == kept(FOLDER / "datapath.svg"), "run `make drawings`"


@pytest.mark.parametrize("name", NAMES)
def test_a_timing_diagram_is_its_wavedrom_file(name: str) -> None:
    picture = json.loads(kept(wave_file(name)))
    lengths = {len(lane.wave) for lane in wavedrom.lanes(picture)}
    assert len(lengths) == 1
    assert str(wavedrom.draw(picture)) == kept(wave_file(name).with_suffix(".svg"))


def test_the_timing_diagrams_are_what_the_verilog_does(engine_for_cocotb: tuple[Any, Path]) -> None:
    scenes = record(*engine_for_cocotb)
    assert sorted(scenes) == sorted(NAMES)
    for name, picture in scenes.items():
        assert picture == json.loads(kept(wave_file(name))), f"{name}: run `make drawings`"


def test_a_wave_says_what_stays_what_comes_and_what_means_nothing() -> None:
    assert wavedrom.wave([["0", "1", "1"], ["1", "0"]], bus=False) == {"wave": "01.|10"}
    assert wavedrom.wave([["x", "a", "a", "b"], ["b"]], bus=True) == {
        "wave": "x=.=|=",
        "data": ["a", "b", "b"],
    }
