"""Images of graphs: what is written, and hostile manifests, which are refused in one line each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.engine import reference
from hwsim.program.program import Program
from hwsim.rom import image as rom
from tests.images import contents, equal, forge_line, forge_manifest, refusal, residual_program
from tests.images import image as image

Json = dict[str, Any]


@pytest.fixture
def program() -> Program:
    return residual_program()


def test_a_graph_is_read_back_as_it_was(program: Program, image: Path) -> None:
    back = rom.load(image)
    assert equal(back, program)
    codes = np.random.default_rng(0).integers(0, 256, program.input_shape)
    assert reference.run(back, codes).logits == reference.run(program, codes).logits


def test_a_table_stands_in_a_memory_of_its_own(program: Program, image: Path) -> None:
    words = contents(image)["lut.mem"].split()
    table = next(layer for layer in program.layers if layer.kind == "lut").table
    assert [int(word, 16) for word in words] == table.tolist()


def test_a_changed_word_of_a_table_is_refused_without_its_digest(image: Path) -> None:
    path = image / "lut.mem"
    path.write_bytes(b"00\n" + path.read_bytes()[3:])
    assert refusal(image).startswith("lut.mem")


def test_words_that_are_always_the_same_are_held_to_it(image: Path) -> None:
    """The lut's line of scale.mem, and the second bias of an addition."""
    forge_line(image, "bias.mem", 10, b"000000000001")
    assert "bias.mem" in refusal(image)


def _many(manifest: Json) -> None:
    """4,095 layers, all tables of the same map."""
    lut = manifest["layers"][3]
    first, last = manifest["layers"][:3], manifest["layers"][4:]
    manifest["layers"] = first + [dict(lut, name=f"l{n}") for n in range(4095 - 6)] + last


def _long_chain(manifest: Json) -> None:
    """4,095 layers, each of which reads what the one before wrote, all at one place.

    It is refused in a second; what it asks for must not grow with the square of its layers.
    """
    lut = manifest["layers"][3]
    count = 4094
    shape = lut["in_shape"]
    manifest["input"]["shape"] = shape
    manifest["maps"] = [{"shape": shape, "line": 0} for _ in range(count + 1)]
    place = [{"map": n, "channel": 0} for n in range(count + 1)]
    manifest["layers"] = [
        dict(lut, name=f"l{n}", sources=[place[n]], target=place[n + 1], channel_base=n)
        for n in range(count)
    ] + [dict(manifest["layers"][-1], sources=[place[count]])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda m: m["maps"][2].update(line=2**31), "too few"),
        (lambda m: m["maps"][2].update(line=-1), "maps.2.line: Input should be greater"),
        (lambda m: m["maps"][2].update(line=m["maps"][1]["line"]), "share lines"),
        (lambda m: m["maps"][0].update(shape=[1, 6, 7]), "map 0 must be the image"),
        (lambda m: m["maps"].append({"shape": [1, 1, 1], "line": 0}), "nobody writes"),
        (lambda m: m["maps"].pop(), "there is no map 6"),
        (lambda m: m.update(maps=[]), "maps: Tuple should have at least 1 item"),
        (lambda m: m["layers"][1]["sources"][0].update(map=3), "before it is written"),
        (lambda m: m["layers"][2]["sources"].pop(), "add: add reads 1 maps"),
        (lambda m: m["layers"][3]["sources"].append({"map": 0, "channel": 0}), "reads 2 maps"),
        (lambda m: m["layers"][2]["sources"][0].update(map=2), "layer add): in_line is 144, not 0"),
        (lambda m: m["layers"][3]["sources"][0].update(channel=1), "is no part of map 3"),
        (lambda m: m["layers"][3]["target"].update(channel=1), "is no part of map 4"),
        (lambda m: m["layers"][3].update(target=None), "every layer but the last writes"),
        (lambda m: m["layers"][3].update(in_shape=[3, 6, 6]), "reads map 4 before it is"),
        (lambda m: m["layers"][1].update(groups=3), "layer fc: index_base is 36, not 54"),
        (lambda m: m["layers"][1].update(groups=0), "layers.1.conv.groups: Input should be"),
        (lambda m: m["layers"][1].update(fill=8), "layer conv1): fill is 9, not 8"),
        (lambda m: m["layers"][0].update(weight_scale=[]), "weight_scale: Tuple should have"),
        (lambda m: m["layers"][0].update(weight_scale=[0.5, 0.5]), "one step, or one a row"),
        (lambda m: m["layers"][0].update(scale=math.nan), "NaN is not a number"),
        (lambda m: m["layers"][0].update(scale=math.inf), "Infinity is not a number"),
        (lambda m: m["layers"][0].update(scale=0.0), "layers.0.conv.scale: Input should be"),
        (lambda m: m["layers"][0].update(scale=1e300), "outside 2^±64"),
        (lambda m: m["layers"][2].update(scale=1e-300), "outside 2^±64"),
        (lambda m: m["layers"][2].update(lo=9, hi=8), "layer add): lo is 7, not 9"),
        (lambda m: m["layers"][2].update(hi=256), "layer add): hi is 255, not 256"),
        (lambda m: m["layers"][3].update(table=1), "layer lut: table is 1, not 0"),
        (lambda m: m["layers"][5]["window"].update(kernel=[0, 3]), "kernel"),
        (lambda m: m["layers"][5]["window"].update(stride=[0, 3]), "stride"),
        (lambda m: m["layers"][5].update(last=True), "every layer but the last writes"),
        (lambda m: m["layers"][6].update(last=False), "every layer but the last writes"),
        (lambda m: m["config"].update(add=False), "leaves out what add needs"),
        (lambda m: m["config"].update(average=False), "leaves out what affine needs"),
        (lambda m: m["config"].update(lut_tables=0), "leaves out what lut needs"),
        (lambda m: m["config"].update(groups=False), "leaves out what conv needs"),
        (_many, "l1: writes what was written before"),
        (_long_chain, "fc: (4, 3, 2) from channel 0 on is no part of map 4094"),
    ],
)
def test_a_hostile_graph_is_refused(
    image: Path, change: Callable[[Json], object], complaint: str
) -> None:
    try:
        forge_manifest(image, change)
    except ValueError:  # what has no digest, since it is no JSON
        manifest = json.loads((image / "manifest.json").read_text())
        change(manifest)
        (image / "manifest.json").write_text(json.dumps(manifest))
    assert complaint in refusal(image)
