"""Memory images on the command line: made, shown, verified, and refused where damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hwsim.rom.manifest import content_digest
from tests.cli.conftest import HASHED, MODEL, Run


@pytest.fixture
def copy(image: Path, place: Path) -> Path:
    """A copy of the image that a test may change."""
    return Path(shutil.copytree(image, place / "copy.hne"))


def rewrite(image: Path, **changes: Any) -> None:
    """Change the manifest and make its digest right again, as a program would."""
    path = image / "manifest.json"
    body = json.loads(path.read_bytes()) | changes
    path.write_text(json.dumps(body | {"digest": content_digest(body)}))


READERS = [
    ("rom", "verify"), ("rom", "show"), ("timing",), ("run",), ("attack", "hfgsm", "--model"),
]  # fmt: skip


@pytest.mark.parametrize("reader", READERS, ids=" ".join)
def test_a_truncated_edited_or_foreign_image_is_refused(
    run: Run, copy: Path, reader: tuple[str, ...]
) -> None:
    weights, manifest = copy / "weights.mem", copy / "manifest.json"
    words, facts = weights.read_bytes(), manifest.read_bytes()

    weights.write_bytes(words[:-1])
    assert "weights.mem" in run(*reader, copy).line
    weights.write_bytes(bytes([words[0] ^ 1]) + words[1:])
    assert "weights.mem does not match its SHA-256" in run(*reader, copy).line
    weights.unlink()
    assert "weights.mem is missing" in run(*reader, copy).line
    weights.write_bytes(words)

    manifest.write_bytes(facts.replace(b'"clock_mhz": 400.0', b'"clock_mhz": 40.0'))
    assert "its content does not match its own digest" in run(*reader, copy).line
    manifest.write_bytes(facts)
    rewrite(copy, format_version=3)
    assert "format version 3, but this hwsim reads 1 and 2" in run(*reader, copy).line


@pytest.mark.parametrize("reader", [r for r in READERS if r != ("rom", "show")], ids=" ".join)
def test_an_image_for_another_engine_is_refused(
    run: Run, image: Path, reader: tuple[str, ...]
) -> None:
    line = run(*reader, image, "--config", "small").line
    assert "compiled for configuration default with rows = 16, but small has rows = 8" in line


def test_an_image_of_another_width_is_refused(run: Run, image: Path) -> None:
    for reader in (("timing",), ("run",), ("attack", "hfgsm", "--model")):
        assert "8-bit weights, not 4" in run(*reader, image, "--bits", "4").line


@pytest.mark.slow
def test_an_image_without_its_float_network_runs_alone_and_is_not_compared(
    run: Run, copy: Path
) -> None:
    made = json.loads((copy / "manifest.json").read_bytes())["provenance"]
    for changed, says in [
        (made | {"model": "lenet"}, "float network 'lenet' cannot be used: unknown model"),
        (made | {"weights_sha256": "0" * 64}, f"compiled from other weights than {MODEL}"),
    ]:
        rewrite(copy, provenance=changed)
        assert says in run("attack", "hfgsm", "--model", copy).line
        code, out, _ = run("run", copy, "--samples", 5)
        assert code == 0
        assert "in fixed point, of 5 test images of mnist" in out
        assert says in out
    assert run("timing", copy).code == 0


def test_an_image_without_provenance_needs_data_to_be_tried_on(run: Run, copy: Path) -> None:
    rewrite(copy, provenance={})
    for command in (("run",), ("attack", "hfgsm", "--model")):
        assert "names no data set: give images with --data" in run(*command, copy).line
    assert run("timing", copy).code == 0


def test_compile_makes_an_image_that_verifies_and_never_overwrites_unasked(
    run: Run, place: Path
) -> None:
    code, out, err = run("compile", MODEL, "-o", "x.hne", "--bits", "4")
    assert (code, err) == (0, "")
    assert "4-bit activations, 4-bit weights, configuration default" in out
    assert "note: calibrated on not the canonical MNIST files" in out
    before = {path.name: path.read_bytes() for path in (place / "x.hne").iterdir()}
    assert "x.hne already exists: add --force" in run("compile", MODEL, "-o", "x.hne").line
    assert before == {path.name: path.read_bytes() for path in (place / "x.hne").iterdir()}
    assert run("compile", MODEL, "-o", "x.hne", "--force").code == 0  # with 8 bits
    code, out, err = run("rom", "verify", "x.hne", "--config", "default")
    assert (code, err) == (0, "")
    assert all(line.startswith("ok  ") for line in out.splitlines())
    assert "ok  engine: default runs it" in out
    assert [path.name for path in place.iterdir()] == ["x.hne"]


def test_compile_never_deletes_what_is_not_an_image(run: Run, place: Path) -> None:
    (place / "mine.hne").mkdir()
    (place / "mine.hne/thesis.tex").write_text("…")
    assert "thesis.tex" in run("compile", MODEL, "-o", "mine.hne", "--force").line
    assert (place / "mine.hne/thesis.tex").read_text() == "…"


@pytest.mark.slow
def test_show_and_timing_fit_a_screen_of_100_columns(run: Run, image: Path) -> None:
    run("compile", HASHED, "-o", "shared.hne")
    for arguments, words in [
        (("rom", "show", "shared.hne"), ("xxh32", HASHED, "weight memory")),
        (("rom", "show", image), ("dense", MODEL, "weight memory")),
        (("timing", image), ("array busy", "bits", "Energy")),
    ]:
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        assert all(word in out for word in words)
        assert all(len(line) <= 100 for line in out.splitlines())


def test_timing_writes_numbers_and_a_trace(run: Run, image: Path, place: Path) -> None:
    code, out, _ = run("timing", image, "--json", "a/t.json", "--trace", "a/trace.json")
    assert code == 0
    assert "trace: a/trace.json" in out
    assert json.loads((place / "a/t.json").read_text())["cycles"] > 0
    assert json.loads((place / "a/trace.json").read_text())["traceEvents"]


def test_run_prints_both_accuracies_and_what_the_data_are(run: Run, image: Path) -> None:
    code, out, err = run("run", image, "--samples", "50")
    assert (code, err) == (0, "")
    assert "% in fixed point" in out
    assert "% in float, of 50 test images of mnist" in out
    assert "note: not the canonical MNIST files" in out


def test_zoo_shows_what_ships(run: Run) -> None:
    code, out, _ = run("zoo", "list")
    assert code == 0
    assert HASHED in out
    assert "99.3" in out
    code, out, _ = run("zoo", "show", HASHED)
    assert code == 0
    assert "1/16" in out
    assert "None" not in out
