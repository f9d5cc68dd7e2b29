"""Tables of the documentation are what the program, its cards and measurements say.

``python -m tools.tables`` writes the tables. Numbers of sentences: tests/test_docs_prose.py.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from hwsim.cost.timing import analyze
from hwsim.files import markdown
from hwsim.fpga.cell_model import source_digest
from hwsim.models import zoo
from hwsim.networks.open import open_program
from hwsim.numbers.config import EngineConfig
from hwsim.program.instruction import FIELDS
from hwsim.rom import entries
from hwsim.rom.manifest import Manifest
from tests.bench.every_command import NETWORKS, ROWS
from tests.hostile.areas import AREAS
from tests.hostile.command import PAGE as HOSTILE_PAGE
from tests.hostile.command import PLACE as HOSTILE_PLACE
from tests.property.document_reader import FIELDS as DOCUMENTED
from tools.tables import cycles, files, formats, measured, optional_units
from tools.tables.blocks import BLOCKS, ROOT


@pytest.mark.slow
@pytest.mark.parametrize(("page", "name"), BLOCKS)
def test_a_table_is_what_its_writer_writes(page: str, name: str) -> None:
    """Otherwise: python -m tools.tables"""
    assert markdown.get(ROOT / page, name) == BLOCKS[page, name]()


def test_every_command_was_run_on_the_weights_that_ship() -> None:
    """Otherwise: python -m tests.bench.every_command --docs"""
    found = measured.read("every-command")
    assert found["head"] == ["command", *NETWORKS]
    assert [row[0] for row in found["rows"]] == list(ROWS)
    assert found["weights"] == {name: zoo.card(name).sha256 for name in NETWORKS}


def test_every_table_with_a_place_has_a_writer() -> None:
    """Places in pages of `synth`, `pnr`, `study`, `explore` are written by these, or `hostile`.

    Campaigns of faults, and studies elsewhere, write the command that wrote it into a place.
    """
    theirs = {"docs/synthesis.md", "docs/reproduction.md", "docs/explore.md"}
    page = str(HOSTILE_PAGE.relative_to(ROOT))
    hostile = {(page, HOSTILE_PLACE.format(area=area)) for area in AREAS}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        page, text = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        for name in re.findall(r"<!-- (\S+): begin -->", text):
            known = page in theirs or (page, name) in {*BLOCKS, *hostile}
            known = known or f"begin -->\n\n`hwsim study {name} " in text
            assert known or f"--docs {page} {name}`" in text, f"{page}: {name}"


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


def test_optional_units_are_measured_on_todays_verilog() -> None:
    """Otherwise: python -m tools.optional_units --route"""
    found = measured.read(optional_units.NAME)
    assert found["verilog"] == source_digest()
    assert list(found["engines"]) == list(optional_units.VARIANTS)


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
