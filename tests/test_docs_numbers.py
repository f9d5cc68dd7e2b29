"""Tables and numbers of the documentation are what the program, its cards and measurements say.

``python -m tools.tables`` writes the tables. A sentence that names a number stands in CLAIMS with
the computation that gives it: whoever changes one is told which sentence to change.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from hwsim.cost.timing import analyze
from hwsim.files import markdown
from hwsim.models import zoo
from hwsim.networks.open import open_program
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import PRIME2, PRIME3, PRIME4, PRIME5, ROTATION_SEED_XOR
from hwsim.program.instruction import FIELDS, WORDS_PER_INSTRUCTION
from hwsim.program.proof import MAX_VIRTUAL_WEIGHTS
from hwsim.rom import entries
from hwsim.rom.manifest import FORMAT_VERSION, Manifest
from hwsim.units import act_buffer, expander, index, mac_array, pool, post, sequencer, softmax
from tests.hostile.areas import AREAS
from tests.hostile.command import PAGE as HOSTILE_PAGE
from tests.hostile.command import PLACE as HOSTILE_PLACE
from tests.property.document_reader import FIELDS as DOCUMENTED
from tests.property.document_reader import xxhash32
from tests.rtl.configs import MANY
from tools.tables import cycles, files, formats, measured, rtl
from tools.tables.blocks import BLOCKS, ROOT


@pytest.mark.parametrize(("page", "name"), BLOCKS)
def test_a_table_is_what_its_writer_writes(page: str, name: str) -> None:
    """Otherwise: python -m tools.tables"""
    assert markdown.get(ROOT / page, name) == BLOCKS[page, name]()


def test_every_table_with_a_place_has_a_writer() -> None:
    """Places in the pages of `synth`, `pnr` and `study` are written by those, some by `hostile`."""
    theirs = {"docs/synthesis.md", "docs/reproduction.md"}
    page = str(HOSTILE_PAGE.relative_to(ROOT))
    hostile = {(page, HOSTILE_PLACE.format(area=area)) for area in AREAS}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        page = str(path.relative_to(ROOT))
        for name in re.findall(r"<!-- (\S+): begin -->", path.read_text(encoding="utf-8")):
            assert page in theirs or (page, name) in {*BLOCKS, *hostile}, f"{page}: {name}"


def test_the_table_of_stages_has_every_stage() -> None:
    sums = {"FILL", "TURNS", "INSTRUCTION"}
    flags = {"POSITIVE", "UNSATURATED", "WINNER", "POSITIONS"}  # bits of post's state bytes
    here = {"LANES"}  # values that this machine computes at once
    others = {"WORDS_PER_INSTRUCTION", "ROTATION_SEED_XOR"} | {f"PRIME{n}" for n in range(2, 6)}
    for unit, stages in formats.STAGES.items():
        found = {name for name in vars(unit) if name.isupper() and name[0] != "_"}
        counts = {name for name in found if isinstance(getattr(unit, name), int)}
        assert counts - sums - flags - here - others == stages.keys(), unit.__name__


def test_the_documented_instruction_is_the_instruction() -> None:
    """The reader's table was typed from the page, and the page was written from FIELDS."""
    assert DOCUMENTED == FIELDS
    assert formats.MEANINGS.keys() == FIELDS.keys()


def test_the_keys_of_a_manifest_are_those_of_its_schema() -> None:
    text = (ROOT / "docs/images.md").read_text(encoding="utf-8")
    text = text.partition("## manifest.json")[2].partition("**The spelling")[0]
    tables = [_first_cells(part) for part in text.split("\n\n") if part.startswith("| key")]
    whole, config, layer = tables
    assert whole == set(Manifest.model_fields)
    assert config == set(EngineConfig.model_fields)
    kinds = get_args(entries.AnyEntry)
    assert len(kinds) == 6
    assert layer == {name for entry in kinds for name in entry.model_fields}


def _first_cells(table: str) -> set[str]:
    rows = table.splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_the_coverage_report_is_of_todays_modules() -> None:
    """Otherwise: make coverage"""
    text = (ROOT / "docs/coverage.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (hne_\w+) \|", text, re.MULTILINE)) == {
        path.stem for path in (ROOT / "rtl").rglob("hne_*.v") if path.parent.name != "sim"
    }
    holes = tomllib.loads((ROOT / "tests/rtl/coverage_holes.toml").read_text(encoding="utf-8"))
    reasons = {" ".join(hole["reason"].split()) for hole in holes["hole"]}
    assert all(reason in text for reason in reasons)


# --- measured ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "docs/measured").glob("*.json")), ids=str)
def test_a_measurement_names_the_command_that_makes_it_again(path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    assert re.match(r"(make|hwsim|python -m) \w", found["command"])


@pytest.mark.slow
@pytest.mark.parametrize("name", cycles.NETWORKS)
def test_measured_cycles_are_of_todays_simulator(name: str) -> None:
    """Otherwise: python -m tools.tables --measure rtl"""
    program = open_program(name, cycles.CONFIG)
    rows = [dict(row) for row in cycles.read(name)]
    for row in rows:
        assert row.pop("rtl")["total"] == row["cycles"]
    assert rows == cycles.simulated(program, analyze(program))


def test_a_file_that_answers_otherwise_than_its_runtime_is_explained() -> None:
    """Below 99.5%: LiteRT and float files are explained as kinds, every other file by its name."""
    text = (ROOT / "docs/files.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("### Where fewer than 99.5% of the answers agree")
    reasons, _, _ = rest.partition("\n## ")
    assert reasons
    for name, runtime, _ in files.short():
        dialect = files.rows()[name]["network"]["dialect"]
        if dialect.endswith("float"):
            assert "**A float file" in reasons
        elif runtime.startswith("LiteRT"):
            assert "**TFLite has no unique answer" in reasons
        elif runtime == "ONNX Runtime default":
            assert "**ONNX Runtime's default" in reasons
        else:
            assert f"**{name}" in reasons, f"{name}: {runtime}"


# --- sentences -----------------------------------------------------------------------------------


def _fill(unit: ModuleType) -> int:
    return int(unit.FILL)


def _timing() -> Iterator[str]:
    yield f"`instruction` ({sequencer.INSTRUCTION})"
    yield f"Every layer costs FETCH + SETUP = {sequencer.INSTRUCTION} cycles"
    yield f"LANE + ROUND + MIX + SCALE + ROTATE = {index.LATENCY['hash']} for `hash`"
    yield f"is {index.LATENCY['counter']} for `counter`"
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
    words = {8: "eight stages later the accumulators are in the shadow bank"}
    yield words[mac_array.FILL]
    words = {4: "Four stages later (ROUTE, READ, SIGN, WRITE) it is in the tile buffer"}
    yield words[expander.FILL]


def _images() -> Iterator[str]:
    words = {16: "Sixteen words an instruction"}
    yield words[WORDS_PER_INSTRUCTION]
    first = int((softmax.EXP_LUT == 0).argmax())
    yield f"0 from n = {first} on"
    schema = EngineConfig.model_json_schema()["properties"]
    for name in ("rows", "cols", "act_w", "mult_w", "prog_depth"):
        yield f"{schema[name]['minimum']} … {schema[name]['maximum']}"
    yield f"at most {schema['banks']['maximum']}"
    yield f"at most 2^{MAX_VIRTUAL_WEIGHTS.bit_length() - 1} each"
    yield f"integer, 1 … 2^{schema['wgt_depth']['maximum'].bit_length() - 1}"
    yield f"`format_version` | {FORMAT_VERSION} |"
    yield f"`lut_tables` | integer, 0 … {schema['lut_tables']['maximum']}"
    state, word = xxhash32((2, 3), 1), xxhash32((3,), 1 ^ ROTATION_SEED_XOR)
    yield f"u of (i, j) = (2, 3) is 0x{state:08X} and v of j = 3 is 0x{word:08X}"
    for prime in (PRIME2, PRIME3, PRIME4, PRIME5, ROTATION_SEED_XOR):
        yield f"0x{prime:08X}"


def _rtl() -> Iterator[str]:
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
    assert measured.read("rtl-full")["random"]["engines"] == len(MANY)


def _readme() -> Iterator[str]:
    yield f"`small` on an ECP5 of the slowest speed grade reaches {rtl.routed()['clock']}"
    reached = zoo.card("cifar-vgg16").fixed_accuracy[8]
    yield f"VGG-16 reaches {reached:.1%}"


def _results() -> Iterator[str]:
    found = measured.read("hfgsm")
    at = 1 + found["epsilons"]["8"].index(0.2)
    falls = [found["rows"][name][at] for name in ("mnist-cnn", "mnist-cnn-h64")]
    yield f"Here it falls at ε = 0.2 only, from {falls[0]:.0f}% to {falls[1]:.0f}%"
    yield f"{found['samples']:,} test images, one training and hash seed"


def _files() -> Iterator[str]:
    found = measured.read("resnet-accuracy")
    same = found["equal"]["engine, 31-bit multipliers"]["LiteRT XNNPACK"]
    yield f"{same:,} of {found['images']:,} answers of ResNet-8 are XNNPACK's"
    exact = [run["exact"] == run["compared"] for name, cells in files.rows().items()
             for run in cells["compared-16"]["runtimes"] if "LiteRT" in run["name"]]  # fmt: skip
    yield {True: "every layer of every file bit for bit from what the kernel"}[all(exact)]


def _networks() -> Iterator[str]:
    card = zoo.card("cifar-vgg16")
    assert card.test_accuracy is not None
    yield f"**VGG-16 misses its 90%** by {90 - 100 * card.test_accuracy:.1f} points"
    yield f"{card.test_accuracy:.2%} stored, {card.fixed_accuracy[8]:.2%} on the engine"
    yield f"takes the 4-bit engine from {zoo.card('mnist-cnn-h16-banked').fixed_accuracy[4]:.2%}"
    yield f"in float the same weights go from {zoo.card('mnist-cnn-h16-banked').test_accuracy:.2%}"
    yield f"it would be at 76.5% instead of {zoo.card('c0-p7').test_accuracy:.1%}"


CLAIMS: dict[str, Callable[[], Iterator[str]]] = {
    "README.md": _readme,
    "docs/results.md": _results,
    "docs/files.md": _files,
    "docs/timing.md": _timing,
    "docs/images.md": _images,
    "docs/rtl.md": _rtl,
    "docs/networks.md": _networks,
}


@pytest.mark.parametrize("page", CLAIMS)
def test_sentences_name_todays_numbers(page: str) -> None:
    text = _flat((ROOT / page).read_text(encoding="utf-8"))
    missing = [sentence for sentence in CLAIMS[page]() if _flat(sentence) not in text]
    assert not missing


def _flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).lower()


# --- the readme's example ---------------------------------------------------------------------


@pytest.mark.slow
def test_the_readme_shows_todays_cycles_and_memory() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found: Any = analyze(open_program("mnist-cnn-h64", "default"))
    stalls = found.stalls
    expected = (
        f"{found.cycles:,} cycles = {found.seconds * 1e3:.2f} ms",
        f"expander {stalls['expander']:,} cycles, post {stalls['post']:,} cycles",
        f"{found.bank_conflicts:,})",
    )
    assert not [part for part in expected if part not in text]
